/* The scale of all weights and biases, which weight decay changes in place of every one of them. */
#ifndef SCALE_H
#define SCALE_H

#include "distance.h"

/* Rounds once and without bias, which a scale that is itself rounded would not do. */
static void scale_all(float *number, int64_t count, double scale)
{
    for (int64_t i = 0; i < count; i++)
        number[i] = (float)(scale * number[i]);
}

/* Multiplies the scale into all weights and biases, or into their distances, so that it is 1 again. */
static void fold_scale(Learner *net)
{
    if (net->scale == 1)
        return;
    if (net->apart)
        account_for_all(net);
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        scale_all(layer->body, (int64_t)layer->inputs * layer->body_length, net->scale);
        scale_all(layer->tail, (int64_t)layer->inputs * layer->tail_length, net->scale);
        scale_all(layer->bias, layer->stride, net->scale);
        if (net->apart)
            scale_all(layer->row_magnitude, layer->inputs, net->scale);
        else
            measure_rows(layer);
    }
    net->scale = 1;
}

/* Weights become distances. */
static void take_apart(Learner *net)
{
    if (!net->layer->start_body)
        return;
    net->apart = 1;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        add_starts(layer, -1);
        for (int input = 0; input < layer->inputs; input++)
            layer->seen[input] = net->clock;
    }
}

/* Leaves plain weights in the memory: of scale 1, and no distances. */
static void put_together(Learner *net)
{
    fold_scale(net);
    if (!net->apart)
        return;
    net->apart = 0;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++)
        add_starts(layer, 1);
}

#endif
