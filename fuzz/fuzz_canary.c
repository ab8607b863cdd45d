// fuzz_canary.c: fuzz_api over an allocator with a planted bug. It must be found, or the pipeline
// (engine, mutator, oracle, report) is broken and finds nothing elsewhere either.
//
// The bug: a realloc that makes a block of more than 100 bytes at least twice as long loses the
// byte at offset 100. A search needs an allocation and a resize of the same slot that fits it; no
// seed of this target has a resize.
#include "exec.h"
#include "target.h"
#include "world.h"

#include <stdlib.h>

const char target_name[] = "fuzz_canary";

#define DECISIONS_MAX 1024u // an input has no more: it is short
#define SLOTS 256u
#define LOST_OFFSET 100u

static const struct ops_limits limits = { .ops_max = 256,
                                          .slots = SLOTS,
                                          .threads = 1,
                                          .size_max = 1u << 20,
                                          .fail_min = (uint64_t)1 << 47 };
static struct allocator planted;
static struct exec exec;
static struct ops program;

static void *losing_realloc(void *p, size_t n)
{
    size_t before = p ? hak_malloc_usable_size(p) : 0;
    unsigned char *q = hak_realloc(p, n);
    if (q && before > LOST_OFFSET && n / 2 >= before)
        q[LOST_OFFSET] ^= 0x55;
    return q;
}

static void found(struct exec *e, const struct op *op, const char *reason)
{
    (void)e;
    target_found(&program, op, reason);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    world_reset();
    planted = allocator_hakmem;
    planted.realloc = losing_realloc;
    if (!ops_reserve(&program, limits.ops_max, DECISIONS_MAX) || !exec_init(&exec, &planted, SLOTS))
        exit(2);
    exec.fail = found;
    exec.alone = true;
    exec.live_bytes_max = 8u << 20;
    return 0;
}

bool target_print(const uint8_t *data, size_t size, FILE *out)
{
    if (!ops_decode_lenient(&program, data, size, &limits))
        return false;
    ops_print(&program, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ops_decode_lenient(&program, data, size, &limits))
        return -1;
    world_reset();
    exec_reset(&exec, program.header.seed);
    for (size_t i = 0; i < program.count; i++)
        exec_op(&exec, &program.list[i]);
    exec_finish(&exec);
    return 0;
}
