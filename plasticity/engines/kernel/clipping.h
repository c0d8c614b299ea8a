/* Weight clipping, last in a step: |w| and |b| of a layer are at most its limit. Rows that are not in use have not
 * moved since they were clipped, but for those of units made anew, and what was changed between two steps. */
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
    for (int i = 0; i < layer->tail_length; i += 4) {
        float *four = row.tail + i;
        for (int k = 0; k < 4; k++)
            if (fabsf(four[k]) > limit.part[0][0])
                four[k] = copysignf(limit.part[0][0], four[k]);
    }
    if (layer->tail_length)
        magnitude = add(magnitude, absolute(load_first(layer->tail_length, row.tail)));
    layer->row_magnitude[input] = sum(magnitude);
}

/* Clips the rows that may exceed the limit, as the examples of the step have moved them. */
static void clip_rows(const Learner *net, Layer *layer, vec limit)
{
    if (layer->unclipped) {
        for (int input = 0; input < layer->inputs; input++)
            clip_row(layer, input, limit);
        return;
    }
    for (int place = 0; place < net->batch; place++) {
        const Layer *of_example = layer + place * (net->depth + 1);
        for (int k = 0; k < of_example->used; k++)
            clip_row(layer, of_example->row[k], limit);
    }
}

static void clip(Learner *net)
{
    const float scale = (float)fabs(net->scale);
    const int all_move = net->by_programs || fabs(net->kept) > 1;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        if (layer->limit <= 0)
            continue;
        const vec limit = all(layer->limit / scale);
        clip_rows(net, layer, limit);
        for (int i = 0; i < layer->stride; i += LANES)
            store(layer->bias + i, clipped(load(layer->bias + i), limit));
        layer->unclipped = all_move;
    }
}

#endif
