// test_exhaustion.c: a program under `ulimit -v` of 512 MiB starts, can use 70 % of it in blocks
// of 100 B, of 100 KB and of 50 MB, each after the others were freed, then gets NULL and lives.
#include "api.h"

#include "config.h"

static const size_t limit = MIB(512);

// Blocks are chained through their first word.
struct block {
    struct block *next;
};

// Allocates until NULL; returns the bytes asked for in all.
static size_t allocate_all(struct block **chain, size_t n)
{
    size_t total = 0;
    for (;;) {
        errno = 0;
        struct block *b = hak_malloc(n);
        if (b == NULL)
            break;
        CHILD_CHECK(is_aligned(b, 16));
        b->next = *chain;
        ((char *)b)[n - 1] = 1;
        *chain = b;
        total += n;
    }
    CHILD_CHECK(errno == ENOMEM);
    return total;
}

static void free_all(struct block **chain)
{
    while (*chain != NULL) {
        struct block *b = *chain;
        *chain = b->next;
        hak_free(b);
    }
}

static void check_audit(const char *when, size_t n)
{
    struct hak_audit_report audit;
    if (!hak_audit(&audit)) {
        dprintf(2, "audit %s blocks of %zu bytes: %s\n", when, n, audit.first_error);
        _exit(97);
    }
}

// At the limit every call fails cleanly and what there is stays usable.
static void live_at_the_limit(struct block *some, size_t n)
{
    for (unsigned i = 0; i < 50; i++) {
        errno = 0;
        CHILD_CHECK(hak_malloc(MIB(200)) == NULL && errno == ENOMEM);
        errno = 0;
        CHILD_CHECK(hak_calloc(MIB(1), 300) == NULL && errno == ENOMEM);
        errno = 0;
        CHILD_CHECK(hak_memalign(MIB(1), MIB(300)) == NULL && errno == ENOMEM);
        struct block *next = some->next;
        errno = 0;
        CHILD_CHECK(hak_realloc(some, MIB(400)) == NULL && errno == ENOMEM);
        CHILD_CHECK(some->next == next && ((char *)some)[n - 1] == 1);
    }
}

// The small geometry's arena is smaller than the limit, and blocks of size classes lie nowhere
// else.
static size_t available(size_t n)
{
    return n <= CLASS_SIZE_MAX && ARENA_SIZE_MAX < limit ? ARENA_SIZE_MAX : limit;
}

static void exhaust(void)
{
    const size_t sizes[] = { 100, 100000, 50000000 };
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
            struct block *chain = NULL;
            size_t total = allocate_all(&chain, sizes[i]);
            size_t wanted = available(sizes[i]) / 10 * 7;
            // In whole blocks: 70 % is 7.2 blocks of 50 MB, and the eighth must fit.
            if (total < wanted) {
                dprintf(2, "blocks of %zu bytes, round %u: %zu of %zu bytes used, %zu wanted\n",
                        sizes[i], round, total, available(sizes[i]), wanted);
                _exit(96);
            }
            if (available(sizes[i]) == limit)
                live_at_the_limit(chain, sizes[i]);
            if (round == 0 && i == 0)
                check_audit("with", sizes[i]);
            free_all(&chain);
            check_audit("after", sizes[i]);
            // It lives: all tiers work again.
            for (unsigned j = 0; j < COUNT_OF(tier_sizes); j++) {
                char *p = hak_calloc(1, tier_sizes[j]);
                CHILD_CHECK(p != NULL && is_zero(p, tier_sizes[j]));
                hak_free(p);
            }
        }
}

static void run_limited(const char *mode, size_t bytes)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit as = { bytes, bytes };
        setrlimit(RLIMIT_AS, &as);
        exec_self((char *[]){ (char *)mode, NULL });
        _exit(98);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_exited_0(status);
}

static void seventy_percent_of_512_mib(void **state)
{
    (void)state;
    if (!is_measurable())
        skip();
    run_limited("--exhaust", limit);
}

// A limit that leaves hardly anything: the program starts and gets something or NULL.
static void tiny_limits(void **state)
{
    (void)state;
    if (!is_measurable())
        skip();
    for (size_t bytes = MIB(4); bytes <= MIB(64); bytes += MIB(2)) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            struct rlimit as = { bytes, bytes };
            setrlimit(RLIMIT_AS, &as);
            unsigned got = 0;
            static void *blocks[2000];
            for (unsigned i = 0; i < COUNT_OF(blocks); i++) {
                errno = 0;
                blocks[i] = hak_malloc(16 + i * 40);
                CHILD_CHECK(blocks[i] != NULL || errno == ENOMEM);
                got += blocks[i] != NULL;
            }
            for (unsigned i = 0; i < COUNT_OF(blocks); i++)
                hak_free(blocks[i]);
            CHILD_CHECK(bytes < MIB(32) || got > 100);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exited_0(status);
    }
}

// The limit comes down while the program runs: what is there stays, more is refused.
static void lowered_later(void)
{
    static char *blocks[1000];
    for (unsigned i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = hak_malloc(500);
        CHILD_CHECK(blocks[i] != NULL);
        pattern_fill(blocks[i], 500, i);
    }
    struct rlimit as = { MIB(1), RLIM_INFINITY };
    CHILD_CHECK(setrlimit(RLIMIT_AS, &as) == 0);
    errno = 0;
    CHILD_CHECK(hak_malloc((size_t)1 << 46) == NULL && errno == ENOMEM);
    struct block *chain = NULL;
    for (unsigned i = 0; i < 10000; i++) {
        struct block *b = hak_malloc(4000);
        if (b == NULL)
            break;
        b->next = chain;
        chain = b;
    }
    free_all(&chain);
    for (unsigned i = 0; i < COUNT_OF(blocks); i++) {
        CHILD_CHECK(pattern_mismatch(blocks[i], 500, i) == 500);
        hak_free(blocks[i]);
    }
    as.rlim_cur = RLIM_INFINITY; // the audit needs memory too
    CHILD_CHECK(setrlimit(RLIMIT_AS, &as) == 0);
    check_audit("after", 4000);
}

static void a_limit_lowered_later(void **state)
{
    (void)state;
    if (!is_measurable())
        skip();
    assert_exited_0(run_child(lowered_later));
}

// As many mappings as there may be.
static void use_up_mappings(void)
{
    enum { PAIRS = 70000 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE), i = 0;
    char *p = mmap(NULL, 2 * PAIRS * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    CHILD_CHECK(p != MAP_FAILED);
    while (i < PAIRS && mprotect(p + 2 * i * page, page, PROT_READ) == 0)
        i++;
    if (i == PAIRS)
        _exit(77); // this system allows more
}

// The arena and its tables grow by moving the borders of mappings that they have.
static void grow_without_mappings(void)
{
    hak_free(hak_malloc(1));
    use_up_mappings();
    for (unsigned i = 0; i < 4000; i++) {
        char *p = hak_malloc(1000);
        CHILD_CHECK(p != NULL);
        p[0] = p[999] = 1;
    }
    for (unsigned i = 0; i < 8; i++)
        CHILD_CHECK(hak_malloc(KIB(2) + KIB(i)) != NULL && hak_malloc(KIB(700)) != NULL);
}

static void as_many_mappings_as_may_be(void **state)
{
    (void)state;
    if (!is_measurable() || GUARDS) // each guard is one more
        skip();
    int status = run_child(grow_without_mappings);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_exited_0(status);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--exhaust") == 0) {
        alarm(120);
        exhaust();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_limits), // before anything is reserved
        cmocka_unit_test(a_limit_lowered_later),
        cmocka_unit_test(seventy_percent_of_512_mib),
        cmocka_unit_test(as_many_mappings_as_may_be),
    };
    return cmocka_run_group_tests_name("api_exhaustion", tests, NULL, NULL);
}
