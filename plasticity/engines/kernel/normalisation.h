/* Layer normalisation: between a layer's linear part and its activation, where it has gains and offsets. */
#ifndef NORMALISATION_H
#define NORMALISATION_H

#include "learner.h"
#include "sums.h"

static const float VARIANCE_FLOOR = 1e-5f; /* what is added to the variance */

/* The lanes of a vector that are units, not padding. */
INLINE vec only_units(const Layer *layer, int first, vec x)
{
    static const float lanes[] __attribute__((aligned(64))) = {0, 1, 2,  3,  4,  5,  6,  7,
                                                               8, 9, 10, 11, 12, 13, 14, 15};
    return both(x, less(load(lanes), all((float)(layer->units - first))));
}

/* a becomes z = (a − mean) / √(variance + floor) · gain + offset; keeps what backpropagation needs. */
static void normalise(Layer *layer, float *z)
{
    vec total = all(0), squares = all(0);
    for (int i = 0; i < layer->stride; i += LANES)
        total = add(total, load(z + i));
    const vec mean = all(sum(total) / (float)layer->units);
    for (int i = 0; i < layer->stride; i += LANES) {
        const vec centred = only_units(layer, i, subtract(load(z + i), mean));
        store(layer->normal + i, centred);
        squares = multiply_add(centred, centred, squares);
    }
    layer->deviation = sqrtf(sum(squares) / (float)layer->units + VARIANCE_FLOOR);
    const vec deviation = all(layer->deviation);
    for (int i = 0; i < layer->stride; i += LANES) {
        const vec normal = divide(load(layer->normal + i), deviation);
        store(layer->normal + i, normal);
        store(z + i, multiply_add(normal, load(layer->gain + i), load(layer->offset + i)));
    }
}

/* The error dloss/dz becomes dloss/da; gains and offsets add up their gradients over a step's examples. */
static void normalise_back(Layer *layer)
{
    vec total = all(0), along = all(0);
    for (int i = 0; i < layer->stride; i += LANES) {
        const vec error = load(layer->error + i), normal = load(layer->normal + i);
        store(layer->of_gain + i, multiply_add(error, normal, load(layer->of_gain + i)));
        store(layer->of_offset + i, add(error, load(layer->of_offset + i)));
        const vec scaled = multiply(error, load(layer->gain + i));
        store(layer->error + i, scaled);
        total = add(total, scaled);
        along = multiply_add(scaled, normal, along);
    }
    const vec mean = all(sum(total) / (float)layer->units), share = all(sum(along) / (float)layer->units);
    const vec deviation = all(layer->deviation);
    for (int i = 0; i < layer->stride; i += LANES) {
        const vec projected = multiply(load(layer->normal + i), share);
        const vec rest = subtract(subtract(load(layer->error + i), mean), projected);
        store(layer->error + i, only_units(layer, i, divide(rest, deviation)));
    }
}

/* Gradient descent on gains and offsets, which no regulariser acts on, so that they are not scaled. */
static void move_gains(Layer *layer, float rate)
{
    for (int i = 0; i < layer->stride; i += LANES) {
        store(layer->gain + i, multiply_add(all(rate), load(layer->of_gain + i), load(layer->gain + i)));
        store(layer->offset + i, multiply_add(all(rate), load(layer->of_offset + i), load(layer->offset + i)));
        store(layer->of_gain + i, all(0));
        store(layer->of_offset + i, all(0));
    }
}

#endif
