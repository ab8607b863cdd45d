// system.c: the virtual operating system.
//
//   region, at a fixed address:   | reserved | released | reserved ...   | never reserved |
//                                                                        ^ top
//   per page: committed           what the allocator may touch now
//             accessible          what this process has ever made readable and writable
//
// Reservations are taken from `top`; what is released is used again, first fit, so that an address
// can have several lives. Page protections of the real kernel only ever open: an execution makes no
// system call once the pages it uses have been opened, and a page that no execution ever committed
// stays PROT_NONE. AddressSanitizer sees every uncommitted page that was open once as poisoned.
//
// Invariants: uncommitted pages read as zero; committed pages lie in a reservation. A call outside
// of that is a bug of the allocator and fails the execution.
#include "system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <seam/os.h>
#include <seam/sanitizer.h>

#include "races.h"

#if defined(HAK_ASAN)
#define POISON(p, n) __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

// Below the kernel's mapping area and inside of what each sanitizer calls application memory.
#define REGION_ADDRESS ((uintptr_t)0x7e9000000000)
#define PAGES (SYSTEM_BYTES_MAX / SYSTEM_PAGE)
#define RANGES_MAX 256u
#define CLOCK_START_MS 1000u

struct range {
    size_t first, pages;
    bool reserved; // else released: free for use again
};

static struct {
    char *base;
    struct range ranges[RANGES_MAX]; // ordered by address, without gaps
    uint32_t range_count;
    size_t top, pages_max;
    size_t dirty_first, dirty_end; // all committed pages of this execution lie between
    uint8_t committed[PAGES], accessible[PAGES];
    uint8_t zero[PAGES]; // reads as zero and will not be written before the reset
    uint64_t calls, failing_first, failing_end;
    uint64_t failed;   // made to fail
    uint64_t failures; // of any kind
    uint64_t clock_ms, entropy;
    bool paused;
    const char *options;
    char messages[4096];
    size_t message_bytes;
} sys;

static void map_region(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    void *p = mmap((void *)REGION_ADDRESS, SYSTEM_BYTES_MAX, PROT_NONE, flags, -1, 0);
    if (p != (void *)REGION_ADDRESS) {
        fprintf(stderr, "sched: cannot map %zu bytes at %#zx: %s\n", SYSTEM_BYTES_MAX,
                (size_t)REGION_ADDRESS, strerror(errno));
        exit(2);
    }
    sys.base = p;
}

// ---- pages ----

static size_t page_of(const void *p)
{
    return ((uintptr_t)p - REGION_ADDRESS) / SYSTEM_PAGE;
}

static void open_pages(size_t first, size_t count)
{
    size_t i = first;
    while (i < first + count) {
        size_t run = i;
        while (run < first + count && !sys.accessible[run])
            run++;
        if (run > i && mprotect(sys.base + i * SYSTEM_PAGE, (run - i) * SYSTEM_PAGE,
                                PROT_READ | PROT_WRITE) != 0) {
            perror("sched: mprotect");
            exit(2);
        }
        races_ignore_begin();
        memset(sys.accessible + i, 1, run - i);
        races_ignore_end();
        i = run > i ? run : i + 1;
    }
}

static void zero_pages(size_t first, size_t count)
{
    char *p = sys.base + first * SYSTEM_PAGE;
    UNPOISON(p, count * SYSTEM_PAGE);
    memset(p, 0, count * SYSTEM_PAGE);
}

// The first committed page from `i` on, or `end`.
static size_t next_committed(size_t i, size_t end)
{
    races_ignore_begin();
    const uint8_t *found = memchr(sys.committed + i, 1, end - i);
    races_ignore_end();
    return found ? (size_t)(found - sys.committed) : end;
}

static void uncommit(size_t first, size_t count)
{
    for (size_t i = first, end; (i = next_committed(i, first + count)) < first + count; i = end) {
        bool zero = sys.zero[i];
        for (end = i; end < first + count && sys.committed[end] && sys.zero[end] == zero;)
            end++;
        if (!zero)
            zero_pages(i, end - i);
        POISON(sys.base + i * SYSTEM_PAGE, (end - i) * SYSTEM_PAGE);
        races_ignore_begin();
        memset(sys.committed + i, 0, end - i);
        memset(sys.zero + i, 0, end - i);
        races_ignore_end();
    }
}

// The range that contains all of the pages, reserved; fails the execution if there is none.
static struct range *reservation(const void *p, size_t bytes, const char *call)
{
    size_t first = page_of(p), count = bytes / SYSTEM_PAGE;
    if ((uintptr_t)p % SYSTEM_PAGE == 0 && bytes % SYSTEM_PAGE == 0 && bytes != 0)
        for (uint32_t i = 0; i < sys.range_count; i++) {
            struct range *r = &sys.ranges[i];
            if (r->reserved && first >= r->first && first - r->first <= r->pages &&
                count <= r->pages - (first - r->first))
                return r;
        }
    sched_fail("system call", "%s(%p, %zu): not pages of one reservation", call, p, bytes);
}

static void need_committed(const void *p, size_t bytes, const char *call)
{
    if (!system_is_committed(p, bytes))
        sched_fail("system call", "%s(%p, %zu): not all of it is committed", call, p, bytes);
}

bool system_is_committed(const void *p, size_t bytes)
{
    uintptr_t offset = (uintptr_t)p - REGION_ADDRESS;
    if (offset >= SYSTEM_BYTES_MAX || bytes > SYSTEM_BYTES_MAX - offset)
        return false;
    for (size_t i = offset / SYSTEM_PAGE; i * SYSTEM_PAGE < offset + bytes; i++)
        if (!sys.committed[i])
            return false;
    return true;
}

// ---- calls ----

static bool fails(const struct sched_site *at, const void *p, size_t bytes)
{
    if (sys.paused || sched_is_quiet())
        return false; // the harness itself asks
    sys.calls++;
    bool armed = sys.calls >= sys.failing_first && sys.calls < sys.failing_end;
    bool fails = sched_system_call(at, p, bytes, !armed) || armed;
    sys.failed += fails;
    sys.failures += fails;
    return fails;
}

static struct range *insert_range(uint32_t at, size_t first, size_t pages, bool reserved)
{
    if (sys.range_count == RANGES_MAX)
        sched_fail("harness", "more than %u reservations", RANGES_MAX);
    races_ignore_begin();
    memmove(&sys.ranges[at + 1], &sys.ranges[at], (sys.range_count++ - at) * sizeof(struct range));
    races_ignore_end();
    sys.ranges[at] = (struct range){ first, pages, reserved };
    return &sys.ranges[at];
}

// Cuts [first, first + pages) out of the free range `i` and reserves it.
static void *carve(uint32_t i, size_t first, size_t pages)
{
    struct range whole = sys.ranges[i];
    sys.ranges[i] = (struct range){ first, pages, true };
    if (whole.first + whole.pages > first + pages)
        insert_range(i + 1, first + pages, whole.first + whole.pages - first - pages, false);
    if (first > whole.first)
        insert_range(i, whole.first, first - whole.first, false);
    return sys.base + first * SYSTEM_PAGE;
}

static size_t round_to(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

// The first page from `page` on whose address is a multiple of `align`.
static size_t aligned_page(size_t page, size_t align)
{
    return (round_to(REGION_ADDRESS + page * SYSTEM_PAGE, align) - REGION_ADDRESS) / SYSTEM_PAGE;
}

// Failed releases may have used up the space; an audit's scratch memory may lie behind it.
static void *reserve(size_t bytes, size_t align)
{
    size_t pages = round_to(bytes, SYSTEM_PAGE) / SYSTEM_PAGE;
    size_t end = sys.paused ? PAGES : sys.pages_max;
    if (bytes == 0 || pages > end)
        return NULL;
    for (uint32_t i = 0; i < sys.range_count; i++) {
        struct range *r = &sys.ranges[i];
        size_t first = aligned_page(r->first, align);
        if (!r->reserved && first + pages <= r->first + r->pages && first + pages <= end)
            return carve(i, first, pages);
    }
    size_t first = aligned_page(sys.top, align);
    if (first + pages > end)
        return NULL;
    if (first > sys.top)
        insert_range(sys.range_count, sys.top, first - sys.top, false);
    insert_range(sys.range_count, first, pages, true);
    sys.top = first + pages;
    return sys.base + first * SYSTEM_PAGE;
}

void *system_reserve(const struct sched_site *at, size_t bytes, size_t align)
{
    if (fails(at, NULL, bytes))
        return NULL;
    void *p = reserve(bytes, align);
    races_acquire(&sys.base); // the kernel orders a new life of addresses behind the old one
    sys.failures += p == NULL;
    return p;
}

static void commit(void *p, size_t bytes)
{
    size_t first = page_of(p), count = bytes / SYSTEM_PAGE;
    open_pages(first, count);
    races_write(p, bytes);
    for (size_t i = first; i < first + count; i++) {
        if (sys.committed[i])
            continue;
        sys.committed[i] = 1;
        UNPOISON(sys.base + i * SYSTEM_PAGE, SYSTEM_PAGE);
    }
    sys.dirty_first = first < sys.dirty_first ? first : sys.dirty_first;
    sys.dirty_end = first + count > sys.dirty_end ? first + count : sys.dirty_end;
}

bool system_commit(const struct sched_site *at, void *p, size_t bytes)
{
    reservation(p, bytes, "commit");
    if (!fails(at, p, bytes)) {
        commit(p, bytes);
        return true;
    }
    // Some of the pages may be accessible then: each second time the first half is.
    if (sys.failures % 2 == 0)
        commit(p, bytes / 2 / SYSTEM_PAGE * SYSTEM_PAGE);
    return false;
}

bool system_decommit(const struct sched_site *at, void *p, size_t bytes)
{
    reservation(p, bytes, "decommit");
    if (fails(at, p, bytes))
        return false;
    need_committed(p, bytes, "decommit");
    zero_pages(page_of(p), bytes / SYSTEM_PAGE);
    memory_forget(p, bytes);
    return true;
}

static void release(struct range *r)
{
    uncommit(r->first, r->pages);
    races_release(&sys.base);
    memory_forget(sys.base + r->first * SYSTEM_PAGE, r->pages * SYSTEM_PAGE);
    r->reserved = false;
    for (uint32_t i = 0; i + 1 < sys.range_count;) { // joins free neighbours
        struct range *a = &sys.ranges[i], *b = a + 1;
        if (a->reserved || b->reserved) {
            i++;
            continue;
        }
        a->pages += b->pages;
        races_ignore_begin();
        memmove(b, b + 1, (--sys.range_count - i - 1) * sizeof *b);
        races_ignore_end();
    }
}

bool system_release(const struct sched_site *at, void *p, size_t bytes)
{
    struct range *r = reservation(p, bytes, "release");
    if (r->first != page_of(p) || r->pages != bytes / SYSTEM_PAGE)
        sched_fail("system call", "release(%p, %zu): a part of a reservation", p, bytes);
    if (fails(at, p, bytes))
        return false;
    release(reservation(p, bytes, "release"));
    return true;
}

bool system_move(const struct sched_site *at, void *to, void *from, size_t bytes)
{
    reservation(to, bytes, "move");
    reservation(from, bytes, "move");
    need_committed(to, bytes, "move");
    need_committed(from, bytes, "move");
    if (fails(at, from, bytes))
        return false;
    UNPOISON(to, bytes);
    UNPOISON(from, bytes);
    memcpy(to, from, bytes);
    zero_pages(page_of(from), bytes / SYSTEM_PAGE);
    memory_forget(to, bytes);
    memory_forget(from, bytes);
    return true;
}

void *system_extend(const struct sched_site *at, void *p, size_t old_bytes, size_t new_bytes)
{
    struct range *r = reservation(p, old_bytes, "extend");
    if (r->first != page_of(p) || r->pages != old_bytes / SYSTEM_PAGE)
        sched_fail("system call", "extend(%p, %zu): a part of a reservation", p, old_bytes);
    need_committed(p, old_bytes, "extend");
    void *moved = fails(at, p, new_bytes) ? NULL : reserve(new_bytes, SYSTEM_PAGE);
    if (moved == NULL)
        return NULL;
    size_t kept = old_bytes < new_bytes ? old_bytes : new_bytes;
    commit(moved, new_bytes);
    UNPOISON(p, old_bytes);
    memcpy(moved, p, kept);
    release(reservation(p, old_bytes, "extend"));
    return moved;
}

bool system_protect_none(const struct sched_site *at, void *p, size_t bytes)
{
    reservation(p, bytes, "protect_none");
    if (fails(at, p, bytes))
        return false;
    uncommit(page_of(p), bytes / SYSTEM_PAGE);
    memory_forget(p, bytes);
    return true;
}

// ---- calls that change nothing and cannot fail ----

uint64_t hak_os_failures(void)
{
    return sys.failures;
}

void hak_os_count_failure(void)
{
    sys.failures++;
}

size_t hak_os_page_size(void)
{
    return SYSTEM_PAGE;
}

uint64_t hak_os_clock_ms(void)
{
    return sys.clock_ms;
}

size_t hak_os_address_space_left(void)
{
    return sys.top < sys.pages_max ? (sys.pages_max - sys.top) * SYSTEM_PAGE : 0;
}

bool hak_os_entropy(void *out, size_t bytes)
{
    struct random r;
    random_seed(&r, ++sys.entropy);
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)out)[i] = (uint8_t)(random_next(&r) >> 32);
    return true;
}

const char *hak_os_environment(const char *name)
{
    return strcmp(name, "HAKMEM_OPTIONS") == 0 ? sys.options : NULL;
}

// Here are no files.
enum os_read hak_os_read_file(const char *path, char *out, size_t bytes_max, size_t *bytes)
{
    (void)path, (void)out, (void)bytes_max, (void)bytes;
    return OS_READ_FAILED;
}

bool hak_os_write_fd(int fd, const char *text, size_t bytes)
{
    return write(fd, text, bytes) == (ssize_t)bytes;
}

void hak_os_write_error(const char *text, size_t bytes)
{
    size_t room = sizeof sys.messages - 1 - sys.message_bytes;
    if (bytes > room)
        bytes = room;
    races_ignore_begin();
    memcpy(sys.messages + sys.message_bytes, text, bytes);
    races_ignore_end();
    sys.message_bytes += bytes;
    sys.messages[sys.message_bytes] = 0;
}

void hak_os_page_faults(uint64_t *minor, uint64_t *major)
{
    *minor = *major = 0;
}

_Noreturn void hak_os_abort(void)
{
    size_t n = sys.message_bytes;
    while (n > 0 && sys.messages[n - 1] == '\n')
        sys.messages[--n] = 0;
    sched_fail("fault", "%s", sys.messages);
}

// ---- the harness's hand ----

void system_reset(size_t space_bytes, const char *options)
{
    if (sys.base == NULL)
        map_region();
    else if (sys.dirty_end > sys.dirty_first)
        uncommit(sys.dirty_first, sys.dirty_end - sys.dirty_first);
    sys.top = sys.range_count = 0;
    sys.pages_max = (space_bytes < SYSTEM_BYTES_MAX ? space_bytes : SYSTEM_BYTES_MAX) / SYSTEM_PAGE;
    sys.dirty_first = PAGES;
    sys.dirty_end = 0;
    sys.calls = sys.failing_first = sys.failing_end = sys.failed = sys.failures = 0;
    sys.clock_ms = CLOCK_START_MS;
    sys.entropy = 0;
    sys.paused = false;
    sys.options = options;
    sys.messages[0] = 0;
    sys.message_bytes = 0;
}

bool system_keep_zero(void *p, size_t bytes, bool whole)
{
    static const char zeros[SYSTEM_PAGE];
    UNPOISON(p, bytes);
    for (size_t i = page_of(p), end = i + bytes / SYSTEM_PAGE; i < end; i++) {
        if (memcmp(sys.base + i * SYSTEM_PAGE, zeros, whole ? SYSTEM_PAGE : SYSTEM_LINE) != 0)
            return false;
        sys.zero[i] = sys.committed[i];
    }
    return true;
}

const char *system_messages(void)
{
    return sys.messages;
}

void os_fault_arm(uint64_t first, uint64_t count)
{
    sys.failing_first = first != 0 ? sys.calls + first : 0;
    sys.failing_end = first != 0 ? sys.calls + first + count : 0;
}

uint64_t os_fault_failed(void)
{
    return sys.failed;
}

void os_fault_tick(uint64_t ms)
{
    sys.clock_ms += ms;
}

void os_fault_pause(bool paused)
{
    sys.paused = paused;
}
