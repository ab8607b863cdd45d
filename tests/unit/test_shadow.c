// test_shadow.c: the oracle finds what is planted, and finds nothing where nothing is.
//
// An allocator on top of the C library, with one planted bug at a time, runs programs of the
// operation language under the shadow map. Each bug must be reported in the words that belong to it,
// and the same program must pass without the bug.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../fuzz/exec.h"

enum bug {
    NO_BUG,
    OVERLAP,          // the next block begins inside of the last one
    SAME_BLOCK_TWICE, // a live block is handed out again
    NOT_ZEROED,
    LATE_BYTE_NOT_ZEROED, // far inside of a long block
    SMALL_USABLE,
    USABLE_CHANGES,
    MISALIGNED,
    ALIGNED_TO_LESS,
    REALLOC_LOSES_END,
    REALLOC_LOSES_START,
    REALLOC_LOSES_PAGE, // inside of a long block
    FAILED_REALLOC_WRITES,
    FAILED_REALLOC_ERRNO,
    SCRIBBLES,      // malloc writes into a live block
    FREE_SCRIBBLES, // free writes into another live block
    FREE_SETS_ERRNO,
    NULL_FOR_NOTHING,
    BLOCK_FOR_TOO_MUCH,
    PRODUCT_OVERFLOWS,
    WRONG_ERRNO,
    MEMALIGN_SETS_ERRNO,
    BAD_ALIGN_SERVED,
    LOSES_A_FREE, // the count of live blocks stays
    AUDIT_FAILS,
    CONSERVATION,
    CLASS_COUNTS,
};

static enum bug bug;
static void *last, *before_last;
static size_t last_bytes, asked;
static uint64_t live, live_bytes, os_failures;

#define TOO_MUCH ((size_t)1 << 40)

// Every block of a run: a run that ends with a failure frees them here.
static void *owned[64];

static void own(void *p, void *instead)
{
    size_t i = 0;
    while (i < 64 && owned[i] != p)
        i++;
    assert_in_range(i, 0, 63);
    owned[i] = instead;
}

static void *record(void *p, size_t n)
{
    if (p)
        own(NULL, p);
    before_last = last;
    last = p;
    last_bytes = n;
    live += p != NULL;
    live_bytes += p ? malloc_usable_size(p) : 0;
    return p;
}

static void *out_of_memory(void)
{
    errno = bug == WRONG_ERRNO ? EINVAL : ENOMEM;
    return NULL;
}

static void *fake_memalign(size_t align, size_t n)
{
    asked = n;
    if (n > TOO_MUCH || align > TOO_MUCH)
        return bug == BLOCK_FOR_TOO_MUCH ? record(malloc(16), 16) : out_of_memory();
    if (bug == NULL_FOR_NOTHING && n == 100)
        return out_of_memory();
    if (bug == SAME_BLOCK_TWICE && n == 100 && last)
        return last;
    if (bug == OVERLAP && n == 100 && last)
        return (char *)last + (last_bytes - 1) / 16 * 16;
    if (bug == SCRIBBLES && n == 100 && last)
        ((char *)last)[last_bytes - 1] ^= 1;
    size_t power = 16;
    while (power < align)
        power *= 2;
    char *p = record(memalign(power, n + 16), n);
    if (bug == MISALIGNED && n == 100)
        return p + 8;
    if (bug == ALIGNED_TO_LESS && align > 16)
        return p + power / 2;
    return p;
}

static void *fake_malloc(size_t n)
{
    return fake_memalign(16, n);
}

static void *fake_calloc(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n) && bug != PRODUCT_OVERFLOWS)
        return out_of_memory();
    char *p = fake_malloc(n);
    if (p)
        memset(p, 0, n);
    if (bug == NOT_ZEROED && n)
        p[n - 1] = 1;
    if (bug == LATE_BYTE_NOT_ZEROED && n > 5000)
        p[5000] = 1;
    return p;
}

static void fake_free(void *p)
{
    if (p && bug == FREE_SCRIBBLES && before_last && p != before_last)
        *(char *)before_last ^= 1;
    if (p == last)
        last = NULL;
    if (p == before_last)
        before_last = NULL;
    live -= p && bug != LOSES_A_FREE;
    live_bytes -= p ? malloc_usable_size(p) : 0;
    if (p)
        own(p, NULL);
    free(p);
    if (bug == FREE_SETS_ERRNO)
        errno = ENOENT;
}

static void *fake_realloc(void *p, size_t n)
{
    if (!p)
        return fake_malloc(n);
    if (n == 0) {
        fake_free(p);
        return NULL;
    }
    if (n > TOO_MUCH) {
        if (bug == FAILED_REALLOC_WRITES)
            *(char *)p ^= 1;
        return bug == FAILED_REALLOC_ERRNO ? NULL : out_of_memory();
    }
    size_t old = malloc_usable_size(p) - 16;
    size_t kept = old < n ? old : n;
    char *q = fake_malloc(n);
    memcpy(q, p, kept);
    if (bug == REALLOC_LOSES_END)
        q[(kept < 24 ? kept : 24) - 1] ^= 1;
    if (bug == REALLOC_LOSES_START)
        q[0] ^= 1;
    if (bug == REALLOC_LOSES_PAGE && kept > ((size_t)1 << 21))
        memset(q + ((size_t)1 << 20), 0, 4096);
    fake_free(p);
    return q;
}

static void *fake_reallocarray(void *p, size_t count, size_t size)
{
    size_t n;
    return __builtin_mul_overflow(count, size, &n) ? out_of_memory() : fake_realloc(p, n);
}

static void *fake_aligned_alloc(size_t align, size_t n)
{
    if ((align == 0 || (align & (align - 1)) != 0) && bug != BAD_ALIGN_SERVED) {
        errno = EINVAL;
        return NULL;
    }
    return fake_memalign(align, n);
}

static int fake_posix_memalign(void **out, size_t align, size_t n)
{
    int before = errno;
    if (align % sizeof(void *) != 0 || align == 0 || (align & (align - 1)) != 0)
        return EINVAL;
    void *p = fake_memalign(align, n);
    int error = errno;
    if (bug != MEMALIGN_SETS_ERRNO)
        errno = before;
    if (p)
        *out = p;
    return p ? 0 : error;
}

static void *fake_valloc(size_t n)
{
    return fake_memalign(4096, n);
}

static void *fake_pvalloc(size_t n)
{
    return n > TOO_MUCH ? out_of_memory() : fake_memalign(4096, (n + 4095) / 4096 * 4096);
}

static void fake_free_sized(void *p, size_t n)
{
    (void)n;
    fake_free(p);
}

static void fake_free_aligned_sized(void *p, size_t align, size_t n)
{
    (void)align, (void)n;
    fake_free(p);
}

static size_t fake_usable_size(void *p)
{
    static size_t calls;
    if (bug == MISALIGNED || bug == ALIGNED_TO_LESS || bug == SAME_BLOCK_TWICE || bug == OVERLAP)
        return asked; // p may be no block of the C library
    size_t n = malloc_usable_size(p) - 16;
    return bug == SMALL_USABLE ? n / 2 : bug == USABLE_CHANGES ? n - calls++ % 2 : n;
}

static int fake_trim(size_t pad)
{
    (void)pad;
    return 0;
}

static void fake_flush(void)
{
}

static bool fake_audit(struct hak_audit_report *out)
{
    *out = (struct hak_audit_report){ .capacity = live + 5, .live = live, .cached = 2, .free = 3 };
    if (bug == AUDIT_FAILS) {
        out->errors = 1;
        strcpy(out->first_error, "planted");
    }
    if (bug == CONSERVATION)
        out->free = 2;
    return bug != AUDIT_FAILS;
}

static void fake_get_stats(struct hak_stats *out)
{
    *out = (struct hak_stats){ .reserved_bytes = TOO_MUCH, .live_bytes = live_bytes };
}

static bool fake_get_class_stats(unsigned i, struct hak_class_stats *out)
{
    *out = (struct hak_class_stats){ .capacity = 5,
                                     .live = 4,
                                     .cached = bug == CLASS_COUNTS ? 2 : 1 };
    return i < 3;
}

static void fake_fail_os(uint64_t first, uint64_t count)
{
    (void)first, (void)count;
}

static void fake_pause_os(bool paused)
{
    (void)paused;
}

static uint64_t fake_os_failed(void)
{
    return os_failures;
}

static void fake_tick(uint64_t ms)
{
    (void)ms;
}

static const struct allocator fake = {
    .malloc = fake_malloc,
    .calloc = fake_calloc,
    .realloc = fake_realloc,
    .reallocarray = fake_reallocarray,
    .aligned_alloc = fake_aligned_alloc,
    .memalign = fake_memalign,
    .posix_memalign = fake_posix_memalign,
    .valloc = fake_valloc,
    .pvalloc = fake_pvalloc,
    .free = fake_free,
    .free_sized = fake_free_sized,
    .free_aligned_sized = fake_free_aligned_sized,
    .usable_size = fake_usable_size,
    .trim = fake_trim,
    .flush = fake_flush,
    .audit = fake_audit,
    .get_stats = fake_get_stats,
    .get_class_stats = fake_get_class_stats,
    .fail_os = fake_fail_os,
    .pause_os = fake_pause_os,
    .os_failed = fake_os_failed,
    .tick = fake_tick,
};

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
            assert_ptr_equal(shadow_find(&shadow, b->start + b->usable - 1), b);
            assert_ptr_equal(
                shadow_find(&shadow, b->start + b->usable),
                b->usable == STRIDE && i + 1 < MANY && blocks[i + 1].start ? &blocks[i + 1] : NULL);
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
