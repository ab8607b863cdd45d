// log.c: writes every call of a public function with its arguments and its result to the file that
// HAK_LOG names, one line each, so that two builds can be compared.
//
// Linked with --wrap in front of the allocator: no object of src/ differs. Pointers are written as
// distances from the arena's start, which is the same place for both. One thread at a time calls
// (logical threads of the scheduler included); a forked child writes to the same file, in order,
// because its parent waits for it.
#include "log.h"

#include <arena.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int log_fd = -1;

__attribute__((constructor)) static void open_log(void)
{
    const char *path = getenv("HAK_LOG");
    log_fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (log_fd < 0) {
        perror(path != NULL ? path : "HAK_LOG is not set");
        _exit(2);
    }
}

void log_line(const char *format, ...)
{
    char line[200];
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof line - 1)
        _exit(2);
    line[length++] = '\n';
    if (write(log_fd, line, (size_t)length) != length)
        _exit(2);
    errno = saved;
}

// NULL stays 0.
static long place(const void *p)
{
    return p == NULL ? 0 : (long)((uintptr_t)p - (uintptr_t)hak_arena.base);
}

#define ALLOCATES(name, parameters, arguments, format, ...)      \
    void *__real_##name parameters;                              \
    void *__wrap_##name parameters;                              \
    void *__wrap_##name parameters                               \
    {                                                            \
        void *p = __real_##name arguments;                       \
        log_line(#name format " -> %ld", __VA_ARGS__, place(p)); \
        return p;                                                \
    }

ALLOCATES(hak_malloc, (size_t n), (n), " %zu", n)
ALLOCATES(hak_calloc, (size_t c, size_t n), (c, n), " %zu %zu", c, n)
ALLOCATES(hak_realloc, (void *q, size_t n), (q, n), " %ld %zu", place(q), n)
ALLOCATES(hak_reallocarray, (void *q, size_t c, size_t n), (q, c, n), " %ld %zu %zu", place(q), c,
          n)
ALLOCATES(hak_aligned_alloc, (size_t a, size_t n), (a, n), " %zu %zu", a, n)
ALLOCATES(hak_memalign, (size_t a, size_t n), (a, n), " %zu %zu", a, n)
ALLOCATES(hak_valloc, (size_t n), (n), " %zu", n)
ALLOCATES(hak_pvalloc, (size_t n), (n), " %zu", n)

#define GIVES(type, name, parameters, arguments, format, ...)            \
    type __real_##name parameters;                                       \
    type __wrap_##name parameters;                                       \
    type __wrap_##name parameters                                        \
    {                                                                    \
        type result = __real_##name arguments;                           \
        log_line(#name format " -> %zu", __VA_ARGS__, (size_t)(result)); \
        return result;                                                   \
    }

GIVES(size_t, hak_malloc_usable_size, (void *p), (p), " %ld", place(p))
GIVES(int, hak_malloc_trim, (size_t pad), (pad), " %zu", pad)

int __real_hak_posix_memalign(void **out, size_t align, size_t n);
int __wrap_hak_posix_memalign(void **out, size_t align, size_t n);
int __wrap_hak_posix_memalign(void **out, size_t align, size_t n)
{
    int result = __real_hak_posix_memalign(out, align, n);
    log_line("hak_posix_memalign %zu %zu -> %d %ld", align, n, result,
             result == 0 ? place(*out) : 0);
    return result;
}

// Written before the call: a wrong free does not return.
#define NOTHING(name, parameters, arguments, format, ...) \
    void __real_##name parameters;                        \
    void __wrap_##name parameters;                        \
    void __wrap_##name parameters                         \
    {                                                     \
        log_line(#name format, __VA_ARGS__);              \
        __real_##name arguments;                          \
    }

NOTHING(hak_free, (void *p), (p), " %ld", place(p))
NOTHING(hak_free_sized, (void *p, size_t n), (p, n), " %ld %zu", place(p), n)
NOTHING(hak_free_aligned_sized, (void *p, size_t a, size_t n), (p, a, n), " %ld %zu %zu", place(p),
        a, n)
NOTHING(hak_thread_flush, (void), (), "%s", "")
