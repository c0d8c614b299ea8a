/* What is compiled once for every kind of processor. */
#ifndef KERNEL_H
#define KERNEL_H

#include "learner.h"

/* Returned by `learn` and `look` for what the kernel does not support. */
enum { REFUSED = -1 };

typedef struct {
    /* Takes the steps of a task from `first` to before `end`, which must be taken in order. Returns the first step
     * not taken: `end`, or the one at which the loss was no longer finite; or, if the learner is then waiting, the
     * step that is to be finished, by the next call, with the parameters perturbed or the units chosen. Returns
     * REFUSED, and changes nothing, if there is no such activation, loss or utility, or the examples lack the targets
     * of the loss. */
    int64_t (*learn)(Learner *net, const Examples *examples, int64_t first, int64_t end);
    /* Shows a task's examples before `end` to the hidden layers without learning from them; activation[i] receives
     * h of hidden layer i + 1, [end][units]. Returns `end`, or REFUSED as above. */
    int64_t (*look)(Learner *net, const Examples *examples, int64_t end, float *const *activation);
    /* h and slope of `units` units, a multiple of 16, from their z; all aligned to 64 bytes. */
    void (*activate)(Activation activation, int units, const float *z, float *h, float *slope);
    /* The update of self-normalised resets in a layer; its arrays are those of `silence.h`. */
    Program *count_silences;
    const char *name; /* of the table of programs that are compiled for the same processors */
} Kernel;

#endif
