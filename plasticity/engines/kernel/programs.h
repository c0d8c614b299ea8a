/* Programs that move or constrain parameters: those of every row, whether or not its input is in use. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <string.h>

#include "scale.h"

/* Runs a program of a layer, where it has one. */
static void run_program(const Learner *net, const Layer *layer, Program *program, void *const *on)
{
    if (program)
        program(&(Shape){layer->units, layer->inputs, net->batch}, on);
}

/* Puts the inputs in use of each example in their places, or takes them away again. */
static void spread_inputs(const Learner *net, int number, const int present)
{
    const int32_t length = (net->layer[number].inputs + LANES) / LANES * LANES;
    for (int place = 0; place < net->batch; place++) {
        const Layer *layer = layers_of(net, place) + number;
        float *input = layer->input + (int64_t)place * length;
        for (int k = 0; k < layer->used; k++)
            input[layer->row[k]] = present ? layer->value[k] : 0;
    }
}

/* Moves the parameters of a layer, whose errors are known for every example. */
static void move_by_programs(const Learner *net, int number)
{
    Layer *layer = &net->layer[number];
    spread_inputs(net, number, 1);
    run_program(net, layer, layer->move_weights, layer->move_weights_on);
    run_program(net, layer, layer->move_biases, layer->move_biases_on);
    spread_inputs(net, number, 0);
    if (!layer->gain)
        return;
    run_program(net, layer, layer->move_gains, layer->move_gains_on);
    run_program(net, layer, layer->move_offsets, layer->move_offsets_on);
    memset(layer->of_gain, 0, sizeof(float[layer->stride]));
    memset(layer->of_offset, 0, sizeof(float[layer->stride]));
}

/* A user's own constraint, last in a step. It looks at the values of weights, so their scale has to be in them. */
static void constrain_by_programs(Learner *net)
{
    if (!net->constrains)
        return;
    fold_scale(net);
    for (const Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        run_program(net, layer, layer->constrain_weights, layer->constrain_weights_on);
        run_program(net, layer, layer->constrain_biases, layer->constrain_biases_on);
        run_program(net, layer, layer->constrain_gains, layer->constrain_gains_on);
        run_program(net, layer, layer->constrain_offsets, layer->constrain_offsets_on);
    }
}

#endif
