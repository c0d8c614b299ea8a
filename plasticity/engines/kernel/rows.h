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

/* The rows of a layer's weights from a column on, and one of them: whole vectors, and what is left of one.
 * The tails of several rows share a cache line, which otherwise their padding would fill. */
typedef struct {
    float *body, *tail;
    int64_t body_length, tail_length;
} Rows;

typedef struct {
    float *body, *tail;
} Row;

INLINE Rows rows_of(const Layer *layer, int column)
{
    return (Rows){layer->body + column, layer->tail, layer->body_length, layer->tail_length};
}

INLINE Row row_of(Rows rows, int input)
{
    return (Row){rows.body + input * rows.body_length, rows.tail + input * rows.tail_length};
}

/* The weight from an input, by the number of its row, to a unit. */
INLINE float *weight(const Layer *layer, int input, int unit)
{
    const Row row = row_of(rows_of(layer, 0), input);
    return unit < layer->body_length ? row.body + unit : row.tail + (unit - layer->body_length);
}

/* The b-th vector of a row; of the last one only the first lanes may be there. */
INLINE vec load_block(const int blocks, const int tail, Row row, const int b)
{
    return tail && b == blocks - 1 ? load_first(tail, row.tail) : load(row.body + b * LANES);
}

INLINE void store_block(const int blocks, const int tail, Row row, const int b, vec x)
{
    if (tail && b == blocks - 1)
        store_first(tail, row.tail, x);
    else
        store(row.body + b * LANES, x);
}

/* sum = Σ_k value[k] · row[k]. The rows of narrow layers are summed in several chains, to fill the pipeline. */
SPECIALISED void sum_rows(const int blocks, const int tail, const int chains, const Layer *layer, int column,
                          float *sum)
{
    const Rows rows = rows_of(layer, column);
    const int32_t *input = layer->row;
    const float *values = layer->value;
    const int used = layer->used;
    vec chain[4][MOST_BLOCKS];
    UNROLL for (int c = 0; c < chains; c++)
        EACH_BLOCK(b) chain[c][b] = all(0);
    int k = 0;
    for (; k + chains <= used; k += chains)
        UNROLL for (int c = 0; c < chains; c++) {
            const Row row = row_of(rows, input[k + c]);
            const vec value = all(values[k + c]);
            EACH_BLOCK(b)
                chain[c][b] = multiply_add(value, load_block(blocks, tail, row, b), chain[c][b]);
        }
    for (; k < used; k++) {
        const Row row = row_of(rows, input[k]);
        const vec value = all(values[k]);
        EACH_BLOCK(b) chain[0][b] = multiply_add(value, load_block(blocks, tail, row, b), chain[0][b]);
    }
    UNROLL for (int c = 1; c < chains; c++)
        EACH_BLOCK(b) chain[0][b] = add(chain[0][b], chain[c][b]);
    EACH_BLOCK(b) store(sum + column + b * LANES, chain[0][b]);
}

/* For `count` rows k from the row `first` on, at most 16: product[k] = error · row, then row += rate · value ·
 * error, then magnitude[k] = Σ|row|; the lanes of product and magnitude are still to be summed. A later piece
 * of the columns adds to what the one before it found. The rows come in the opposite order to `sum_rows`:
 * what was read last is still in the nearest cache. */
SPECIALISED void update_rows(const int blocks, const int tail, const int with_product, const Layer *layer,
                             int column, int first, int count, float rate, vec *product, vec *magnitude)
{
    const Rows rows = rows_of(layer, column);
    const int32_t *input = layer->row + first;
    const float *value = layer->value + first;
    vec error[MOST_BLOCKS];
    EACH_BLOCK(b) error[b] = load(layer->error + column + b * LANES);
    for (int k = count - 1; k >= 0; k--) {
        const Row row = row_of(rows, input[k]);
        const vec change = all(rate * value[k]);
        vec p = column && with_product ? product[k] : all(0);
        vec m = column ? magnitude[k] : all(0);
        EACH_BLOCK(b) {
            vec w = load_block(blocks, tail, row, b);
            if (with_product)
                p = multiply_add(w, error[b], p);
            w = multiply_add(change, error[b], w);
            store_block(blocks, tail, row, b, w);
            m = add(m, absolute(w));
        }
        if (with_product)
            product[k] = p;
        magnitude[k] = m;
    }
}

/* sum = Σ|row| over all rows. */
SPECIALISED void sum_magnitudes(const int blocks, const int tail, const Layer *layer, int column, float *sum)
{
    vec total[MOST_BLOCKS];
    EACH_BLOCK(b) total[b] = all(0);
    const Rows rows = rows_of(layer, column);
    for (int input = 0; input < layer->inputs; input++) {
        const Row row = row_of(rows, input);
        EACH_BLOCK(b) total[b] = add(total[b], absolute(load_block(blocks, tail, row, b)));
    }
    EACH_BLOCK(b) store(sum + column + b * LANES, total[b]);
}

/* These functions for n vectors, of the last of which `tail` lanes are kept apart, and tables of them. */
#define CHAINS(n) (n <= 2 ? 4 : n <= 5 ? 2 : 1)
#define DEFINE_FOR(n, tail)                                                                            \
    static void sum_rows_##n##_##tail(const Layer *layer, int column, float *sum)                      \
    {                                                                                                  \
        if (layer->stride == n * LANES)                                                                \
            sum_rows(n, tail, CHAINS(n), layer, column, sum);                                          \
        else                                                                                           \
            sum_rows(n, tail, 1, layer, column, sum);                                                  \
    }                                                                                                  \
    static void update_rows_##n##_##tail(const Layer *layer, int column, int first, int count,         \
                                         float rate, vec *product, vec *magnitude)                     \
    {                                                                                                  \
        if (product)                                                                                   \
            update_rows(n, tail, 1, layer, column, first, count, rate, product, magnitude);            \
        else                                                                                           \
            update_rows(n, tail, 0, layer, column, first, count, rate, product, magnitude);            \
    }                                                                                                  \
    static void sum_magnitudes_##n##_##tail(const Layer *layer, int column, float *sum)                \
    {                                                                                                  \
        sum_magnitudes(n, tail, layer, column, sum);                                                   \
    }
#define DEFINE(n) DEFINE_FOR(n, 0) DEFINE_FOR(n, 4) DEFINE_FOR(n, 8)
#define EACH_TAIL(name, n) {name##_##n##_0, name##_##n##_4, name##_##n##_8},
#define SUM_ROWS(n) EACH_TAIL(sum_rows, n)
#define UPDATE_ROWS(n) EACH_TAIL(update_rows, n)
#define SUM_MAGNITUDES(n) EACH_TAIL(sum_magnitudes, n)

EACH_WIDTH(DEFINE)
typedef void Sum(const Layer *, int, float *);
typedef void Update(const Layer *, int, int, int, float, vec *, vec *);
static Sum *const SUM_ROWS_OF[][3] = {EACH_WIDTH(SUM_ROWS)};
static Update *const UPDATE_ROWS_OF[][3] = {EACH_WIDTH(UPDATE_ROWS)};
static Sum *const SUM_MAGNITUDES_OF[][3] = {EACH_WIDTH(SUM_MAGNITUDES)};

/* The pieces of a layer's columns: where one starts, and its place in the tables. */
#define EACH_PIECE(column, layer) for (int column = 0; column < layer->stride; column += MOST_BLOCKS * LANES)
#define OF_PIECE(table, layer, column) table[piece_blocks(layer, column) - 1][piece_tail(layer, column)]
INLINE int piece_blocks(const Layer *layer, int column)
{
    const int blocks = (layer->stride - column) / LANES;
    return blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS;
}

INLINE int piece_tail(const Layer *layer, int column)
{
    return column + MOST_BLOCKS * LANES < layer->stride ? 0 : layer->tail_length / 4;
}

/* What the units of a layer receive from its inputs: [stride]. */
static void receive(const Layer *layer, float *received)
{
    EACH_PIECE(column, layer) OF_PIECE(SUM_ROWS_OF, layer, column)(layer, column, received);
}

/* Σ|w_in| of each unit of a layer: [stride]. */
static void incoming_magnitude(const Layer *layer, float *magnitude)
{
    EACH_PIECE(column, layer) OF_PIECE(SUM_MAGNITUDES_OF, layer, column)(layer, column, magnitude);
}

/* Moves the rows in use by rate · value · error and keeps their Σ|w|. If `sent` is not null, the products
 * error · row, of the rows as they were before, go there, in the order of the inputs in use. */
static void descend(Layer *layer, float rate, float *sent)
{
    vec product[LANES], magnitude[LANES];
    float magnitudes[LANES] __attribute__((aligned(64)));
    for (int first = (layer->used - 1) / LANES * LANES; first >= 0; first -= LANES) {
        const int count = layer->used - first < LANES ? layer->used - first : LANES;
        const int32_t *input = layer->row + first;
        for (int k = count; k < LANES; k++)
            product[k] = magnitude[k] = all(0);
        EACH_PIECE(column, layer)
            OF_PIECE(UPDATE_ROWS_OF, layer, column)
            (layer, column, first, count, rate, sent ? product : NULL, magnitude);
        if (sent)
            store(sent + first, sums(product));
        store(magnitudes, sums(magnitude));
        for (int k = 0; k < count; k++)
            layer->row_magnitude[input[k]] = magnitudes[k];
    }
}

/* Σ|w| of every row, in the order of sums that `descend` has. */
static void measure_rows(Layer *layer)
{
    for (int first = 0; first < layer->inputs; first += LANES) {
        vec magnitude[LANES];
        for (int k = 0; k < LANES; k++) {
            const Row row = row_of(rows_of(layer, 0), first + k);
            magnitude[k] = all(0);
            for (int i = 0; i < layer->body_length; i += LANES)
                magnitude[k] = add(magnitude[k], absolute(load(row.body + i)));
            if (layer->tail_length)
                magnitude[k] = add(magnitude[k], absolute(load_first(layer->tail_length, row.tail)));
        }
        store(layer->row_magnitude + first, sums(magnitude));
    }
}

/* Σ|w| of a layer. */
static float layer_magnitude(const Layer *layer)
{
    const float *magnitude = layer->row_magnitude;
    vec total[4] = {all(0), all(0), all(0), all(0)};
    int i = 0;
    for (; i + 4 * LANES <= layer->inputs; i += 4 * LANES)
        UNROLL for (int c = 0; c < 4; c++) total[c] = add(total[c], load(magnitude + i + c * LANES));
    for (; i < layer->inputs; i += LANES)
        total[0] = add(total[0], load(magnitude + i));
    return sum(add(add(total[0], total[1]), add(total[2], total[3])));
}

#endif
