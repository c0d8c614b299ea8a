/* Self-normalised resets: the silences of a layer's units, counted after a step. `plasticity.replacement.snr` is the
 * definition; a unit's completed silences are few, so that only their bins are looked up. */
#ifndef SILENCE_H
#define SILENCE_H

#include "learner.h"

/* Whether a unit is active in any example of the step. */
INLINE int is_active(const Shape *shape, const float *h, int unit)
{
    const int stride = (shape->units + LANES - 1) / LANES * LANES;
    int active = 0;
    for (int place = 0; place < shape->places; place++)
        active |= !(h[place * stride + unit] <= 0);
    return active;
}

static void count_silences(const Shape *shape, void *const *array)
{
    const float *h = array[0];
    int64_t *silence = array[1];         /* [units] */
    const int64_t *threshold = array[2]; /* [units] */
    int32_t *completed = array[3];       /* [bins][units] */
    const int32_t *bin = array[4];       /* of a silence's length */
    int64_t *steps = array[5];           /* [1], since the thresholds were updated */
    const int64_t *until = array[6];     /* [1], the number at which they are next */
    double *due = array[7];              /* [1] */
    int reached = 0;
    for (int i = 0; i < shape->units; i++) {
        if (!is_active(shape, h, i))
            silence[i]++;
        else if (silence[i] > 0) {
            completed[(int64_t)bin[silence[i]] * shape->units + i]++;
            silence[i] = 0;
        }
        reached |= silence[i] >= threshold[i];
    }
    *due = (++*steps >= *until) | reached;
}

#endif
