/* The layout of the structures that Python mirrors: `binding.py` compares its own with this table when it loads
 * the library. Fields come in their order; a nameless one marks the end of a structure. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "learner.h"

typedef struct {
    const char *structure, *name;
    int64_t offset, size;
} Field;

#define FIELD(type, name) {#type, #name, offsetof(type, name), sizeof(((type *)0)->name)},
#define END(type) {#type, "", sizeof(type), 0},
#define LAYER(name) FIELD(Layer, name)
#define LEARNER(name) FIELD(Learner, name)
#define EXAMPLES(name) FIELD(Examples, name)

static const Field FIELDS[] = {
    LAYER(inputs) LAYER(units) LAYER(stride) LAYER(body_length) LAYER(tail_length) LAYER(body) LAYER(tail)
    LAYER(place) LAYER(bias) LAYER(row_magnitude) LAYER(used) LAYER(row) LAYER(value)
    LAYER(z) LAYER(activation) LAYER(slope) LAYER(error) LAYER(rate) LAYER(debt) LAYER(bound) LAYER(mature)
    LAYER(next_mature) LAYER(born) LAYER(observed) LAYER(utility) LAYER(mean_activation) LAYER(fading) LAYER(chosen)
    LAYER(choices) LAYER(scratch) LAYER(total_magnitude) LAYER(replaced) END(Layer)

    LEARNER(depth) LEARNER(batch) LEARNER(layer) LEARNER(activation) LEARNER(loss) LEARNER(utility)
    LEARNER(bias_compensation) LEARNER(by_chance) LEARNER(step_size) LEARNER(kept) LEARNER(decay_rate) LEARNER(faded_at)
    LEARNER(maturity_threshold) LEARNER(seed) LEARNER(scale) LEARNER(clock) LEARNER(finite) LEARNER(again)
    LEARNER(total_loss) LEARNER(right) LEARNER(total_plasticity) END(Learner)

    EXAMPLES(start) EXAMPLES(index) EXAMPLES(entry) EXAMPLES(dense) EXAMPLES(label) EXAMPLES(target)
    EXAMPLES(order) EXAMPLES(first_step) EXAMPLES(count) END(Examples)
};

#endif
