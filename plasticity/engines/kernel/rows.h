/* What a step does with the rows of a layer's weights. A row holds the weights that lead out of one input, side
 * by side, and only rows whose input is not 0 are touched. Sums of rows are unrolled for every number of vectors
 * up to MOST_BLOCKS, so that they stay in registers; wider layers are cut into pieces of columns, which does not
 * change the results. */
#ifndef ROWS_H
#define ROWS_H

#include "learner.h"
#include "sums.h"

#if PART == 16
enum { MOST_BLOCKS = 16 };
#define EACH_WIDTH(DO) \
    DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16)
#else /* smaller registers, and mostly fewer */
enum { MOST_BLOCKS = 7 };
#define EACH_WIDTH(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#endif

#if defined FUSED_IN_SOFTWARE
#define SPECIALISED static __attribute__((noinline))
#else
#define SPECIALISED INLINE
#endif
#define EACH_BLOCK(b) UNROLL for (int b = 0; b < blocks; b++)

/* The rows of a layer's weights from a column on, and a single row: whole vectors (body), and the rest (tail).
 * The tails of several rows share a cache line that their padding would otherwise fill. */
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

/* The initial weights, likewise. */
INLINE Rows starts_of(const Layer *layer, int column)
{
    return (Rows){layer->start_body + column, layer->start_tail, layer->body_length, layer->tail_length};
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

/* The b-th vector of a row; the last one may have only its first lanes. */
INLINE vec load_block(const int blocks, const int tail, Row row, const int b)
{
    return tail && b == blocks - 1 ? load_first(tail, row.tail) : load(row.body + b * LANES);
}

/* sum = Σ_k value[k] · row[k]. The rows of narrow layers are summed in several chains, to fill the pipeline. */
SPECIALISED void sum_rows(const int blocks, const int tail, const int chains, const Layer *layer, Rows rows,
                          int column, float *sum)
{
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

/* Four inputs in use and their values; if there are fewer left, the row of zeros stands in for the rest. */
typedef struct {
    int32_t input[4];
    float value[4];
} Four;

INLINE Four four_from(const Layer *layer, int first)
{
    Four four;
    const int32_t *input = layer->row + first;
    const float *value = layer->value + first;
    if (first + 4 <= layer->used) {
        UNROLL for (int k = 0; k < 4; k++) four.input[k] = input[k], four.value[k] = value[k];
    } else
        for (int k = 0; k < 4; k++) {
            const int is_left = first + k < layer->used;
            four.input[k] = is_left ? input[k] : layer->inputs;
            four.value[k] = is_left ? value[k] : 0;
        }
    return four;
}

/* The update of a few rows, in one part of their lanes. Either they move, row += change · error, and their new
 * |row| is summed; or they send back the sum of error · row; or both, with the row as it was before it moves. Some are
 * also pulled towards their initial values, by a share of the distance. Where weights are limited, they are clipped at
 * once, or the largest is kept. The lanes of these sums are added up later. */
typedef struct {
    float *row[4], *start[4];
    floats change[4], product[4], magnitude[4], largest[4], pull, limit;
} Update;

/* What of an update is done, known to the compiler: `clips` clips weights, `notes` only keeps the largest. */
typedef struct {
    int moves, sends, pulls, clips, notes;
} Done;

/* So many rows that all their sums stay in registers. */
#define AT_A_TIME(done) ((done).notes ? 2 : 4)
#define EACH_ROW(k, done) UNROLL for (int k = 0; k < AT_A_TIME(done); k++)

INLINE void update(Update *u, const int lanes, int column, const float *error, const Done done)
{
    const floats e = load_lanes(PART, error);
    EACH_ROW(k, done)
    {
        const floats row = load_lanes(lanes, u->row[k] + column);
        if (done.sends)
            u->product[k] = fused(row, e, u->product[k]);
        if (done.moves) {
            floats after = fused(u->change[k], e, row);
            if (done.pulls)
                after = fused(u->pull, load_lanes(lanes, u->start[k] + column) - row, after);
            if (done.clips)
                after = within(u->limit, after);
            store_lanes(lanes, u->row[k] + column, after);
            u->magnitude[k] += magnitude_of(after);
            if (done.notes)
                u->largest[k] = larger(u->largest[k], magnitude_of(after));
        }
    }
}

/* The sums of four rows, whose lanes are not added up. */
typedef struct {
    vec product[4], magnitude[4], largest[4];
} Sums;

/* Updates as many whole rows at a time, one part of their lanes after the other; their sums follow from `place` on. */
INLINE void update_some(const int tail, const Done done, const Layer *layer, const int32_t *input, const float *value,
                        float rate, vec limit, Sums *sums, const int place)
{
    const Rows rows = rows_of(layer, 0), starts = starts_of(layer, 0);
    const int length = layer->body_length;
    Row row[4], start[4];
    EACH_ROW(k, done)
    {
        row[k] = row_of(rows, input[k]);
        if (done.pulls)
            start[k] = row_of(starts, input[k]);
    }
    EACH_PART(i)
    {
        const float *error = layer->error + i * PART;
        Update u = {0};
        if (done.pulls)
            u.pull = (floats)PART_OF(layer->due_after[1]);
        if (done.clips)
            u.limit = limit.part[i];
        EACH_ROW(k, done)
        {
            u.row[k] = row[k].body + i * PART;
            u.change[k] = (floats)PART_OF(rate * value[k]);
            if (done.pulls)
                u.start[k] = start[k].body + i * PART;
        }
        for (int column = 0; column < length; column += LANES)
            update(&u, PART, column, error + column, done);
        if (i * PART < tail) {
            EACH_ROW(k, done)
            {
                u.row[k] = row[k].tail + i * PART;
                if (done.pulls)
                    u.start[k] = start[k].tail + i * PART;
            }
            update(&u, tail < PART ? tail : PART, 0, error + length, done);
        }
        EACH_ROW(k, done)
        {
            sums->product[place + k].part[i] = u.product[k];
            sums->magnitude[place + k].part[i] = u.magnitude[k];
            if (done.notes)
                sums->largest[place + k].part[i] = u.largest[k];
        }
    }
}

INLINE void update_four(const int tail, const Done done, const Layer *layer, const Four *four, float rate, vec limit,
                        Sums *sums)
{
    UNROLL for (int k = 0; k < 4; k += AT_A_TIME(done))
        update_some(tail, done, layer, four->input + k, four->value + k, rate, limit, sums, k);
}

/* The layer of a batch's first example, which counts for all of them. */
INLINE Layer *of_first_example(const Learner *net, const Layer *layer)
{
    return net->layer + (layer - net->layer) % (net->depth + 1);
}

/* Notes those of four rows that exceed the limit of their weights. */
INLINE void exceed(Layer *first, const Four *four, const Sums *sums, vec limit)
{
    vec largest = sums->largest[0];
    UNROLL for (int k = 1; k < 4; k++)
        EACH_PART(i) largest.part[i] = larger(largest.part[i], sums->largest[k].part[i]);
    if (!set_lanes(less(limit, largest)))
        return;
    for (int k = 0; k < 4; k++)
        if (set_lanes(less(limit, sums->largest[k])) && four->input[k] < first->inputs &&
            !first->is_exceeding[four->input[k]]) {
            first->is_exceeding[four->input[k]] = 1;
            first->exceeding[first->exceeded++] = four->input[k];
        }
}

/* Takes the rows in the opposite order to `sum_rows`: those read last are still in the nearest cache. */
SPECIALISED void update_rows(const int tail, const Done done, const Learner *net, Layer *layer, float rate,
                             float *sent)
{
    float sum[LANES] __attribute__((aligned(64)));
    const vec limit = all(done.clips || done.notes ? layer->limit / (float)fabs(net->scale) : 0);
    Layer *of_first = done.notes ? of_first_example(net, layer) : layer;
    for (int first = (layer->used - 1) & ~3; first >= 0; first -= 4) {
        const Four four = four_from(layer, first);
        Sums s;
        update_four(tail, done, layer, &four, rate, limit, &s);
        if (done.notes)
            exceed(of_first, &four, &s, limit);
        store(sum, sums(done.sends ? s.product : s.magnitude, done.moves ? s.magnitude : s.product));
        UNROLL for (int k = 0; k < 4; k++)
        {
            if (done.sends)
                sent[four.input[k]] = sum[4 * k];
            if (done.moves)
                layer->row_magnitude[four.input[k]] = sum[4 * k + 1];
            if (done.pulls)
                layer->seen[four.input[k]] = net->clock;
        }
    }
}

#define UPDATE_ROWS(net, layer, rate, sent, ...)                                               \
    switch (layer->tail_length) {                                                              \
        case 0: update_rows(0, (Done){__VA_ARGS__}, net, layer, rate, sent); break;            \
        case 4: update_rows(4, (Done){__VA_ARGS__}, net, layer, rate, sent); break;            \
        case 8: update_rows(8, (Done){__VA_ARGS__}, net, layer, rate, sent); break;            \
    }

/* Moves the rows in use by rate · value · error and updates their Σ|w|. If `sent` is not null, it receives the
 * products error · row, of the rows as they were before, at the places of their inputs. */
static void descend(const Learner *net, Layer *layer, float rate, float *sent)
{
#define DESCEND(...)                                                             \
    {                                                                            \
        if (sent)                                                                \
            UPDATE_ROWS(net, layer, rate, sent, .moves = 1, .sends = 1, __VA_ARGS__) \
        else                                                                     \
            UPDATE_ROWS(net, layer, rate, NULL, .moves = 1, __VA_ARGS__)         \
    }
    if (net->pulls && net->batch == 1) /* else each row once, before any example moves it */
        DESCEND(.pulls = 1)
    else if (layer->is_clipped_as_it_moves && !net->perturbs)
        UPDATE_ROWS(net, layer, rate, NULL, .moves = 1, .clips = 1)
    else if (layer->limit > 0)
        DESCEND(.notes = 1)
    else
        DESCEND(.notes = 0)
#undef DESCEND
}

/* Only sends back the products error · row of the rows in use. */
static void send_back(const Learner *net, Layer *layer, float *sent)
{
    UPDATE_ROWS(net, layer, 0, sent, .sends = 1)
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

/* These functions for n vectors, the last of which has `tail` lanes that are kept apart, and tables of them. */
#define CHAINS(n) (n <= 2 ? 4 : n <= 5 ? 2 : 1)
#define DEFINE_FOR(n, tail)                                                                            \
    static void sum_rows_##n##_##tail(const Layer *layer, Rows rows, int column, float *sum)           \
    {                                                                                                  \
        if (layer->stride == n * LANES)                                                                \
            sum_rows(n, tail, CHAINS(n), layer, rows, column, sum);                                    \
        else                                                                                           \
            sum_rows(n, tail, 1, layer, rows, column, sum);                                            \
    }                                                                                                  \
    static void sum_magnitudes_##n##_##tail(const Layer *layer, int column, float *sum)                \
    {                                                                                                  \
        sum_magnitudes(n, tail, layer, column, sum);                                                   \
    }
#define DEFINE(n) DEFINE_FOR(n, 0) DEFINE_FOR(n, 4) DEFINE_FOR(n, 8)
#define EACH_TAIL(name, n) {name##_##n##_0, name##_##n##_4, name##_##n##_8},
#define SUM_ROWS(n) EACH_TAIL(sum_rows, n)
#define SUM_MAGNITUDES(n) EACH_TAIL(sum_magnitudes, n)

EACH_WIDTH(DEFINE)
typedef void Sum(const Layer *, int, float *);
typedef void SumInUse(const Layer *, Rows, int, float *);
static SumInUse *const SUM_ROWS_OF[][3] = {EACH_WIDTH(SUM_ROWS)};
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
    EACH_PIECE(column, layer) OF_PIECE(SUM_ROWS_OF, layer, column)(layer, rows_of(layer, column), column, received);
}

/* What they would receive through the initial weights. */
static void receive_at_start(const Layer *layer, float *received)
{
    EACH_PIECE(column, layer) OF_PIECE(SUM_ROWS_OF, layer, column)(layer, starts_of(layer, column), column, received);
}

/* Σ|w_in| of each unit of a layer: [stride]. */
static void incoming_magnitude(const Layer *layer, float *magnitude)
{
    EACH_PIECE(column, layer) OF_PIECE(SUM_MAGNITUDES_OF, layer, column)(layer, column, magnitude);
}

/* Σ|w| of every row, summed in the same order as by `descend`. */
static void measure_rows(Layer *layer)
{
    for (int input = 0; input < layer->inputs; input++) {
        const Row row = row_of(rows_of(layer, 0), input);
        vec magnitude = all(0);
        for (int i = 0; i < layer->body_length; i += LANES)
            magnitude = add(magnitude, absolute(load(row.body + i)));
        if (layer->tail_length)
            magnitude = add(magnitude, absolute(load_first(layer->tail_length, row.tail)));
        layer->row_magnitude[input] = sum(magnitude);
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
