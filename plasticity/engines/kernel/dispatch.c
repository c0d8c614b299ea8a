/* Chooses the kernel for the processor that this runs on. */
#include <string.h>

#include "kernel.h"
#include "layout.h"
#include "philox.h"
#include "transpose.h"

#define EXPORT __attribute__((visibility("default")))

#if defined __x86_64__
extern const Kernel kernel_baseline, kernel_v3, kernel_v4;

static int has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

static int has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

/* The kernel called `name`, or the best one for a null pointer; null if this processor cannot run it. */
EXPORT const Kernel *plasticity_kernel(const char *name)
{
    __builtin_cpu_init();
    if (has_v4() && (!name || !strcmp(name, "x86-64-v4")))
        return &kernel_v4;
    if (has_v3() && (!name || !strcmp(name, "x86-64-v3")))
        return &kernel_v3;
    return !name || !strcmp(name, "x86-64") ? &kernel_baseline : NULL;
}
#else
extern const Kernel kernel_baseline;

EXPORT const Kernel *plasticity_kernel(const char *name)
{
    return name ? NULL : &kernel_baseline;
}
#endif

/* The tables of `layout.h`; their lengths go to `count`. */
EXPORT const Field *plasticity_fields(int64_t *count)
{
    *count = sizeof FIELDS / sizeof *FIELDS;
    return FIELDS;
}

EXPORT const Name *plasticity_names(int64_t *count)
{
    *count = sizeof NAMES / sizeof *NAMES;
    return NAMES;
}

/* The first words of a random stream at a position, as in plasticity.streams.words. */
EXPORT void plasticity_words(uint64_t seed, uint64_t purpose, const uint64_t *position, int64_t count,
                             uint64_t *words)
{
    Stream s = stream(seed, purpose, position[0], position[1], position[2]);
    for (int64_t i = 0; i < count; i++)
        words[i] = next_word(&s);
}

/* Draws from U(−bound, bound) at a position of a random stream, as in plasticity.streams.uniform. */
EXPORT void plasticity_uniform(float bound, uint64_t seed, uint64_t purpose, const uint64_t *position, int64_t count,
                               float *draws)
{
    Stream s = stream(seed, purpose, position[0], position[1], position[2]);
    for (int64_t i = 0; i < count; i++)
        draws[i] = uniform(&s, bound);
}

/* The columns of rows; see `transpose.h`. */
EXPORT void plasticity_columns_of_rows(float *row, int64_t length, const int32_t *place, int64_t rows, int64_t columns,
                                       float *column)
{
    move(&(Matrix){length, place, rows, columns}, row, column, 0);
}

/* The reverse. */
EXPORT void plasticity_rows_of_columns(float *row, int64_t length, const int32_t *place, int64_t rows, int64_t columns,
                                       float *column)
{
    move(&(Matrix){length, place, rows, columns}, row, column, 1);
}
