/* Programs: what is traced from the code of a user's own part, and written in C and built beside the kernel. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdint.h>

/* Of a layer, and examples per step. */
typedef struct {
    int32_t units, inputs, places;
} Shape;

/* Computes on arrays, in an order of its own; those over units are aligned and padded as in `learner.h`. */
typedef void Program(const Shape *shape, void *const *array);

#endif
