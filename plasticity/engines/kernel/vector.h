/* Sixteen floats at a time, with the same results on every processor, bit for bit.
 *
 * A `vec` has 16 lanes however wide the registers are. What is summed is summed lane by lane, and then the
 * lanes in one fixed order. `multiply_add` rounds once everywhere, in hardware or, where that has no such
 * instruction, in software; beyond it the compiler may fuse nothing (-ffp-contract=off). */
#ifndef VECTOR_H
#define VECTOR_H

#include <stdint.h>

#if defined __AVX__
#include <immintrin.h>
#endif

#if defined __AVX512F__
#define PART 16
#elif defined __AVX__
#define PART 8
#else
#define PART 4
#endif

enum { LANES = 16, PARTS = LANES / PART };

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define EACH_PART(i) UNROLL for (int i = 0; i < PARTS; i++)

typedef float floats __attribute__((vector_size(4 * PART)));
typedef int32_t ints __attribute__((vector_size(4 * PART)));
typedef struct {
    floats part[PARTS];
} vec;

INLINE vec load(const float *from)
{
    vec r;
    EACH_PART(i) r.part[i] = *(const floats *)(from + i * PART);
    return r;
}

INLINE void store(float *to, vec x)
{
    EACH_PART(i) *(floats *)(to + i * PART) = x.part[i];
}

/* The number x in all lanes. */
INLINE vec all(float x)
{
    vec r;
    EACH_PART(i) UNROLL for (int lane = 0; lane < PART; lane++) r.part[i][lane] = x;
    return r;
}

#define LANEWISE(name, expression)                         \
    INLINE vec name(vec x, vec y)                          \
    {                                                      \
        EACH_PART(i)                                       \
        {                                                  \
            const floats a = x.part[i], b = y.part[i];     \
            x.part[i] = (floats)(expression);              \
        }                                                  \
        return x;                                          \
    }

LANEWISE(add, a + b)
LANEWISE(subtract, a - b)
LANEWISE(multiply, a * b)
LANEWISE(divide, a / b)
/* A mask has all bits of a lane set, or none; none where a NaN is compared. */
LANEWISE(less, a < b)
LANEWISE(at_most, a <= b)
LANEWISE(equal, a == b)
LANEWISE(both, (ints)a & (ints)b)
LANEWISE(either, (ints)a | (ints)b)
LANEWISE(without, (ints)a & ~(ints)b)
/* x ≥ 0 with the sign of y. */
LANEWISE(with_sign, (ints)a | ((ints)b & INT32_MIN))

/* x where the mask is set, elsewhere y. */
INLINE vec choose(vec mask, vec x, vec y)
{
    return either(both(mask, x), without(y, mask));
}

INLINE vec absolute(vec x)
{
    EACH_PART(i) x.part[i] = (floats)((ints)x.part[i] & INT32_MAX);
    return x;
}

/* 2^k for a whole number k from −126 to 127, given as k + 1.5 · 2^23: the lowest bits of that float are k. */
INLINE vec power_of_two(vec shifted)
{
    EACH_PART(i) shifted.part[i] = (floats)(((ints)shifted.part[i] << 23) + (127 << 23));
    return shifted;
}

/* a·b + c, rounded once, from doubles, in which the product is exact. Their sum is rounded to odd, so that
 * rounding it a second time, to a float, cannot go astray (Boldo and Melquiond 2008). */
INLINE float multiply_add_in_doubles(float a, float b, float c)
{
    const double product = (double)a * b, sum = product + c;
    const double part = sum - product, error = (product - (sum - part)) + (c - part);
    union {
        double value;
        int64_t bits;
    } odd = {sum};
    if ((error > 0 || error < 0) && !(odd.bits & 1))
        odd.bits += (error > 0) == (sum > 0) ? 1 : -1;
    return (float)odd.value;
}

/* a·b + c, rounded once. */
INLINE vec multiply_add(vec a, vec b, vec c)
{
    EACH_PART(i)
    {
#if defined __AVX512F__
        c.part[i] = (floats)_mm512_fmadd_ps((__m512)a.part[i], (__m512)b.part[i], (__m512)c.part[i]);
#elif defined __AVX__ && defined __FMA__
        c.part[i] = (floats)_mm256_fmadd_ps((__m256)a.part[i], (__m256)b.part[i], (__m256)c.part[i]);
#else
        for (int lane = 0; lane < PART; lane++)
#if defined __FP_FAST_FMAF
            c.part[i][lane] = __builtin_fmaf(a.part[i][lane], b.part[i][lane], c.part[i][lane]);
#else
            c.part[i][lane] = multiply_add_in_doubles(a.part[i][lane], b.part[i][lane], c.part[i][lane]);
#endif
#endif
    }
    return c;
}

#endif
