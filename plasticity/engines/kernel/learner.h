/* The state of a learner. Every structure that Python shares is declared once, as a list of fields: C declares it
 * from the list, and `layout.h` makes the table from it by which Python does (`binding.py`). `memory.py` allocates
 * the arrays, aligned to 64 bytes and padded with zeros to whole vectors. */
#ifndef LEARNER_H
#define LEARNER_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "program.h"
#include "utility.h"

/* The losses: the name of each in C, and that of the objective. */
#define LOSSES(X) X(CROSS_ENTROPY, cross_entropy) X(SQUARED_ERROR, squared_error)
typedef enum { LOSSES(NUMBER) } Loss;

/* Who chooses units: continual backpropagation, here; or Python, after every step, or after those in which units are
 * due. */
typedef enum { HERE, ALWAYS, WHEN_DUE } Choice;

/* What a step waits for Python to do: nothing; to perturb the parameters, before units are observed; or to choose
 * units. */
typedef enum { FOR_NOTHING, FOR_PERTURBATION, FOR_CHOICE } Waiting;

/* A user's own activation, utility and loss, beside those that are listed. */
enum { OWN_ACTIVATION = COUNT(ACTIVATIONS), OWN_UTILITY = COUNT(UTILITIES), OWN_LOSS = COUNT(LOSSES) };

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
    X(double *, share)        /* [units], how far those move towards new ones; null or NaN: made anew */ \
    X(float *, scratch)       /* [stride] */                                                                    \
    /* Programs of a user's own parts, each with its arrays; null where there is none. */                       \
    X(Program *, respond)     /* h and slope from z */                                                          \
    X(void *const *, respond_on)                                                                                \
    X(Program *, judge)       /* y, into `scratch` */                                                           \
    X(void *const *, judge_on)                                                                                  \
    X(Program *, update)      /* what a replacement method remembers, and `due` */                              \
    X(void *const *, update_on)                                                                                 \
    X(Program *, move_weights) /* weights, and Σ|w| of each row, from what is remembered of them and the gradient */ \
    X(void *const *, move_weights_on)                                                                           \
    X(Program *, move_biases)                                                                                   \
    X(void *const *, move_biases_on)                                                                            \
    X(Program *, move_gains)                                                                                    \
    X(void *const *, move_gains_on)                                                                             \
    X(Program *, move_offsets)                                                                                  \
    X(void *const *, move_offsets_on)                                                                           \
    X(Program *, constrain_weights) /* weights, and Σ|w| of each row, from the weights */                        \
    X(void *const *, constrain_weights_on)                                                                      \
    X(Program *, constrain_biases)                                                                              \
    X(void *const *, constrain_biases_on)                                                                       \
    X(Program *, constrain_gains)                                                                               \
    X(void *const *, constrain_gains_on)                                                                        \
    X(Program *, constrain_offsets)                                                                             \
    X(void *const *, constrain_offsets_on)                                                                      \
    X(Program *, judge_class)  /* of the output layer: loss, score and error of an example, from its class ... */ \
    X(void *const *, judge_class_on)                                                                            \
    X(Program *, judge_values) /* ... or from the values of its target */                                       \
    X(void *const *, judge_values_on)                                                                           \
    /* What those programs may be given beside arrays from above; null where it is not asked for. */            \
    X(float *, novel_mean)    /* [stride], f̂ */                                                                 \
    X(float *, outgoing)      /* [stride], mean |w_out| */                                                      \
    X(float *, incoming)      /* [stride], mean |w_in| */                                                       \
    X(float *, mean_input)    /* [1], mean |x| over inputs and examples */                                      \
    X(float *, input)         /* [batch][inputs + 1], x by row; zeros between steps */                          \
    X(double *, due)          /* [1], whether units are to be chosen */                                         \
    X(int64_t *, label)       /* [1], the class of the example ... */                                           \
    X(float *, target)        /* [stride], ... or the values of its target */                                   \
    X(double *, loss)         /* [1], its loss ... */                                                           \
    X(double *, score)        /* [1], ... and its score */                                                      \
    /* L2 regularisation towards initial values: null where there is none. */                                  \
    X(float *, start_body)    /* [inputs + 1][body_length], initial weights ... */                              \
    X(float *, start_tail)    /* [inputs + 1][tail_length], the rest of them */                                 \
    X(float *, start_bias)    /* [stride], initial biases */                                                    \
    X(int64_t *, seen)        /* [inputs + 1], the clock when each row was last pulled */                       \
    X(int32_t *, waiting)     /* [inputs + 9], room for a list of those that catch up */                        \
    X(const float *, due_after) /* [patience + 1], the share of the distance that so many steps pull by */      \
    /* Weight clipping. */                                                                                     \
    X(float, limit)           /* of |w| and |b|; 0 where there is none */                                       \
    X(int32_t *, exceeding)   /* [inputs], the rows that the step has moved beyond it ... */                    \
    X(int32_t, exceeded)      /* ... and their number */                                                        \
    X(uint8_t *, is_exceeding) /* [inputs], whether a row is among them */                                      \
    X(int32_t, unclipped)     /* whether any row may exceed it */                                               \
    X(int32_t, is_clipped_as_it_moves) /* whether rows that move need not wait for the end of the step */        \
    /* What a user's own optimiser remembers of every parameter, cleared where a unit is made anew. */          \
    X(int32_t, remembered_of_weights) /* how many arrays of weights, [inputs][stride] each ... */               \
    X(float **, of_weights)                                                                                     \
    X(int32_t, remembered_of_units)   /* ... and of biases, gains and offsets, [stride] each */                 \
    X(float **, of_units)                                                                                       \
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
    X(int32_t, choice)    /* a Choice: who chooses the units to replace */                                      \
    X(int32_t, waiting)   /* a Waiting: a step waits for units to be chosen, in `chosen` and `choices` of layers */ \
    X(int32_t, perturbs)  /* whether the next step waits for its perturbation */                                \
    X(int32_t, by_programs) /* parameters are moved by programs */                                              \
    X(int32_t, constrains)  /* parameters are constrained by programs */                                        \
    X(double, step_size)                                                                                        \
    X(double, kept)       /* the share of every parameter that L2 leaves in a step */                           \
    X(int32_t, pulls)     /* whether rows may wait to be pulled towards initial values ... */                   \
    X(int64_t, patience)  /* ... for how many steps at most ... */                                              \
    X(int64_t, caught_up) /* ... and the clock when all last caught up */                                       \
    X(int32_t, looks)     /* whether what is predicted is not learnt */                                         \
    X(int64_t, measured)  /* the clock when Σ|w| was last measured */                                           \
    X(double, decay_rate) /* η of the running means */                                                          \
    X(int64_t, faded_at)  /* an age at which η^age makes no difference to 1 */                                  \
    X(int64_t, maturity_threshold)                                                                              \
    X(uint64_t, seed)                                                                                           \
    X(double, scale)  /* every weight and bias is this times its stored value */                                \
    X(int64_t, clock) /* steps since this learner was created */                                                \
    X(int32_t, finite)                                                                                          \
    /* The losses of each step's examples before and after it, [steps of the task]; null if not asked for. */   \
    X(double *, loss_before)                                                                                    \
    X(double *, loss_after)                                                                                     \
    /* Sums over the steps of a task. */                                                                        \
    X(double, total_loss)                                                                                       \
    X(double, total_score) /* for a user's own loss; for the others ... */                                      \
    X(int64_t, right)      /* ... the number of examples whose class is predicted */

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

/* The layers of the example at a place in the batch. */
INLINE Layer *layers_of(const Learner *net, int place)
{
    return net->layer + place * (net->depth + 1);
}

#endif
