// growth.c: buffers that grow by realloc, as strings and vectors do: several at a time, each in
// steps of a fixed number of bytes or by half of its size, from 16 bytes to --max and again.
#include "bench.h"

#include <stdlib.h>

#define BUFFERS_MAX 4096u

static uint64_t buffers = 16, max_bytes = 1 << 20, append = 64, half, rounds = 10;

static const struct bench_option options[] = {
    { "buffers", &buffers, 1, BUFFERS_MAX, "that grow in turn" },
    { "max", &max_bytes, 32, 1 << 30, "size at which a buffer is freed" },
    { "append", &append, 8, 1 << 20, "bytes by which a buffer grows" },
    { "half", &half, 0, 1, "1: grow by half of the size instead" },
    { "rounds", &rounds, 1, 1000000, "growths of every buffer from 16 bytes to the end" },
};

struct buffer {
    char *start;
    size_t bytes;
};

// Writes what is new, so that each byte of a buffer is written once and each page is touched.
static void grow(struct buffer *buffer, size_t bytes)
{
    char *moved = realloc(buffer->start, bytes);
    if (!moved)
        bench_die("realloc to %zu bytes failed", bytes);
    memset(moved + buffer->bytes, (int)(bytes & 0x7f), bytes - buffer->bytes);
    buffer->start = moved;
    buffer->bytes = bytes;
}

static uint64_t drop(struct buffer *buffer)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < buffer->bytes; i += 61)
        sum = sum * 31 + (unsigned char)buffer->start[i];
    free(buffer->start);
    *buffer = (struct buffer){ 0 };
    return sum;
}

int main(int argc, char **argv)
{
    bench_options(argc, argv, options, sizeof options / sizeof options[0]);
    struct buffer *set = bench_pages(buffers * sizeof *set);
    uint64_t sum = 0, ops = 0;
    struct bench_run run;
    bench_begin(&run);
    for (uint64_t round = 0; round < rounds; round++) {
        for (size_t bytes = 16; bytes <= max_bytes; bytes += half ? bytes / 2 : append) {
            for (uint64_t i = 0; i < buffers; i++)
                grow(&set[i], bytes);
            ops += buffers;
        }
        for (uint64_t i = 0; i < buffers; i++)
            sum += drop(&set[i]);
    }
    bench_end(&run);
    bench_report(&run, half ? "growth by half" : "growth by append", ops, sum);
}
