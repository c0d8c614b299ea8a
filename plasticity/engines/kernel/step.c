/* Online learning, one example or one batch at a time: predict, descend, replace.
  * `plasticity.engines.reference` is the definition. This file, with its headers, is compiled once for every kind
  * of processor, each time with another name for KERNEL. */
#include <string.h>

#include "clipping.h"
#include "denormals.h"
#include "examples.h"
#include "kernel.h"
#include "normalisation.h"
#include "programs.h"
#include "replacement.h"
#include "scale.h"
#include "silence.h"

/* Computes h of a layer from its z, and lists the units that pass something on: for ReLU the active ones, whose
 * slope is 1; for other activations always all. */
static void pass_on(const Learner *net, Layer *from, Layer *to)
{
    const float *z = from->z;
    float *h = from->activation;
    if (net->activation != RELU) {
        if (from->respond)
            from->respond(&(Shape){from->units, from->inputs, 1}, from->respond_on);
        else
            activate(net->activation, from->stride, z, h, from->slope);
        return;
    }
    to->used = 0;
    for (int i = 0; i < from->stride; i += LANES) {
        const vec active = relu(load(z + i)).value;
        store(h + i, active);
        to->used += pack(active, i, to->value + to->used, to->row + to->used);
    }
    while (to->used && to->row[to->used - 1] >= to->inputs) /* beyond the units: 0 · ∞ where a network diverges */
        to->used--;
}

/* Computes z of a layer from the rows of its inputs in use. */
static void linear(const Learner *net, Layer *layer, float *z)
{
    const vec scale = all((float)net->scale);
    if (net->pulls && !net->looks)
        catch_up_used(net, layer);
    if (net->pulls && net->looks)
        receive_as_if_caught_up(net, layer, z);
    else
        receive(layer, z);
    for (int i = 0; i < layer->stride; i += LANES)
        store(z + i, multiply(scale, add(load(z + i), load(layer->bias + i))));
}

static void predict(const Learner *net, Layer *first, Fetch *next)
{
    for (Layer *layer = first; layer < first + net->depth; layer++) {
        linear(net, layer, layer->z);
        if (layer->gain)
            normalise(layer, layer->z);
        fetch_some(next);
        pass_on(net, layer, layer + 1);
    }
    linear(net, &first[net->depth], first[net->depth].activation);
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

/* The program for the examples of a task, where the loss is a user's own. */
INLINE Program *own_loss(const Layer *output, const Examples *examples)
{
    return examples->label ? output->judge_class : output->judge_values;
}

/* A user's own loss. */
static double judge(Learner *net, const Layer *output, const Examples *examples, int64_t row)
{
    if (examples->label)
        *output->label = examples->label[row];
    else
        memcpy(output->target, examples->target + row * output->units, sizeof(float[output->units]));
    const Shape shape = {output->units, output->inputs, 1};
    own_loss(output, examples)(&shape, examples->label ? output->judge_class_on : output->judge_values_on);
    net->total_score += *output->score;
    return *output->loss;
}

/* The error of the units below a layer, from what it sent back to them; it sends nothing to inactive ReLU units. */
static void pass_back(const Learner *net, Layer *below, vec scale)
{
    for (int i = 0; i < below->stride; i += LANES) {
        const vec error = multiply(scale, load(below->error + i));
        store(below->error + i, net->activation == RELU ? error : multiply(error, load(below->slope + i)));
    }
    if (below->gain)
        normalise_back(below);
}

INLINE void move_bias(Layer *layer, float rate)
{
    for (int i = 0; i < layer->stride; i += LANES)
        store(layer->bias + i, multiply_add(all(rate), load(layer->error + i), load(layer->bias + i)));
}

/* Backpropagation and gradient descent, layer by layer from the output down: the error passes through a layer's
 * weights as they were before its step, in the same pass that changes them. As soon as the layers on both sides
 * of units have moved, the units are observed, while the weights are still in the nearest cache. */
static void learn_from_error(Learner *net, Fetch *next)
{
    const vec scale = all((float)net->scale);
    net->scale *= net->kept;
    const float rate = (float)(-net->step_size / net->scale);
    for (Layer *layer = net->layer + net->depth; layer >= net->layer; layer--) {
        Layer *below = layer > net->layer ? layer - 1 : NULL;
        if (below)
            memset(below->error, 0, sizeof(float[below->stride]));
        descend(net, layer, rate, below ? below->error : NULL);
        pull_bias(net, layer);
        move_bias(layer, rate);
        if (layer->gain)
            move_gains(layer, (float)-net->step_size);
        if (below)
            pass_back(net, below, scale);
        fetch_some(next);
        if (layer < net->layer + net->depth)
            observe(net, layer, layer + 1);
    }
}

/* The errors of all layers and examples, before any layer moves. */
static void send_errors_back(Learner *net)
{
    const vec scale = all((float)net->scale);
    for (int place = 0; place < net->batch; place++)
        for (Layer *first = layers_of(net, place), *layer = first + net->depth; layer > first; layer--) {
            Layer *below = layer - 1;
            memset(below->error, 0, sizeof(float[below->stride]));
            send_back(net, layer, below->error);
            pass_back(net, below, scale);
        }
}

/* The same for a batch: no layer moves before every example has sent its error back. */
static void learn_from_errors(Learner *net)
{
    send_errors_back(net);
    net->scale *= net->kept;
    const float rate = (float)(-net->step_size / net->scale / net->batch);
    for (int number = net->depth; number >= 0; number--) {
        for (int place = 0; net->pulls && place < net->batch; place++)
            catch_up_used(net, layers_of(net, place) + number);
        pull_bias(net, &net->layer[number]);
        for (int place = 0; place < net->batch; place++) {
            Layer *layer = layers_of(net, place) + number;
            descend(net, layer, rate, NULL);
            move_bias(layer, rate);
        }
        if (net->layer[number].gain)
            move_gains(&net->layer[number], (float)(-net->step_size / net->batch));
        if (number < net->depth)
            observe(net, &net->layer[number], &net->layer[number + 1]);
    }
}

/* The same where programs move all parameters, those of rows whose input is 0 as well. */
static void learn_by_programs(Learner *net)
{
    send_errors_back(net);
    for (int number = net->depth; number >= 0; number--) {
        move_by_programs(net, number);
        if (number < net->depth)
            observe(net, &net->layer[number], &net->layer[number + 1]);
    }
}

/* Σ|w| of each layer after the step. If their sum is not finite, learning ends at the next step. */
static void measure_layers(Learner *net)
{
    double total = 0;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        const double magnitude = fabs(net->scale) * layer_magnitude(layer);
        layer->total_magnitude += magnitude;
        total += magnitude;
    }
    net->measured = net->clock;
    net->finite = isfinite(total);
}

/* The loss of the example at a place in the batch; leaves all that backpropagation needs. */
INLINE double predict_example(Learner *net, const Examples *examples, int64_t example, int place, Fetch *next)
{
    const int64_t row = examples->order[example];
    Layer *first = layers_of(net, place), *output = first + net->depth;
    show(first, examples, row, place);
    *next = fetch_of(net, examples, example + 1);
    predict(net, first, next);
    if (net->loss == OWN_LOSS)
        return judge(net, output, examples, row);
    return net->loss == CROSS_ENTROPY ? cross_entropy(net, output, examples->label[row])
                                      : squared_error(output, examples->target + row * output->units);
}

/* The mean loss of the examples of a step. */
static double predict_examples(Learner *net, const Examples *examples, int64_t number, Fetch *next)
{
    double loss = 0;
    for (int place = 0; place < net->batch; place++)
        loss += predict_example(net, examples, number * net->batch + place, place, next);
    return loss / net->batch;
}

/* The loss of a step's examples after it. */
static double loss_after(Learner *net, const Examples *examples, int64_t number)
{
    Fetch next;
    const int64_t right = net->right;
    net->looks = 1;
    const double score = net->total_score, loss = predict_examples(net, examples, number, &next);
    net->looks = 0;
    net->right = right;
    net->total_score = score;
    return loss;
}

/* What ends a step, once units are replaced. */
static void finish_step(Learner *net, const Examples *examples, int64_t number)
{
    if (!(fabs(net->scale) >= 0.5 && fabs(net->scale) <= 1))
        fold_scale(net);
    if (net->pulls && net->clock - net->caught_up >= net->patience)
        catch_up_all(net);
    clip(net);
    constrain_by_programs(net);
    measure_layers(net);
    if (net->loss_after)
        net->loss_after[number] = loss_after(net, examples, number);
}

/* The rest of a step whose units are observed, up to their choice where that is Python's. */
static void choose_and_finish(Learner *net, const Examples *examples, int64_t number)
{
    if (net->choice == HERE)
        choose_and_replace(net, examples->first_step + number);
    else if (is_due(net)) {
        net->waiting = FOR_CHOICE;
        return;
    }
    finish_step(net, examples, number);
}

/* The rest of a step whose parameters were perturbed. */
static void go_on(Learner *net, const Examples *examples, int64_t number)
{
    net->perturbs = 0;
    for (Layer *layer = net->layer; layer <= net->layer + net->depth; layer++) {
        measure_rows(layer);
        layer->unclipped = 1;
    }
    start_pulling(net);
    for (Layer *layer = net->layer + net->depth - 1; layer >= net->layer; layer--)
        observe(net, layer, layer + 1);
    choose_and_finish(net, examples, number);
}

/* Takes a step, up to what Python does in it. Returns 0 if the loss is not finite. */
static int step(Learner *net, const Examples *examples, int64_t number)
{
    Fetch next;
    const double loss = predict_examples(net, examples, number, &next);
    if (!isfinite(loss) || !net->finite)
        return 0;
    net->total_loss += loss;
    if (net->loss_before)
        net->loss_before[number] = loss;
    net->clock++;
    if (net->by_programs)
        learn_by_programs(net);
    else if (net->batch == 1)
        learn_from_error(net, &next);
    else
        learn_from_errors(net);
    if (net->perturbs) {
        fold_scale(net);
        stop_pulling(net);
        net->waiting = FOR_PERTURBATION;
    } else
        choose_and_finish(net, examples, number);
    return 1;
}

/* Derives everything else from the learner's state, so that a learner made from a stored state continues
 * exactly like the one that stored it. */
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
    start_pulling(net);
    measure_layers(net);
    for (Layer *layer = net->layer; layer <= output; layer++) {
        layer->total_magnitude = 0, layer->replaced = 0, layer->unclipped = 1;
        layer->is_clipped_as_it_moves = moves_unseen(net, layer);
    }
    net->total_loss = net->total_score = 0;
    net->right = 0;
}

/* Whether the kernel supports everything that a learner uses, and the examples have the targets of its loss. */
static int is_known(const Learner *net, const Examples *examples)
{
    return net->activation >= 0 && net->activation < OWN_ACTIVATION + !!net->layer->respond && net->utility >= 0 &&
           net->utility < OWN_UTILITY + !!net->layer->judge &&
           ((net->loss == CROSS_ENTROPY && examples->label) || (net->loss == SQUARED_ERROR && examples->target) ||
            (net->loss == OWN_LOSS && own_loss(net->layer + net->depth, examples)));
}

static int64_t learn(Learner *net, const Examples *examples, int64_t first, int64_t end)
{
    if (!is_known(net, examples))
        return REFUSED;
    const unsigned int mode = flush_denormals();
    const Waiting waited = net->waiting;
    int64_t number = first;
    net->waiting = FOR_NOTHING;
    if (waited == FOR_CHOICE) {
        replace_chosen(net, examples->first_step + number);
        finish_step(net, examples, number++);
    } else if (waited == FOR_PERTURBATION) {
        go_on(net, examples, number);
        number += !net->waiting;
    } else if (first == 0)
        begin_task(net);
    while (!net->waiting && number < end && step(net, examples, number))
        number += !net->waiting;
    if (!net->waiting && number * net->batch == examples->count) {
        fold_scale(net);
        stop_pulling(net);
    }
    restore_denormals(mode);
    return number;
}

static int64_t look(Learner *net, const Examples *examples, int64_t end, float *const *activation)
{
    if (!is_known(net, examples))
        return REFUSED;
    const unsigned int mode = flush_denormals();
    for (int64_t example = 0; example < end; example++) {
        show(net->layer, examples, examples->order[example], 0);
        Fetch next = fetch_of(net, examples, example + 1);
        predict(net, net->layer, &next);
        for (int i = 0; i < net->depth; i++) {
            const Layer *layer = &net->layer[i];
            memcpy(activation[i] + example * layer->units, layer->activation, sizeof(float[layer->units]));
        }
    }
    restore_denormals(mode);
    return end;
}

#define TEXT_OF(name) #name
#define NAME_OF(name) TEXT_OF(name)

const Kernel KERNEL = {learn, look, activate, count_silences, NAME_OF(KERNEL)};
