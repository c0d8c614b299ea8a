/* Self-normalised resets: the silences of a layer's units, counted after a step. `plasticity.replacement.snr` is the
 * definition. All units are counted alike, 16 at a time; the few that complete a silence are then looked at. */
#ifndef SILENCE_H
#define SILENCE_H

#include "learner.h"

/* How long 16 units have been silent by now; the silences that they complete in this step go to `ended`. */
INLINE vec counted(const Shape *shape, const float *h, const vec silence, vec *ended)
{
    const int stride = (shape->units + LANES - 1) / LANES * LANES;
    vec silent = at_most(load(h), all(0));
    for (int place = 1; place < shape->places; place++)
        silent = both(silent, at_most(load(h + (int64_t)place * stride), all(0)));
    *ended = without(silence, silent);
    vec more;
    EACH_PART(i) more.part[i] = (floats)((ints)silence.part[i] + 1);
    return both(more, silent);
}

static void count_silences(const Shape *shape, void *const *array)
{
    const float *h = array[0];
    float *silence = array[1];           /* [stride], whole numbers */
    const float *threshold = array[2];   /* [stride], likewise; larger than any silence where there is no unit */
    int32_t *completed = array[3];       /* [bins][units] */
    const int32_t *bin = array[4];       /* of a silence's length */
    int64_t *steps = array[5];           /* [1], since the thresholds were updated */
    const int64_t *until = array[6];     /* [1], the number at which they are next */
    double *due = array[7];              /* [1] */
    int32_t lengths[LANES] __attribute__((aligned(64)));
    vec reached = all(0);
    for (int first = 0; first < shape->units; first += LANES) {
        vec ended;
        const vec now = counted(shape, h + first, load(silence + first), &ended);
        store(silence + first, now);
        reached = either(reached, no_less(now, load(threshold + first)));
        store((float *)lengths, ended);
        for (unsigned int left = set_lanes(ended); left; left &= left - 1) {
            const int i = __builtin_ctz(left);
            completed[(int64_t)bin[lengths[i]] * shape->units + first + i]++;
        }
    }
    *due = (++*steps >= *until) | (set_lanes(reached) != 0);
}

#endif
