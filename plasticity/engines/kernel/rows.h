/* What a step does with the rows of a layer's weights. A row holds the weights that lead out of one input,
 * side by side, and only rows whose input is not 0 are touched. The work on a row is unrolled for every
 * number of vectors up to MOST_BLOCKS, so that what all rows share stays in registers; of wider layers the
 * columns are done in pieces. How it is cut into pieces does not show in the results. */
#ifndef ROWS_H
#define ROWS_H

#include "learner.h"
#include "sums.h"

#if PART == 16
enum { MOST_BLOCKS = 16 };
#define EACH_WIDTH(DO) \
    DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16)
#else /* half as many registers, or fewer, of half the size */
enum { MOST_BLOCKS = 7 };
#define EACH_WIDTH(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#endif

#if defined FUSED_IN_SOFTWARE
#define SPECIALISED static __attribute__((noinline))
#else
#define SPECIALISED INLINE
#endif
#define EACH_BLOCK(b) UNROLL for (int b = 0; b < blocks; b++)

INLINE float *row_of(const Layer *layer, int k, int column)
{
    return layer->weight + (int64_t)layer->row[k] * layer->stride + column;
}

/* sum = Σ_k value[k] · row[k]. The rows of narrow layers are summed in several chains, to fill the pipeline. */
SPECIALISED void sum_rows(const int blocks, const int chains, const Layer *layer, int column, float *sum)
{
    vec chain[4][MOST_BLOCKS];
    UNROLL for (int c = 0; c < chains; c++)
        EACH_BLOCK(b) chain[c][b] = all(0);
    int k = 0;
    for (; k + chains <= layer->used; k += chains)
        UNROLL for (int c = 0; c < chains; c++) {
            const float *row = row_of(layer, k + c, column);
            const vec value = all(layer->value[k + c]);
            EACH_BLOCK(b) chain[c][b] = multiply_add(value, load(row + b * LANES), chain[c][b]);
        }
    for (; k < layer->used; k++) {
        const float *row = row_of(layer, k, column);
        const vec value = all(layer->value[k]);
        EACH_BLOCK(b) chain[0][b] = multiply_add(value, load(row + b * LANES), chain[0][b]);
    }
    UNROLL for (int c = 1; c < chains; c++)
        EACH_BLOCK(b) chain[0][b] = add(chain[0][b], chain[c][b]);
    EACH_BLOCK(b) store(sum + column + b * LANES, chain[0][b]);
}

/* For `count` rows k from the row `first` on, at most 16: product[k] = error · row, then row += rate · value ·
 * error, then magnitude[k] = Σ|row|; the lanes of product and magnitude are still to be summed. A later piece
 * of the columns adds to what the one before it found. The rows come in the opposite order to `sum_rows`:
 * what was read last is still in the nearest cache. */
SPECIALISED void update_rows(const int blocks, const int with_product, const Layer *layer, int column,
                             int first, int count, float rate, vec *product, vec *magnitude)
{
    vec error[MOST_BLOCKS];
    EACH_BLOCK(b) error[b] = load(layer->error + column + b * LANES);
    for (int k = count - 1; k >= 0; k--) {
        float *row = row_of(layer, first + k, column);
        const vec change = all(rate * layer->value[first + k]);
        vec p = column && with_product ? product[k] : all(0);
        vec m = column ? magnitude[k] : all(0);
        EACH_BLOCK(b) {
            vec w = load(row + b * LANES);
            if (with_product)
                p = multiply_add(w, error[b], p);
            w = multiply_add(change, error[b], w);
            store(row + b * LANES, w);
            m = add(m, absolute(w));
        }
        if (with_product)
            product[k] = p;
        magnitude[k] = m;
    }
}

/* sum = Σ|row| over all rows. */
SPECIALISED void sum_magnitudes(const int blocks, const Layer *layer, int column, float *sum)
{
    vec total[MOST_BLOCKS];
    EACH_BLOCK(b) total[b] = all(0);
    for (int input = 0; input < layer->inputs; input++) {
        const float *row = layer->weight + (int64_t)input * layer->stride + column;
        EACH_BLOCK(b) total[b] = add(total[b], absolute(load(row + b * LANES)));
    }
    EACH_BLOCK(b) store(sum + column + b * LANES, total[b]);
}

/* These functions for n vectors, and tables of them by n − 1. */
#define CHAINS(n) (n <= 2 ? 4 : n <= 5 ? 2 : 1)
#define DEFINE(n)                                                                                      \
    static void sum_rows_##n(const Layer *layer, int column, float *sum)                               \
    {                                                                                                  \
        if (layer->stride == n * LANES)                                                                \
            sum_rows(n, CHAINS(n), layer, column, sum);                                                \
        else                                                                                           \
            sum_rows(n, 1, layer, column, sum);                                                        \
    }                                                                                                  \
    static void update_rows_##n(const Layer *layer, int column, int first, int count, float rate,      \
                                vec *product, vec *magnitude)                                          \
    {                                                                                                  \
        if (product)                                                                                   \
            update_rows(n, 1, layer, column, first, count, rate, product, magnitude);                  \
        else                                                                                           \
            update_rows(n, 0, layer, column, first, count, rate, product, magnitude);                  \
    }                                                                                                  \
    static void sum_magnitudes_##n(const Layer *layer, int column, float *sum)                         \
    {                                                                                                  \
        sum_magnitudes(n, layer, column, sum);                                                         \
    }
#define SUM_ROWS(n) sum_rows_##n,
#define UPDATE_ROWS(n) update_rows_##n,
#define SUM_MAGNITUDES(n) sum_magnitudes_##n,

EACH_WIDTH(DEFINE)
static void (*const SUM_ROWS_OF[])(const Layer *, int, float *) = {EACH_WIDTH(SUM_ROWS)};
static void (*const UPDATE_ROWS_OF[])(const Layer *, int, int, int, float, vec *, vec *) = {
    EACH_WIDTH(UPDATE_ROWS)};
static void (*const SUM_MAGNITUDES_OF[])(const Layer *, int, float *) = {EACH_WIDTH(SUM_MAGNITUDES)};

/* The pieces of a layer's columns: where one starts, and its place in the tables. */
#define EACH_PIECE(column, layer) for (int column = 0; column < layer->stride; column += MOST_BLOCKS * LANES)
INLINE int piece(const Layer *layer, int column)
{
    const int blocks = (layer->stride - column) / LANES;
    return (blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS) - 1;
}

/* What the units of a layer receive from its inputs: [stride]. */
static void receive(const Layer *layer, float *received)
{
    EACH_PIECE(column, layer) SUM_ROWS_OF[piece(layer, column)](layer, column, received);
}

/* Σ|w_in| of each unit of a layer: [stride]. */
static void incoming_magnitude(const Layer *layer, float *magnitude)
{
    EACH_PIECE(column, layer) SUM_MAGNITUDES_OF[piece(layer, column)](layer, column, magnitude);
}

/* Moves the rows in use by rate · value · error and keeps their Σ|w|. If `below` is not null, the products
 * error · row, of the rows as they were before, go into below[input]. */
static void descend(Layer *layer, float rate, float *below)
{
    vec product[LANES], magnitude[LANES], *const sent = below ? product : NULL;
    float products[LANES] __attribute__((aligned(64))), magnitudes[LANES] __attribute__((aligned(64)));
    for (int first = (layer->used - 1) / LANES * LANES; first >= 0; first -= LANES) {
        const int count = layer->used - first < LANES ? layer->used - first : LANES;
        const int32_t *input = layer->row + first;
        for (int k = count; k < LANES; k++)
            product[k] = magnitude[k] = all(0);
        EACH_PIECE(column, layer)
            UPDATE_ROWS_OF[piece(layer, column)](layer, column, first, count, rate, sent, magnitude);
        store(magnitudes, sums(magnitude));
        for (int k = 0; k < count; k++)
            layer->row_sum[input[k]] = magnitudes[k];
        if (below) {
            store(products, sums(product));
            for (int k = 0; k < count; k++)
                below[input[k]] = products[k];
        }
    }
}

/* Σ|w| of every row, in the order of sums that `descend` has. */
static void measure_rows(Layer *layer)
{
    for (int first = 0; first < layer->inputs; first += LANES) {
        vec magnitude[LANES];
        for (int k = 0; k < LANES; k++) {
            const float *row = layer->weight + (int64_t)(first + k) * layer->stride;
            magnitude[k] = all(0);
            for (int i = 0; i < layer->stride; i += LANES)
                magnitude[k] = add(magnitude[k], absolute(load(row + i)));
        }
        store(layer->row_sum + first, sums(magnitude));
    }
}

/* Σ|w| of a layer. */
static float layer_magnitude(const Layer *layer)
{
    vec total = all(0);
    for (int i = 0; i < layer->inputs; i += LANES)
        total = add(total, load(layer->row_sum + i));
    return sum(total);
}

#endif
