// trace_file.c: files of traces. Which form a file has is seen from its first bytes.
//
// Files are written beside their place and renamed, so that a reader never sees half of one.
// Devices and pipes are written to.
#define _GNU_SOURCE
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(struct ops_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct ops_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    *error = (struct ops_error){ 0 };
    vsnprintf(error->reason, sizeof error->reason, format, args);
    va_end(args);
    return false;
}

// Maps the whole file. An empty one gives NULL with 0 bytes.
static bool map_file(const char *path, const uint8_t **data, size_t *bytes, struct ops_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        fail(error, "cannot open: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    *data = NULL;
    *bytes = (size_t)status.st_size;
    if (!S_ISREG(status.st_mode)) {
        close(fd);
        return fail(error, "no regular file");
    }
    if (*bytes > 0) {
        void *map = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) {
            fail(error, "cannot read: %s", strerror(errno));
            close(fd);
            return false;
        }
        *data = map;
    }
    close(fd);
    return true;
}

static bool load_ops(struct trace *trace, const char *path, bool salvage, struct ops_error *error)
{
    const uint8_t *data;
    size_t bytes;
    if (!map_file(path, &data, &bytes, error))
        return false;
    size_t magic_bytes = sizeof trace->summary.header.magic;
    trace->recorded = bytes >= magic_bytes && memcmp(data, RECORDING_MAGIC, magic_bytes) == 0;
    bool ok;
    if (bytes == 0)
        ok = fail(error, "the file is empty");
    else if (trace->recorded)
        ok = recording_decode(&trace->ops, &trace->summary, data, bytes, error) ||
             (salvage && trace->ops.count > 0);
    else
        ok = ops_load(&trace->ops, path, error);
    if (data)
        munmap((void *)data, bytes);
    return ok;
}

bool trace_load(struct trace *trace, const char *path, bool salvage, struct ops_error *error)
{
    struct ops_error nonsense;
    *trace = (struct trace){ 0 };
    *error = (struct ops_error){ 0 };
    bool ok = load_ops(trace, path, salvage, error);
    if (ok && !blocks_build(&trace->blocks, &trace->ops, &nonsense)) {
        *error = nonsense;
        trace_locate(&trace->ops, nonsense.where, error);
        ok = false;
    }
    if (!ok)
        trace_free(trace);
    return ok;
}

// Whether a file may take the place of what is there: not of a device or a pipe.
static bool is_replaceable(const char *path)
{
    struct stat there;
    return stat(path, &there) != 0 || S_ISREG(there.st_mode);
}

static bool write_file(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *out = fopen(path, "wb");
    bool ok = out && fwrite(data, 1, bytes, out) == bytes;
    return (!out || fclose(out) == 0) && ok;
}

// The file is whole or, in case of an error, as it was before.
static bool replace_file(const char *path, const uint8_t *data, size_t bytes)
{
    char *beside = NULL;
    if (asprintf(&beside, "%s.part", path) < 0)
        return false;
    bool ok = write_file(beside, data, bytes) && rename(beside, path) == 0;
    if (!ok) {
        int saved = errno;
        unlink(beside);
        errno = saved;
    }
    free(beside);
    return ok;
}

bool trace_save(const struct ops *ops, enum ops_form form, const char *path,
                struct ops_error *error)
{
    if (ops->count > TRACE_OPS_MAX)
        return fail(error, "more than %u operations", TRACE_OPS_MAX);
    size_t bytes = ops_encode(ops, form, NULL, 0, error);
    if (bytes == 0)
        return false;
    uint8_t *data = malloc(bytes);
    if (!data)
        return fail(error, "out of memory");
    ops_encode(ops, form, data, bytes, error);
    bool ok = is_replaceable(path) ? replace_file(path, data, bytes)
                                   : write_file(path, data, bytes);
    if (!ok)
        fail(error, "cannot write: %s", strerror(errno));
    free(data);
    return ok;
}

void trace_free(struct trace *trace)
{
    ops_free(&trace->ops);
    blocks_free(&trace->blocks);
}
