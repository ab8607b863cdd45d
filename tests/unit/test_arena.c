// test_arena.c: reservation, the tables' guards, and smaller arenas under a limit.
#define _GNU_SOURCE 1
#include "support.h"

#include <errno.h>
#include <sys/mman.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "arena.h"

#define LARGEST min_size(ARENA_SIZE_MAX, SANITIZER_ARENA_MAX)

static int probe[2];

static bool readable(const void *p)
{
    char byte;
    REPORTS_OFF;
    bool good = write(probe[1], p, 1) == 1;
    REPORTS_ON;
    return good && read(probe[0], &byte, 1) == 1;
}

// No access, but reserved: nothing else can come to lie there.
static bool is_guard(const char *p)
{
    unsigned char resident;
    size_t page = os_page_size();
    char *at = (char *)((uintptr_t)p & ~(page - 1));
    // qemu's mincore refuses what cannot be read.
    return !readable(p) && (under_qemu() || mincore(at, page, &resident) == 0);
}

static void check_arena(void)
{
    const struct arena *a = &hak_arena;
    assert_int_equal((uintptr_t)a->base % SUPERSLAB_SIZE, 0);
    assert_int_equal(a->bytes % SUPERSLAB_SIZE, 0);
    assert_int_equal(a->superslabs, a->bytes / SUPERSLAB_SIZE);
    assert_true(a->bytes >= ARENA_SIZE_MIN);
    assert_true(hak_arena_has(a->base));
    assert_true(hak_arena_has(a->base + a->bytes - 1));
    assert_false(hak_arena_has(a->base - 1));
    assert_false(hak_arena_has(a->base + a->bytes));
    assert_false(hak_arena_has(NULL));
    assert_false(hak_arena_has((void *)UINTPTR_MAX));
    assert_false(hak_arena_has(&probe));
    // Tags are readable over the whole length, and nothing right before or behind the tables is.
    size_t units = a->bytes / UNIT_SIZE;
    for (size_t unit = 0; unit < units; unit += units / 64 + 1)
        assert_int_equal(hak_tag_of(hak_unit_base((uint32_t)unit)), TAG_NONE);
    assert_int_equal(hak_tag_of(a->base + a->bytes - 1), TAG_NONE);
    assert_true(is_guard((char *)a->tags - 1));
    struct atomic_u64 *hints = a->masks - 2 * (size_t)(a->superslabs / 64 + 1);
    assert_true(is_guard((char *)hints - 1));
    assert_true(is_guard(a->records - 1));
    assert_false(readable(a->records));
    assert_true(is_guard(a->far_words - 1));
    assert_true(is_guard((char *)a->stamps - 1));
    assert_true(is_guard(a->meta - 1));
    assert_false(readable(a->meta));
    assert_true(is_guard(a->meta + a->meta_bytes));
    assert_false(readable(a->base));
    assert_true(readable(&a->masks[a->superslabs - 1]));
    assert_true(readable(hints));
}

static void test_default(void **state)
{
    (void)state;
    assert_false(hak_arena_has(&probe)); // before the start nothing is
    assert_true(hak_arena_start(0));
    check_arena();
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
        assert_int_equal(hak_arena.bytes, LARGEST);
}

static void test_bounded(void **state)
{
    (void)state;
    for (size_t bytes = ARENA_SIZE_MIN; bytes <= 64 * SUPERSLAB_SIZE; bytes = bytes * 3 / 2) {
        if (bytes > ARENA_SIZE_MAX)
            break;
        assert_true(hak_arena_start(bytes));
        assert_int_equal(hak_arena.bytes, round_down(bytes, SUPERSLAB_SIZE));
        check_arena();
    }
    assert_true(hak_arena_start(ARENA_SIZE_MIN - 1));
    assert_int_equal(hak_arena.bytes, ARENA_SIZE_MIN);
    assert_true(hak_arena_start(1));
    assert_int_equal(hak_arena.bytes, ARENA_SIZE_MIN);
}

static void test_units(void **state)
{
    (void)state;
    assert_true(hak_arena_start(4 * SUPERSLAB_SIZE));
    for (uint32_t unit = 0; unit < 4 * SUPERSLAB_UNITS; unit++) {
        char *base = hak_unit_base(unit);
        assert_int_equal(hak_unit_of(base), unit);
        assert_int_equal(hak_unit_of(base + UNIT_SIZE - 1), unit);
    }
    hak_set_tags(33, 3, 7);
    for (uint32_t unit = 0; unit < 4 * SUPERSLAB_UNITS; unit++)
        assert_int_equal(hak_tag_of(hak_unit_base(unit)), unit >= 33 && unit < 36 ? 7 : TAG_NONE);
}

// Begun SuperSlabs have all of their memory, records and stamps, zero; those behind have none.
static void test_commit(void **state)
{
    (void)state;
    assert_true(hak_arena_start(8 * SUPERSLAB_SIZE));
    size_t before = hak_arena_metadata_bytes();
    static const uint32_t counts[] = { 1, 2, 1, 4 };
    uint32_t begun = 0;
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_true(hak_arena_commit(begun, counts[i]));
        begun += counts[i];
        char *end = hak_arena.base + begun * SUPERSLAB_SIZE;
        for (char *p = hak_arena.base + (begun - counts[i]) * SUPERSLAB_SIZE; p < end;
             p += UNIT_SIZE) {
            sanitize_open(p, UNIT_SIZE);
            assert_int_equal(*p, 0);
            *p = 1;
        }
        char *record = hak_arena.records + (size_t)begun * SUPERSLAB_UNITS * RECORD_SIZE - 1;
        assert_int_equal(*record, 0);
        *record = 1;
        assert_true(readable(&hak_arena.stamps[begun * SUPERSLAB_UNITS - 1]));
        if (begun < hak_arena.superslabs)
            assert_false(readable(end));
    }
    assert_true(hak_arena_metadata_bytes() >= before + 8 * SUPERSLAB_UNITS * RECORD_SIZE);
    // A failure of the system is passed on.
    munmap(hak_arena.base, SUPERSLAB_SIZE);
    assert_false(hak_arena_commit(0, 1));
}

static void start_limited(const void *argument)
{
    size_t limit_bytes = *(const size_t *)argument;
    size_t left = limit_bytes;
    struct rlimit limit = { 0, RLIM_INFINITY };
    // What the process has already does not count.
    limit.rlim_cur = (size_t)1 << 62;
    CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur += limit_bytes - hak_os_address_space_left();
    CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    errno = 77;
    bool started = hak_arena_start(0);
    CHILD_CHECK(errno == 77);
    CHILD_CHECK(started || left < (size_t)16 << 20); // the tables have a least size too
    if (!started)
        return;
    CHILD_CHECK(hak_arena.bytes < left);
    if (left < (size_t)64 << 20)
        return;
    CHILD_CHECK(hak_arena.bytes > left / 2 || hak_arena.bytes == LARGEST);
    CHILD_CHECK(hak_os_address_space_left() >= left / 16); // for stacks and libraries
}

static void test_limited(void **state)
{
    (void)state;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY || under_a_tool())
        skip();
    for (size_t bytes = (size_t)1 << 20; bytes <= (size_t)1 << 40; bytes *= 3) {
        struct capture capture;
        run_in_child(&capture, start_limited, &bytes);
        if (capture.text[0] != 0)
            fail_msg("limit of %zu bytes: %s", bytes, capture.text);
        assert_exited(&capture, 0);
    }
}

static int start(void **state)
{
    (void)state;
    return pipe(probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default), cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_units),   cmocka_unit_test(test_commit),
        cmocka_unit_test(test_limited),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
