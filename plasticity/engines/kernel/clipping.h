/* Weight clipping, last in a step: |w| and |b| of a layer are at most its limit. The rows that a step moves beyond it
 * are noted as they move, or clipped at once where nothing asks for their weights before the step ends; units made
 * anew, and what is done between two steps, may exceed it anywhere. */
#ifndef CLIPPING_H
#define CLIPPING_H

#include "rows.h"
#include "utility.h"

/* Whether the rows of a layer are clipped as they move: nothing sees what a step makes of them before its end. Those of
 * the first layer lead from no unit whose utility counts its outgoing weights. */
static int moves_unseen(const Learner *net, const Layer *layer)
{
    return layer->limit > 0 && layer == net->layer && net->batch == 1 && net->kept == 1 && net->choice == HERE && !layer->judge &&
           !needs(net->utility, INCOMING);
}

INLINE vec clipped(vec x, vec limit)
{
    EACH_PART(i) x.part[i] = within(limit.part[i], x.part[i]);
    return x;
}

/* Clips a row; returns the lanes of its new Σ|w|. */
INLINE vec clip_row(const Layer *layer, int input, vec limit)
{
    const Row row = row_of(rows_of(layer, 0), input);
    vec magnitude = all(0);
    for (int i = 0; i < layer->body_length; i += LANES) {
        const vec now = clipped(load(row.body + i), limit);
        store(row.body + i, now);
        magnitude = add(magnitude, absolute(now));
    }
    if (layer->tail_length) {
        const vec now = clipped(load_first(layer->tail_length, row.tail), limit);
        store_first(layer->tail_length, row.tail, now);
        magnitude = add(magnitude, absolute(now));
    }
    return magnitude;
}

/* Clips rows, four at a time; the row of zeros stands in for those that are missing.
 *
 * Args: input, the rows; if null, the first ones. */
static void clip_rows(Layer *layer, const int32_t *input, int rows, vec limit)
{
    float sum[LANES] __attribute__((aligned(64)));
    for (int first = 0; first < rows; first += 4) {
        int32_t row[4];
        vec magnitude[4];
        for (int k = 0; k < 4; k++) {
            row[k] = first + k >= rows ? layer->inputs : input ? input[first + k] : first + k;
            magnitude[k] = clip_row(layer, row[k], limit);
        }
        store(sum, sums(magnitude, magnitude));
        for (int k = 0; k < 4; k++)
            layer->row_magnitude[row[k]] = sum[4 * k];
    }
}

/* Clips the rows that may exceed the limit. */
static void clip_layer(Layer *layer, vec limit)
{
    if (layer->unclipped)
        clip_rows(layer, NULL, layer->inputs, limit);
    else
        clip_rows(layer, layer->exceeding, layer->exceeded, limit);
    for (int k = 0; k < layer->exceeded; k++)
        layer->is_exceeding[layer->exceeding[k]] = 0;
    layer->exceeded = 0;
    for (int i = 0; i < layer->stride; i += LANES)
        store(layer->bias + i, clipped(load(layer->bias + i), limit));
}

static void clip(Learner *net)
{
    const float scale = (float)fabs(net->scale);
    const int all_move = net->by_programs || fabs(net->kept) > 1;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        if (layer->limit <= 0)
            continue;
        clip_layer(layer, all(layer->limit / scale));
        layer->unclipped = all_move;
    }
}

#endif
