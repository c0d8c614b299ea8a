/* What a learner holds between two steps. `plasticity.engines.native` allocates it, every array aligned to 64
 * bytes and padded with zeros to whole vectors, and mirrors these structures field by field. */
#ifndef LEARNER_H
#define LEARNER_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "activation.h"
#include "utility.h"

typedef enum { CROSS_ENTROPY, SQUARED_ERROR } Loss;

/* A linear layer and the units that it leads to. */
typedef struct {
    int32_t inputs, units;
    int32_t stride;         /* units, rounded up to whole vectors */
    int32_t body_length;    /* of these, those in whole vectors ... */
    int32_t tail_length;    /* ... and 0, 4 or 8 more */
    float *body;            /* [inputs + 1][body_length], weights: contiguous for one input */
    float *tail;            /* [inputs + 1][tail_length], the others of them; the last row is all zeros */
    const int32_t *place;   /* [inputs], which row is that of an input */
    float *bias;            /* [stride], scaled as weights are */
    float *row_magnitude;   /* [inputs + 1], Σ|w| of each row */
    /* The current step. */
    int32_t used;           /* number of inputs that are not 0, the only ones whose rows matter */
    int32_t *row;           /* [inputs], which these are */
    float *value;           /* [inputs], their values */
    float *z;               /* [stride], pre-activations; mostly the memory of h, which takes their place */
    float *activation;      /* [stride], h; of the output layer, its logits or predictions */
    float *slope;           /* [stride], dh/dz */
    float *error;           /* [stride, and room for one more], dloss/dz */
    /* Continual backpropagation, of hidden layers only. */
    double rate;            /* replacement rate; 0 for a layer that is not in the replacement set */
    double debt;            /* units owed */
    float bound;            /* of the weights of a new unit */
    int32_t mature;         /* number of eligible units ... */
    int64_t next_mature;    /* ... until the clock shows this */
    int64_t *born;          /* [stride], the clock when a unit was made */
    const float *observed;  /* [stride], what its utility and mean activation are made of; mostly h */
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
    Layer *layer;  /* [batch][depth + 1]: of a batch's further examples, copies with a current step of their own */
    Activation activation;
    Loss loss;
    Utility utility;
    int32_t bias_compensation;
    int32_t by_chance; /* a share of a unit is the probability of one, and no debt */
    double step_size;
    double kept;       /* the share of every parameter that L2 leaves in a step: 1 − step size · strength */
    double decay_rate; /* η of the running means */
    int64_t faded_at;  /* an age at which η^age makes no difference to 1 */
    int64_t maturity_threshold;
    uint64_t seed;
    double scale;  /* every weight and bias is this times what is stored */
    int64_t clock; /* steps since this learner was made */
    int32_t finite;
    /* Sums over the steps of a task. */
    double total_loss;
    int64_t right;
} Learner;

/* The examples of a task; see plasticity.datasets.task. */
typedef struct {
    const int64_t *start; /* where a sparse row starts: its entries' columns ... */
    int32_t *index;
    float *entry;         /* ... and values; of dense rows, room for those of a batch */
    const float *dense;   /* null, or rows of all inputs */
    const int32_t *label; /* classes ... */
    const float *target;  /* ... or the values of the outputs */
    const int32_t *order;
    int64_t first_step;   /* number of the task's first step in the run */
    int64_t count;
} Examples;

#endif
