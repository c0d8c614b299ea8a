/* What traced parts need beside the operations of `vector.h` and the functions of `activation.h`: more functions, with
 * the same results on every processor, and sixteen numbers of other types at a time. Functions of floats are accurate
 * to a few units in the last place, powers, sines and cosines to one: they are computed in doubles, by basic
 * arithmetic alone. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "activation.h"
#include "program.h"
#include "sums.h"

/* Sixteen lanes of other types, and a view of floats as lanes. */
typedef struct {
    double lane[LANES];
} Doubles;
typedef struct {
    int64_t lane[LANES];
} Wholes;
typedef union {
    float number[LANES];
    int32_t bits[LANES];
} __attribute__((aligned(64))) Lanes;

#define EACH_LANE(l) for (int l = 0; l < LANES; l++)

INLINE Lanes lanes_of(vec x)
{
    Lanes lanes;
    store(lanes.number, x);
    return lanes;
}

/* The lanes before a number: those that are units in the last vector of a row. */
INLINE vec lanes_before(int number)
{
    static const float lanes[] __attribute__((aligned(64))) = {0, 1, 2,  3,  4,  5,  6,  7,
                                                               8, 9, 10, 11, 12, 13, 14, 15};
    return less(load(lanes), all((float)number));
}

/* Truth: one byte in memory, a mask in a vector, 0 or 1 as a single number. */
INLINE vec load_truth(const uint8_t *from)
{
    Lanes lanes;
    EACH_LANE(l) lanes.bits[l] = -(from[l] != 0);
    return load(lanes.number);
}

INLINE void store_truth(uint8_t *to, vec mask)
{
    const Lanes lanes = lanes_of(mask);
    EACH_LANE(l) to[l] = (uint8_t)(lanes.bits[l] & 1);
}

INLINE vec truth_in_all(int truth)
{
    Lanes lanes;
    EACH_LANE(l) lanes.bits[l] = -(truth != 0);
    return load(lanes.number);
}

INLINE vec opposite(vec mask)
{
    EACH_PART(i) mask.part[i] = (floats)~(ints)mask.part[i];
    return mask;
}

LANEWISE(differs, (ints)a ^ (ints)b)

/* Whole numbers wrap around. */
#define WRAPPED(a, sign, b) ((int64_t)((uint64_t)(a)sign(uint64_t)(b)))

/* For b > 0. */
INLINE int64_t floor_quotient(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

INLINE int64_t floor_remainder(int64_t a, int64_t b)
{
    const int64_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

/* The larger and the smaller of two numbers; NaN if one of them is. */
INLINE vec maximum(vec x, vec y)
{
    return blend(either(less(x, y), opposite(equal(y, y))), y, x);
}

INLINE vec minimum(vec x, vec y)
{
    return blend(either(less(y, x), opposite(equal(y, y))), y, x);
}

#define LARGER(a, b) ((a) < (b) || (b) != (b) ? (b) : (a))
#define SMALLER(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))

INLINE vec root(vec x)
{
    EACH_PART(i)
        for (int lane = 0; lane < PART; lane++)
            x.part[i][lane] = __builtin_sqrtf(x.part[i][lane]);
    return x;
}

/* To a whole number: the nearest one (of two, the even one), and from there the next one below or above. */
INLINE vec nearest(vec x)
{
    const vec shift = all(0x1p23f), size = absolute(x);
    return blend(less(size, shift), with_sign(subtract(add(size, shift), shift), x), x);
}

INLINE vec floor_of(vec x)
{
    const vec near = nearest(x);
    return subtract(near, both(less(x, near), all(1)));
}

INLINE vec ceiling_of(vec x)
{
    const vec near = nearest(x);
    return add(near, both(less(near, x), all(1)));
}

INLINE vec truncated(vec x)
{
    return with_sign(floor_of(absolute(x)), x);
}

INLINE double nearest_double(double x)
{
    const double size = fabs(x);
    return size < 0x1p52 ? copysign((size + 0x1p52) - 0x1p52, x) : x;
}

INLINE double floor_of_double(double x)
{
    const double near = nearest_double(x);
    return near - (x < near);
}

/* e^x = 2^k · (1 + m) for any x that it is a normal float for: m, and 2^k, or half of it for k > 0, since 2^128 is
 * not a float. */
typedef struct {
    vec power, excess, halved;
} Halved;

INLINE Halved exponential_of(vec x)
{
    const vec least = all(LOWEST_EXPONENT), most = all(89), shift = all(0x1.8p23f);
    x = blend(less(x, least), least, blend(less(most, x), most, x));
    const vec shifted = multiply_add(x, all(1.44269502f), shift);
    const vec k = subtract(shifted, shift), halved = less(all(0), k);
    const vec r = multiply_add(k, all(1.90465421e-09f), multiply_add(k, all(-0.693147182f), x));
    return (Halved){power_of_two(subtract(shifted, both(halved, all(1)))),
                    multiply_add(multiply(r, r), polynomial(EXCESS, 4, r), r), halved};
}

INLINE vec doubled(vec halved, vec x)
{
    return blend(halved, add(x, x), x);
}

/* e^x; 0 where that is not a normal float. */
INLINE vec exp_of(vec x)
{
    const Halved e = exponential_of(x);
    return without(doubled(e.halved, multiply_add(e.power, e.excess, e.power)), less(x, all(LOWEST_EXPONENT)));
}

/* e^x − 1, without cancellation near 0. */
INLINE vec expm1_of(vec x)
{
    const Halved e = exponential_of(x);
    const vec one = blend(e.halved, all(0.5f), all(1));
    return doubled(e.halved, multiply_add(e.power, e.excess, subtract(e.power, one)));
}

/* The natural logarithm: x = 2^k · m with m from √½ to √2, and as in `log_of`, log m = 2 (f + f³/3 + …). What is not
 * a normal float counts as 0. */
INLINE vec ln_of(vec x)
{
    static const float series[] = {2.0f / 3, 2.0f / 5, 2.0f / 7, 2.0f / 9, 2.0f / 11};
    vec k, m;
    EACH_PART(i)
    {
        const ints power = ((ints)x.part[i] - 0x3f3504f3) >> 23;
        m.part[i] = (floats)((ints)x.part[i] - (power << 23));
        k.part[i] = __builtin_convertvector(power, floats);
    }
    const vec f = divide(subtract(m, all(1)), add(m, all(1))), square = multiply(f, f);
    const vec rest = multiply(multiply(f, square), polynomial(series, 4, square));
    const vec low = multiply_add(k, all(1.42860677e-06f), rest);
    const vec value = add(multiply(k, all(0.693145752f)), add(add(f, f), low));
    const vec small = less(x, all(0x1p-126f)), infinite = equal(x, all(INFINITY));
    const vec of_small = blend(less(x, all(0)), all(NAN), all(-INFINITY));
    return blend(small, of_small, blend(either(infinite, opposite(equal(x, x))), x, value));
}

/* log(1 + x): what rounding took from u = 1 + x is put back. */
INLINE vec log1p_of(vec x)
{
    const vec one = all(1), u = add(one, x), lost = divide(subtract(x, subtract(u, one)), u);
    const vec value = add(ln_of(u), both(less(absolute(lost), one), lost));
    return blend(equal(u, one), x, value);
}

/* In doubles: e^x, log x, x^y, accurate to a few units in the last place of the largest number on the way. */
INLINE double exp_of_double(double x)
{
    const double bounded = x < -708 ? -708 : x > 710 ? 710 : x;
    const double k = (bounded * 1.4426950408889634 + 0x1.8p52) - 0x1.8p52;
    const double r = (bounded - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double series = 0;
    for (int n = 13; n > 0; n--)
        series = 1 + r * series / n;
    union {
        int64_t bits;
        double value;
    } power = {.bits = ((int64_t)(x == x ? k : 0) + 1022) * ((int64_t)1 << 52)};
    return x < -708 ? 0 : x == x ? series * power.value * 2 : x;
}

INLINE double ln_of_double(double x)
{
    const double value = log_of(x >= 0x1p-1022 && x < INFINITY ? x : 1);
    return x < 0 ? NAN : x < 0x1p-1022 ? -INFINITY : x < INFINITY ? value : x;
}

INLINE double power_of_double(double x, double y)
{
    const double size = exp_of_double(y * ln_of_double(fabs(x)));
    const int is_whole = fabs(y) >= 0x1p52 || nearest_double(y) == y;
    const int is_odd = is_whole && fabs(y) < 0x1p53 && nearest_double(y / 2) != y / 2;
    return y == 0 || x == 1 ? 1 : x < 0 ? is_odd ? -size : is_whole || size == INFINITY || size == 0 ? size : NAN : size;
}

/* The sine of x plus a number of right angles, for |x| up to a million; farther out only its size is right. */
INLINE double sine_of_double(double x, int right_angles)
{
    const double k = nearest_double(x * 0.6366197723675814);
    double r = ((x - k * 1.57079632673412561417e+00) - k * 6.07710050630396597660e-11) - k * 2.02226624879595063154e-21;
    r = fabs(r) < 1 ? r : 0;
    const double quarter = k + right_angles - 4 * floor_of_double((k + right_angles) / 4), square = r * r;
    double sine = 0, cosine = 0;
    for (int n = 15; n > 1; n -= 2) {
        sine = (1 - sine) * square / (n * (n - 1));
        cosine = (1 - cosine) * square / ((n - 1) * (n - 2));
    }
    const int odd = quarter == 1 || quarter == 3;
    const double value = odd ? 1 - cosine : r * (1 - sine);
    return x - x == 0 ? quarter >= 2 ? -value : value : NAN;
}

#define IN_DOUBLES(name, expression)                                    \
    INLINE vec name(vec x, vec y)                                       \
    {                                                                   \
        Lanes a = lanes_of(x);                                          \
        const Lanes b = lanes_of(y);                                    \
        (void)b;                                                        \
        EACH_LANE(l) a.number[l] = (float)(expression);                 \
        return load(a.number);                                          \
    }

IN_DOUBLES(power_of, power_of_double(a.number[l], b.number[l]))
IN_DOUBLES(sine_of, sine_of_double(a.number[l], 0))
IN_DOUBLES(cosine_of, sine_of_double(a.number[l], 1))

/* The first lane, for functions of single numbers. */
INLINE float first_of(vec x)
{
    return lanes_of(x).number[0];
}

#endif
