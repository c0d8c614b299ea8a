/* What Python has to know of the kernel, as tables: the fields of the structures that it fills in, as the compiler
 * has laid them out, and the names of the parts that the kernel computes. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "learner.h"

/* A field of a structure; a nameless one marks the end of the structure, at its size. */
typedef struct {
    const char *structure, *name;
    int64_t offset;
    char kind; /* a character of Python's `struct` module; P is a pointer */
} Field;

#define KIND(type) \
    _Generic((type){0}, int32_t: 'i', int64_t: 'q', uint64_t: 'Q', float: 'f', double: 'd', default: 'P')
#define LAYER(type, name) {"Layer", #name, offsetof(Layer, name), KIND(type)},
#define LEARNER(type, name) {"Learner", #name, offsetof(Learner, name), KIND(type)},
#define EXAMPLES(type, name) {"Examples", #name, offsetof(Examples, name), KIND(type)},
#define END(structure) {#structure, "", sizeof(structure), 0},

static const Field FIELDS[] = {
    LAYER_FIELDS(LAYER) END(Layer) LEARNER_FIELDS(LEARNER) END(Learner) EXAMPLES_FIELDS(EXAMPLES) END(Examples)
};

/* The name of a part that the kernel computes, and the field of Learner that holds its number. */
typedef struct {
    const char *field, *name;
    int64_t number;
} Name;

#define AS_ACTIVATION(number, name, ...) {"activation", #name, number},
#define AS_LOSS(number, name) {"loss", #name, number},
#define AS_UTILITY(number, name, ...) {"utility", #name, number},

static const Name NAMES[] = {ACTIVATIONS(AS_ACTIVATION) LOSSES(AS_LOSS) UTILITIES(AS_UTILITY)};

#endif
