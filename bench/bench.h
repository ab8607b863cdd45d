// bench.h: what every benchmark program shares: options, clocks, block contents, the report.
//
// A program does a fixed amount of work with plain malloc and free, so that any allocator can be
// preloaded, times are comparable and instruction counts mean something. It prints one line of
// JSON. What a program needs for itself comes from bench_pages, never from the allocator measured.
//
// The checksum is made of what is read back from blocks, never of addresses: it is the same for
// every allocator that keeps blocks apart, whatever the order in which threads run.
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// One numeric option: --name=N, where N may end in k or m (times 1024, 1024 squared).
struct bench_option {
    const char *name;
    uint64_t *value; // holds the default
    uint64_t min, max;
    const char *help;
};

// Reads `count` options plus --require=PATH and --help; exits with 2 and a reason on bad input.
// With --require, exits with 3 unless `malloc` of this process lies in the library of that path.
void bench_options(int argc, char **argv, const struct bench_option *options, size_t count);

struct bench_run {
    uint64_t wall_ns, cpu_ns;
};

void bench_begin(struct bench_run *run);
void bench_end(struct bench_run *run);
// Prints {"name","ops","seconds","cpu","rss_kb","checksum"}; rss_kb is the peak of the process.
void bench_report(const struct bench_run *run, const char *name, uint64_t ops, uint64_t checksum);

// A field of /proc/self/status in kB, such as "VmHWM:".
uint64_t bench_status_kb(const char *field);

// Zeroed memory from the system; ends the program when there is none.
void *bench_pages(size_t bytes);
// Prints the reason and exits with 1.
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);

// Runs body(arg + i * arg_bytes) in `count` threads and waits for all of them.
void bench_threads(unsigned count, void *(*body)(void *), void *args, size_t arg_bytes);

// A function of its own symbol: the instruction counter collects inside of it only.
#define BENCH_COUNTED __attribute__((noinline))

// xorshift64*: good enough to spread sizes and slots, and cheap beside a malloc.
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

// A state for stream number i that is never 0.
static inline uint64_t bench_seed(uint64_t seed, uint64_t i)
{
    return (seed + i) * 0x9E3779B97F4A7C15ULL | 1;
}

// Maps 32 random bits to 0 .. n-1.
static inline uint64_t bench_below(uint32_t random, uint64_t n)
{
    return (random * n) >> 32;
}

#define BENCH_PAGE 4096u

// Touches a block of n >= 1 bytes: its start, one word in each page, and its end.
static inline void bench_fill(void *block, size_t n, uint64_t stamp)
{
    char *p = block;
    if (n < sizeof stamp) {
        memset(p, (int)(stamp & 0xff), n);
        return;
    }
    for (size_t i = 0; i + sizeof stamp <= n; i += BENCH_PAGE)
        memcpy(p + i, &stamp, sizeof stamp);
    memcpy(p + n - sizeof stamp, &stamp, sizeof stamp);
}

// Frees a block of n bytes: C23's free_sized where the allocator has it, else free.
extern void (*bench_free_sized)(void *block, size_t n);

// What bench_fill left at both ends, mixed; differs if either was overwritten.
static inline uint64_t bench_read(const void *block, size_t n)
{
    const char *p = block;
    uint64_t first = 0, last = 0;
    if (n < sizeof first)
        return (uint64_t)(unsigned char)p[0] * 3 + (unsigned char)p[n - 1];
    memcpy(&first, p, sizeof first);
    memcpy(&last, p + n - sizeof last, sizeof last);
    return first * 3 + last;
}

#endif
