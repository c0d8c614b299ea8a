/* Plain passes over weights in cache, like those of a training step over the weights that it needs: one that reads
 * them, for the forward pass, and one that reads, changes and writes them. Each takes `piece` weights at a time.
 *
 * Sums are kept in many lanes, so that memory is measured and not the latency of an addition. */
enum { LANES = 128 };

float read_stream(const float *weights, long count, long piece, long pieces)
{
    float sums[LANES] = {0};
    for (long done = 0, start = 0; done < pieces; done++, start += piece) {
        if (start + piece > count)
            start = 0;
        const float *w = weights + start;
        for (long i = 0; i + LANES <= piece; i += LANES)
            for (long lane = 0; lane < LANES; lane++)
                sums[lane] += w[i + lane];
    }
    float total = 0;
    for (long lane = 0; lane < LANES; lane++)
        total += sums[lane];
    return total;
}

float change_stream(float *weights, long count, long piece, long pieces)
{
    for (long done = 0, start = 0; done < pieces; done++, start += piece) {
        if (start + piece > count)
            start = 0;
        float *w = weights + start;
        for (long i = 0; i + LANES <= piece; i += LANES)
            for (long lane = 0; lane < LANES; lane++)
                w[i + lane] = w[i + lane] * 0.999f + 1e-6f;
    }
    return weights[0];
}
