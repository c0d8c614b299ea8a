/* The scale of all weights and biases, which weight decay changes in place of every one of them. */
#ifndef SCALE_H
#define SCALE_H

#include "rows.h"

/* Rounds once and without bias, which a scale that is itself rounded would not do. */
static void scale_all(float *number, int64_t count, double scale)
{
    for (int64_t i = 0; i < count; i++)
        number[i] = (float)(scale * number[i]);
}

/* Multiplies the scale into all weights and biases, so that it is 1 again. */
static void fold_scale(Learner *net)
{
    if (net->scale == 1)
        return;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        scale_all(layer->body, (int64_t)layer->inputs * layer->body_length, net->scale);
        scale_all(layer->tail, (int64_t)layer->inputs * layer->tail_length, net->scale);
        scale_all(layer->bias, layer->stride, net->scale);
        measure_rows(layer);
    }
    net->scale = 1;
}

#endif
