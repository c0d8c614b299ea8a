/* The state of a learner. `memory.py` allocates its arrays, aligned to 64 bytes and padded with zeros to whole
 * vectors; `binding.py` mirrors these structures field by field. */
#ifndef LEARNER_H
#define LEARNER_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "utility.h"

typedef enum { CROSS_ENTROPY, SQUARED_ERROR } Loss;

/* A linear layer and the units that it feeds. */
typedef struct {
    int32_t inputs, units;
    int32_t stride;         /* units, rounded up to whole vectors */
    int32_t body_length;    /* of these, those in whole vectors ... */
    int32_t tail_length;    /* ... and 0, 4 or 8 more */
    float *body;            /* [inputs + 1][body_length], weights: contiguous for one input */
    float *tail;            /* [inputs + 1][tail_length], the rest of them; the last row is all zeros */
    const int32_t *place;   /* [inputs], the row of each input */
    float *bias;            /* [stride], scaled as weights are */
    float *row_magnitude;   /* [inputs + 1], Σ|w| of each row */
    /* The current step. */
    int32_t used;           /* number of inputs that are not 0, the only ones whose rows matter */
    int32_t *row;           /* [inputs], their rows */
    float *value;           /* [inputs], their values */
    float *z;               /* [stride], pre-activations; usually in the memory of h, which overwrites them */
    float *activation;      /* [stride], h; for the output layer, its logits or predictions */
    float *slope;           /* [stride], dh/dz */
    float *error;           /* [stride, and room for one more], dloss/dz */
    /* Continual backpropagation, for hidden layers only. */
    double rate;            /* replacement rate; 0 for a layer outside the replacement set */
    double debt;            /* units owed */
    float bound;            /* of the weights of a new unit */
    int32_t mature;         /* number of eligible units ... */
    int64_t next_mature;    /* ... until the clock reaches this */
    int64_t *born;          /* [stride], the clock when each unit was created */
    const float *observed;  /* [stride], what utility and mean activation are computed from; usually h */
    float *utility;         /* [stride], u */
    float *mean_activation; /* [stride], f */
    double *fading;         /* [stride], decay rate ^ age, kept for the utilities that need f̂ in every step */
    int32_t *chosen;        /* [units], the units to replace in this step ... */
    int32_t choices;        /* ... and their number */
    float *scratch;         /* [stride] */
    /* Sums over the steps of a task. */
    double total_magnitude; /* Σ|w| */
    int64_t replaced;
} Layer;

typedef struct {
    int32_t depth; /* hidden layers; layer[depth] is the output layer */
    int32_t batch; /* examples per step */
    Layer *layer;  /* [batch][depth + 1]: copies with their own current step for a batch's further examples */
    Activation activation;
    Loss loss;
    Utility utility;
    int32_t bias_compensation;
    int32_t by_chance; /* a fraction of a unit is the probability of replacing one, not a debt */
    double step_size;
    double kept;       /* the share of every parameter that L2 leaves in a step: 1 − step size · strength */
    double decay_rate; /* η of the running means */
    int64_t faded_at;  /* an age at which η^age makes no difference to 1 */
    int64_t maturity_threshold;
    uint64_t seed;
    double scale;  /* every weight and bias is this times its stored value */
    int64_t clock; /* steps since this learner was created */
    int32_t finite;
    int32_t again; /* whether each step is followed by another prediction of its examples */
    /* Sums over the steps of a task. */
    double total_loss;
    int64_t right;
    double total_plasticity;
} Learner;

/* The examples of a task; see plasticity.datasets.task. */
typedef struct {
    const int64_t *start; /* where a sparse row starts: its entries' columns ... */
    int32_t *index;
    float *entry;         /* ... and values; for dense rows, a buffer for those of a batch */
    const float *dense;   /* null, or rows of all inputs */
    const int32_t *label; /* classes ... */
    const float *target;  /* ... or the values of the outputs */
    const int32_t *order;
    int64_t first_step;   /* number of the task's first step in the run */
    int64_t count;
} Examples;

#endif
