/* How an example's data reach the first layer. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "learner.h"

/* Lists the inputs of an example that are not 0. A sparse example is such a list already; that of a dense one is
 * made in the buffer of its place in the batch. */
static void show(Layer *layer, const Examples *examples, int64_t row, int place)
{
    const int64_t start = examples->dense ? (int64_t)place * layer->inputs : examples->start[row];
    layer->row = examples->index + start;
    layer->value = examples->entry + start;
    if (!examples->dense) {
        layer->used = (int32_t)(examples->start[row + 1] - start);
        return;
    }
    const float *input = examples->dense + row * layer->inputs;
    layer->used = 0;
    for (int i = 0; i < layer->inputs; i++) {
        layer->row[layer->used] = i;
        layer->value[layer->used] = input[i];
        layer->used += input[i] != 0;
    }
}

/* The part of an example's data that is still to be prefetched. It may lie anywhere in memory, and is prefetched
 * little by little during the step before: all at once, it would hold up that step's own data. */
typedef struct {
    const int32_t *index, *end;
    const float *entry;
    int lines; /* to prefetch at a time: there are two occasions per layer, and an example has some 11 */
} Fetch;

static Fetch fetch_of(const Learner *net, const Examples *examples, int64_t example)
{
    Fetch fetch = {.lines = 11 / (2 * net->depth + 1) + 1};
    if (!examples->start || example + 1 >= examples->count)
        return fetch;
    const int32_t row = examples->order[example];
    __builtin_prefetch(examples->start + examples->order[example + 1]);
    if (examples->label)
        __builtin_prefetch(examples->label + row);
    fetch.index = examples->index + examples->start[row];
    fetch.end = examples->index + examples->start[row + 1];
    fetch.entry = examples->entry + examples->start[row];
    return fetch;
}

INLINE void fetch_some(Fetch *fetch)
{
    for (int line = 0; line < fetch->lines && fetch->index < fetch->end; line++) {
        __builtin_prefetch(fetch->index);
        __builtin_prefetch(fetch->entry);
        fetch->index += LANES;
        fetch->entry += LANES;
    }
}

#endif
