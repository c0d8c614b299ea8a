/* What the step does with the rows of a layer's weights: the weights that lead out of one input, contiguous.
 * Only rows whose input is not 0 are ever touched. The work on a row is unrolled for every number of vectors
 * up to MOST_BLOCKS, so that what all rows share stays in registers; wider rows are done in pieces. */
#ifndef ROWS_H
#define ROWS_H

#include "learner.h"
#include "sums.h"

enum { MOST_BLOCKS = 16 };

#define EACH_BLOCK(b) UNROLL for (int b = 0; b < blocks; b++)
#define EACH_WIDTH(DO) \
    DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16)

INLINE float *row_of(const Layer *layer, int k, int column)
{
    return layer->weight + (int64_t)layer->row[k] * layer->stride + column;
}

/* sum[column …] = Σ_k value[k] · row[k]. Narrow rows are summed in several chains, to fill the pipeline. */
INLINE void sum_rows(const int blocks, const int chains, const Layer *layer, int column, float *sum)
{
    vec chain[4][MOST_BLOCKS];
    UNROLL for (int c = 0; c < chains; c++) EACH_BLOCK(b) chain[c][b] = all(0);
    int k = 0;
    for (; k + chains <= layer->used; k += chains)
        UNROLL for (int c = 0; c < chains; c++)
        {
            const float *row = row_of(layer, k + c, column);
            EACH_BLOCK(b) chain[c][b] = multiply_add(all(layer->value[k + c]), load(row + b * LANES), chain[c][b]);
        }
    for (; k < layer->used; k++) {
        const float *row = row_of(layer, k, column);
        EACH_BLOCK(b) chain[0][b] = multiply_add(all(layer->value[k]), load(row + b * LANES), chain[0][b]);
    }
    UNROLL for (int c = 1; c < chains; c++) EACH_BLOCK(b) chain[0][b] = add(chain[0][b], chain[c][b]);
    EACH_BLOCK(b) store(sum + column + b * LANES, chain[0][b]);
}

/* For up to 16 rows k from `first`: product[k] = error · row, magnitude[k] = Σ|row| (their 16 lanes still to
 * be summed), with row += rate · value · error in between. A piece of a row adds to what the one before left. */
INLINE void update_rows(const int blocks, const int with_product, const Layer *layer, int column, int first,
                        int count, float rate, vec *product, vec *magnitude)
{
    vec error[MOST_BLOCKS];
    EACH_BLOCK(b) error[b] = load(layer->error + column + b * LANES);
    for (int k = count - 1; k >= 0; k--) {
        float *row = row_of(layer, first + k, column);
        const vec change = all(rate * layer->value[first + k]);
        vec p = column ? product[k] : all(0), m = column ? magnitude[k] : all(0);
        EACH_BLOCK(b)
        {
            vec w = load(row + b * LANES);
            if (with_product)
                p = multiply_add(w, error[b], p);
            w = multiply_add(change, error[b], w);
            store(row + b * LANES, w);
            m = add(m, absolute(w));
        }
        product[k] = p, magnitude[k] = m;
    }
}

/* sum[column …] = Σ |row| over all rows. */
INLINE void sum_magnitudes(const int blocks, const Layer *layer, int column, float *sum)
{
    vec total[MOST_BLOCKS];
    EACH_BLOCK(b) total[b] = all(0);
    for (int input = 0; input < layer->inputs; input++) {
        const float *row = layer->weight + (int64_t)input * layer->stride + column;
        EACH_BLOCK(b) total[b] = add(total[b], absolute(load(row + b * LANES)));
    }
    EACH_BLOCK(b) store(sum + column + b * LANES, total[b]);
}

#define CHAINS(blocks) (blocks <= 2 ? 4 : blocks <= 5 ? 2 : 1)
#define DEFINE(n)                                                                                         \
    static void sum_rows_##n(const Layer *layer, int column, float *sum)                                  \
    {                                                                                                     \
        sum_rows(n, CHAINS(n), layer, column, sum);                                                       \
    }                                                                                                     \
    static void update_rows_##n(const Layer *layer, int column, int first, int count, float rate,         \
                                vec *product, vec *magnitude)                                             \
    {                                                                                                     \
        if (product)                                                                                      \
            update_rows(n, 1, layer, column, first, count, rate, product, magnitude);                     \
        else                                                                                              \
            update_rows(n, 0, layer, column, first, count, rate, magnitude, magnitude);                   \
    }                                                                                                     \
    static void sum_magnitudes_##n(const Layer *layer, int column, float *sum)                            \
    {                                                                                                     \
        sum_magnitudes(n, layer, column, sum);                                                            \
    }
EACH_WIDTH(DEFINE)
#undef DEFINE

#define SUM_ROWS(n) sum_rows_##n,
#define UPDATE_ROWS(n) update_rows_##n,
#define SUM_MAGNITUDES(n) sum_magnitudes_##n,
static void (*const SUM_ROWS_OF[])(const Layer *, int, float *) = {EACH_WIDTH(SUM_ROWS)};
static void (*const UPDATE_ROWS_OF[])(const Layer *, int, int, int, float, vec *, vec *) = {
    EACH_WIDTH(UPDATE_ROWS)};
static void (*const SUM_MAGNITUDES_OF[])(const Layer *, int, float *) = {EACH_WIDTH(SUM_MAGNITUDES)};

/* A layer's rows in pieces: `column` is where one starts, `DO[blocks − 1]` what is done with it. */
#define EACH_PIECE(layer, column) for (int column = 0; column < (layer)->stride; column += MOST_BLOCKS * LANES)
INLINE int last_block(const Layer *layer, int column)
{
    const int left = (layer->stride - column) / LANES;
    return (left < MOST_BLOCKS ? left : MOST_BLOCKS) - 1;
}

/* What the units of a layer receive from its inputs: [stride]. */
static void receive(const Layer *layer, float *received)
{
    EACH_PIECE(layer, column) SUM_ROWS_OF[last_block(layer, column)](layer, column, received);
}

/* Σ|w_in| of each unit of a layer: [stride]. */
static void incoming_magnitude(const Layer *layer, float *magnitude)
{
    EACH_PIECE(layer, column) SUM_MAGNITUDES_OF[last_block(layer, column)](layer, column, magnitude);
}

/* Moves the rows in use by rate · value · error, keeps their Σ|w|, and, if `below` is not null, puts the
 * products of the layer's error with the rows as they were before into below[row]. */
static void descend(Layer *layer, float rate, float *below)
{
    vec product[LANES], magnitude[LANES];
    float products[LANES] __attribute__((aligned(64))), magnitudes[LANES] __attribute__((aligned(64)));
    for (int first = (layer->used - 1) / LANES * LANES; first >= 0; first -= LANES) {
        const int count = layer->used - first < LANES ? layer->used - first : LANES;
        for (int k = count; k < LANES; k++)
            product[k] = magnitude[k] = all(0);
        EACH_PIECE(layer, column)
            UPDATE_ROWS_OF[last_block(layer, column)](layer, column, first, count, rate, below ? product : 0,
                                                      magnitude);
        store(magnitudes, sums(magnitude));
        for (int k = 0; k < count; k++)
            layer->row_sum[layer->row[first + k]] = magnitudes[k];
        if (!below)
            continue;
        store(products, sums(product));
        for (int k = 0; k < count; k++)
            below[layer->row[first + k]] = products[k];
    }
}

/* Σ|w| of every row, in the order of sums that `descend` has. */
static void measure_rows(Layer *layer)
{
    for (int first = 0; first < layer->inputs; first += LANES) {
        vec magnitude[LANES];
        for (int k = 0; k < LANES; k++) {
            magnitude[k] = all(0);
            for (int i = 0; first + k < layer->inputs && i < layer->stride; i += LANES)
                magnitude[k] = add(magnitude[k],
                                   absolute(load(layer->weight + (int64_t)(first + k) * layer->stride + i)));
        }
        store(layer->row_sum + first, sums(magnitude));
    }
}

/* Σ|w| of a layer, from its rows'. */
static float layer_magnitude(const Layer *layer)
{
    vec total = all(0);
    for (int i = 0; i < layer->inputs; i += LANES)
        total = add(total, load(layer->row_sum + i));
    return sum(total);
}

#endif
