/* Continual backpropagation, after every step of gradient descent: age, utility, choice and replacement of
 * the hidden units. `plasticity.replacement` is the definition. */
#ifndef REPLACEMENT_H
#define REPLACEMENT_H

#include <string.h>

#include "philox.h"
#include "pull.h"

INLINE int64_t age_of(const Learner *net, const Layer *layer, int unit)
{
    return net->clock - layer->born[unit];
}

/* η^age; 0 where it is too small to change 1 − η^age. */
static double faded(const Learner *net, int64_t age)
{
    if (age >= net->faded_at)
        return 0;
    double power = 1, square = net->decay_rate;
    for (; age > 0; age >>= 1, square *= square) {
        const double factor[] = {1, square}; /* the bits of an age are too random for a branch */
        power *= factor[age & 1];
    }
    return power;
}

/* A running mean corrected for its start, by dividing it by 1 − η^age. */
INLINE float corrected(float running, double fading)
{
    return (float)(running / (1 - fading));
}

/* f̂ of 16 units, whose ages have just grown by 1. */
INLINE vec corrected_means(const Learner *net, const Layer *layer, int first, vec running)
{
    float mean[LANES] __attribute__((aligned(64)));
    store(mean, running);
    for (int i = 0; i < LANES; i++) {
        layer->fading[first + i] *= net->decay_rate;
        mean[i] = corrected(mean[i], layer->fading[first + i]);
    }
    return load(mean);
}

/* What a layer observes of the example at a place in the batch: 16 units. */
INLINE vec observed(const Learner *net, const Layer *layer, int place, int first)
{
    return load(layer[place * (net->depth + 1)].observed + first);
}

/* Updates running mean activation and utility of the units between two layers, from h and y, or batch means. */
INLINE void observe_by(const Utility utility, const int batch, const Learner *net, const Layer *layer,
                       const Layer *next)
{
    const vec keep = all((float)net->decay_rate), gain = all((float)(1 - net->decay_rate));
    const vec per_output = all((float)(fabs(net->scale) / next->units));
    const vec per_input = all((float)(fabs(net->scale) / layer->inputs));
    const vec per_example = all(1.0f / (float)batch);
    if (needs(utility, INCOMING))
        incoming_magnitude(layer, layer->scratch);
    for (int i = 0; i < layer->stride; i += LANES) {
        vec h = observed(net, layer, 0, i);
        for (int place = 1; place < batch; place++)
            h = add(h, observed(net, layer, place, i));
        h = multiply(h, per_example);
        const vec f = multiply_add(keep, load(layer->mean_activation + i), multiply(gain, h));
        const vec mean = needs(utility, MEAN) ? corrected_means(net, layer, i, f) : f;
        const vec outgoing = multiply(load(next->row_magnitude + i), per_output);
        const vec incoming = multiply(load(layer->scratch + i), per_input);
        vec y = instantaneous(utility, observed(net, layer, 0, i), mean, outgoing, incoming);
        for (int place = 1; place < batch; place++)
            y = add(y, instantaneous(utility, observed(net, layer, place, i), mean, outgoing, incoming));
        y = multiply(y, per_example);
        store(layer->mean_activation + i, f);
        store(layer->utility + i, multiply_add(keep, load(layer->utility + i), multiply(gain, y)));
    }
}

/* What programs are given of the units between two layers, where they ask for it. */
static void measure_for_programs(const Learner *net, const Layer *layer, const Layer *next)
{
    const float scale = (float)fabs(net->scale);
    if (layer->outgoing)
        for (int i = 0; i < layer->units; i++)
            layer->outgoing[i] = next->row_magnitude[i] * scale / (float)next->units;
    if (layer->incoming) {
        incoming_magnitude(layer, layer->incoming);
        for (int i = 0; i < layer->units; i++)
            layer->incoming[i] = layer->incoming[i] * scale / (float)layer->inputs;
    }
    if (layer->mean_input) {
        float total = 0;
        for (int place = 0; place < net->batch; place++) {
            const Layer *of_example = layer + place * (net->depth + 1);
            for (int k = 0; k < of_example->used; k++)
                total += fabsf(of_example->value[k]);
        }
        *layer->mean_input = total / (float)layer->inputs / (float)net->batch;
    }
}

/* The same with a user's own utility, whose program gives the mean of y over the examples. */
static void observe_by_program(const Learner *net, const Layer *layer, const Layer *next)
{
    const vec keep = all((float)net->decay_rate), gain = all((float)(1 - net->decay_rate));
    const vec per_example = all(1.0f / (float)net->batch);
    for (int i = 0; i < layer->stride; i += LANES) {
        vec h = observed(net, layer, 0, i);
        for (int place = 1; place < net->batch; place++)
            h = add(h, observed(net, layer, place, i));
        const vec f = multiply_add(keep, load(layer->mean_activation + i), multiply(gain, multiply(h, per_example)));
        store(layer->mean_activation + i, f);
        if (layer->novel_mean)
            store(layer->novel_mean + i, corrected_means(net, layer, i, f));
    }
    measure_for_programs(net, layer, next);
    layer->judge(&(Shape){layer->units, layer->inputs, net->batch}, layer->judge_on);
    for (int i = 0; i < layer->stride; i += LANES) {
        const vec y = load(layer->scratch + i);
        store(layer->utility + i, multiply_add(keep, load(layer->utility + i), multiply(gain, y)));
    }
}

static void observe(const Learner *net, const Layer *layer, const Layer *next)
{
    if (net->perturbs)
        return; /* later in the step */
    if (net->choice != HERE) {
        if (layer->update) {
            measure_for_programs(net, layer, next);
            layer->update(&(Shape){layer->units, layer->inputs, net->batch}, layer->update_on);
        }
        return;
    }
    if (layer->judge) {
        observe_by_program(net, layer, next);
        return;
    }
#define CASE(utility, ...)                                     \
    case utility:                                              \
        if (net->batch == 1)                                   \
            observe_by(utility, 1, net, layer, next);          \
        else                                                   \
            observe_by(utility, net->batch, net, layer, next); \
        break;
    switch ((Utility)net->utility) { UTILITIES(CASE) }
#undef CASE
}

/* Counts the eligible units, and finds when there will be one more. */
static void count_mature(const Learner *net, Layer *layer)
{
    int64_t shortest = INT64_MAX; /* the shortest time until a unit reaches the threshold */
    layer->mature = 0;
    for (int i = 0; i < layer->units; i++) {
        const int64_t left = net->maturity_threshold - age_of(net, layer, i);
        if (left < 0)
            layer->mature++;
        else if (left < shortest)
            shortest = left;
    }
    layer->next_mature = shortest < INT64_MAX - net->clock ? net->clock + shortest + 1 : INT64_MAX;
}

/* What the eligible units are ranked by: û, or a uniform draw. */
static void rank_units(const Learner *net, Layer *layer, int number, int64_t step)
{
    if (net->utility == RANDOM) {
        Stream draws = stream(net->seed, RANDOM_UTILITY, (uint64_t)number, (uint64_t)step, 0);
        for (int i = 0; i < layer->units; i++)
            layer->scratch[i] = unit_interval(&draws);
    } else {
        for (int i = 0; i < layer->units; i++)
            layer->scratch[i] = corrected(layer->utility[i], faded(net, age_of(net, layer, i)));
    }
}

/* Lower ranks first; among equals, the first unit; NaN last. */
INLINE int precedes(const float *rank, int a, int b)
{
    const int a_is_nan = isnan(rank[a]), b_is_nan = isnan(rank[b]);
    if (a_is_nan != b_is_nan)
        return b_is_nan;
    return rank[a] < rank[b] || (!(rank[b] < rank[a]) && a < b);
}

/* The number of units to replace in a layer. */
static int due(const Learner *net, Layer *layer, Stream *chances)
{
    const double more = layer->rate * layer->mature;
    if (net->by_chance) {
        const float chance = unit_interval(chances); /* drawn even if unused: layers draw in turn */
        return more >= 1 ? (int)more : chance < more;
    }
    layer->debt += more;
    const int units = (int)layer->debt;
    layer->debt -= units;
    return units;
}

/* Puts the units to replace into `chosen`, the least useful first. */
static void choose_units(const Learner *net, Layer *layer, int number, int64_t step, Stream *chances)
{
    if (net->clock >= layer->next_mature)
        count_mature(net, layer);
    layer->choices = due(net, layer, chances);
    if (layer->choices == 0)
        return;
    rank_units(net, layer, number, step);
    int32_t *unit = layer->chosen, eligible = 0;
    for (int i = 0; i < layer->units; i++)
        if (age_of(net, layer, i) > net->maturity_threshold)
            unit[eligible++] = i;
    layer->choices = layer->choices < eligible ? layer->choices : eligible;
    for (int i = 0; i < layer->choices; i++)
        for (int other = i + 1; other < eligible; other++)
            if (precedes(layer->scratch, unit[other], unit[i])) {
                const int32_t swapped = unit[i];
                unit[i] = unit[other], unit[other] = swapped;
            }
}

/* Replaces a unit: draws new incoming weights, and sets everything else of it to 0. */
static void replace_unit(const Learner *net, Layer *layer, Layer *next, int number, int unit, int64_t step)
{
    if (net->bias_compensation) {
        const float mean = corrected(layer->mean_activation[unit], faded(net, age_of(net, layer, unit)));
        for (int i = 0; i < next->units; i++)
            next->bias[i] += mean * *weight(next, unit, i);
    }
    Stream draws = stream(net->seed, REPLACEMENT, (uint64_t)number, (uint64_t)unit, (uint64_t)step);
    for (int i = 0; i < layer->inputs; i++) {
        const int row = layer->place[i];
        float *incoming = weight(layer, row, unit);
        const float fresh = uniform(&draws, layer->bound) / (float)net->scale;
        layer->row_magnitude[row] += fabsf(fresh) - fabsf(*incoming);
        *incoming = fresh;
    }
    for (int i = 0; i < next->units; i++)
        *weight(next, unit, i) = 0;
    next->row_magnitude[unit] = 0;
    if (layer->gain)
        layer->gain[unit] = 1, layer->offset[unit] = 0;
    layer->utility[unit] = layer->mean_activation[unit] = 0;
    layer->bias[unit] = 0;
    layer->born[unit] = net->clock;
    layer->fading[unit] = 1;
    for (int k = 0; k < layer->remembered_of_weights; k++)
        for (int i = 0; i < layer->inputs; i++)
            layer->of_weights[k][(int64_t)i * layer->stride + unit] = 0;
    for (int k = 0; k < layer->remembered_of_units; k++)
        layer->of_units[k][unit] = 0;
    for (int k = 0; k < next->remembered_of_weights; k++)
        memset(next->of_weights[k] + (int64_t)unit * next->stride, 0, sizeof(float[next->stride]));
}

/* Draws from U(−bound, bound), as `uniform` makes them of the upper 24 bits of words. */
INLINE vec uniforms(const int32_t *bits, float bound)
{
    vec drawn;
    EACH_PART(i) drawn.part[i] = __builtin_convertvector(*(const ints *)(bits + i * PART), floats);
    return multiply(all(bound), subtract(multiply(drawn, all(0x1p-23f)), all(1)));
}

/* Units side by side, of which some move by their shares towards units made anew. */
typedef struct {
    vec kept, added, moves;
    int first, units, lane[LANES];
    Stream draws[LANES];
} Moving;

static Moving moving(const Learner *net, const Layer *layer, int number, const int32_t *unit, int units, int64_t step)
{
    float kept[LANES] __attribute__((aligned(64))) = {0}, added[LANES] __attribute__((aligned(64))) = {0};
    float moves[LANES] __attribute__((aligned(64))) = {0};
    Moving m = {.first = unit[0] / LANES * LANES, .units = units};
    for (int k = 0; k < units; k++) {
        const double share = layer->share[&unit[k] - layer->chosen];
        const int lane = m.lane[k] = unit[k] % LANES;
        kept[lane] = (float)(1 - share), added[lane] = (float)(share / net->scale), moves[lane] = 1;
        m.draws[k] = stream(net->seed, REPLACEMENT, (uint64_t)number, (uint64_t)unit[k], (uint64_t)step);
    }
    m.kept = load(kept), m.added = load(added), m.moves = less(all(0), load(moves));
    return m;
}

/* Moves the weights from one input, given the draws for new ones; returns the changes of their magnitudes. */
INLINE vec move_some(const Moving *m, const int lanes, float *weights, const int32_t *draws, float bound)
{
    const vec before = load_first(lanes, weights), fresh = uniforms(draws, bound);
    const vec after = blend(m->moves, add(multiply(m->kept, before), multiply(m->added, fresh)), before);
    store_first(lanes, weights, after);
    return subtract(absolute(after), absolute(before));
}

/* Moves incoming weights, four rows at a time: each row's are one cache line. */
INLINE void move_rows(Moving *m, const int lanes, Layer *layer)
{
    int32_t draws[4][LANES] __attribute__((aligned(64))) = {0};
    float change[4][LANES] __attribute__((aligned(64))) = {0};
    for (int first = 0; first < layer->inputs; first += 4) {
        const int rows = layer->inputs - first < 4 ? layer->inputs - first : 4;
        float magnitude[4] = {0};
        for (int k = 0; k < m->units; k++) { /* a block has four words */
            next_block(&m->draws[k]);
            UNROLL for (int i = 0; i < 4; i++) draws[i][m->lane[k]] = (int32_t)(m->draws[k].block[i] >> 40);
        }
        for (int i = 0; i < rows; i++) {
            const int row = layer->place[first + i];
            magnitude[i] = layer->row_magnitude[row];
            store(change[i], move_some(m, lanes, weight(layer, row, m->first), draws[i], layer->bound));
        }
        for (int lane = 0; lane < lanes; lane++)
            UNROLL for (int i = 0; i < 4; i++) magnitude[i] += change[i][lane];
        for (int i = 0; i < rows; i++)
            layer->row_magnitude[layer->place[first + i]] = magnitude[i];
    }
}

/* Moves the incoming weights of some units side by side by their shares. */
static void move_incoming(const Learner *net, Layer *layer, int number, const int32_t *unit, int units, int64_t step)
{
    Moving m = moving(net, layer, number, unit, units, step);
    switch (m.first < layer->body_length ? LANES : layer->tail_length) {
        case 4: move_rows(&m, 4, layer); break;
        case 8: move_rows(&m, 8, layer); break;
        default: move_rows(&m, LANES, layer);
    }
}

/* Moves the outgoing weights of a unit by its share towards 0. */
static void move_outgoing(Layer *next, int unit, double share)
{
    const float kept = (float)(1 - share);
    const Row row = row_of(rows_of(next, 0), unit);
    for (int i = 0; i < next->body_length; i += LANES)
        store(row.body + i, multiply(all(kept), load(row.body + i)));
    if (next->tail_length)
        store_first(next->tail_length, row.tail, multiply(all(kept), load_first(next->tail_length, row.tail)));
    next->row_magnitude[unit] *= kept;
}

/* The number of chosen units, from one on, that move and are side by side. */
static int moved_together(const Layer *layer, int first)
{
    int i = first;
    while (layer->share && i < layer->choices && !isnan(layer->share[i]) &&
           layer->chosen[i] / LANES == layer->chosen[first] / LANES && i - first < LANES)
        i++;
    return i - first;
}

/* Whether Python is to choose units. */
static int is_due(const Learner *net)
{
    for (int number = 0; net->choice == WHEN_DUE && number < net->depth; number++)
        if (*net->layer[number].due > 0)
            return 1;
    return net->choice == ALWAYS;
}

/* Replaces, in order, what the layers chose. */
static void replace_chosen(Learner *net, int64_t step)
{
    for (int number = 0; number < net->depth; number++) {
        Layer *layer = &net->layer[number], *next = layer + 1;
        if (net->pulls && layer->choices) {
            catch_up_layer(net, layer);
            catch_up(net, next, layer->chosen, layer->choices);
        }
        for (int i = 0; i < layer->choices;) {
            const int together = moved_together(layer, i);
            if (!together) {
                replace_unit(net, layer, next, number, layer->chosen[i++], step);
                continue;
            }
            move_incoming(net, layer, number, layer->chosen + i, together, step);
            for (const int end = i + together; i < end; i++)
                move_outgoing(next, layer->chosen[i], layer->share[i]);
        }
        layer->replaced += layer->choices;
        if (layer->choices > 0)
            layer->next_mature = net->clock, layer->unclipped = 1;
    }
}

/* The rest of a step, once the units are observed: all layers choose, then replace what they chose. */
static void choose_and_replace(Learner *net, int64_t step)
{
    int any = 0;
    Stream chances;
    if (net->by_chance)
        chances = stream(net->seed, CHANCE, (uint64_t)step, 0, 0);
    for (int number = 0; number < net->depth; number++) {
        choose_units(net, &net->layer[number], number, step, &chances);
        any |= net->layer[number].choices;
    }
    if (any)
        replace_chosen(net, step);
}

#endif
