/* Sixteen floats at a time, with the same results on every processor, bit for bit.
 *
 * A `vec` has 16 lanes however wide the registers are; what is summed is summed lane by lane, and the lanes
 * in one fixed order. `multiply_add` rounds once everywhere, in hardware or, where there is none, in software.
 * Beyond it the compiler may fuse nothing (-ffp-contract=off). */
#ifndef VECTOR_H
#define VECTOR_H

#include <math.h>
#include <stdint.h>

#if defined __AVX__ || defined __AVX512F__
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
#define EACH(part) _Pragma("GCC unroll 4") for (int part = 0; part < PARTS; part++)

typedef float floats __attribute__((vector_size(4 * PART)));
typedef int32_t ints __attribute__((vector_size(4 * PART)));
typedef struct { floats part[PARTS]; } vec;

#if defined __clang__ || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ints){__VA_ARGS__})
#endif

/* a·b + c of single floats, rounded once, from exact double products: the sum is rounded to odd, so that
 * rounding it again, to a float, cannot go astray (Boldo and Melquiond 2008). */
INLINE float multiply_add_in_doubles(float a, float b, float c)
{
    double product = (double)a * b, sum = product + c;
    double rest = sum - product, error = (product - (sum - rest)) + (c - rest);
    union { double value; int64_t bits; } odd = {sum};
    if ((error > 0 || error < 0) && !(odd.bits & 1))
        odd.bits += ((error > 0) == (sum > 0)) ? 1 : -1;
    return (float)odd.value;
}

INLINE floats multiply_add_part(floats a, floats b, floats c)
{
#if defined __AVX512F__
    return (floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __FMA__
    return (floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    floats r;
    for (int lane = 0; lane < PART; lane++)
#if defined __FP_FAST_FMAF
        r[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
#else
        r[lane] = multiply_add_in_doubles(a[lane], b[lane], c[lane]);
#endif
    return r;
#endif
}

INLINE vec all(float x)
{
    vec r;
    EACH(i) r.part[i] = x - (floats){0};
    return r;
}

INLINE vec load(const float *from)
{
    vec r;
    EACH(i) r.part[i] = *(const floats *)(from + i * PART);
    return r;
}

INLINE void store(float *to, vec x) { EACH(i) *(floats *)(to + i * PART) = x.part[i]; }

#define LANEWISE(name, expression)                                                                         \
    INLINE vec name(vec x, vec y)                                                                          \
    {                                                                                                      \
        vec r;                                                                                             \
        EACH(i)                                                                                            \
        {                                                                                                  \
            floats a = x.part[i], b = y.part[i];                                                           \
            r.part[i] = expression;                                                                        \
        }                                                                                                  \
        return r;                                                                                          \
    }

LANEWISE(add, a + b)
LANEWISE(subtract, a - b)
LANEWISE(multiply, a *b)
LANEWISE(divide, a / b)
/* Masks: all bits of a lane set or none. Of a comparison with NaN, none. */
LANEWISE(less, (floats)(a < b))
LANEWISE(and, (floats)((ints)a & (ints)b))
LANEWISE(and_not, (floats)((ints)a & ~(ints)b))
LANEWISE(or, (floats)((ints)a | (ints)b))

INLINE vec multiply_add(vec a, vec b, vec c)
{
    vec r;
    EACH(i) r.part[i] = multiply_add_part(a.part[i], b.part[i], c.part[i]);
    return r;
}

/* Where the mask is set x, elsewhere y. */
INLINE vec choose(vec mask, vec x, vec y) { return or(and(mask, x), and_not(y, mask)); }

INLINE vec absolute(vec x)
{
    EACH(i) x.part[i] = (floats)((ints)x.part[i] & 0x7fffffff);
    return x;
}

/* The magnitude of x ≥ 0 with the sign of y. */
INLINE vec with_sign(vec x, vec y)
{
    EACH(i) x.part[i] = (floats)((ints)x.part[i] | ((ints)y.part[i] & INT32_MIN));
    return x;
}

INLINE vec round_to_integer(vec x) { return x; }
#endif
