// os.h (seam): everything the allocator asks of the operating system.
//
// None of these allocates or touches errno. A function that returns bool can fail at any call and
// its caller survives that: false means that nothing changed. Sizes and addresses are multiples of
// the page size. All are safe from any thread.
#ifndef HAK_OS_H
#define HAK_OS_H

#include "../base.h"

#define os_page_size() hak_os_page_size()
#define os_reserve(bytes, align) hak_os_told(hak_os_reserve(bytes, align))
#define os_commit(p, bytes) hak_os_done(hak_os_commit(p, bytes))
#define os_decommit(p, bytes) hak_os_done(hak_os_decommit(p, bytes))
#define os_release(p, bytes) hak_os_done(hak_os_release(p, bytes))
#define os_move(to, from, bytes) hak_os_done(hak_os_move(to, from, bytes))
#define os_extend(p, old_bytes, new_bytes) hak_os_told(hak_os_extend(p, old_bytes, new_bytes))
#define os_protect_none(p, bytes) hak_os_done(hak_os_protect_none(p, bytes))
#define os_hide(p, bytes) hak_os_done(hak_os_hide(p, bytes))
#define os_stow(p, bytes) hak_os_stow(p, bytes)
#define os_unstow(p, stowed, bytes) hak_os_unstow(p, stowed, bytes)
#define os_unstow_none(stowed, bytes) hak_os_done(hak_os_unstow_none(stowed, bytes))
#define os_is_mapped(p) hak_os_is_mapped(p)
#define os_protect_read(p, bytes) hak_os_done(hak_os_protect_read(p, bytes))
#define os_advise_huge(p, bytes) hak_os_advise_huge(p, bytes)
#define os_dump(p, bytes, wanted) hak_os_dump(p, bytes, wanted)
#define os_clock_ms() hak_os_clock_ms()
#define os_is_aborting() hak_os_is_aborting()

// Bytes, a power of two; the same during a process's life.
size_t hak_os_page_size(void);

// Reserves address space without access: NULL if the kernel or a limit refuses. `align` is a power
// of two, at least the page size. Costs no memory, also where the kernel does not overcommit.
void *hak_os_reserve(size_t bytes, size_t align);

// Makes reserved pages readable and writable. They read as zero when they were never committed or
// were decommitted since. After a failure some of the pages may be accessible, none is touched.
bool hak_os_commit(void *p, size_t bytes);

// Gives the memory of committed pages back; they stay accessible and read as zero. Locked pages
// stay locked where the kernel can (5.18), so that memory returns with the next access.
bool hak_os_decommit(void *p, size_t bytes);

// Gives back address space that os_reserve returned: never a part of the arena.
bool hak_os_release(void *p, size_t bytes);

// Moves the pages of `from` to the committed range `to` of equal size without copying; the ranges
// do not overlap, what `to` held is lost in either case. `from` stays mapped, accessible, and reads
// as zero. False (`from` is as it was) where the kernel cannot, for example before 5.7, for locked
// pages, or for a `from` that the kernel keeps as several mappings: copy instead.
bool hak_os_move(void *to, void *from, size_t bytes);

// Grows or shrinks a whole mapping made by os_reserve + os_commit; it may move, then aligned to
// pages only. New bytes are committed and read as zero. NULL: unchanged.
void *hak_os_extend(void *p, size_t old_bytes, size_t new_bytes);

// Takes all access away from committed pages and gives back their memory and what they count in a
// kernel that does not overcommit. The addresses stay reserved at every moment.
bool hak_os_protect_none(void *p, size_t bytes);

// Takes all access away from committed pages, which keep their memory and contents: os_commit gives
// it back, os_protect_none may come before that.
bool hak_os_hide(void *p, size_t bytes);

// The same of pages that read as zero, in a fraction of the time where they are many: their memory
// moves to a place far away, between addresses that are not mapped, which is returned. There it
// still counts as writable. NULL where the kernel cannot (before 5.7, for pages that it keeps as
// several mappings, or with few addresses), where the place is taken, for locked pages, and under a
// limit on addresses or writable memory: the pages are accessible and read as zero.
void *hak_os_stow(void *p, size_t bytes);

// Moves it back, and the pages are committed. False: it is gone, and they are without access.
bool hak_os_unstow(void *p, void *stowed, size_t bytes);

// Gives it back to the system instead. False: it is still there.
bool hak_os_unstow_none(void *stowed, size_t bytes);

// Makes pages of the library's own data read-only; for good where the kernel can (6.10).
bool hak_os_protect_read(void *p, size_t bytes);

// Asks for 2 MiB pages: a hint, its failure is not an error.
void hak_os_advise_huge(void *p, size_t bytes);

// Whether core dumps have these pages: a hint. Else gdb writes all that is reserved, as zeroes.
void hak_os_dump(void *p, size_t bytes, bool wanted);

// Milliseconds of a monotonic clock, coarse (4 ms steps are usual), from an arbitrary start.
uint64_t hak_os_clock_ms(void);

// Nanoseconds of the same clock, fine, and since 1970.
uint64_t hak_os_clock_ns(void);
uint64_t hak_os_time_ns(void);

// Address space the process may still map under RLIMIT_AS, in bytes; SIZE_MAX without a limit.
size_t hak_os_address_space_left(void);

// Random bytes from the kernel: false where it has none yet (never blocks).
bool hak_os_entropy(void *out, size_t bytes);

// The environment variable, or NULL, also in a process that gained privileges at exec.
const char *hak_os_environment(const char *name);

// Reads a whole regular file of less than bytes_max bytes; OS_READ_ALL: *bytes of them are in
// `out`, which may be where `path` stands. Other files, such as pipes and devices, are never read.
enum os_read { OS_READ_ALL, OS_READ_FAILED, OS_READ_NOT_REGULAR, OS_READ_TOO_LARGE };
enum os_read hak_os_read_file(const char *path, char *out, size_t bytes_max, size_t *bytes);

// A new or emptied file to write, which only its owner may read; -1: refused. And its end.
int hak_os_create(const char *path);
void hak_os_close(int fd);

// Writes all bytes to a descriptor: false if it refuses any.
bool hak_os_write_fd(int fd, const char *text, size_t bytes);

// Writes the whole of `text` to standard error, with one system call unless that is interrupted;
// a failure is ignored.
void hak_os_write_error(const char *text, size_t bytes);

// Whether the page of p is mapped, by whomever; true also where the system does not say.
bool hak_os_is_mapped(const void *p);

// Page faults of the process so far: minor and major.
void hak_os_page_faults(uint64_t *minor, uint64_t *major);

// For each page of a committed range whether it is in memory: the lowest bit of a byte of `out`.
bool hak_os_resident(const void *p, size_t bytes, unsigned char *out);

uint32_t hak_os_process_id(void);

// Ends the process with SIGABRT, as abort does: no exit handlers, nothing flushed. The program's
// handler of that signal runs, but not twice in one thread.
_Noreturn void hak_os_abort(void);

// Whether the calling thread is in hak_os_abort: in the program's handler, that is.
bool hak_os_is_aborting(void);

// Calls to the system that failed so far. The macros above count them on the caller's side.
uint64_t hak_os_failures(void);
void hak_os_count_failure(void);

static inline void *hak_os_told(void *p)
{
    if (unlikely(p == NULL))
        hak_os_count_failure();
    return p;
}

static inline bool hak_os_done(bool ok)
{
    if (unlikely(!ok))
        hak_os_count_failure();
    return ok;
}

#endif
