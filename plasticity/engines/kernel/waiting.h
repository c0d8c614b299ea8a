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

/* Moves 16 weights of a row to where they are by now; adds their magnitudes up. */
INLINE vec settled_part(vec share, vec from, vec before, vec *magnitude)
{
    const vec now = multiply_add(share, subtract(before, from), from);
    *magnitude = add(*magnitude, absolute(now));
    return now;
}

INLINE vec settle_weights(const Layer *layer, int input, vec share)
{
    const Row row = row_of(rows_of(layer, 0), input), start = row_of(starts_of(layer, 0), input);
    const int tail = layer->tail_length;
    vec magnitude = all(0);
    for (int i = 0; i < layer->body_length; i += LANES)
        store(row.body + i, settled_part(share, load(start.body + i), load(row.body + i), &magnitude));
    if (tail)
        store_first(tail, row.tail,
                    settled_part(share, load_first(tail, start.tail), load_first(tail, row.tail), &magnitude));
    return magnitude;
}

/* What Σ|w| of a row that was settled changes of the sum over its steps; notes that it is settled. */
INLINE double settled_by(const Learner *net, Layer *layer, int input, float now)
{
    const double waited = (double)(net->clock - layer->seen[input]);
    const double measured = (double)(net->measured - layer->seen[input]);
    const double change = (now - layer->row_magnitude[input]) * measured * (measured + 1) / 2 / waited;
    layer->row_magnitude[input] = now;
    layer->settled[input] = net->remaining;
    layer->seen[input] = net->clock;
    return change;
}

/* Brings up to four rows up to date. */
INLINE double settle_four(const Learner *net, Layer *layer, const int32_t *input, int count)
{
    float sum[LANES] __attribute__((aligned(64)));
    vec magnitude[4] = {all(0), all(0), all(0), all(0)};
    for (int k = 0; k < count; k++)
        magnitude[k] = settle_weights(layer, input[k], all((float)(net->remaining / layer->settled[input[k]])));
    store(sum, sums(magnitude, magnitude));
    double change = 0;
    for (int k = 0; k < count; k++)
        change += settled_by(net, layer, input[k], sum[4 * k]);
    return change;
}

/* Brings some rows up to date: those listed, or the first ones where there is no list. */
static void settle(const Learner *net, Layer *layer, const int32_t *row, int count)
{
    Layer *first = net->layer + (layer - net->layer) % (net->depth + 1); /* for all examples of a batch */
    int32_t four[4];
    int found = 0;
    for (int k = 0; k < count; k++) {
        const int32_t input = row ? row[k] : k;
        if (layer->settled[input] != net->remaining)
            four[found++] = input;
        if (found == 4 || k == count - 1) {
            first->total_magnitude += settle_four(net, layer, four, found);
            found = 0;
        }
    }
}

/* Brings the rows in use up to date. */
static void settle_used(const Learner *net, Layer *layer)
{
    if (net->pull > 0)
        settle(net, layer, layer->row, layer->used);
}

/* Brings all rows of a layer up to date. */
static void settle_all(const Learner *net, Layer *layer)
{
    if (net->pull > 0)
        settle(net, layer, NULL, layer->inputs);
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
