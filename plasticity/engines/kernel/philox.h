/* Philox4x64-10 (Salmon et al. 2011), the words behind every random draw, as in `plasticity.streams`. */
#ifndef PHILOX_H
#define PHILOX_H

#include <stdint.h>

typedef struct {
    uint64_t key[2];     /* seed and purpose */
    uint64_t counter[4]; /* block, then the position in the stream */
    uint64_t block[4];   /* the last four words */
    int used;            /* how many of them are used up */
} Stream;

enum { REPLACEMENT = 4, RANDOM_UTILITY = 5, CHANCE = 10 }; /* plasticity.streams.Purpose */

static inline Stream stream(uint64_t seed, uint64_t purpose, uint64_t x, uint64_t y, uint64_t z)
{
    return (Stream){.key = {seed, purpose}, .counter = {0, x, y, z}, .used = 4};
}

static inline void next_block(Stream *s)
{
    s->counter[0]++;
    uint64_t a = s->counter[0], b = s->counter[1], c = s->counter[2], d = s->counter[3];
    uint64_t left = s->key[0], right = s->key[1];
    for (int round = 0; round < 10; round++) {
        const unsigned __int128 p = (unsigned __int128)a * 0xD2E7470EE14C6C93;
        const unsigned __int128 q = (unsigned __int128)c * 0xCA5A826395121157;
        a = (uint64_t)(q >> 64) ^ b ^ left;
        b = (uint64_t)q;
        c = (uint64_t)(p >> 64) ^ d ^ right;
        d = (uint64_t)p;
        left += 0x9E3779B97F4A7C15;
        right += 0xBB67AE8584CAA73B;
    }
    s->block[0] = a, s->block[1] = b, s->block[2] = c, s->block[3] = d;
    s->used = 0;
}

static inline uint64_t next_word(Stream *s)
{
    if (s->used == 4)
        next_block(s);
    return s->block[s->used++];
}

/* A draw from U(0, 1): the upper 24 bits of a word over 2^24. */
static inline float unit_interval(Stream *s)
{
    return (float)(next_word(s) >> 40) * 0x1p-24f;
}

/* A draw from U(−bound, bound), rounded once. */
static inline float uniform(Stream *s, float bound)
{
    return bound * ((float)(next_word(s) >> 40) * 0x1p-23f - 1.0f);
}

#endif
