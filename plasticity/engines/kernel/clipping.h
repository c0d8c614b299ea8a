/* Weight clipping, last in a step: |w| and |b| of a layer are at most its limit. The rows that a step moves beyond it
 * are noted as they move; units made anew, and what is done between two steps, may exceed it anywhere. */
#ifndef CLIPPING_H
#define CLIPPING_H

#include "rows.h"

INLINE vec clipped(vec x, vec limit)
{
    const vec magnitude = absolute(x); /* NaN stays */
    return with_sign(blend(less(limit, magnitude), limit, magnitude), x);
}

static void clip_row(Layer *layer, int input, vec limit)
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
    layer->row_magnitude[input] = sum(magnitude);
}

/* Clips the rows that may exceed the limit. */
static void clip_rows(Layer *layer, vec limit)
{
    if (layer->unclipped)
        for (int input = 0; input < layer->inputs; input++)
            clip_row(layer, input, limit);
    for (int k = 0; k < layer->exceeded; k++) {
        const int input = layer->exceeding[k];
        layer->is_exceeding[input] = 0;
        if (!layer->unclipped)
            clip_row(layer, input, limit);
    }
    layer->exceeded = 0;
}

static void clip(Learner *net)
{
    const float scale = (float)fabs(net->scale);
    const int all_move = net->by_programs || fabs(net->kept) > 1;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        if (layer->limit <= 0)
            continue;
        const vec limit = all(layer->limit / scale);
        clip_rows(layer, limit);
        for (int i = 0; i < layer->stride; i += LANES)
            store(layer->bias + i, clipped(load(layer->bias + i), limit));
        layer->unclipped = all_move;
    }
}

#endif
