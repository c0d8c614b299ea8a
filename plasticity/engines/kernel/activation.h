/* The activations of the hidden units, and the exponential, hyperbolic tangent and error function that they
 * and the cross-entropy need: accurate to about two units in the last place, and in basic arithmetic alone, so
 * that no result depends on a mathematical library. The polynomials are minimax fits of the relative error of
 * the function named beside them. */
#ifndef ACTIVATION_H
#define ACTIVATION_H

#include <math.h>

#include "vector.h"

/* For each activation: its name in C, and in plasticity.activations; and the function below of h and slope. */
#define ACTIVATIONS(X)                                                        \
    X(RELU, relu, relu(z))                                                    \
    X(SELU, selu, exponential_unit(z, SELU_SCALE, SELU_ALPHA))                \
    X(TANH, tanh, tanh_unit(z))                                               \
    X(SIGMOID, sigmoid, sigmoid_unit(z))                                      \
    X(LEAKY_RELU, leaky_relu, leaky_relu(z))                                  \
    X(ELU, elu, exponential_unit(z, 1, 1))                                    \
    X(SWISH, swish, swish(z))                                                 \
    X(GELU, gelu, gelu(z))

typedef enum { ACTIVATIONS(NUMBER) } Activation;

static const float LEAKY_RELU_SLOPE = 0.01f;
static const float SELU_ALPHA = 1.6732632423543772f, SELU_SCALE = 1.0507009873554805f;
static const float LOWEST_EXPONENT = -87.33654f; /* below it, e^x is not a normal float */

/* coefficient[0] + coefficient[1] · x + … */
INLINE vec polynomial(const float *coefficient, const int degree, vec x)
{
    vec y = all(coefficient[degree]);
    UNROLL for (int i = degree - 1; i >= 0; i--) y = multiply_add(y, x, all(coefficient[i]));
    return y;
}

/* (e^r − 1 − r) / r² for |r| ≤ ln 2 / 2. */
static const float EXCESS[] = {0.49999997f, 0.166665435f, 0.0416672006f, 0.00836652052f, 0.0013882519f};

/* e^x = 2^k · (1 + m) for x ≤ 0, with k whole and m = e^r − 1 for the remainder |r| ≤ ln 2 / 2. */
typedef struct {
    vec power, excess;
} Exponential;

INLINE Exponential exponential(vec x)
{
    const vec lowest = all(LOWEST_EXPONENT), shift = all(0x1.8p23f);
    x = blend(less(x, lowest), lowest, x);
    const vec shifted = multiply_add(x, all(1.44269502f), shift);
    const vec k = subtract(shifted, shift);
    const vec r = multiply_add(k, all(1.90465421e-09f), multiply_add(k, all(-0.693147182f), x));
    return (Exponential){power_of_two(shifted), multiply_add(multiply(r, r), polynomial(EXCESS, 4, r), r)};
}

/* e^x for x ≤ 0; 0 where that is not a normal float. */
INLINE vec exp_negative(vec x)
{
    const Exponential e = exponential(x);
    return without(multiply_add(e.power, e.excess, e.power), less(x, all(LOWEST_EXPONENT)));
}

/* e^x − 1 for x ≤ 0, without cancellation near 0. */
INLINE vec expm1_negative(vec x)
{
    const Exponential e = exponential(x);
    return multiply_add(e.power, e.excess, subtract(e.power, all(1)));
}

INLINE vec negative_magnitude(vec x)
{
    return either(absolute(x), all(-0.0f));
}

/* tanh|x| = −m / (m + 2), m = e^(−2|x|) − 1. */
INLINE vec tanh_of(vec x)
{
    const vec m = expm1_negative(multiply(negative_magnitude(x), all(2)));
    return with_sign(absolute(divide(m, add(m, all(2)))), x);
}

INLINE vec sigmoid_of(vec x)
{
    const vec e = exp_negative(negative_magnitude(x)), one = all(1);
    return divide(blend(less(x, all(0)), e, one), add(one, e));
}

/* erf(x) = x · p(x²) below 1; from 1 on, 1 − e^q(|x|) until that is 1. */
INLINE vec erf_of(vec x)
{
    static const float small[] = {1.12837911f,    -0.37612626f,     0.112835854f,  -0.026853811f,
                                  0.00518832775f, -0.000801019254f, 7.85385782e-05f};
    static const float log_erfc[] = {-0.000341512583f, -1.12708926f,    -0.638144732f, -0.103106819f,
                                     0.0218380969f,    -0.00294766692f, 0.000186380086f};
    const vec one = all(1), magnitude = absolute(x);
    const vec a = blend(less(all(4), magnitude), all(4), magnitude);
    const vec tail = subtract(one, exp_negative(polynomial(log_erfc, 6, a)));
    const vec centre = multiply(a, polynomial(small, 6, multiply(a, a)));
    return with_sign(blend(less(a, one), centre, tail), x);
}

/* The natural logarithm of a normal x > 0, for the cross-entropy: x = 2^k · m, and with f = (m − 1) / (m + 1)
 * log m = 2 (f + f³/3 + f⁵/5 + …). */
static inline double log_of(double x)
{
    union {
        double value;
        int64_t bits;
    } m = {x};
    const int64_t k = (m.bits - 0x3fe6a09e667f3bcd) >> 52; /* the bits of √½: m is from √½ to √2 */
    m.bits -= k * ((int64_t)1 << 52);
    const double f = (m.value - 1) / (m.value + 1), square = f * f;
    double series = 0;
    for (int n = 15; n > 0; n -= 2)
        series = series * square + 1.0 / n;
    return (double)k * 0.6931471805599453 + 2 * f * series;
}

/* One function per activation: h and its slope dh/dz, of 16 units. NaN propagates through all of them. */
typedef struct {
    vec value, slope;
} Response;

INLINE Response relu(vec z)
{
    const vec dead = at_most(z, all(0));
    return (Response){without(z, dead), without(all(1), dead)};
}

INLINE Response leaky_relu(vec z)
{
    const vec slope = blend(less(all(0), z), all(1), all(LEAKY_RELU_SLOPE));
    return (Response){multiply(z, slope), slope};
}

INLINE Response exponential_unit(vec z, float scale, float alpha)
{
    const vec positive = less(all(0), z);
    const vec below = multiply(all(scale * alpha), expm1_negative(without(z, positive)));
    return (Response){blend(positive, multiply(all(scale), z), below),
                      blend(positive, all(scale), add(below, all(scale * alpha)))};
}

INLINE Response tanh_unit(vec z)
{
    const vec h = tanh_of(z);
    return (Response){h, subtract(all(1), multiply(h, h))};
}

INLINE Response sigmoid_unit(vec z)
{
    const vec h = sigmoid_of(z);
    return (Response){h, multiply(h, subtract(all(1), h))};
}

INLINE Response swish(vec z)
{
    const vec s = sigmoid_of(z), h = multiply(z, s);
    return (Response){h, multiply_add(h, subtract(all(1), s), s)};
}

INLINE Response gelu(vec z)
{
    const vec half = all(0.5f);
    const vec share = multiply_add(half, erf_of(multiply(z, all(0.70710678f))), half);
    const vec density = multiply(all(0.39894228f), exp_negative(multiply(multiply(z, z), all(-0.5f))));
    return (Response){multiply(z, share), multiply_add(z, density, share)};
}

INLINE Response respond(const Activation activation, vec z)
{
#define CASE(number, name, response) case number: return response;
    switch (activation) { ACTIVATIONS(CASE) }
#undef CASE
    return (Response){all(NAN), all(NAN)};
}

/* h and slope of `units` units, a multiple of 16, from their z. */
static inline void activate(Activation activation, int units, const float *z, float *h, float *slope)
{
#define CASE(number, ...)                                    \
    case number:                                             \
        for (int i = 0; i < units; i += LANES) {             \
            const Response r = respond(number, load(z + i)); \
            store(h + i, r.value);                           \
            store(slope + i, r.slope);                       \
        }                                                    \
        break;
    switch (activation) { ACTIVATIONS(CASE) }
#undef CASE
}

#endif
