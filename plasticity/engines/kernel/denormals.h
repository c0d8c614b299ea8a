/* Denormal numbers count as 0 while a task is learnt: the running means of a dead unit decay into them, and
 * each operation on one costs as much as a hundred others. */
#ifndef DENORMALS_H
#define DENORMALS_H

#if defined __x86_64__
#include <xmmintrin.h>

static unsigned int flush_denormals(void)
{
    const unsigned int mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zero */
    return mode;
}

static void restore_denormals(unsigned int mode)
{
    _mm_setcsr(mode);
}

#elif defined __aarch64__
#include <stdint.h>

static unsigned int flush_denormals(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | 1 << 24));
    return (unsigned int)mode;
}

static void restore_denormals(unsigned int mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode));
}

#else

static unsigned int flush_denormals(void)
{
    return 0;
}

static void restore_denormals(unsigned int mode)
{
    (void)mode;
}

#endif
#endif
