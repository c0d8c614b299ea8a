/* Sixteen floats at a time, with the same results on every processor, bit for bit.
 *
  * A `vec` has 16 lanes however wide the registers are. Sums are built up lane by lane, and then the lanes are
  * added in one fixed order. `multiply_add` rounds once everywhere, in hardware or, where that has no such
  * instruction, in software; apart from it, the compiler may fuse nothing (-ffp-contract=off). */
#ifndef VECTOR_H
#define VECTOR_H

#include <stdint.h>

#if defined __FMA__ && defined __AVX__
#include <immintrin.h>
#elif !defined __FP_FAST_FMAF
#define FUSED_IN_SOFTWARE
#endif

#if defined __AVX512F__
#define PART 16
#define PART_OF(x) {x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}
#elif defined __FMA__
#define PART 8
#define PART_OF(x) {x, x, x, x, x, x, x, x}
#else
#define PART 4
#define PART_OF(x) {x, x, x, x}
#endif

enum { LANES = 16, PARTS = LANES / PART };

#if defined __OPTIMIZE__
#define INLINE static inline __attribute__((always_inline))
#else /* for debugging and sanitizers: has to build in seconds */
#define INLINE static inline
#endif
#if defined FUSED_IN_SOFTWARE
#define UNROLL /* nearly all the time goes into arithmetic there */
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
/* What is declared as a list, such as ACTIVATIONS in activation.h: the enumerators of its entries, and their count. */
#define NUMBER(number, ...) number,
#define ONE(...) +1
#define COUNT(LIST) (0 LIST(ONE))
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

/* The first lanes of a part, 4, 8 or all of it; the others are 0. */
INLINE floats load_lanes(const int lanes, const float *from)
{
#if PART == 16
    if (lanes < 16)
        return lanes == 8 ? (floats)_mm512_zextps256_ps512(_mm256_load_ps(from))
                          : (floats)_mm512_zextps128_ps512(_mm_load_ps(from));
#elif PART == 8
    if (lanes < 8)
        return (floats)_mm256_zextps128_ps256(_mm_load_ps(from));
#endif
    return *(const floats *)from;
}

INLINE void store_lanes(const int lanes, float *to, floats x)
{
#if PART == 16
    if (lanes == 8)
        return _mm256_store_ps(to, _mm512_castps512_ps256((__m512)x));
    if (lanes == 4)
        return _mm_store_ps(to, _mm512_castps512_ps128((__m512)x));
#elif PART == 8
    if (lanes == 4)
        return _mm_store_ps(to, _mm256_castps256_ps128((__m256)x));
#endif
    *(floats *)to = x;
}

/* The first 4 or 8 lanes of a vec; the others are 0. */
INLINE vec load_first(const int lanes, const float *from)
{
    vec r = {0};
    UNROLL for (int i = 0; i * PART < lanes; i++)
        r.part[i] = load_lanes(lanes < PART ? lanes : PART, from + i * PART);
    return r;
}

/* Stores the first 4 or 8 lanes of a vec. */
INLINE void store_first(const int lanes, float *to, vec x)
{
    UNROLL for (int i = 0; i * PART < lanes; i++)
        store_lanes(lanes < PART ? lanes : PART, to + i * PART, x.part[i]);
}

/* The number x in all lanes. */
INLINE vec all(float x)
{
    vec r;
    EACH_PART(i) r.part[i] = (floats)PART_OF(x);
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
INLINE vec blend(vec mask, vec x, vec y)
{
    return either(both(mask, x), without(y, mask));
}

/* All bits where x ≥ y, as whole numbers. */
INLINE vec no_less(vec x, vec y)
{
    EACH_PART(i) x.part[i] = (floats)((ints)x.part[i] >= (ints)y.part[i]);
    return x;
}

/* Which lanes have any bit set: bit i for lane i. */
INLINE unsigned int set_lanes(vec x)
{
    unsigned int found = 0;
    EACH_PART(i)
    {
#if PART == 16
        found |= _mm512_test_epi32_mask((__m512i)x.part[i], (__m512i)x.part[i]);
#else
        const ints set = (ints)x.part[i] != 0;
#if PART == 8
        found |= (unsigned int)_mm256_movemask_ps((__m256)set) << (i * PART);
#else
        for (int lane = 0; lane < PART; lane++)
            found |= (unsigned int)(set[lane] != 0) << (i * PART + lane);
#endif
#endif
    }
    return found;
}

INLINE floats magnitude_of(floats x)
{
    return (floats)((ints)x & INT32_MAX);
}

/* The larger of two numbers that are not negative; NaN is the largest. As whole numbers they are in the same order,
 * and are compared beside the multiplications rather than in their place. */
INLINE floats larger(floats x, floats y)
{
#if PART == 16
    return (floats)_mm512_max_epi32((__m512i)x, (__m512i)y);
#elif PART == 8
    return (floats)_mm256_max_epi32((__m256i)x, (__m256i)y);
#else
    const ints mask = (ints)x > (ints)y;
    return (floats)((mask & (ints)x) | (~mask & (ints)y));
#endif
}

/* x, or the nearest number from −limit to limit; NaN stays. */
INLINE floats within(floats limit, floats x)
{
#if PART == 16
    return (floats)_mm512_max_ps((__m512)-limit, _mm512_min_ps((__m512)limit, (__m512)x));
#elif PART == 8
    return (floats)_mm256_max_ps((__m256)-limit, _mm256_min_ps((__m256)limit, (__m256)x));
#else
    const ints above = limit < x, below = x < -limit;
    return (floats)((above & (ints)limit) | (below & (ints)-limit) | (~(above | below) & (ints)x));
#endif
}

INLINE vec absolute(vec x)
{
    EACH_PART(i) x.part[i] = magnitude_of(x.part[i]);
    return x;
}

/* 2^k for a whole number k from −126 to 127, given as k + 1.5 · 2^23: the lowest bits of that float are k. */
INLINE vec power_of_two(vec shifted)
{
    EACH_PART(i) shifted.part[i] = (floats)(((ints)shifted.part[i] << 23) + (127 << 23));
    return shifted;
}

/* Packs the lanes that are not 0: their values, and their numbers counted from `first`. Returns how many
 * there are; may write 16 of each. */
INLINE int pack(vec x, int first, float *value, int32_t *number)
{
#if PART == 16
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32(first));
    const __mmask16 kept = _mm512_cmp_ps_mask((__m512)x.part[0], _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm512_storeu_ps(value, _mm512_maskz_compress_ps(kept, (__m512)x.part[0]));
    _mm512_storeu_si512(number, _mm512_maskz_compress_epi32(kept, numbers));
    return __builtin_popcount(kept);
#else
    int count = 0;
    EACH_PART(i)
        for (int lane = 0; lane < PART; lane++) {
            value[count] = x.part[i][lane];
            number[count] = first + i * PART + lane;
            count += value[count] != 0;
        }
    return count;
#endif
}

#if defined __AVX512F__
INLINE floats fused(floats a, floats b, floats c)
{
    return (floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
#elif defined __FMA__
INLINE floats fused(floats a, floats b, floats c)
{
    return (floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
#elif defined __FP_FAST_FMAF
INLINE floats fused(floats a, floats b, floats c)
{
    for (int lane = 0; lane < PART; lane++)
        c[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
    return c;
}
#else
typedef double doubles __attribute__((vector_size(16)));
typedef int64_t longs __attribute__((vector_size(16)));

/* Computed in doubles, in which a·b is exact. Their sum is rounded to odd, so that the second rounding, to a
 * float, cannot go astray (Boldo and Melquiond 2008). */
INLINE doubles fused_to_odd(doubles a, doubles b, doubles c)
{
    const doubles product = a * b, sum = product + c, added = sum - product;
    const doubles error = (product - (sum - added)) + (c - added);
    const longs inexact = (error < 0) | (error > 0), even = ((longs)sum & 1) - 1;
    const longs towards_error = ((error < 0) ^ (sum < 0)) | 1;
    return (doubles)((longs)sum + (inexact & even & towards_error));
}

/* Not inlined: it is far too long to be unrolled with the rows. */
static __attribute__((noinline)) floats fused(floats a, floats b, floats c)
{
    const doubles low = fused_to_odd((doubles){a[0], a[1]}, (doubles){b[0], b[1]}, (doubles){c[0], c[1]});
    const doubles high = fused_to_odd((doubles){a[2], a[3]}, (doubles){b[2], b[3]}, (doubles){c[2], c[3]});
    return (floats){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}
#endif

/* a·b + c, rounded once. */
INLINE vec multiply_add(vec a, vec b, vec c)
{
    EACH_PART(i) c.part[i] = fused(a.part[i], b.part[i], c.part[i]);
    return c;
}

#endif
