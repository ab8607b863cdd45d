// test_stats.c: statistics agree with each other, with the audit, and with what the program did;
// frees of foreign pointers are ignored, counted and reported by call site.
#include "api.h"

#include <pthread.h>

// Exact while no other thread runs.
static struct hak_stats stats_now(void)
{
    struct hak_stats s;
    hak_get_stats(&s);
    return s;
}

static void assert_consistent(void)
{
    struct hak_stats s = stats_now();
    struct hak_audit_report audit;
    if (!hak_audit(&audit))
        fail_msg("audit: %s", audit.first_error);
    assert_int_equal(audit.errors, 0);
    assert_int_equal(audit.first_error[0], 0);
    assert_int_equal(audit.live + audit.cached + audit.free + audit.remote, audit.capacity);

    struct hak_class_stats c;
    uint64_t live = 0, cached = 0, capacity = 0, slabs = 0, live_bytes = 0, cached_bytes = 0;
    size_t below = 0;
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++) {
        assert_true(c.block_bytes > below && c.block_bytes % 16 == 0);
        below = c.block_bytes;
        assert_true(c.live + c.cached <= c.capacity);
        assert_true(c.flow.refilled >= c.cached);
        live += c.live;
        cached += c.cached;
        capacity += c.capacity;
        slabs += c.slabs;
        live_bytes += c.live * c.block_bytes;
        cached_bytes += c.cached * c.block_bytes;
    }
    assert_true(below > 0);
    assert_int_equal(live, audit.live);
    assert_int_equal(cached, audit.cached);
    assert_int_equal(capacity, audit.capacity);
    assert_int_equal(slabs, audit.slabs);
    assert_int_equal(s.cached_bytes, cached_bytes);
    assert_true(s.live_bytes >= live_bytes);
    assert_int_equal(s.large_live, audit.large);
    assert_int_equal(s.huge_live, audit.huge);
    assert_true(s.mapped_live <= s.huge_live);
    assert_true(s.committed_bytes >= s.live_bytes);
    assert_true(s.committed_peak_bytes >= s.committed_bytes);
    assert_true(s.empty_bytes <= s.committed_bytes);
    assert_true(s.heaps_idle < s.heaps);
    assert_true(s.remote_drained <= s.remote_freed);
    assert_true(s.metadata_bytes > 0);
}

static void classes_end(void **state)
{
    (void)state;
    struct hak_class_stats c;
    unsigned classes = 0;
    while (hak_get_class_stats(classes, &c))
        classes++;
    assert_in_range(classes, 10, 64);
    assert_false(hak_get_class_stats(classes, &c));
    assert_false(hak_get_class_stats(UINT_MAX, &c));
}

// Bytes of the block at p: with a canary, usable are only those that were asked for.
static size_t block_bytes(void *p)
{
    size_t n = hak_malloc_usable_size(p), page = (size_t)sysconf(_SC_PAGESIZE);
    struct hak_class_stats c;
    if (CANARY == 0)
        return n;
    for (unsigned i = 0; hak_get_class_stats(i, &c); i++)
        if (n + CANARY <= c.block_bytes)
            return c.block_bytes;
    return (n + (GUARDS ? 0 : CANARY) + page - 1) / page * page;
}

static void a_block_of_each_tier_is_counted(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tier_sizes); i++) {
        uint64_t live = stats_now().live_bytes;
        void *p = hak_malloc(tier_sizes[i]);
        assert_non_null(p);
        assert_int_equal(stats_now().live_bytes, live + block_bytes(p));
        assert_consistent();
        hak_free(p);
        assert_int_equal(stats_now().live_bytes, live);
        assert_consistent();
    }
}

static void random_life(void **state)
{
    (void)state;
    static void *slots[200];
    uint64_t random = 5;
    for (unsigned i = 0; i < 20000; i++) {
        void **slot = &slots[next_random(&random) % COUNT_OF(slots)];
        size_t n = tier_sizes[next_random(&random) % COUNT_OF(tier_sizes)];
        if (n > KIB(64) && next_random(&random) % 32 != 0)
            n = 1 + n % 3000;
        if (next_random(&random) % 3 == 0) {
            *slot = hak_realloc(*slot, n);
        } else {
            hak_free(*slot);
            *slot = hak_malloc(n);
        }
        assert_non_null(*slot);
        if (i % 1000 == 0)
            assert_consistent();
    }
    uint64_t live = 0;
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        live += slots[i] != NULL ? block_bytes(slots[i]) : 0;
    // A block that realloc left in place may be longer than its canary tells.
    assert_in_range(stats_now().live_bytes, live, CANARY != 0 ? 2 * live : live);
    for (unsigned i = 0; i < COUNT_OF(slots); i++)
        hak_free(slots[i]);
    assert_int_equal(stats_now().live_bytes, 0);
    hak_malloc_trim(0);
    assert_consistent();
}

enum { REMOTE_BLOCKS = 5000 };
static void *remote_blocks[REMOTE_BLOCKS];

static void *free_remote_blocks(void *argument)
{
    for (unsigned i = 0; i < REMOTE_BLOCKS; i++)
        hak_free(remote_blocks[i]);
    return argument;
}

static void frees_by_another_thread(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REMOTE_BLOCKS; i++)
        assert_non_null(remote_blocks[i] = hak_malloc(112));
    uint64_t freed = stats_now().remote_freed;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_remote_blocks, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(stats_now().remote_freed - freed, REMOTE_BLOCKS);
    assert_consistent();
    hak_malloc_trim(0);
    struct hak_stats s = stats_now();
    assert_int_equal(s.remote_drained, s.remote_freed);
    assert_consistent();
}

// Waste in committed bytes: at most a quarter, page rounding excluded; slabs begun but not full,
// and the tails of slabs, come on top once.
static void check_committed(size_t n)
{
    static void *blocks[20000];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t count = MIB(24) / n < COUNT_OF(blocks) ? MIB(24) / n : COUNT_OF(blocks);
    hak_malloc_trim(0);
    uint64_t before = stats_now().committed_bytes;
    for (size_t i = 0; i < count; i++)
        assert_non_null(blocks[i] = hak_malloc(n));
    uint64_t after = stats_now().committed_bytes;
    size_t quarter = n + n / 4, pages = (n + page - 1) / page * page;
    size_t most = (quarter > pages ? quarter : pages) * count;
    if (after - before > most + most / 16 + MIB(2))
        fail_msg("%zu blocks of %zu bytes commit %zu bytes, more than %zu", count, n,
                 (size_t)(after - before), most);
    for (size_t i = 0; i < count; i++)
        hak_free(blocks[i]);
}

static void committed_bytes_are_bounded(void **state)
{
    (void)state;
    for (size_t n = 64; n < MIB(1); n = n * 9 / 8 + 1)
        check_committed(n);
    for (size_t n = MIB(1) + 1; n < MIB(8); n = n * 7 / 5)
        check_committed(n);
}

static void trim_gives_back(void **state)
{
    (void)state;
    enum { BLOCKS = 4000 };
    static void *blocks[BLOCKS];
    hak_malloc_trim(0);
    uint64_t before = stats_now().committed_bytes;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = hak_malloc(4000);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 4000);
    }
    assert_true(stats_now().committed_bytes >= before + BLOCKS * 4000);
    for (unsigned i = 0; i < BLOCKS; i++)
        hak_free(blocks[i]);
    assert_int_equal(hak_malloc_trim(0), 1);
    uint64_t after = stats_now().committed_bytes;
    if (after > before + MIB(1))
        fail_msg("committed %zu before, %zu after", (size_t)before, (size_t)after);
    assert_int_equal(hak_malloc_trim(0), 0);
    assert_true(stats_now().committed_peak_bytes >= before + BLOCKS * 4000);
}

// ---- foreign pointers ----

static int foreign_target;

__attribute__((noinline)) static void free_foreign(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        hak_free(opaque_pointer((char *)&foreign_target));
        __asm__ volatile(""); // no tail call: the return address is in here
    }
}

// What f writes to the descriptor, as text.
static char *printed_by(void (*f)(int fd))
{
    static char text[KIB(64)];
    FILE *file = tmpfile();
    assert_non_null(file);
    f(fileno(file));
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    fclose(file);
    return text;
}

static void foreign_frees(void **state)
{
    (void)state;
    if (!FOREIGN_FREES_COUNT)
        skip();
    char on_stack[64];
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t before = stats_now().foreign_frees;
    errno = 4711;
    hak_free(opaque_pointer(on_stack));
    hak_free(opaque_pointer(mapped));
    hak_free(opaque_pointer((void *)(uintptr_t)0xdead0000));
    hak_free_sized(opaque_pointer(on_stack + 16), 16);
    assert_int_equal(errno, 4711);
    assert_int_equal(stats_now().foreign_frees - before, 4);
    free_foreign(1234);
    assert_int_equal(stats_now().foreign_frees - before, 1238);
    // The busiest call site is reported with its count.
    char *report = printed_by(hak_print_foreign);
    char *line = strstr(report, "1234");
    assert_non_null(line);
    unsigned long long address = 0;
    char *hex = strstr(report, "0x");
    assert_non_null(hex);
    assert_int_equal(sscanf(hex, "%llx", &address), 1);
    assert_true(address > (uintptr_t)free_foreign && address < (uintptr_t)free_foreign + 200);
    munmap(mapped, 4096);
    assert_consistent();
}

// ---- reports ----

// Skips one JSON value; NULL if there is none. No escapes: the report has no use for them.
static const char *skip_json(const char *at, unsigned depth)
{
    at += strspn(at, " \n");
    if (depth == 0)
        return NULL;
    if (*at == '"')
        return (at = strchr(at + 1, '"')) != NULL ? at + 1 : NULL;
    if (*at != '{' && *at != '[') {
        size_t digits = strspn(at, "0123456789.-");
        return digits > 0 ? at + digits : NULL;
    }
    char close = *at == '{' ? '}' : ']';
    at++;
    at += strspn(at, " \n");
    while (*at != close) {
        if (close == '}') {
            if (*at != '"' || (at = skip_json(at, depth - 1)) == NULL)
                return NULL;
            at += strspn(at, " \n");
            if (*at++ != ':')
                return NULL;
        }
        if ((at = skip_json(at, depth - 1)) == NULL)
            return NULL;
        at += strspn(at, " \n");
        if (*at == ',' && at[1 + strspn(at + 1, " \n")] != close)
            at += 1 + strspn(at + 1, " \n");
        else if (*at != close)
            return NULL;
    }
    return at + 1;
}

static unsigned long long json_number(const char *text, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\"", name);
    const char *at = strstr(text, key);
    if (at == NULL)
        fail_msg("%s is not in the report", name);
    at += strlen(key);
    at += strspn(at, " :");
    return strtoull(at, NULL, 10);
}

static void json_report(void **state)
{
    (void)state;
    void *small = hak_malloc(100), *large = hak_malloc(MIB(1)), *huge = hak_malloc(MIB(10));
    struct hak_stats s = stats_now();
    char *text = printed_by(hak_print_stats_json);
    const char *end = skip_json(text, 8);
    if (end == NULL || end[strspn(end, " \n")] != 0)
        fail_msg("not one JSON value: %s", text);
    assert_int_equal(json_number(text, "live_bytes"), s.live_bytes);
    assert_int_equal(json_number(text, "committed_bytes"), s.committed_bytes);
    assert_int_equal(json_number(text, "committed_peak_bytes"), s.committed_peak_bytes);
    assert_int_equal(json_number(text, "large_live"), s.large_live);
    assert_int_equal(json_number(text, "huge_live"), s.huge_live);
    assert_int_equal(json_number(text, "foreign_frees"), s.foreign_frees);
    assert_int_equal(json_number(text, "remote_freed"), s.remote_freed);
    assert_int_equal(json_number(text, "from_new"), s.flow.from_new);
    hak_free(small);
    hak_free(large);
    hak_free(huge);
}

static void text_report(void **state)
{
    (void)state;
    void *p = hak_malloc(100);
    char number[32];
    snprintf(number, sizeof number, "%llu", (unsigned long long)stats_now().committed_bytes);
    char *text = printed_by(hak_print_stats);
    assert_non_null(strstr(text, "committed"));
    assert_non_null(strstr(text, "peak"));
    assert_non_null(strstr(text, number));
    hak_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_end),
        cmocka_unit_test(a_block_of_each_tier_is_counted),
        cmocka_unit_test(random_life),
        cmocka_unit_test(frees_by_another_thread),
        cmocka_unit_test(committed_bytes_are_bounded),
        cmocka_unit_test(trim_gives_back),
        cmocka_unit_test(foreign_frees),
        cmocka_unit_test(json_report),
        cmocka_unit_test(text_report),
    };
    return cmocka_run_group_tests_name("api_stats", tests, NULL, NULL);
}
