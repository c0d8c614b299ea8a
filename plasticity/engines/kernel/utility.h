/* The utilities, numbered as in plasticity.engines.native.UTILITIES. */
#ifndef UTILITY_H
#define UTILITY_H

#include <math.h>

#include "vector.h"

typedef enum {
    CONTRIBUTION,
    ZERO_CONTRIBUTION,
    ADAPTABLE_CONTRIBUTION,
    ADAPTATION,
    WEIGHT,
    FEATURE_BY_INPUT,
    RANDOM
} Utility;

INLINE int needs_mean_activation(Utility utility)
{
    return utility == ZERO_CONTRIBUTION || utility == ADAPTABLE_CONTRIBUTION || utility == FEATURE_BY_INPUT;
}

INLINE int needs_incoming(Utility utility)
{
    return utility == ADAPTABLE_CONTRIBUTION || utility == ADAPTATION || utility == FEATURE_BY_INPUT;
}

/* y of 16 units, from h, f̂, mean |w_out| and mean |w_in|. */
INLINE vec instantaneous(const Utility utility, vec h, vec mean, vec outgoing, vec incoming)
{
    const vec novelty = absolute(subtract(h, mean));
    switch (utility) {
    case CONTRIBUTION: return multiply(absolute(h), outgoing);
    case ZERO_CONTRIBUTION: return multiply(novelty, outgoing);
    case ADAPTABLE_CONTRIBUTION: return divide(multiply(novelty, outgoing), incoming);
    case ADAPTATION: return divide(all(1), incoming);
    case WEIGHT: return outgoing;
    case FEATURE_BY_INPUT: return divide(novelty, incoming);
    case RANDOM: return all(0);
    default: return all(NAN);
    }
}

#endif
