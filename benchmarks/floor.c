/* A plain stream over weights in cache, as a training step goes over those that it needs: once to read them,
 * for the forward pass, and once more to read, change and write them. */
float stream(float *weight, long count, long piece, long pieces)
{
    float total = 0;
    for (long done = 0, start = 0; done < pieces; done++, start += piece) {
        if (start + piece > count)
            start = 0;
        float *w = weight + start;
        for (long i = 0; i < piece; i++)
            total += w[i];
        for (long i = 0; i < piece; i++)
            w[i] = w[i] * 0.999f + 1e-6f;
    }
    return total;
}
