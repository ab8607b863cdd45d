// test_realloc.c: content kept across every pair of tiers, and the special arguments.
#include "api.h"

static void check_move(size_t from, size_t to, unsigned seed)
{
    size_t kept = from < to ? from : to;
    char *p = hak_malloc(from);
    assert_non_null(p);
    pattern_fill(p, from, seed);
    errno = 4711;
    p = hak_realloc(p, to);
    assert_non_null(p);
    assert_int_equal(errno, 4711);
    assert_true(is_aligned(p, 16));
    assert_true(hak_malloc_usable_size(p) >= to);
    size_t at = pattern_mismatch(p, kept, seed);
    if (at != kept)
        fail_msg("realloc from %zu to %zu lost byte %zu", from, to, at);
    pattern_fill(p, to, seed + 1);
    assert_int_equal(pattern_mismatch(p, to, seed + 1), to);
    hak_free(p);
}

static void every_pair_of_tiers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++)
        for (unsigned j = SANITIZED ? i % 5 : 0; j < COUNT_OF(tier_sizes); j += SANITIZED ? 5 : 1)
            check_move(tier_sizes[i], tier_sizes[j], i + j);
}

// One block grows and shrinks through all tiers while neighbours stand in its way.
static void a_long_life(void **state)
{
    (void)state;
    uint64_t random = 11;
    enum { BLOCKS = 12 };
    struct {
        char *p;
        size_t n;
        unsigned seed;
    } blocks[BLOCKS] = { { NULL, 0, 0 } };
    for (unsigned step = 0; step < (SANITIZED ? 500 : 3000); step++) {
        unsigned b = (unsigned)(next_random(&random) % BLOCKS);
        size_t n = tier_sizes[next_random(&random) % COUNT_OF(tier_sizes)];
        n = 1 + next_random(&random) % n;
        size_t kept = n < blocks[b].n ? n : blocks[b].n;
        blocks[b].p = hak_realloc(blocks[b].p, n);
        assert_non_null(blocks[b].p);
        size_t at = pattern_mismatch(blocks[b].p, kept, blocks[b].seed);
        if (at != kept)
            fail_msg("step %u: realloc from %zu to %zu lost byte %zu", step, blocks[b].n, n, at);
        blocks[b].n = n;
        blocks[b].seed = step;
        pattern_fill(blocks[b].p, n, step);
    }
    for (unsigned b = 0; b < BLOCKS; b++)
        hak_free(blocks[b].p);
}

// Appending in small steps: the common case; also the end of memory that grew is usable.
static void growth_in_steps(void **state)
{
    (void)state;
    size_t n = 1;
    char *p = hak_malloc(n);
    assert_non_null(p);
    p[0] = (char)pattern_byte(0, 5);
    while (n < MIB(12)) {
        size_t next = n + n / 3 + 1;
        p = hak_realloc(p, next);
        assert_non_null(p);
        for (size_t i = n; i < next; i++)
            p[i] = (char)pattern_byte(i, 5);
        n = next;
    }
    assert_int_equal(pattern_mismatch(p, n, 5), n);
    while (n > 1) {
        n -= n / 5 + 1;
        p = hak_realloc(p, n == 0 ? 1 : n);
        assert_non_null(p);
        assert_int_equal(pattern_mismatch(p, n, 5), n);
    }
    hak_free(p);
}

// A buffer that grows by an eighth gets the room of one before it. Whatever units it does not need
// serve others.
static void slow_growth(void **state)
{
    (void)state;
    const size_t least = KIB(GEOMETRY_SMALL ? 14 : 200), most = KIB(GEOMETRY_SMALL ? 60 : 900);
    for (unsigned round = 0; round < 12; round++) {
        size_t n = least;
        char *p = hak_malloc(n);
        pattern_fill(p, n, round);
        while (n < most) {
            size_t before = n;
            n += n / 8;
            p = hak_realloc(p, n);
            assert_non_null(p);
            assert_int_equal(pattern_mismatch(p, before, round), before);
            pattern_fill(p, n, round);
        }
        char *others[8];
        for (unsigned i = 0; i < COUNT_OF(others); i++) {
            others[i] = hak_calloc(1, 2 * least);
            assert_true(is_zero(others[i], 2 * least));
            pattern_fill(others[i], 2 * least, i);
        }
        assert_int_equal(pattern_mismatch(p, n, round), n);
        for (unsigned i = 0; i < COUNT_OF(others); i++)
            hak_free(others[i]);
        hak_free(p);
    }
}

static void null_allocates(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        char *p = hak_realloc(NULL, tier_sizes[i]);
        assert_non_null(p);
        pattern_fill(p, tier_sizes[i], i);
        hak_free(p);
        p = hak_reallocarray(NULL, tier_sizes[i], 1);
        assert_non_null(p);
        hak_free(p);
    }
    void *p = hak_realloc(NULL, 0);
    assert_non_null(p);
    hak_free(p);
}

// As glibc: size 0 frees the block and returns NULL, which is no error.
static void size_0_frees(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        char *p = hak_malloc(tier_sizes[i]);
        assert_non_null(p);
        errno = 4711;
        assert_null(hak_realloc(p, 0));
        assert_int_equal(errno, 4711);
        assert_non_null(p = hak_malloc(tier_sizes[i]));
        assert_null(hak_reallocarray(p, 0, 8));
    }
    struct hak_audit_report audit;
    if (!hak_audit(&audit))
        fail_msg("audit: %s", audit.first_error);
}

static void failure_leaves_the_block(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        char *p = hak_malloc(tier_sizes[i]);
        assert_non_null(p);
        pattern_fill(p, tier_sizes[i], i);
        errno = 0;
        assert_null(opaque_pointer(hak_realloc(p, opaque((size_t)PTRDIFF_MAX + 1))));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(opaque_pointer(hak_realloc(p, opaque((size_t)1 << 60))));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(opaque_pointer(hak_reallocarray(p, opaque(SIZE_MAX / 2), opaque(3))));
        assert_int_equal(errno, ENOMEM);
        assert_int_equal(pattern_mismatch(p, tier_sizes[i], i), tier_sizes[i]);
        hak_free(p);
    }
}

static void same_size_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        char *p = hak_malloc(tier_sizes[i]);
        assert_non_null(p);
        uintptr_t before = (uintptr_t)p;
        p = hak_realloc(p, tier_sizes[i]);
        assert_int_equal((uintptr_t)p, before);
        p = hak_realloc(p, hak_malloc_usable_size(p));
        assert_int_equal((uintptr_t)p, before);
        hak_free(p);
    }
}

// realloc promises malloc's alignment only, but must not misplace blocks that had more.
static void aligned_blocks(void **state)
{
    (void)state;
    for (size_t align = 16; align <= MIB(4); align *= 4)
        for (unsigned i = 0; i < COUNT_OF(tier_sizes); i += 2) {
            size_t n = tier_sizes[i];
            char *p = hak_memalign(align, n);
            assert_non_null(p);
            pattern_fill(p, n, i);
            p = hak_realloc(p, n * 2);
            assert_non_null(p);
            assert_true(hak_malloc_usable_size(p) >= n * 2);
            assert_int_equal(pattern_mismatch(p, n, i), n);
            pattern_fill(p, n * 2, i);
            p = hak_realloc(p, n / 2 + 1);
            assert_non_null(p);
            assert_int_equal(pattern_mismatch(p, n / 2 + 1, i), n / 2 + 1);
            hak_free(p);
        }
}

// Memory of a block that shrank far goes back: what is committed follows.
static void shrinking_gives_back(void **state)
{
    (void)state;
    if (!is_measurable())
        skip();
    char *p = hak_malloc(MIB(64));
    assert_non_null(p);
    memset(p, 1, MIB(64));
    size_t before = resident_bytes();
    p = hak_realloc(p, MIB(3));
    assert_non_null(p);
    hak_malloc_trim(0);
    size_t after = resident_bytes();
    if (before - after < MIB(50))
        fail_msg("64 MiB shrank to 3 MiB, resident went from %zu to %zu", before, after);
    hak_free(p);
}

static int64_t committed_bytes(void)
{
    struct hak_stats stats;
    hak_get_stats(&stats);
    return (int64_t)stats.committed_bytes;
}

// Buffers that grow in turn, through all size classes: what one size leaves behind serves the next
// ones. And a block that has grown to a few units goes on in place.
static void growth_reuses_memory(void **state)
{
    (void)state;
    enum { BUFFERS = 16, LAST = 256 << 10, STEP = 512 };
    static char *buffers[BUFFERS];
    int64_t before = committed_bytes(), most = 0;
    unsigned moves = 0;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t bytes = 16; bytes <= LAST; bytes += STEP)
            for (unsigned i = 0; i < BUFFERS; i++) {
                char *moved = hak_realloc(buffers[i], bytes);
                assert_non_null(moved);
                moves += round == 0 && i == 0 && moved != buffers[i];
                buffers[i] = moved;
                if (committed_bytes() - before > most)
                    most = committed_bytes() - before;
            }
        for (unsigned i = 0; i < BUFFERS; i++) {
            hak_free(buffers[i]);
            buffers[i] = NULL;
        }
    }
    if (HAK_MITIGATIONS == 0 && most > BUFFERS * LAST / 4 * 5)
        fail_msg("%d bytes live, %lld more committed", BUFFERS * LAST, (long long)most);
    assert_true(moves < 40); // 16 bytes and 512 more each time: less than one for each class
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_allocates),       cmocka_unit_test(size_0_frees),
        cmocka_unit_test(same_size_stays),      cmocka_unit_test(failure_leaves_the_block),
        cmocka_unit_test(every_pair_of_tiers),  cmocka_unit_test(growth_in_steps),
        cmocka_unit_test(a_long_life),          cmocka_unit_test(aligned_blocks),
        cmocka_unit_test(slow_growth),          cmocka_unit_test(shrinking_gives_back),
        cmocka_unit_test(growth_reuses_memory),
    };
    return cmocka_run_group_tests_name("api_realloc", tests, NULL, NULL);
}
