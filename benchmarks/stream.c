/* What a step does to its weights at the least, with nothing in between: read them, then read and write them. */
typedef float floats __attribute__((vector_size(64)));

/* `blocks` times 512 bytes, from an address that is a multiple of 64. */
float stream(float *weights, long blocks, float factor)
{
    floats *x = (floats *)weights, total[8] = {{0}};
    for (long i = 0; i < 8 * blocks; i += 8)
        for (int k = 0; k < 8; k++)
            total[k] += x[i + k];
    for (long i = 0; i < 8 * blocks; i++)
        x[i] *= factor;
    for (int k = 1; k < 8; k++)
        total[0] += total[k];
    return total[0][0];
}
