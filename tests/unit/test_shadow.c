// test_shadow.c: the oracle finds what is planted, and finds nothing where nothing is.
//
// An allocator on top of the C library, with one planted bug at a time, runs programs of the
// operation language under the shadow map. Each bug must be reported in the words that belong to
// it, and the same program must pass without the bug.
#define _GNU_SOURCE 1
#include "support.h"

#include <stdio.h>

#include "../../fuzz/exec.h"
#include "broken_allocator.h"

// ---- running programs ----

static jmp_buf failed;
static char failure[400];

static void note_failure(struct exec *exec, const struct op *op, const char *reason)
{
    (void)exec, (void)op;
    snprintf(failure, sizeof failure, "%s", reason);
    longjmp(failed, 1);
}

// Returns what the oracle said, "" for nothing.
static const char *run(enum bug planted, const char *text)
{
    static struct exec exec;
    static struct ops program;
    struct ops_error error;
    assert_true(ops_parse(&program, text, strlen(text), &error));
    bug = NO_BUG;
    last = before_last = NULL;
    live = live_bytes = 0;
    failure[0] = 0;
    assert_true(exec_init(&exec, &fake, program.slots));
    exec.fail = note_failure;
    exec.alone = true;
    exec.shadow.use_all = false;
    bug = planted;
    if (setjmp(failed) == 0) {
        for (size_t i = 0; i < program.count; i++)
            exec_op(&exec, &program.list[i]);
        exec_finish(&exec);
    }
    bug = NO_BUG;
    exec_free(&exec);
    ops_free(&program);
    for (unsigned i = 0; i < 64; i++) {
        free(owned[i]);
        owned[i] = NULL;
    }
    return failure;
}

static const struct planted {
    enum bug bug;
    const char *program;
    const char *report;
} planted[] = {
    { OVERLAP, "t0 s0 = malloc 64\nt0 s1 = malloc 100\n", "overlaps live block" },
    { SAME_BLOCK_TWICE, "t0 s0 = malloc 64\nt0 s1 = malloc 100\n", "overlaps live block" },
    { SAME_BLOCK_TWICE, "t0 s0 = malloc 0\nt0 s1 = malloc 100\n", "overlaps live block" },
    { NOT_ZEROED, "t0 s0 = calloc 7 9\n", "byte 62 is 0x01, not 0" },
    { LATE_BYTE_NOT_ZEROED, "t0 s0 = calloc 1 1000000\n", "byte 5000 is 0x01, not 0" },
    { SMALL_USABLE, "t0 s0 = malloc 48\n", "is less than the 48 bytes" },
    { USABLE_CHANGES, "t0 s0 = malloc 48\nt0 usable_size s0\nt0 usable_size s0\n", "became" },
    { MISALIGNED, "t0 s0 = malloc 100\n", "not aligned to 16" },
    { ALIGNED_TO_LESS, "t0 s0 = aligned_alloc 256 10\n", "not aligned to 256" },
    { ALIGNED_TO_LESS, "t0 s0 = memalign 200 10\n", "not aligned to 256" },
    { ALIGNED_TO_LESS, "t0 s0 = posix_memalign 64 10\n", "not aligned to 64" },
    { ALIGNED_TO_LESS, "t0 s0 = valloc 10\n", "not aligned to 4096" },
    { ALIGNED_TO_LESS, "t0 s0 = pvalloc 10\n", "not aligned to 4096" },
    { REALLOC_LOSES_END, "t0 s0 = malloc 24\nt0 realloc s0 5000\n", "by realloc: byte 23" },
    { REALLOC_LOSES_END, "t0 s0 = malloc 40\nt0 realloc s0 21\n", "by realloc: byte 20" },
    { REALLOC_LOSES_START, "t0 s0 = malloc 1\nt0 reallocarray s0 3 3\n", "by realloc: byte 0" },
    { REALLOC_LOSES_PAGE, "t0 s0 = malloc 3000000\nt0 realloc s0 4000000\n", "by realloc" },
    { FAILED_REALLOC_WRITES, "t0 s0 = malloc 9\nt0 realloc s0 0x8000000000000000\n",
      "by a failed realloc: byte 0" },
    { FAILED_REALLOC_ERRNO, "t0 s0 = malloc 9\nt0 realloc s0 0x8000000000000000\n",
      "instead of 12" },
    { SCRIBBLES, "t0 s0 = malloc 13\nt0 s1 = malloc 100\nt0 free s0\n", "live: byte 12" },
    { SCRIBBLES, "t0 s0 = malloc 13\nt0 s1 = malloc 100\nt0 touch s0 4\n", "live: byte 12" },
    { SCRIBBLES, "t0 s0 = malloc 13\nt0 s1 = malloc 100\n", "live: byte 12" },
    { FREE_SCRIBBLES, "t0 s0 = malloc 13\nt0 s1 = malloc 14\nt0 free s1\n", "live: byte 0" },
    { FREE_SETS_ERRNO, "t0 s0 = malloc 13\nt0 free s0\n", "free changed errno to 2" },
    { FREE_SETS_ERRNO, "t0 s0 = malloc 13\nt0 free_sized s0\n", "free changed errno to 2" },
    { FREE_SETS_ERRNO, "t0 s0 = memalign 64 1\nt0 free_aligned_sized s0\n", "free changed errno" },
    { NULL_FOR_NOTHING, "t0 s0 = malloc 100\n", "NULL for 100 bytes" },
    { BLOCK_FOR_TOO_MUCH, "t0 s0 = malloc 0x8000000000000000\n", "where it must fail" },
    { PRODUCT_OVERFLOWS, "t0 s0 = calloc 0x100000001 0x100000000\n", "where it must fail" },
    { WRONG_ERRNO, "t0 s0 = malloc 0xffffffffffffffff\n", "error 22 instead of 12" },
    { MEMALIGN_SETS_ERRNO, "t0 s0 = posix_memalign 64 0x8000000000000000\n", "set errno to 12" },
    { BAD_ALIGN_SERVED, "t0 s0 = aligned_alloc 48 10\n", "where it must fail" },
    { LOSES_A_FREE, "t0 s0 = malloc 13\nt0 free s0\nt0 audit\n", "has 1 live blocks" },
    { AUDIT_FAILS, "t0 audit\n", "audit: 1 errors: planted" },
    { CONSERVATION, "t0 s0 = malloc 3\nt0 audit\n", "1 blocks are not live, cached, free" },
    { OUTSIDE, "t0 s0 = malloc 100\n", "not in the arena" },
    { OUTSIDE, "t0 s0 = malloc 9\nt0 realloc s0 100\n", "not in the arena" },
    { CLASS_COUNTS, "t0 stats\n", "class 0 has 4 live and 2 cached blocks of 5" },
};

static void test_planted_bugs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        const struct planted *p = &planted[i];
        assert_string_equal(run(NO_BUG, p->program), "");
        if (!strstr(run(p->bug, p->program), p->report))
            fail_msg("program %zu: said '%s', not '%s'", i, failure, p->report);
    }
}

static void test_legal_failures(void **state)
{
    (void)state;
    static const char *const programs[] = {
        "t0 s0 = aligned_alloc 0 10\nt0 s0 = posix_memalign 4 10\nt0 s0 = posix_memalign 24 10\n",
        "t0 s0 = malloc 0xffffffffffffffff\nt0 s0 = malloc 5\nt0 realloc s0 0\nt0 realloc s0 0\n",
        "t0 s0 = calloc 0x8000000000000000 2\nt0 reallocarray s0 0x8000000000000000 2\n",
        "t0 s0 = aligned_alloc 0x8000000000000000 1\nt0 s0 = pvalloc 0x7fffffffffffffff\n",
        "t0 free s0\nt0 usable_size s0\nt0 touch s0 1\nt0 s0 = malloc 3\nt0 s0 = malloc 4\n",
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        assert_string_equal(run(NO_BUG, programs[i]), "");
}

// ---- the map alone ----

enum { MANY = 2000, STRIDE = 64 };

static void test_map_against_array(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[MANY * STRIDE];
    static struct shadow_block blocks[MANY];
    struct shadow shadow = { .map = true };
    uint64_t random = 1, entered = 0;
    for (unsigned step = 0; step < 20000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned i = (unsigned)(random >> 33) % MANY;
        struct shadow_block *b = &blocks[i];
        struct shadow_request request = { .asked = 1 + random % STRIDE,
                                          .align = 16,
                                          .pattern = random };
        if (!b->start) {
            assert_true(shadow_take(&shadow, b, memory + i * STRIDE, request.asked, &request));
            entered++;
        } else {
            struct shadow_block *next = i + 1 < MANY && blocks[i + 1].start ? b + 1 : NULL;
            unsigned char *end = b->start + b->usable;
            assert_ptr_equal(shadow_find(&shadow, end - 1, 1), b);
            assert_ptr_equal(shadow_find(&shadow, end, 1), b->usable == STRIDE ? next : NULL);
            assert_ptr_equal(shadow_find(&shadow, end - 1, STRIDE - b->usable + 2),
                             next ? next : b);
            assert_true(shadow_give(&shadow, b));
            b->start = NULL;
            entered--;
        }
        assert_int_equal(shadow.live, entered);
        if (step % 1000 == 0)
            assert_true(shadow_check_all(&shadow));
    }
    assert_true(shadow_check_all(&shadow));
}

// Every way in which two intervals can lie to each other.
static void test_overlaps(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[256];
    for (unsigned start = 0; start < 192; start += 16)
        for (unsigned length = 0; length <= 64; length++) {
            struct shadow shadow = { .map = true };
            struct shadow_block fixed, other;
            struct shadow_request request = { .asked = 40, .align = 16 };
            assert_true(shadow_take(&shadow, &fixed, memory + 96, 40, &request));
            request.asked = length;
            unsigned end = start + (length ? length : 1);
            assert_int_equal(shadow_take(&shadow, &other, memory + start, length, &request),
                             end <= 96 || start >= 96 + 40);
        }
}

// A change of any byte of a whole-checked block is seen; of a longer one, of any page.
static void test_contents(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[3 << 20];
    struct shadow shadow = { .map = true };
    struct shadow_block block;
    struct shadow_request request = { .asked = 1003, .align = 16, .pattern = 7 };
    assert_true(shadow_take(&shadow, &block, memory, 1003, &request));
    for (unsigned i = 0; i < 1003; i++) {
        memory[i] ^= 0x80;
        assert_false(shadow_check(&shadow, &block));
        memory[i] ^= 0x80;
        assert_true(shadow_check(&shadow, &block));
    }
    assert_true(shadow_give(&shadow, &block));
    request.asked = sizeof memory - 5;
    assert_true(shadow_take(&shadow, &block, memory, request.asked, &request));
    for (size_t page = 0; page + 4096 <= request.asked; page += 4096) {
        unsigned char saved[4096];
        memcpy(saved, memory + page, 4096);
        memset(memory + page, 0, 4096);
        assert_false(shadow_check(&shadow, &block));
        memcpy(memory + page, saved, 4096);
    }
    assert_true(shadow_check(&shadow, &block));
    memory[request.asked - 1] ^= 1;
    assert_false(shadow_check(&shadow, &block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted_bugs),      cmocka_unit_test(test_legal_failures),
        cmocka_unit_test(test_map_against_array), cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
