/* The state of a learner. Every structure that Python shares is declared once, as a list of fields: C declares it
 * from the list, and `layout.h` makes the table from it by which Python does (`binding.py`). `memory.py` allocates
 * the arrays, aligned to 64 bytes and padded with zeros to whole vectors. */
#ifndef LEARNER_H
#define LEARNER_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "utility.h"

/* The losses: the name of each in C, and that of the objective. */
#define LOSSES(X) X(CROSS_ENTROPY, cross_entropy) X(SQUARED_ERROR, squared_error)
typedef enum { LOSSES(NUMBER) } Loss;

/* A linear layer and the units that it feeds. */
#define LAYER_FIELDS(X)                                                                                         \
    X(int32_t, inputs)                                                                                          \
    X(int32_t, units)                                                                                           \
    X(int32_t, stride)        /* units, rounded up to whole vectors */                                          \
    X(int32_t, body_length)   /* of these, those in whole vectors ... */                                        \
    X(int32_t, tail_length)   /* ... and 0, 4 or 8 more */                                                      \
    X(float *, body)          /* [inputs + 1][body_length], weights: contiguous for one input */                \
    X(float *, tail)          /* [inputs + 1][tail_length], the rest of them; the last row is all zeros */      \
    X(const int32_t *, place) /* [inputs], the row of each input */                                             \
    X(float *, bias)          /* [stride], scaled as weights are */                                             \
    X(float *, row_magnitude) /* [inputs + 1], Σ|w| of each row */                                              \
    /* The current step. */                                                                                     \
    X(int32_t, used)          /* number of inputs that are not 0, the only ones whose rows matter */            \
    X(int32_t *, row)         /* [inputs], their rows */                                                        \
    X(float *, value)         /* [inputs], their values */                                                      \
    X(float *, z)             /* [stride], pre-activations; usually in the memory of h, which overwrites them */ \
    X(float *, activation)    /* [stride], h; for the output layer, its logits or predictions */                \
    X(float *, slope)         /* [stride], dh/dz */                                                             \
    X(float *, error)         /* [stride, and room for one more], dloss/dz */                                   \
    /* Layer normalisation: null where there is none. */                                                        \
    X(float *, gain)          /* [stride], not scaled as weights are */                                         \
    X(float *, offset)        /* [stride], likewise */                                                          \
    X(float *, of_gain)       /* [stride], their gradients, summed over a step's examples */                    \
    X(float *, of_offset)                                                                                       \
    X(float *, normal)        /* [stride], (a − mean) / deviation in the current step ... */                    \
    X(float, deviation)       /* ... and √(variance of a + 1e-5) */                                             \
    /* Continual backpropagation, for hidden layers only. */                                                    \
    X(double, rate)           /* replacement rate; 0 for a layer outside the replacement set */                 \
    X(double, debt)           /* units owed */                                                                  \
    X(float, bound)           /* of the weights of a new unit */                                                \
    X(int32_t, mature)        /* number of eligible units ... */                                                \
    X(int64_t, next_mature)   /* ... until the clock reaches this */                                            \
    X(int64_t *, born)        /* [stride], the clock when each unit was created */                              \
    X(const float *, observed) /* [stride], what utility and mean activation are computed from; usually h */    \
    X(float *, utility)       /* [stride], u */                                                                 \
    X(float *, mean_activation) /* [stride], f */                                                               \
    X(double *, fading)       /* [stride], decay rate ^ age, kept for the utilities that need f̂ in every step */ \
    X(int32_t *, chosen)      /* [units], the units to replace in this step ... */                              \
    X(int32_t, choices)       /* ... and their number */                                                        \
    X(float *, scratch)       /* [stride] */                                                                    \
    /* Sums over the steps of a task. */                                                                        \
    X(double, total_magnitude) /* Σ|w| */                                                                       \
    X(int64_t, replaced)

typedef struct Layer Layer;

#define LEARNER_FIELDS(X)                                                                                        \
    X(int32_t, depth) /* hidden layers; layer[depth] is the output layer */                                     \
    X(int32_t, batch) /* examples per step */                                                                   \
    X(Layer *, layer) /* [batch][depth + 1]: copies with their own current step for a batch's further examples */ \
    X(int32_t, activation) /* an Activation */                                                                  \
    X(int32_t, loss)       /* a Loss */                                                                         \
    X(int32_t, utility)    /* a Utility */                                                                      \
    X(int32_t, bias_compensation)                                                                               \
    X(int32_t, by_chance) /* a fraction of a unit is the probability of replacing one, not a debt */            \
    X(double, step_size)                                                                                        \
    X(double, kept)       /* the share of every parameter that L2 leaves in a step: 1 − step size · strength */ \
    X(double, decay_rate) /* η of the running means */                                                          \
    X(int64_t, faded_at)  /* an age at which η^age makes no difference to 1 */                                  \
    X(int64_t, maturity_threshold)                                                                              \
    X(uint64_t, seed)                                                                                           \
    X(double, scale)  /* every weight and bias is this times its stored value */                                \
    X(int64_t, clock) /* steps since this learner was created */                                                \
    X(int32_t, finite)                                                                                          \
    /* The losses of each step's examples before and after it, [steps of the task]; null where nobody asks. */  \
    X(double *, loss_before)                                                                                    \
    X(double *, loss_after)                                                                                     \
    /* Sums over the steps of a task. */                                                                        \
    X(double, total_loss)                                                                                       \
    X(int64_t, right)

/* The examples of a task; see plasticity.datasets.task. */
#define EXAMPLES_FIELDS(X)                                                            \
    X(const int64_t *, start) /* where a sparse row starts: its entries' columns ... */ \
    X(int32_t *, index)                                                               \
    X(float *, entry)         /* ... and values; for dense rows, a buffer for those of a batch */ \
    X(const float *, dense)   /* null, or rows of all inputs */                       \
    X(const int32_t *, label) /* classes ... */                                       \
    X(const float *, target)  /* ... or the values of the outputs */                  \
    X(const int32_t *, order)                                                         \
    X(int64_t, first_step)    /* number of the task's first step in the run */        \
    X(int64_t, count)

#define DECLARE(type, name) type name;
struct Layer {
    LAYER_FIELDS(DECLARE)
};
typedef struct {
    LEARNER_FIELDS(DECLARE)
} Learner;
typedef struct {
    EXAMPLES_FIELDS(DECLARE)
} Examples;
#undef DECLARE

#endif
