/* L2 regularisation towards initial values, w ← w + pull · (w₀ − w) in every step. The rows in use are pulled as they
 * move. All others wait: they catch up, w ← w + (1 − (1 − pull)^steps) · (w₀ − w), once they are in use again, or are
 * looked at, or after so many steps that a hundredth of their distance is due.
 *
 * Σ|w| of a row that waits is not known. Until it is, it counts as if it had not changed; then, the sum over the steps
 * between is corrected as if it had changed along a line, which misses some 3e-5 of it where a step pulls by a
 * thousandth, and less where it pulls by less. */
#ifndef PULL_H
#define PULL_H

#include "rows.h"

/* Corrects the sum of a row's Σ|w| over the steps in which it waited, the last of which may not be measured yet: of
 * n steps, after k of which it was measured, k (k + 1) / 2n = (2k − n + 1) / 2 times what it changed by. */
INLINE void account(const Learner *net, Layer *layer, int input, float now)
{
    const int64_t waited = net->clock - layer->seen[input], measured = net->measured - layer->seen[input];
    layer->total_magnitude += (now - layer->row_magnitude[input]) * (0.5 * (double)(2 * measured - waited + 1));
    layer->row_magnitude[input] = now;
    layer->seen[input] = net->clock;
}

/* Pulls a row; returns the lanes of its new Σ|w|. */
INLINE vec pull_row(const Layer *layer, int input, vec share)
{
    const Row row = row_of(rows_of(layer, 0), input), start = row_of(starts_of(layer, 0), input);
    const int tail = layer->tail_length;
    vec magnitude = all(0);
    for (int i = 0; i < layer->body_length; i += LANES) {
        const vec w = load(row.body + i), now = multiply_add(share, subtract(load(start.body + i), w), w);
        store(row.body + i, now);
        magnitude = add(magnitude, absolute(now));
    }
    if (tail) {
        const vec w = load_first(tail, row.tail);
        const vec now = multiply_add(share, subtract(load_first(tail, start.tail), w), w);
        store_first(tail, row.tail, now);
        magnitude = add(magnitude, absolute(now));
    }
    return magnitude;
}

INLINE void fetch_row(const Layer *layer, Row row)
{
    for (int i = 0; i < layer->body_length; i += LANES)
        __builtin_prefetch(row.body + i);
    __builtin_prefetch(row.tail);
}

/* Does to rows what is due, four at a time.
 *
 * Args: layer, that of a batch's first example; row, the rows; if null, the first ones. */
static __attribute__((noinline)) void catch_up(const Learner *net, Layer *layer, const int32_t *row, int rows)
{
    float sum[LANES] __attribute__((aligned(64)));
    int32_t *waiting = layer->waiting;
    int number = 0;
    for (int k = 0; k < rows; k++) {
        waiting[number] = row ? row[k] : k;
        number += layer->seen[waiting[number]] != net->clock;
    }
    for (int k = 0; k < 8; k++)
        waiting[number + k] = layer->inputs;
    for (int first = 0; first < number; first += 4) {
        const int32_t *four = waiting + first;
        vec magnitude[4];
        for (int k = 4; k < 8; k++) { /* the next four */
            fetch_row(layer, row_of(rows_of(layer, 0), four[k]));
            fetch_row(layer, row_of(starts_of(layer, 0), four[k]));
        }
        const int left = number - first < 4 ? number - first : 4;
        for (int k = 0; k < left; k++)
            magnitude[k] = pull_row(layer, four[k], all(layer->due_after[net->clock - layer->seen[four[k]]]));
        for (int k = left; k < 4; k++)
            magnitude[k] = all(0);
        store(sum, sums(magnitude, magnitude));
        for (int k = 0; k < left; k++)
            account(net, layer, four[k], sum[4 * k]);
    }
}

/* The rows of one layer that are in use. */
static void catch_up_used(const Learner *net, const Layer *layer)
{
    catch_up(net, of_first_example(net, layer), layer->row, layer->used);
}

/* What the units of a layer would receive if the rows in use had caught up. Looking changes nothing. */
static __attribute__((noinline)) void receive_as_if_caught_up(const Learner *net, const Layer *layer, float *received)
{
    float *value = layer->value, given[layer->used + 1], share[layer->used + 1];
    for (int k = 0; k < layer->used; k++) {
        given[k] = value[k];
        share[k] = layer->due_after[net->clock - layer->seen[layer->row[k]]];
        value[k] = given[k] * (1 - share[k]);
    }
    receive(layer, received);
    for (int k = 0; k < layer->used; k++)
        value[k] = given[k] * share[k];
    receive_at_start(layer, layer->scratch);
    for (int k = 0; k < layer->used; k++)
        value[k] = given[k];
    for (int i = 0; i < layer->stride; i += LANES)
        store(received + i, add(load(received + i), load(layer->scratch + i)));
}

static void catch_up_layer(const Learner *net, Layer *layer)
{
    catch_up(net, layer, NULL, layer->inputs);
}

static void catch_up_all(Learner *net)
{
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++)
        catch_up_layer(net, layer);
    net->caught_up = net->clock;
}

/* From now on, rows that are not in use wait. */
static void start_pulling(Learner *net)
{
    net->pulls = net->layer->start_body != NULL;
    for (Layer *layer = net->layer; net->pulls && layer <= net->layer + net->depth; layer++)
        for (int input = 0; input < layer->inputs; input++)
            layer->seen[input] = net->clock;
    net->caught_up = net->clock;
}

/* No row waits any longer. */
static void stop_pulling(Learner *net)
{
    if (net->pulls)
        catch_up_all(net);
    net->pulls = 0;
}

/* What a step pulls biases by, which never wait. */
static void pull_bias(const Learner *net, Layer *layer)
{
    if (!net->pulls)
        return;
    const vec share = all(layer->due_after[1]);
    for (int i = 0; i < layer->stride; i += LANES) {
        const vec b = load(layer->bias + i);
        store(layer->bias + i, multiply_add(share, subtract(load(layer->start_bias + i), b), b));
    }
}

#endif
