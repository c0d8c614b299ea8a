/* Rows of numbers that lie in given places, as columns one after the other: column[j][i] = row[place[i]][j]; and back.
 * Four rows and four columns at a time. */
#ifndef TRANSPOSE_H
#define TRANSPOSE_H

#include "sums.h"

typedef float quarter __attribute__((vector_size(16), aligned(4)));

typedef struct {
    int64_t length; /* from one row to the next */
    const int32_t *place;
    int64_t rows, columns;
} Matrix;

INLINE void transpose(quarter m[4])
{
    const quarter a = SHUFFLE(m[0], m[1], 0, 4, 1, 5), b = SHUFFLE(m[2], m[3], 0, 4, 1, 5);
    const quarter c = SHUFFLE(m[0], m[1], 2, 6, 3, 7), d = SHUFFLE(m[2], m[3], 2, 6, 3, 7);
    m[0] = SHUFFLE(a, b, 0, 1, 4, 5), m[1] = SHUFFLE(a, b, 2, 3, 6, 7);
    m[2] = SHUFFLE(c, d, 0, 1, 4, 5), m[3] = SHUFFLE(c, d, 2, 3, 6, 7);
}

/* Moves rows one by one, from a column on. */
INLINE void move_rest(const Matrix *m, float *row, float *column, int64_t i, int64_t end, int64_t first, const int back)
{
    for (; i < end; i++)
        for (int64_t j = first; j < m->columns; j++) {
            float *in_row = row + m->place[i] * m->length + j, *in_column = column + j * m->rows + i;
            if (back)
                *in_row = *in_column;
            else
                *in_column = *in_row;
        }
}

INLINE void move(const Matrix *m, float *row, float *column, const int back)
{
    int64_t i = 0;
    for (; i + 4 <= m->rows; i += 4) {
        int64_t j = 0;
        for (; j + 4 <= m->columns; j += 4) {
            quarter *place[2][4], four[4];
            UNROLL for (int k = 0; k < 4; k++)
            {
                place[back][k] = (quarter *)(row + m->place[i + k] * m->length + j);
                place[!back][k] = (quarter *)(column + (j + k) * m->rows + i);
            }
            UNROLL for (int k = 0; k < 4; k++) four[k] = *place[0][k];
            transpose(four);
            UNROLL for (int k = 0; k < 4; k++) *place[1][k] = four[k];
        }
        move_rest(m, row, column, i, i + 4, j, back);
    }
    move_rest(m, row, column, i, m->rows, 0, back);
}

#endif
