/* Sums over the lanes of vectors, always in the same order: lanes j and j + 8 are added first, then the results in
 * j and j + 4, j and j + 2, j and j + 1. */
#ifndef SUMS_H
#define SUMS_H

#include "vector.h"

#if defined __clang__ || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ints){__VA_ARGS__})
#endif

/* Within each group of four lanes: lanes i and j of a, then those of b. */
#define FOUR(q, i, j) q + i, q + j, PART + q + i, PART + q + j
#if PART == 16
#define PAIRS(a, b, i, j) SHUFFLE(a, b, FOUR(0, i, j), FOUR(4, i, j), FOUR(8, i, j), FOUR(12, i, j))
#elif PART == 8
#define PAIRS(a, b, i, j) SHUFFLE(a, b, FOUR(0, i, j), FOUR(4, i, j))
#else
#define PAIRS(a, b, i, j) SHUFFLE(a, b, FOUR(0, i, j))
#endif

/* Each of these takes groups of n lanes, one group for each unfinished sum, adds their upper halves to their
 * lower halves and packs the results for x and for y into one vector. */
INLINE vec halve_16(vec x, vec y)
{
#if PART == 16
    const floats a = x.part[0], b = y.part[0];
    return (vec){{SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                  SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)}};
#elif PART == 8
    return (vec){{x.part[0] + x.part[1], y.part[0] + y.part[1]}};
#else
    return (vec){{x.part[0] + x.part[2], x.part[1] + x.part[3],
                  y.part[0] + y.part[2], y.part[1] + y.part[3]}};
#endif
}

INLINE vec halve_8(vec x, vec y)
{
#if PART == 16
    const floats a = x.part[0], b = y.part[0];
    return (vec){{SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
                  SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)}};
#elif PART == 8
    const floats a = x.part[0], b = x.part[1], c = y.part[0], d = y.part[1];
    return (vec){{SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15),
                  SHUFFLE(c, d, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(c, d, 4, 5, 6, 7, 12, 13, 14, 15)}};
#else
    return (vec){{x.part[0] + x.part[1], x.part[2] + x.part[3],
                  y.part[0] + y.part[1], y.part[2] + y.part[3]}};
#endif
}

INLINE vec halve_4(vec x, vec y)
{
    EACH_PART(i) x.part[i] = PAIRS(x.part[i], y.part[i], 0, 1) + PAIRS(x.part[i], y.part[i], 2, 3);
    return x;
}

INLINE vec halve_2(vec x, vec y)
{
    EACH_PART(i) x.part[i] = PAIRS(x.part[i], y.part[i], 0, 2) + PAIRS(x.part[i], y.part[i], 1, 3);
    return x;
}

/* The unfinished sums of the lanes of four vectors, in four lanes each. */
INLINE vec four_sums(const vec x[4])
{
    return halve_8(halve_16(x[0], x[1]), halve_16(x[2], x[3]));
}

/* Lane 4i: the sum of the lanes of x[i]; lane 4i + 1: that of y[i]. */
INLINE vec sums(const vec x[4], const vec y[4])
{
    const vec both = halve_4(four_sums(x), four_sums(y));
    return halve_2(both, both);
}

/* The sum of the lanes of one vector. */
INLINE float sum(vec x)
{
    float lane[LANES] __attribute__((aligned(64)));
    store(lane, x);
    UNROLL for (int i = 0; i < 8; i++) lane[i] += lane[i + 8];
    UNROLL for (int i = 0; i < 4; i++) lane[i] += lane[i + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

#endif
