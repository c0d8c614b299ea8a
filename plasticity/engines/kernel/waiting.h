/* L2 regularisation towards initial values: a step pulls every weight, w ← w + pull · (w₀ − w). Rows that are not in
 * use owe this until they are settled: after k steps, w is w₀ + (1 − pull)ᵏ · (w − w₀). `remaining` is the product of
 * (1 − pull) over all steps so far, and `settled` what it was when a row was last settled.
 *
 * Meanwhile, Σ|w| of such a row counts as it was. Once it is settled, its sum over the steps that it has waited for
 * is corrected as if Σ|w| had changed along a line. All rows are settled before they owe more than a hundredth: what
 * is then missed is some 3e-5 of Σ|w| where a step pulls by a thousandth, and less where it pulls by less. */
#ifndef WAITING_H
#define WAITING_H

#include "rows.h"

/* Brings a row up to date. */
static void settle_row(const Learner *net, Layer *layer, int input)
{
    if (layer->settled[input] == net->remaining)
        return;
    const vec share = all((float)(net->remaining / layer->settled[input]));
    const Row row = row_of(rows_of(layer, 0), input), start = row_of(starts_of(layer, 0), input);
    vec magnitude = all(0);
    for (int i = 0; i < layer->body_length; i += LANES) {
        const vec from = load(start.body + i);
        const vec now = multiply_add(share, subtract(load(row.body + i), from), from);
        store(row.body + i, now);
        magnitude = add(magnitude, absolute(now));
    }
    if (layer->tail_length) {
        const vec from = load_first(layer->tail_length, start.tail);
        const vec now = multiply_add(share, subtract(load_first(layer->tail_length, row.tail), from), from);
        store_first(layer->tail_length, row.tail, now);
        magnitude = add(magnitude, absolute(now));
    }
    const double waited = (double)(net->clock - layer->seen[input]);
    const double measured = (double)(net->measured - layer->seen[input]);
    const float now = sum(magnitude);
    Layer *first = net->layer + (layer - net->layer) % (net->depth + 1); /* for all examples of a batch */
    first->total_magnitude += (now - layer->row_magnitude[input]) * measured * (measured + 1) / 2 / waited;
    layer->row_magnitude[input] = now;
    layer->settled[input] = net->remaining;
    layer->seen[input] = net->clock;
}

/* Brings the rows in use up to date. */
static void settle_used(const Learner *net, Layer *layer)
{
    if (net->pull > 0)
        for (int k = 0; k < layer->used; k++)
            settle_row(net, layer, layer->row[k]);
}

/* Brings all rows of a layer up to date. */
static void settle_all(const Learner *net, Layer *layer)
{
    if (net->pull > 0)
        for (int input = 0; input < layer->inputs; input++)
            settle_row(net, layer, input);
}

static void settle_layers(Learner *net)
{
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++)
        settle_all(net, layer);
}

/* Pulls the biases of a layer, in a step. */
INLINE void pull_bias(const Learner *net, Layer *layer)
{
    if (net->pull > 0)
        for (int i = 0; i < layer->stride; i += LANES) {
            const vec bias = load(layer->bias + i);
            store(layer->bias + i,
                  multiply_add(all((float)net->pull), subtract(load(layer->start_bias + i), bias), bias));
        }
}

/* Starts from rows that are up to date. */
static void begin_waiting(Learner *net)
{
    net->remaining = 1;
    if (net->pull > 0)
        for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++)
            for (int input = 0; input < layer->inputs; input++)
                layer->settled[input] = 1, layer->seen[input] = net->clock;
}

/* Settles all rows before they owe more than a hundredth. */
static void settle_in_time(Learner *net)
{
    if (net->remaining > 0.99)
        return;
    settle_layers(net);
    begin_waiting(net);
}

#endif
