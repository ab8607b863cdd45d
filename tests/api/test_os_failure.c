// test_os_failure.c: every call to the system may fail at any time: NULL with ENOMEM, nothing lost.
//
// This program defines the C library's wrappers that os.c uses, so the linker gives them to the
// allocator; its own use of memory goes another way. They fail when told to: the n-th call, a
// share of all, all that commit beyond a budget (strict overcommit), all that could split a mapping
// (a low limit on their number).
#include "api.h"

#include <sys/syscall.h>

static struct {
    unsigned calls; // so far
    unsigned failures;
    unsigned fail_at;     // the number of the call that fails, from 1; 0: none
    unsigned fail_one_in; // of all calls; 0: none
    bool fail_splits;     // mprotect, munmap and fixed mmap fail, as beyond vm.max_map_count
    size_t commit_left;   // bytes that mprotect may still make writable; SIZE_MAX: no limit
    uint64_t random;
} inject = { .commit_left = SIZE_MAX, .random = 99 };

static bool fails(bool splits)
{
    inject.calls++;
    bool now = inject.calls == inject.fail_at || (inject.fail_splits && splits);
    if (inject.fail_one_in != 0)
        now = now || next_random(&inject.random) % inject.fail_one_in == 0;
    if (now) {
        inject.failures++;
        errno = ENOMEM;
    }
    return now;
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (fails((flags & MAP_FIXED) != 0))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

int munmap(void *p, size_t bytes)
{
    return fails(true) ? -1 : (int)syscall(SYS_munmap, p, bytes);
}

int mprotect(void *p, size_t bytes, int protection)
{
    if (fails(true))
        return -1;
    if ((protection & PROT_WRITE) != 0 && inject.commit_left != SIZE_MAX) {
        if (bytes > inject.commit_left) {
            inject.failures++;
            errno = ENOMEM;
            return -1;
        }
        inject.commit_left -= bytes;
    }
    return (int)syscall(SYS_mprotect, p, bytes, protection);
}

int madvise(void *p, size_t bytes, int advice)
{
    return fails(false) ? -1 : (int)syscall(SYS_madvise, p, bytes, advice);
}

void *mremap(void *p, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *to = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void *) : NULL;
    va_end(list);
    if (fails(true))
        return MAP_FAILED;
    return (void *)syscall(SYS_mremap, p, old_bytes, new_bytes, flags, to);
}

// ---- a life under failures ----

enum { SLOTS = 96 };
struct slot {
    unsigned char *p;
    size_t n;
    unsigned seed;
};

static void check_slot(const struct slot *s, const char *when)
{
    size_t kept = s->n < 3000 ? s->n : 3000;
    if (pattern_mismatch(s->p, kept, s->seed) != kept) {
        dprintf(2, "contents of a block of %zu bytes changed: %s\n", s->n, when);
        _exit(95);
    }
}

static void put(struct slot *s, void *p, size_t n, unsigned seed)
{
    *s = (struct slot){ p, n, seed };
    pattern_fill(p, n < 3000 ? n : 3000, seed);
    ((unsigned char *)p)[n - 1] = n <= 3000 ? pattern_byte(n - 1, seed) : 9;
}

static size_t any_size(uint64_t *random)
{
    size_t n = tier_sizes[next_random(random) % COUNT_OF(tier_sizes)];
    if (n > KIB(64) && next_random(random) % 4 != 0)
        n = 64;
    return 1 + next_random(random) % n;
}

// One operation on a slot. A failure must be NULL with ENOMEM and leave the block as it was.
static void step(struct slot *s, uint64_t *random, unsigned seed)
{
    size_t n = any_size(random);
    unsigned what = next_random(random) % 8;
    void *p = NULL;
    errno = 0;
    if (s->p != NULL && what < 4) {
        hak_free(s->p);
        s->p = NULL;
        CHILD_CHECK(errno == 0);
        return;
    }
    if (s->p != NULL) {
        p = hak_realloc(s->p, n);
        if (p != NULL) {
            s->p = p;
            s->n = n < s->n ? n : s->n;
            check_slot(s, "realloc");
            put(s, p, n, seed);
            return;
        }
        check_slot(s, "failed realloc");
    } else {
        p = what == 0   ? hak_memalign((size_t)16 << next_random(random) % 12, n)
            : what <= 2 ? hak_calloc(1, n)
                        : hak_malloc(n);
        if (p != NULL) {
            CHILD_CHECK(is_aligned(p, 16));
            CHILD_CHECK(what == 0 || what > 2 || is_zero(p, n));
            put(s, p, n, seed);
            return;
        }
    }
    CHILD_CHECK(errno == ENOMEM);
}

static void live(unsigned steps, uint64_t seed)
{
    struct slot slots[SLOTS] = { { NULL, 0, 0 } };
    uint64_t random = seed;
    for (unsigned i = 0; i < steps; i++) {
        struct slot *s = &slots[next_random(&random) % SLOTS];
        if (s->p != NULL)
            check_slot(s, "before a step");
        step(s, &random, i);
        if (next_random(&random) % 256 == 0)
            hak_malloc_trim(0);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].p != NULL)
            check_slot(&slots[i], "at the end");
        hak_free(slots[i].p);
    }
}

static void stop_failing(void)
{
    inject.fail_at = 0;
    inject.fail_one_in = 0;
    inject.fail_splits = false;
    inject.commit_left = SIZE_MAX;
}

// After the failures nothing is lost and every tier works.
static void recover(void)
{
    stop_failing();
    struct hak_audit_report audit;
    if (!hak_audit(&audit)) {
        dprintf(2, "audit: %s\n", audit.first_error);
        _exit(97);
    }
    CHILD_CHECK(audit.live == 0 && audit.large == 0 && audit.huge == 0);
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        char *p = hak_calloc(1, tier_sizes[i]);
        CHILD_CHECK(p != NULL && is_zero(p, tier_sizes[i]));
        hak_free(p);
    }
}

static void the_nth_call(void)
{
    live(400, inject.fail_at);
    CHILD_CHECK(inject.failures <= 1);
    recover();
}

static void any_single_call(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 120; n += UNDER_VALGRIND ? 7 : 1) {
        inject.fail_at = n;
        int status = run_child(the_nth_call);
        inject.fail_at = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("the failure of call %u: status %#x", n, status);
    }
}

static void a_third_of_all(void)
{
    inject.fail_one_in = 3;
    for (unsigned round = 0; inject.failures < (SANITIZED ? 1000 : 10000); round++) {
        live(2000, round + 1);
        CHILD_CHECK(round < 3000);
    }
    recover();
}

static void ten_thousand_failures(void **state)
{
    (void)state;
    assert_exited_0(run_child(a_third_of_all));
}

// A shrinking realloc succeeds also where nothing smaller can be had; then a sized free of it, too.
static void shrink_in_place(void)
{
    for (unsigned i = 0; i < 5; i++) { // the last in a mapping of its own
        static const size_t sizes[] = { 9000, KIB(60), MIB(1), MIB(9), MIB(9) };
        char *p = i < 4 ? hak_malloc(sizes[i]) : hak_aligned_alloc(MIB(256), sizes[i]);
        CHILD_CHECK(p != NULL);
        pattern_fill(p, 3000, i);
        inject.commit_left = 0;
        char *others[4];
        unsigned rest = 0;
        for (size_t n = 4000; n > 2000; n -= 500) // the last piece, of any such size
            while ((others[rest % 4] = hak_malloc(n)) != NULL)
                rest++;
        inject.fail_one_in = 1;
        errno = 0;
        char *same = hak_realloc(p, 3000);
        CHILD_CHECK(same != NULL && errno == 0);
        CHILD_CHECK(pattern_mismatch(same, 3000, i) == 3000);
        stop_failing();
        hak_free_sized(same, 3000);
        CHILD_CHECK(same == p || i > 1);
    }
}

static void shrinking_never_fails(void **state)
{
    (void)state;
    assert_exited_0(run_child(shrink_in_place));
}

static void commit_budget(void)
{
    // Start-up needs its metadata; what is left then runs out again and again.
    hak_free(hak_malloc(1));
    for (unsigned round = 0; round < 40; round++) {
        inject.commit_left = KIB(100) * round;
        live(500, round + 1);
    }
    CHILD_CHECK(inject.failures > 0);
    recover();
}

static void strict_overcommit(void **state)
{
    (void)state;
    assert_exited_0(run_child(commit_budget));
}

static void no_more_mappings(void)
{
    for (unsigned round = 0; round < 30; round++) {
        live(500, round + 1);
        inject.fail_splits = true;
        live(500, round + 2);
        inject.fail_splits = false;
    }
    CHILD_CHECK(inject.failures > 0);
    recover();
}

static void a_limit_on_mappings(void **state)
{
    (void)state;
    assert_exited_0(run_child(no_more_mappings));
}

// The harness reaches the allocator: without this, all of the above would prove nothing.
static void count_calls(void)
{
    unsigned before = inject.calls;
    void *p = hak_malloc(MIB(20));
    CHILD_CHECK(p != NULL && inject.calls > before);
    hak_free(p);
    inject.fail_one_in = 1;
    CHILD_CHECK(hak_malloc(MIB(40)) == NULL && errno == ENOMEM);
    struct hak_stats stats;
    hak_get_stats(&stats);
    CHILD_CHECK(stats.os_failures > 0);
}

static void failures_reach_the_allocator(void **state)
{
    (void)state;
    assert_exited_0(run_child(count_calls));
}

// Nothing at all at start: NULL, and a second try that works.
static void nothing_at_start(void)
{
    inject.fail_one_in = 1;
    for (unsigned i = 0; i < 10; i++) {
        errno = 0;
        CHILD_CHECK(hak_malloc(100) == NULL && errno == ENOMEM);
        CHILD_CHECK(hak_calloc(1, MIB(3)) == NULL);
        hak_free(NULL);
    }
    recover();
}

static void failure_of_the_first_reservation(void **state)
{
    (void)state;
    assert_exited_0(run_child(nothing_at_start));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        // All in children that make the allocator's first call themselves.
        cmocka_unit_test(failures_reach_the_allocator),
        cmocka_unit_test(failure_of_the_first_reservation),
        cmocka_unit_test(any_single_call),
        cmocka_unit_test(strict_overcommit),
        cmocka_unit_test(a_limit_on_mappings),
        cmocka_unit_test(ten_thousand_failures),
        cmocka_unit_test(shrinking_never_fails),
    };
    return cmocka_run_group_tests_name("api_os_failure", tests, NULL, NULL);
}
