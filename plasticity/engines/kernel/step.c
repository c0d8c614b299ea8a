/* Online learning, one example at a time: predict, descend, replace. `plasticity.engines.reference` is the
 * definition. This file is compiled once for every kind of processor, as the KERNEL of that name; what is in
 * the headers is part of it. */
#include "denormals.h"
#include "kernel.h"
#include "replacement.h"

/* Multiplies all weights out, so that the scale is 1 again. */
static void fold_scale(Learner *net)
{
    const vec scale = all((float)net->scale);
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        float *end = layer->weight + (int64_t)layer->inputs * layer->stride;
        for (float *weight = layer->weight; weight < end; weight += LANES)
            store(weight, multiply(scale, load(weight)));
        measure_rows(layer);
    }
    net->scale = 1;
}

/* Asks for an example's data before its step comes: it lies anywhere in memory. */
INLINE void expect(const Examples *examples, int64_t example)
{
    if (!examples->start || example + 2 >= examples->count)
        return;
    __builtin_prefetch(examples->start + examples->order[example + 2]);
    if (examples->label)
        __builtin_prefetch(examples->label + examples->order[example + 1]);
    const int64_t *range = examples->start + examples->order[example + 1];
    for (int64_t k = range[0]; k < range[1]; k += LANES) {
        __builtin_prefetch(examples->index + k);
        __builtin_prefetch(examples->entry + k);
    }
}

/* Lists the inputs of an example that are not 0. */
static void show(Layer *layer, const Examples *examples, int64_t row)
{
    const int32_t *permutation = examples->permutation;
    int used = 0;
    if (examples->dense) {
        const float *input = examples->dense + row * layer->inputs;
        for (int i = 0; i < layer->inputs; i++) {
            layer->row[used] = permutation ? permutation[i] : i;
            layer->value[used] = input[i];
            used += input[i] != 0;
        }
    } else {
        const int64_t start = examples->start[row];
        used = (int)(examples->start[row + 1] - start);
        for (int k = 0; k < used; k++) {
            const int32_t column = examples->index[start + k];
            layer->row[k] = permutation ? permutation[column] : column;
            layer->value[k] = examples->entry[start + k];
        }
    }
    layer->used = used;
}

/* Lists the units that pass something on: the active ones of ReLU; of other activations always all. */
static void pass_on(const Learner *net, const Layer *from, Layer *to)
{
    if (net->activation != RELU)
        return;
    to->used = 0;
    for (int i = 0; i < from->stride; i += LANES)
        to->used += pack(load(from->activation + i), i, to->value + to->used, to->row + to->used);
}

/* z of a layer, from the rows that its inputs use. */
static void linear(const Learner *net, const Layer *layer, float *z)
{
    const vec scale = all((float)net->scale);
    receive(layer, z);
    for (int i = 0; i < layer->stride; i += LANES)
        store(z + i, multiply_add(scale, load(z + i), load(layer->bias + i)));
}

static void predict(const Learner *net)
{
    for (Layer *layer = net->layer; layer < net->layer + net->depth; layer++) {
        linear(net, layer, layer->activation);
        activate(net->activation, layer->stride, layer->activation, layer->activation, layer->slope);
        pass_on(net, layer, layer + 1);
    }
    linear(net, &net->layer[net->depth], net->layer[net->depth].activation);
}

/* Cross-entropy of the softmax of the outputs. */
static double cross_entropy(Learner *net, Layer *output, int label)
{
    static const float lanes[] __attribute__((aligned(64))) = {0, 1, 2,  3,  4,  5,  6,  7,
                                                               8, 9, 10, 11, 12, 13, 14, 15};
    const float *z = output->activation;
    int predicted = 0;
    for (int i = 1; i < output->units; i++)
        predicted = z[i] > z[predicted] ? i : predicted;
    net->right += predicted == label;

    vec total = all(0);
    for (int i = 0; i < output->stride; i += LANES) {
        const vec is_output = less(load(lanes), all((float)(output->units - i)));
        const vec e = both(exp_negative(subtract(load(z + i), all(z[predicted]))), is_output);
        store(output->error + i, e);
        total = add(total, e);
    }
    const float normaliser = sum(total);
    for (int i = 0; i < output->stride; i += LANES) {
        const vec share = divide(load(output->error + i), all(normaliser));
        const vec is_label = equal(load(lanes), all((float)(label - i)));
        store(output->error + i, subtract(share, both(is_label, all(1))));
    }
    return isnan(normaliser) ? NAN : log_of(normaliser) + (z[predicted] - z[label]);
}

/* Mean over the outputs of (prediction − target)². */
static double squared_error(const Layer *output, const float *target)
{
    float total = 0;
    for (int i = 0; i < output->units; i++) {
        const float difference = output->activation[i] - target[i];
        output->error[i] = difference * (2.0f / (float)output->units);
        total += difference * difference;
    }
    return total / (float)output->units;
}

/* The error of the units below a layer from what it sent back to them. */
static void send_back(const Learner *net, const Layer *below)
{
    const vec scale = all((float)net->scale);
    for (int i = 0; i < below->stride; i += LANES)
        store(below->error + i, multiply(multiply(scale, load(below->error + i)), load(below->slope + i)));
}

/* Backpropagation and the step of gradient descent, layer by layer from the output on: the error goes
 * through a layer's weights as they were before its step, in one pass with it. */
static void learn_from_error(Learner *net)
{
    const double scale = net->scale * net->decay;
    const float rate = (float)(-net->step_size / scale);
    const vec decay = all((float)net->decay), bias_rate = all((float)-net->step_size);
    for (Layer *layer = net->layer + net->depth; layer >= net->layer; layer--) {
        Layer *below = layer > net->layer ? layer - 1 : NULL;
        for (int i = 0; below && i < below->stride; i += LANES)
            store(below->error + i, all(0));
        descend(layer, rate, below ? below->error : NULL);
        for (int i = 0; i < layer->stride; i += LANES) {
            const vec kept = multiply(decay, load(layer->bias + i));
            store(layer->bias + i, multiply_add(bias_rate, load(layer->error + i), kept));
        }
        if (below)
            send_back(net, below);
    }
    net->scale = scale;
}

/* Σ|w| of each layer after the step. Infinite or undefined weights show in the next step's loss. */
static void measure(Learner *net)
{
    double total = 0;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        const double magnitude = fabs(net->scale) * layer_magnitude(layer);
        layer->magnitude += magnitude;
        total += magnitude;
    }
    net->finite = isfinite(total);
}

static int step(Learner *net, const Examples *examples, int64_t example)
{
    const int64_t row = examples->order[example];
    Layer *output = &net->layer[net->depth];
    show(net->layer, examples, row);
    expect(examples, example);
    predict(net);
    const double loss = net->loss == CROSS_ENTROPY
                            ? cross_entropy(net, output, examples->label[row])
                            : squared_error(output, examples->target + row * output->units);
    if (!isfinite(loss) || !net->finite)
        return 0;
    net->total_loss += loss;
    learn_from_error(net);
    replace(net, examples->first_step + example);
    if (!(fabs(net->scale) >= 0.5 && fabs(net->scale) <= 1))
        fold_scale(net);
    measure(net);
    return 1;
}

/* Derives all that is not part of the learner's state from it, so that a learner made from a stored state
 * goes on exactly as the one that stored it. */
static void begin_task(Learner *net)
{
    Layer *output = &net->layer[net->depth];
    net->faded_at = 1;
    for (double power = net->decay_rate; power > 0x1p-60; power *= power)
        net->faded_at *= 2;
    for (Layer *layer = net->layer; layer < output; layer++)
        for (int i = 0; i < layer->units; i++)
            layer->fading[i] = faded(net, age_of(net, layer, i));
    for (Layer *layer = net->layer; layer <= output; layer++)
        measure_rows(layer);
    measure(net);
    for (Layer *layer = net->layer; layer <= output; layer++)
        layer->magnitude = 0, layer->replaced = 0;
    net->total_loss = 0;
    net->right = 0;
}

static int64_t learn(Learner *net, const Examples *examples, int64_t first, int64_t end)
{
    const unsigned int mode = flush_denormals();
    if (first == 0)
        begin_task(net);
    int64_t example = first;
    while (example < end && step(net, examples, example))
        example++;
    if (example == examples->count && net->scale != 1)
        fold_scale(net);
    restore_denormals(mode);
    return example;
}

const Kernel KERNEL = {learn, activate};
