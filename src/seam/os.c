// os.c (seam): Linux on x86-64 and aarch64, through the C library's thin wrappers, so that a race
// detector that intercepts them sees mappings come and go.
//
// A page of the arena is in one of three states:
//
//   reserved    PROT_NONE, counts for nothing          os_reserve, os_protect_none
//   committed   readable and writable                  os_commit; os_decommit drops the contents
//   gone        not ours                               os_release; never a part of the arena
//
// Mappings are private, anonymous and MAP_NORESERVE. Where the kernel does not overcommit it counts
// writable private pages only, and refuses os_commit, not the first touch.
// Files are read and written by way of syscall(2): the C library's open, read and write are
// cancellation points, and malloc is none. No function allocates or changes errno; failure is the
// return value. The only state is the count of failures and the page size.
#define _GNU_SOURCE 1
#include "os.h"

#include <seam/atomics.h>

#include "sanitizer.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Numbers of the kernel's interface that the C library's headers may be too old to know.
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum {
    MAP_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
    EAGAIN_TRIES = 8,
};
// Bytes, 2 TiB: more than the largest arena, so that nothing that is stowed lies in it.
#define STOW_DISTANCE ((uintptr_t)2 << 40)

// mmap that returns NULL on failure. Leaves errno to its callers, which all restore it.
static void *map(void *at, size_t bytes, int protection, int flags)
{
    void *p = mmap(at, bytes, protection, MAP_FLAGS | flags, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static struct atomic_u64 failures;

uint64_t hak_os_failures(void)
{
    return load_relaxed(OS_FAILURES_READ, &failures);
}

void hak_os_count_failure(void)
{
    fetch_add_relaxed(OS_FAILURE_COUNT, &failures, 1);
}

size_t hak_os_page_size(void)
{
    static struct atomic_u64 known;
    size_t bytes = load_relaxed(PAGE_SIZE_READ, &known);
    if (unlikely(bytes == 0)) {
        bytes = (size_t)sysconf(_SC_PAGESIZE);
        store_relaxed(PAGE_SIZE_WRITE, &known, bytes);
    }
    return bytes;
}

void *hak_os_reserve(size_t bytes, size_t align)
{
    int saved = errno;
    char *p = map(NULL, bytes, PROT_NONE, 0);
    if (p != NULL && ((uintptr_t)p & (align - 1)) != 0) {
        // Not aligned by luck: reserve more, and give the surplus on both sides back. Should the
        // kernel refuse that (too many mappings), the surplus stays: address space, no memory.
        munmap(p, bytes);
        size_t surplus = align - hak_os_page_size();
        p = bytes <= SIZE_MAX - surplus ? map(NULL, bytes + surplus, PROT_NONE, 0) : NULL;
        if (p != NULL) {
            size_t before = round_up((uintptr_t)p, align) - (uintptr_t)p;
            if (before != 0)
                munmap(p, before);
            if (before != surplus)
                munmap(p + before + bytes, surplus - before);
            p += before;
        }
    }
    errno = saved;
    return p;
}

bool hak_os_commit(void *p, size_t bytes)
{
    int saved = errno;
    bool done = mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
}

static bool advise(void *p, size_t bytes, int advice)
{
    int result = -1;
    for (int i = 0; i < EAGAIN_TRIES && result != 0; i++) {
        result = madvise(p, bytes, advice);
        if (result != 0 && errno != EAGAIN)
            break;
    }
    return result == 0;
}

bool hak_os_decommit(void *p, size_t bytes)
{
    int saved = errno;
    // Locked memory (mlock, mlockall) refuses the first; before 5.18 the kernel does not know the
    // second; the third loses the lock unless future mappings are locked as well.
    bool done = advise(p, bytes, MADV_DONTNEED) || advise(p, bytes, MADV_DONTNEED_LOCKED) ||
                map(p, bytes, PROT_READ | PROT_WRITE, MAP_FIXED) != NULL;
    errno = saved;
    return done;
}

bool hak_os_release(void *p, size_t bytes)
{
    int saved = errno;
    bool done = munmap(p, bytes) == 0;
    errno = saved;
    return done;
}

// Whether the mapping at p is locked. Such pages are not moved away from a mapping that stays: the
// kernel would count them among the locked ones once more, for ever, until RLIMIT_MEMLOCK is used
// up. This advice is refused for them, and costs a page that will be used nothing. (msync tells it
// too, but a sandbox may forbid that call.)
static bool is_locked(void *p)
{
    return madvise(p, hak_os_page_size(), MADV_COLD) != 0;
}

bool hak_os_move(void *to, void *from, size_t bytes)
{
    int saved = errno;
    // In two steps, by way of an address of the kernel's choice. Moving straight to `to` would have
    // the kernel unmap `to` before it looks at `from`, and leave a hole there if it then refuses.
    // The second step moves a whole mapping, of which nothing is left to refuse.
    void *between = MAP_FAILED;
    if (!is_locked(from))
        between = mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    bool done = between != MAP_FAILED;
    if (done && mremap(between, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
        done = false;
        memcpy(from, between, bytes);
        munmap(between, bytes);
        // Fills the hole if there is one; does nothing if `to` is still mapped.
        (void)map(to, bytes, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    }
    if (done)
        sanitize_moved(to, from, bytes);
    errno = saved;
    return done;
}

void *hak_os_extend(void *p, size_t old_bytes, size_t new_bytes)
{
    int saved = errno;
    char *moved = mremap(p, old_bytes, new_bytes, MREMAP_MAYMOVE);
    errno = saved;
    if (moved == MAP_FAILED)
        return NULL;
    if (moved != p)
        sanitize_moved(moved, p, min_size(old_bytes, new_bytes));
    if (new_bytes > old_bytes)
        sanitize_defined(moved + old_bytes, new_bytes - old_bytes);
    return moved;
}

bool hak_os_protect_none(void *p, size_t bytes)
{
    int saved = errno;
    bool done = map(p, bytes, PROT_NONE, MAP_FIXED) != NULL;
    errno = saved;
    return done;
}

bool hak_os_is_mapped(const void *p)
{
    int saved = errno;
    size_t page = hak_os_page_size();
    unsigned char resident;
    bool mapped = mincore((void *)round_down((uintptr_t)p, page), page, &resident) == 0 ||
                  errno != ENOMEM;
    errno = saved;
    return mapped;
}

bool hak_os_hide(void *p, size_t bytes)
{
    int saved = errno;
    bool done = mprotect(p, bytes, PROT_NONE) == 0;
    errno = saved;
    return done;
}

// Where what is stowed lies: far below, where nothing else does, as far from other such pages as
// their places are, and at the same distance from a border between page tables.
static char *far_below(void *p)
{
    return (uintptr_t)p > 2 * STOW_DISTANCE ? (char *)p - STOW_DISTANCE : NULL;
}

static bool is_limited(int resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

// Whether pages may have addresses and count as writable a second time: under a limit the program
// has better uses for both.
static bool may_stow(void *p)
{
    return far_below(p) != NULL && !is_limited(RLIMIT_AS) && !is_limited(RLIMIT_DATA) &&
           !is_locked(p);
}

// A change of access costs the kernel about 0.1 microseconds for each page that is in memory, and
// moving a tenth of it.
void *hak_os_stow(void *p, size_t bytes)
{
    int saved = errno;
    void *stowed = MAP_FAILED, *place = far_below(p);
    if (may_stow(p))
        stowed = mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, place);
    if (stowed == MAP_FAILED)
        stowed = NULL;
    // The place is a wish: where someone is there already, the kernel takes one beside others.
    if (stowed != NULL && (stowed != place || map(p, bytes, PROT_NONE, MAP_FIXED) == NULL)) {
        munmap(stowed, bytes);
        stowed = NULL;
    }
    errno = saved;
    return stowed;
}

bool hak_os_unstow(void *p, void *stowed, size_t bytes)
{
    int saved = errno;
    bool done = mremap(stowed, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, p) != MAP_FAILED;
    if (!done) {
        munmap(stowed, bytes);
        // As in hak_os_move: fills the hole if there is one.
        (void)map(p, bytes, PROT_NONE, MAP_FIXED_NOREPLACE);
    }
    errno = saved;
    return done;
}

bool hak_os_unstow_none(void *stowed, size_t bytes)
{
    return hak_os_release(stowed, bytes);
}

bool hak_os_protect_read(void *p, size_t bytes)
{
    int saved = errno;
    bool done = mprotect(p, bytes, PROT_READ) == 0;
    if (done)
        (void)syscall(SYS_mseal, p, bytes, 0L); // ENOSYS before 6.10
    errno = saved;
    return done;
}

void hak_os_advise_huge(void *p, size_t bytes)
{
    int saved = errno;
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    errno = saved;
}

void hak_os_dump(void *p, size_t bytes, bool wanted)
{
    int saved = errno;
    (void)madvise(p, bytes, wanted ? MADV_DODUMP : MADV_DONTDUMP);
    errno = saved;
}

uint64_t hak_os_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now); // no system call, cannot fail
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); // cannot fail
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t hak_os_clock_ns(void)
{
    return nanoseconds(CLOCK_MONOTONIC);
}

uint64_t hak_os_time_ns(void)
{
    return nanoseconds(CLOCK_REALTIME);
}

// Bytes mapped by the process: the first number of /proc/self/statm, in pages. False without /proc.
static bool mapped_bytes(uint64_t *out)
{
    char text[32] = ""; // MemorySanitizer does not see the write of a raw system call
    long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    long length = syscall(SYS_read, fd, text, sizeof text);
    syscall(SYS_close, fd);
    uint64_t pages = 0;
    ssize_t at = 0;
    while (at < length && text[at] >= '0' && text[at] <= '9')
        pages = pages * 10 + (uint64_t)(text[at++] - '0');
    *out = pages * hak_os_page_size();
    return at != 0;
}

size_t hak_os_address_space_left(void)
{
    int saved = errno;
    struct rlimit limit;
    size_t left = SIZE_MAX;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        uint64_t used;
        if (!mapped_bytes(&used))
            used = limit.rlim_cur / 2; // unknown: programs under a limit leave it some room
        left = limit.rlim_cur > used ? (size_t)(limit.rlim_cur - used) : 0;
    }
    errno = saved;
    return left;
}

bool hak_os_entropy(void *out, size_t bytes)
{
    int saved = errno;
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = getrandom((char *)out + done, bytes - done, GRND_NONBLOCK);
        if (got > 0)
            done += (size_t)got;
        else if (errno != EINTR)
            break;
    }
    errno = saved;
    return done == bytes;
}

const char *hak_os_environment(const char *name)
{
    return secure_getenv(name);
}

// Reads until the end or until `out` is full.
static enum os_read read_regular(long fd, char *out, size_t bytes_max, size_t *bytes)
{
    struct stat status = { 0 }; // MemorySanitizer does not see a raw system call
    size_t done = 0;
    long got = 1;
    if (syscall(SYS_fstat, fd, &status) != 0)
        return OS_READ_FAILED;
    if (!S_ISREG(status.st_mode))
        return OS_READ_NOT_REGULAR;
    while (got > 0 && done < bytes_max) {
        got = syscall(SYS_read, fd, out + done, bytes_max - done);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            done += (size_t)got;
    }
    sanitize_defined(out, done); // MemorySanitizer does not see a raw system call
    *bytes = done;
    return got < 0 ? OS_READ_FAILED : done == bytes_max ? OS_READ_TOO_LARGE : OS_READ_ALL;
}

enum os_read hak_os_read_file(const char *path, char *out, size_t bytes_max, size_t *bytes)
{
    int saved = errno;
    enum os_read result = OS_READ_FAILED;
    // Of a pipe without a writer the open must not wait; a terminal must not become ours.
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) {
        result = read_regular(fd, out, bytes_max, bytes);
        syscall(SYS_close, fd);
    }
    errno = saved;
    return result;
}

int hak_os_create(const char *path)
{
    int saved = errno;
    long fd = syscall(SYS_openat, AT_FDCWD, path,
                      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    errno = saved;
    return (int)fd;
}

void hak_os_close(int fd)
{
    int saved = errno;
    syscall(SYS_close, fd);
    errno = saved;
}

bool hak_os_write_fd(int fd, const char *text, size_t bytes)
{
    int saved = errno;
    size_t done = 0;
    while (done < bytes) {
        long written = syscall(SYS_write, fd, text + done, bytes - done);
        if (written > 0)
            done += (size_t)written;
        else if (written == 0 || errno != EINTR)
            break;
    }
    errno = saved;
    return done == bytes;
}

void hak_os_write_error(const char *text, size_t bytes)
{
    (void)hak_os_write_fd(STDERR_FILENO, text, bytes);
}

void hak_os_page_faults(uint64_t *minor, uint64_t *major)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage); // cannot fail with these arguments
    *minor = (uint64_t)usage.ru_minflt;
    *major = (uint64_t)usage.ru_majflt;
}

bool hak_os_resident(const void *p, size_t bytes, unsigned char *out)
{
    int saved = errno;
    bool done = mincore((void *)(uintptr_t)p, bytes, out) == 0;
    sanitize_defined(out, bytes / hak_os_page_size());
    errno = saved;
    return done;
}

uint32_t hak_os_process_id(void)
{
    return (uint32_t)getpid();
}

static struct atomic_ptr aborting; // identity of the thread that called hak_os_abort last

void hak_os_abort(void)
{
    // The program's handler of SIGABRT has led here: it would again and again.
    if (exchange_relaxed(OS_ABORT, &aborting, tls_self()) == tls_self())
        signal(SIGABRT, SIG_DFL);
    abort();
}

bool hak_os_is_aborting(void)
{
    return load_relaxed(OS_IS_ABORTING, &aborting) == tls_self();
}
