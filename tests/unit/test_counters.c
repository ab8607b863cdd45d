// test_counters.c: where refills and large blocks come from, drains, sweeps, purges, failures,
// flushes: each counter after a state that the test has made.
#define _GNU_SOURCE 1
#include "metrics.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <seam/os.h>
#include <seam/tls.h>

#include "alloc.h"
#include "cache.h"
#include "heaps.h"
#include "meta.h"
#include "sizeclass.h"

enum { BYTES = 80 };

static struct hak_flow flow_of(unsigned c)
{
    struct hak_class_stats stats;
    CHILD_CHECK(hak_get_class_stats(c - CLASS_FIRST, &stats));
    return stats.flow;
}

static struct hak_heap_stats heap_stats(const struct heap *h)
{
    struct hak_heap_stats stats;
    unsigned i = 0;
    while (hak_heaps_at(i) != h)
        i++;
    CHILD_CHECK(hak_get_heap_stats(i, &stats) && stats.heap == i);
    return stats;
}

static struct hak_stats totals(void)
{
    struct hak_stats stats;
    hak_get_stats(&stats);
    return stats;
}

static uint64_t source(struct heap *h, unsigned c, enum refill_source from)
{
    return own_load(&hak_heap_counts(h, c)->taken[from]);
}

static void *take(struct heap *h, unsigned c)
{
    bool zero;
    void *p = hak_magazine_pop(&h->magazines[c]);
    if (p == NULL && hak_cache_grow(h, c))
        p = hak_heap_refill(h, c, POOL_ANY, &zero);
    CHILD_CHECK(p != NULL);
    return p;
}

static struct slab *slab_of(const void *p)
{
    return hak_slab_of_unit(hak_unit_of(p));
}

// All blocks of the next slab of the class.
static uint32_t take_slab(struct heap *h, unsigned c, void **blocks)
{
    blocks[0] = take(h, c);
    uint32_t n = own_load(&slab_of(blocks[0])->blocks);
    for (uint32_t i = 1; i < n; i++) {
        blocks[i] = take(h, c);
        CHILD_CHECK(slab_of(blocks[i]) == slab_of(blocks[0]));
    }
    return n;
}

static void expect_sources(unsigned c, const uint64_t wanted[REFILL_SOURCES])
{
    static const char *const names[] = { "current", "partial", "inbox", "empty", "unused", "new" };
    const struct hak_flow flow = flow_of(c);
    const uint64_t got[REFILL_SOURCES] = { flow.from_current, flow.from_partial, flow.from_inbox,
                                           flow.from_empty,   flow.from_unused,  flow.from_new };
    for (unsigned i = 0; i < REFILL_SOURCES; i++)
        if (got[i] != wanted[i]) {
            dprintf(2, "%s: %llu instead of %llu\n", names[i], (unsigned long long)got[i],
                    (unsigned long long)wanted[i]);
            _exit(1);
        }
}

static void give(struct heap *h, unsigned c, void **blocks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        hak_heap_free_one(h, c, blocks[i]);
}

static void sources(const void *argument)
{
    static void *a[SLAB_BLOCKS_MAX], *b[SLAB_BLOCKS_MAX];
    uint64_t wanted[REFILL_SOURCES] = { 0 };
    (void)argument;
    start(STILL ",arena_mib=64");
    struct heap *h = hak_heaps_borrow(), *other = hak_heaps_borrow();
    unsigned c = hak_class_of(256); // refilled in batches, in either geometry
    h->now_ms = other->now_ms = os_clock_ms();
    // The first SuperSlab was begun for hak_malloc(1); a slab that fills one to the end begins
    // another. Refills go on in the current slab until it is full.
    uint32_t n = take_slab(h, c, a);
    uint64_t refills = source(h, c, REFILL_CURRENT) + 1;
    wanted[REFILL_POOL_UNUSED] = 1;
    wanted[REFILL_CURRENT] = refills - 1;
    CHILD_CHECK(GEOMETRY_SMALL || refills > 1);
    expect_sources(c, wanted);
    CHILD_CHECK(take_slab(h, c, b) == n);
    wanted[REFILL_POOL_UNUSED]++;
    wanted[REFILL_CURRENT] = source(h, c, REFILL_CURRENT);
    expect_sources(c, wanted);
    // Slab b is the current one: one free block in each makes a partial, and then the current.
    hak_heap_free_one(h, c, a[0]);
    a[0] = take(h, c);
    wanted[REFILL_PARTIAL]++;
    expect_sources(c, wanted);
    hak_heap_free_one(h, c, a[0]);
    a[0] = take(h, c);
    wanted[REFILL_CURRENT]++;
    expect_sources(c, wanted);
    // Two slabs in one refill.
    hak_heap_free_one(h, c, a[0]);
    hak_heap_free_one(h, c, b[0]);
    a[0] = take(h, c);
    b[0] = take(h, c);
    wanted[REFILL_CURRENT]++;
    wanted[REFILL_PARTIAL]++;
    expect_sources(c, wanted);
    // By way of the inbox.
    uint64_t drains = own_load(&h->counters.drains);
    hak_heap_free_one(other, c, a[0]);
    a[0] = take(h, c);
    wanted[REFILL_INBOX]++;
    expect_sources(c, wanted);
    CHILD_CHECK(own_load(&h->counters.drains) == drains + 1);
    CHILD_CHECK(own_load(&h->counters.drained) == 1 && own_load(&h->counters.drained_slabs) == 1);
    CHILD_CHECK(own_load(&hak_heap_counts(other, c)->flushed_remote) == 1);
    CHILD_CHECK(own_load(&hak_heap_counts(other, c)->runs_remote) == 1);
    // Both go back to the pool, one with what the heap keeps of it, and come from there.
    uint64_t released = heap_stats(h).slabs_released;
    give(h, c, a, n);
    give(h, c, b, n);
    hak_heap_release_kept(h);
    CHILD_CHECK(heap_stats(h).slabs_released == released + 2);
    a[0] = take(h, c);
    wanted[REFILL_POOL_EMPTY]++;
    expect_sources(c, wanted);
    // A SuperSlab is begun when all units are in use.
    uint64_t begun = hak_superslabs_begun();
    while (hak_superslabs_begun() == begun)
        take(h, c);
    CHILD_CHECK(flow_of(c).from_new == 1);
    CHILD_CHECK(totals().superslabs == hak_superslabs_begun());
    CHILD_CHECK(totals().reserved_bytes == (uint64_t)64 << 20);
}

// ---- heaps ----

static void sweeps(const void *argument)
{
    static void *blocks[SLAB_BLOCKS_MAX];
    (void)argument;
    start(STILL);
    struct heap *mine = hak_heaps_borrow(), *other = hak_heaps_borrow();
    unsigned c = hak_class_of(1024);
    mine->now_ms = other->now_ms = os_clock_ms();
    uint32_t n = take_slab(other, c, blocks);
    hak_heap_free_one(other, c, blocks[0]); // the slab is in its list
    CHILD_CHECK(heap_stats(other).threads == 1 && heap_stats(other).thread != 0);
    hak_heaps_return(other);
    CHILD_CHECK(heap_stats(other).thread == 0);
    hak_heap_free_one(mine, c, blocks[1]); // waits in the idle heap's inbox
    CHILD_CHECK(hak_heaps_sweep(mine, c, 1));
    struct hak_heap_stats stats = heap_stats(mine);
    CHILD_CHECK(stats.sweeps == 1 && stats.adopted == 1);
    CHILD_CHECK(totals().sweeps == 1 && totals().adopted == 1);
    CHILD_CHECK(heap_stats(other).remote_drained == 1 && heap_stats(other).drained_slabs == 1);
    CHILD_CHECK(heap_stats(other).sweeps == 0);
    // Adopted blocks count for who took them over.
    give(mine, c, blocks + 2, n - 2);
    CHILD_CHECK(heap_stats(mine).flow.flushed_remote == 1);
    CHILD_CHECK(heap_stats(mine).flow.flushed_own == n - 2);
    CHILD_CHECK(hak_heaps_borrow() == other && heap_stats(other).threads == 2);
}

// Whoever allocates when it is time sweeps, too.
static void sweeps_in_time(const void *argument)
{
    (void)argument;
    start("purge_delay_ms=1000");
    struct heap *other = hak_heaps_borrow();
    hak_heaps_return(other);
    struct heap *h = hak_alloc_enter();
    CHILD_CHECK(h != NULL);
    uint64_t before = heap_stats(h).sweeps;
    hak_alloc_leave(h);
    CHILD_CHECK(heap_stats(h).sweeps == before); // not yet
    h = hak_alloc_enter();
    h->now_ms += 2000;
    hak_alloc_leave(h);
    CHILD_CHECK(heap_stats(h).sweeps == before + 1);
}

static void purges(const void *argument)
{
    (void)argument;
    start(STILL);
    struct hak_stats before, after;
    void *p = hak_malloc(LARGE_SIZE_MAX);
    hak_free(p);
    hak_thread_flush();
    hak_free(hak_malloc(1));
    hak_get_stats(&before);
    CHILD_CHECK(before.empty_bytes >= LARGE_SIZE_MAX);
    CHILD_CHECK(hak_malloc_trim(0) == 1);
    hak_get_stats(&after);
    CHILD_CHECK(after.purges == before.purges + 1);
    CHILD_CHECK(after.purged_bytes > before.purged_bytes && after.empty_bytes == 0);
    CHILD_CHECK(after.purged_bytes - before.purged_bytes ==
                before.committed_bytes - after.committed_bytes);
    CHILD_CHECK(heap_stats(tls_heap()).purges == after.purges);
    CHILD_CHECK(heap_stats(tls_heap()).purged_bytes == after.purged_bytes);
}

static void large_sources(const void *argument)
{
    struct hak_stats s;
    size_t n = LARGE_SIZE_MAX - UNIT_SIZE;
    (void)argument;
    start(STILL);
    hak_get_stats(&s);
    CHILD_CHECK(s.large_kept + s.large_empty + s.large_unused + s.large_new == 0);
    void *p = hak_malloc(n); // of the SuperSlab that is there
    hak_get_stats(&s);
    CHILD_CHECK(s.large_unused == 1 && s.large_live == 1);
    hak_free(p);
    p = hak_malloc(n);
    hak_get_stats(&s);
    CHILD_CHECK(s.large_kept == 1);
    hak_free(p);
    p = hak_malloc(n - UNIT_SIZE); // another length: what was kept went to the pool
    hak_get_stats(&s);
    CHILD_CHECK(s.large_empty == 1);
    void *huge = hak_malloc(2 * SUPERSLAB_SIZE);
    hak_get_stats(&s);
    CHILD_CHECK(s.large_new == 1 && s.huge_live == 1);
    CHILD_CHECK(s.large_kept == 1 && s.large_empty == 1 && s.large_unused == 1);
    hak_free(huge);
    hak_free(p);
}

static void failures(const void *argument)
{
    struct hak_stats s;
    (void)argument;
    start(STILL ",arena_mib=4");
    hak_get_stats(&s);
    CHILD_CHECK(s.failures == 0);
    uint64_t n = 0;
    void *last = NULL;
    for (void *p; (p = hak_malloc(1024)) != NULL; last = p)
        n++;
    hak_get_stats(&s);
    CHILD_CHECK(n > 100 && s.failures == 1);
    CHILD_CHECK(hak_malloc(LARGE_SIZE_MAX) == NULL);
    hak_get_stats(&s);
    CHILD_CHECK(s.failures == 2);
    struct hak_flow flow = flow_of(hak_class_of(1024));
    CHILD_CHECK(flow.malloc_hits + flow.malloc_misses == n); // what failed is no malloc
    hak_free(last);
    // Where the arena has no room, a mapping of its own.
    CHILD_CHECK((last = hak_malloc(4 * SUPERSLAB_SIZE)) != NULL);
    CHILD_CHECK(totals().mapped_live == 1 && totals().huge_live == 1);
    hak_free(last);
    CHILD_CHECK(totals().mapped_live == 0);
}

// The flushes of a thread's end, and of a thread that has no magazine for want of memory.
static void flushes(const void *argument)
{
    (void)argument;
    start(STILL);
    struct heap *h = tls_heap();
    unsigned c = hak_class_of(BYTES);
    static void *p[MAGAZINE_BLOCKS_MAX];
    uint32_t n = 0;
    void *six[6];
    for (int i = 0; i < 6; i++)
        six[i] = hak_malloc(BYTES);
    for (int i = 0; i < 6; i++)
        hak_free(six[i]);
    // A flush looks, too: what is gone was handed out.
    uint32_t left = own_load(&hak_heap_counts(h, c)->left);
    while (hak_magazine_count(&h->magazines[c]) != 0)
        p[n++] = hak_malloc(BYTES);
    hak_free(p[0]);
    uint64_t hits = own_load(&hak_heap_counts(h, c)->malloc_hits);
    hak_thread_flush();
    CHILD_CHECK(left > 1);
    CHILD_CHECK(own_load(&hak_heap_counts(h, c)->malloc_hits) == hits + left - 1);
    while (n > 1)
        hak_free(p[--n]);
    CHILD_CHECK(tls_heap() == h);
    hak_thread_flush();
    uint64_t before = heap_stats(h).flushes;
    hak_free(hak_malloc(BYTES));
    hak_free(hak_malloc(2 * BYTES));
    hak_thread_flush();
    struct hak_heap_stats stats = heap_stats(h);
    CHILD_CHECK(stats.flushes == before + 2);
    CHILD_CHECK(stats.flow.flushed_own == stats.flow.refilled);
    CHILD_CHECK(stats.cached_bytes == 0);
}

static void bare(const void *argument)
{
    bool zero;
    (void)argument;
    start(STILL ",arena_mib=4");
    struct heap *h = hak_heaps_borrow(), *other = hak_heaps_borrow();
    unsigned c = hak_class_of(BYTES);
    CHILD_CHECK(hak_cache_grow(h, c));
    void *p = hak_heap_refill(h, c, POOL_ANY, &zero);
    while (hak_meta_alloc(64) != NULL)
        ;
    CHILD_CHECK(!hak_cache_make_room(other, c) && !hak_cache_grow(other, c));
    hak_heap_free_one(other, c, p);
    CHILD_CHECK(heap_stats(other).flow.flushed_remote == 1 && heap_stats(other).flow.refilled == 0);
    CHILD_CHECK(hak_heap_ok(other));
}

static void check_faults(int who, uint64_t (*faults)(bool major))
{
    struct rusage before, after;
    CHILD_CHECK(getrusage(who, &before) == 0);
    uint64_t minor = faults(false), major = faults(true);
    CHILD_CHECK(getrusage(who, &after) == 0);
    CHILD_CHECK((uint64_t)before.ru_minflt <= minor && minor <= (uint64_t)after.ru_minflt);
    CHILD_CHECK((uint64_t)before.ru_majflt <= major && major <= (uint64_t)after.ru_majflt);
}

static uint64_t of_thread(bool major)
{
    struct hak_heap_stats stats = heap_stats(tls_heap());
    return major ? stats.page_faults_major : stats.page_faults_minor;
}

static uint64_t of_process(bool major)
{
    struct hak_stats stats = totals();
    return major ? stats.page_faults_major : stats.page_faults_minor;
}

// What the kernel says of the thread and of the process, which has another one with more faults.
static void *other_thread(void *argument)
{
    (void)argument;
    size_t page = os_page_size();
    for (size_t i = 0; i < 300; i++)
        ((volatile char *)hak_malloc(2 * page))[page] = 1;
    return NULL;
}

// A major fault, unless the file lies in memory anyway: a page of a program that nobody runs.
static void read_from_disk(void)
{
    int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    const volatile char *file = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
    CHILD_CHECK(file != MAP_FAILED && file[0] != 0);
    close(fd);
}

static void faults(const void *argument)
{
    pthread_t thread;
    (void)argument;
    start(STILL ",arena_mib=64");
    read_from_disk();
    CHILD_CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    CHILD_CHECK(pthread_join(thread, NULL) == 0);
    (void)!hak_malloc(1);
    check_faults(RUSAGE_THREAD, of_thread);
    check_faults(RUSAGE_SELF, of_process);
    CHILD_CHECK(of_process(false) > of_thread(false));
}

IN_RELEASE(sources)
IN_RELEASE(sweeps)
IN_RELEASE(sweeps_in_time)
IN_RELEASE(purges)
IN_RELEASE(large_sources)
IN_RELEASE(failures)
IN_RELEASE(flushes)
IN_RELEASE(bare)
IN_RELEASE(faults)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),        cmocka_unit_test(test_sweeps),
        cmocka_unit_test(test_purges),         cmocka_unit_test(test_large_sources),
        cmocka_unit_test(test_failures),       cmocka_unit_test(test_flushes),
        cmocka_unit_test(test_bare),           cmocka_unit_test(test_faults),
        cmocka_unit_test(test_sweeps_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
