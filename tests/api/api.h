// api.h: what the API tests share: cmocka, patterns in blocks, memory use, children.
//
// Nothing here allocates, so that what a test measures is its own.
#ifndef TESTS_API_H
#define TESTS_API_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hakmem.h"

#include "../under.h"

// Sanitizers keep memory and address space of their own: limits and measurements mean nothing then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(HAK_VALGRIND)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// Whether the kernel's limits and counts of memory are those of the program alone.
static inline bool is_measurable(void)
{
    return !SANITIZED && !under_a_tool();
}

// What of the hardened flavour a well-behaved program can see: bits of src/config.h. Frees of what
// is not ours are only counted, but for it and for Valgrind, which reports them.
#if defined(HAK_VALGRIND)
#define FOREIGN_FREES_COUNT 0
#else
#define FOREIGN_FREES_COUNT ((HAK_MITIGATIONS & 2) == 0)
#endif
#define CANARY ((HAK_MITIGATIONS & 8) != 0 ? (size_t)8 : (size_t)0)
#define GUARDS ((HAK_MITIGATIONS & 64) != 0)

// Children end by pthread_exit or _exit with cmocka's memory still allocated.
const char *__asan_default_options(void);
__attribute__((weak, visibility("default"))) const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

// One size in each tier and on both sides of each border, in either geometry.
static const size_t tier_sizes[] = {
    1,          8,           16,         17,           64,       128,          129,      1000,
    1024,       1025,        4096,       8000,         KIB(16),  KIB(16) + 1,  KIB(32),  KIB(33),
    KIB(64),    KIB(64) + 1, KIB(100),   KIB(128) + 1, KIB(256), KIB(256) + 1, KIB(700), MIB(1),
    MIB(1) + 1, MIB(2),      MIB(2) + 1, MIB(5),       MIB(9),
};

// Hides a value from the compiler: neither folded, nor warned about, nor optimised away.
static inline size_t opaque(size_t n)
{
    __asm__ volatile("" : "+r"(n) : : "memory");
    return n;
}

static inline void *opaque_pointer(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

// A small generator of pseudo-random numbers (xorshift64*), the same in each run.
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1d;
}

static inline unsigned char pattern_byte(size_t i, unsigned seed)
{
    return (unsigned char)(i * 31 + (i >> 8) * 7 + seed * 131 + 1);
}

static inline void pattern_fill(void *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = pattern_byte(i, seed);
}

// Index of the first byte that is not the pattern's, n if all are.
static inline size_t pattern_mismatch(const void *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)p)[i] != pattern_byte(i, seed))
            return i;
    return n;
}

// By words: where a tool takes the place of memcmp it goes by bytes.
static inline bool is_zero(const void *p, size_t n)
{
    const unsigned char *bytes = p;
    uint64_t seen = 0, word;
    size_t i = 0;
    for (; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        seen |= word;
    }
    for (; i < n; i++)
        seen |= bytes[i];
    return seen == 0;
}

static inline bool is_aligned(const void *p, size_t align)
{
    return (uintptr_t)p % align == 0;
}

// Resident bytes of the process.
static inline size_t resident_bytes(void)
{
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    unsigned long total = 0, resident = 0;
    if (length <= 0 || sscanf(text, "%lu %lu", &total, &resident) != 2)
        fail_msg("/proc/self/statm cannot be read");
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

// Runs f in a forked child; returns the status of waitpid. The child has 60 seconds.
static inline int run_child(void (*f)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(patience(60));
        f();
        _exit(0);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        fail_msg("fork or waitpid: %s", strerror(errno));
    return status;
}

// In a child: ends it with a message, unless the condition holds.
#define CHILD_CHECK(condition)                                                                \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            dprintf(2, "%s:%d: not true in the child: %s\n", __FILE__, __LINE__, #condition); \
            _exit(99);                                                                        \
        }                                                                                     \
    } while (0)

static inline void assert_exited_0(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("child: %s %d", WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

#endif
