// canary.c: an allocator that is wrong on purpose, one fault at a time: the loads must find it.
//
// The program OUT/stress/canary is OUT/stress/stress with these functions in front of the public
// ones (--wrap). $CANARY names the fault; scripts/stress canary runs each, and expects the load's
// own message. So a check that cannot fail is seen, and so is a load that checks nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

enum fault {
    NONE,
    TWICE,
    LOST,
    STALE,
    TORN,
    NULL_ONCE,
    MISALIGNED,
    HANG,
    GROWTH,
    KEPT,
    UNORDERED,
    COUNTED,
};

static const struct {
    const char *name;
    enum fault fault;
} faults[] = {
    { "twice", TWICE },    // one block is handed out to two owners
    { "lost", LOST },      // some frees do nothing
    { "stale", STALE },    // a byte of a calloc is not zero
    { "torn", TORN },      // realloc loses a word
    { "null", NULL_ONCE }, // NULL without ENOMEM
    { "misaligned", MISALIGNED },
    { "hang", HANG },           // a call does not come back
    { "growth", GROWTH },       // memory is taken and never given back
    { "kept", KEPT },           // what is free does not go back to the system
    { "unordered", UNORDERED }, // a block goes from thread to thread without an order
    { "counted", COUNTED },     // nothing is wrong, if the watchdog knows of each block in time
};

static enum fault fault;
static _Atomic uint64_t calls;
static _Atomic(void *) passed; // TWICE, UNORDERED: on its way to another thread

void *__real_hak_malloc(size_t n);
void *__real_hak_calloc(size_t count, size_t size);
void *__real_hak_realloc(void *p, size_t n);
void __real_hak_free(void *p);
void *__wrap_hak_malloc(size_t n);
void *__wrap_hak_calloc(size_t count, size_t size);
void *__wrap_hak_realloc(void *p, size_t n);
void __wrap_hak_free(void *p);

__attribute__((constructor)) static void choose(void)
{
    const char *name = getenv("CANARY");

    for (size_t i = 0; name != NULL && i < sizeof faults / sizeof faults[0]; i++) {
        if (strcmp(faults[i].name, name) == 0)
            fault = faults[i].fault;
    }
    if (fault == KEPT)
        setenv("HAKMEM_OPTIONS", "purge_delay_ms=3600000", 1);
    if (fault == NONE) {
        static const char text[] = "canary: CANARY names no fault\n";

        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            _exit(3);
        _exit(2);
    }
}

// Whether it is this call's turn to be wrong.
static bool turn(uint64_t one_in)
{
    return atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % one_in == one_in - 1;
}

static void take_and_keep(void)
{
    size_t bytes = (size_t)1 << 20;
    void *p = __real_hak_malloc(bytes);

    if (p != NULL)
        memset(p, 1, bytes);
}

// A block that `passed` holds, if it is large enough for n bytes.
static void *passed_block(size_t n)
{
    void *p = atomic_exchange_explicit(&passed, NULL, memory_order_relaxed);

    if (p == NULL || hak_malloc_usable_size(p) >= n)
        return p;
    if (fault == UNORDERED)
        __real_hak_free(p);
    return NULL;
}

void *__wrap_hak_malloc(size_t n)
{
    void *p = NULL;

    if (fault == TWICE || fault == UNORDERED)
        p = passed_block(n);
    if (fault == NULL_ONCE && turn(10000)) {
        errno = 0;
        return NULL;
    }
    if (fault == HANG && turn(10000)) {
        for (;;)
            pause();
    }
    if (fault == GROWTH && turn(1000))
        take_and_keep();
    if (p == NULL)
        p = __real_hak_malloc(n);
    if (fault == COUNTED && watch_live() < (int64_t)n)
        load_fail(NULL, "%zu bytes are not counted as live", n);
    if (fault == MISALIGNED && turn(10000))
        return (char *)p + 8;
    if (fault == TWICE && turn(10000))
        atomic_store_explicit(&passed, p, memory_order_relaxed);
    return p;
}

void *__wrap_hak_calloc(size_t count, size_t size)
{
    unsigned char *p = __real_hak_calloc(count, size);

    if (fault == STALE && p != NULL && count * size > 40 && turn(100))
        p[count * size - 37] = 1;
    return p;
}

void *__wrap_hak_realloc(void *p, size_t n)
{
    unsigned char *q = __real_hak_realloc(p, n);

    if (fault == TORN && q != NULL && n >= 16 && turn(100))
        q[n / 2] ^= 0x10;
    return q;
}

void __wrap_hak_free(void *p)
{
    if (fault == LOST && turn(10000))
        return;
    if (fault == UNORDERED)
        p = atomic_exchange_explicit(&passed, p, memory_order_relaxed);
    __real_hak_free(p);
}
