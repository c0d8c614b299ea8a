/* The utilities. */
#ifndef UTILITY_H
#define UTILITY_H

#include <math.h>

#include "vector.h"

/* For each utility: its name in C, and in plasticity.utilities; what it needs beside h and mean |w_out|; and y of 16
 * units, from h, the mean activation f̂, novelty |h − f̂|, and mean |w_out| and |w_in|. */
#define UTILITIES(X)                                                                                  \
    X(CONTRIBUTION, contribution, NOTHING, multiply(absolute(h), outgoing))                           \
    X(ZERO_CONTRIBUTION, zero_contribution, MEAN, multiply(novelty, outgoing))                        \
    X(ADAPTABLE_CONTRIBUTION, adaptable_contribution, MEAN | INCOMING, divide(multiply(novelty, outgoing), incoming)) \
    X(ADAPTATION, adaptation, INCOMING, divide(all(1), incoming))                                     \
    X(WEIGHT, weight, NOTHING, outgoing)                                                              \
    X(FEATURE_BY_INPUT, feature_by_input, MEAN | INCOMING, divide(novelty, incoming))                 \
    X(RANDOM, random, NOTHING, all(0))

enum { NOTHING = 0, MEAN = 1, INCOMING = 2 };
typedef enum { UTILITIES(NUMBER) } Utility;

INLINE int needs(const Utility utility, const int what)
{
#define CASE(number, name, needed, y) case number: return ((needed) & what) != 0;
    switch (utility) { UTILITIES(CASE) }
#undef CASE
    return 0;
}

INLINE vec instantaneous(const Utility utility, vec h, vec mean, vec outgoing, vec incoming)
{
    const vec novelty = absolute(subtract(h, mean));
#define CASE(number, name, needed, y) case number: return y;
    switch (utility) { UTILITIES(CASE) }
#undef CASE
    return all(NAN);
}

#endif
