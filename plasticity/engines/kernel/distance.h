/* L2 regularisation towards initial values, w ← w + pull · (w₀ − w) in every step: while a task is learnt, weights and
 * biases are kept as their distances from there, w = w₀ + scale · d, so that a step only changes the scale.
 *
 * Σ|w| of rows that are not in use is therefore not known. Until it is, it counts as if w were what is scaled; then,
 * or when all distances are rescaled, the sum over the steps between is corrected as if Σ|w| had changed along a line. Distances are rescaled before the scale is below 0.99: what is then missed is
 * some 3e-5 of Σ|w| where a step pulls by a thousandth, and less where it pulls by less. */
#ifndef DISTANCE_H
#define DISTANCE_H

#include "rows.h"

/* What is to be added to a number in the memory of weights or biases, to be w / scale. */
INLINE float offset_of_weight(const Learner *net, const Layer *layer, int input, int unit)
{
    if (!net->apart)
        return 0;
    const Row start = row_of(starts_of(layer, 0), input);
    const float from = unit < layer->body_length ? start.body[unit] : start.tail[unit - layer->body_length];
    return from / (float)net->scale;
}

INLINE float offset_of_bias(const Learner *net, const Layer *layer, int unit)
{
    return net->apart ? layer->start_bias[unit] / (float)net->scale : 0;
}

/* Σ|w| / scale of a row. */
INLINE float distant_magnitude(const Layer *layer, int input, vec per_scale)
{
    const Row row = row_of(rows_of(layer, 0), input), start = row_of(starts_of(layer, 0), input);
    const int tail = layer->tail_length;
    vec total = all(0);
    for (int i = 0; i < layer->body_length; i += LANES)
        total = add(total, absolute(multiply_add(per_scale, load(start.body + i), load(row.body + i))));
    if (tail)
        total = add(total, absolute(multiply_add(per_scale, load_first(tail, start.tail),
                                                 load_first(tail, row.tail))));
    return sum(total);
}

/* Accounts for a row up to now. */
static void account_for_row(const Learner *net, Layer *layer, int input)
{
    if (!net->apart)
        return;
    const float now = distant_magnitude(layer, input, all((float)(1 / net->scale)));
    account(net, layer, input, now, net->scale, net->clock);
    layer->row_magnitude[input] = now;
}

static void account_for_all(Learner *net)
{
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++)
        for (int input = 0; input < layer->inputs; input++)
            account_for_row(net, layer, input);
}

/* Adds the initial values of a layer to its memory, times a factor. */
static void add_starts(Layer *layer, float factor)
{
    for (int64_t i = 0; i < (int64_t)layer->inputs * layer->body_length; i++)
        layer->body[i] += factor * layer->start_body[i];
    for (int64_t i = 0; i < (int64_t)layer->inputs * layer->tail_length; i++)
        layer->tail[i] += factor * layer->start_tail[i];
    for (int i = 0; i < layer->stride; i++)
        layer->bias[i] += factor * layer->start_bias[i];
}

#endif
