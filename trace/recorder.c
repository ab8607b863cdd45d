// recorder.c: the state of a recording process and the encoding of its records.
//
//   struct recorder (anonymous pages, wiped in a child of fork)
//      lock | phase | current thread, address, time | threads in use | where the file stands
//                                                                        |
//   file (shared mapping):   header page        window, moved along the file
//                            [magic .. data_bytes ..]   [records ....|unused]
//
// Invariants: all that changes lies in struct recorder and is guarded by its lock, except each
// thread's number. header.data_bytes counts whole records only and is stored after they are.
//
// Fork needs no handlers: the kernel wipes struct recorder in the child (MADV_WIPEONFORK) and does
// not copy the windows (MADV_DONTFORK), so the child finds a free lock and no file and begins one
// of its own, whatever other threads of the parent were doing. A child of vfork shares the parent's
// memory and so records into the parent's file, as it should.
//
// The file is a shared mapping, so records survive every end of the process, a SIGKILL too. It is
// opened by name for every step instead of kept open: programs close descriptors they do not know.
//
// Failure (no space, no permission): one line on standard error, recording stops, the program goes
// on. What was recorded until then stays valid.
#define _GNU_SOURCE
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_FIRST_BYTES ((size_t)64 << 10) // as long as the largest page
#define WINDOW_BYTES_MAX ((size_t)4 << 20)
#define PATH_BYTES_MAX 1024
#define ENVIRONMENT_BYTES_MAX ((size_t)1 << 20)
#define TIME_STEP_US 1000
#define NAMES_MAX 1000 // files of one process number: one for each exec

enum phase { PHASE_FRESH = 0, PHASE_RECORDING, PHASE_STOPPED };

// All zero is the valid state of a process that has not recorded yet.
struct recorder {
    pthread_mutex_t lock;
    enum phase phase;
    uint32_t pid;
    struct recording_header *header;
    uint8_t *window;
    size_t window_bytes;
    size_t window_used;
    uint64_t window_offset; // in the file
    uint64_t data_bytes;    // as header->data_bytes
    ino_t inode;
    uintptr_t last_address;
    uint32_t last_thread;
    uint64_t last_time_us;
    char path[PATH_BYTES_MAX];
    uint64_t threads[(RECORDING_THREADS_MAX + 1) / 64]; // bit set: the number is in use
};

// Who this thread is: its number holds in process `pid` only.
struct self {
    uint32_t pid;
    uint32_t number;
};

static struct recorder *recorder; // NULL: not recording at all
static uint32_t first_pid;        // of the process that read the environment
static char prefix[PATH_BYTES_MAX - 64];
static pthread_key_t exit_key;
static __thread __attribute__((tls_model("initial-exec"))) struct self self;

// ---- messages ----

static void complain(const char *what, const char *which, int error)
{
    char line[PATH_BYTES_MAX + 160];
    int length = snprintf(line, sizeof line, "hakmem-record: %s%s%s%s%s\n", what,
                          which[0] ? " " : "", which, error ? ": " : "",
                          error ? strerrordesc_np(error) : "");
    if (length > (int)sizeof line - 1)
        length = (int)sizeof line - 1;
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; // nowhere left to say it
}

// Stops for good. The lock is held.
static void stop(const char *what, int error)
{
    complain(what, recorder->path, error);
    recorder->phase = PHASE_STOPPED;
}

// ---- the file ----

// Makes room for `bytes` at `offset` of the file and maps it. NULL: recording was stopped.
static void *map_part(int fd, uint64_t offset, size_t bytes)
{
    // Beyond the limit a signal would come instead of an error.
    struct rlimit limit;
    bool allowed = getrlimit(RLIMIT_FSIZE, &limit) == 0 && offset + bytes <= limit.rlim_cur;
    int error = allowed ? posix_fallocate(fd, (off_t)offset, (off_t)bytes) : EFBIG;
    if (error) {
        stop("no space for", error);
        return NULL;
    }
    void *part = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (part == MAP_FAILED) {
        stop("cannot map", errno);
        return NULL;
    }
    if (madvise(part, bytes, MADV_DONTFORK) != 0) {
        stop("cannot keep children from", errno);
        munmap(part, bytes);
        return NULL;
    }
    return part;
}

static int create_file(void)
{
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        char again[16] = "";
        if (i > 0)
            snprintf(again, sizeof again, ".%u", i);
        snprintf(recorder->path, sizeof recorder->path, "%s.%u%s.hkr", prefix, recorder->pid,
                 again);
        int fd = open(recorder->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static int reopen_file(void)
{
    int fd = open(recorder->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        stop("cannot open again", errno);
        return -1;
    }
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_ino != recorder->inode) {
        stop("somebody replaced", 0);
        close(fd);
        return -1;
    }
    return fd;
}

static void fill_header(struct recording_header *header)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    memcpy(header->magic, RECORDING_MAGIC, sizeof header->magic);
    header->version = RECORDING_VERSION;
    header->flags = recorder->pid == first_pid ? 0 : RECORDING_FORKED;
    header->pid = recorder->pid;
    header->parent_pid = (uint32_t)getppid();
    header->start_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    prctl(PR_GET_NAME, header->program); // the C library may not know its own yet
}

// The first record of this process: it begins its file. The lock is held.
static void begin(void)
{
    recorder->pid = (uint32_t)getpid();
    int fd = create_file();
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        stop("cannot create", errno);
        return;
    }
    recorder->inode = status.st_ino;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    recorder->header = map_part(fd, 0, page);
    if (recorder->header)
        recorder->window = map_part(fd, 0, WINDOW_FIRST_BYTES);
    close(fd);
    if (!recorder->header || !recorder->window)
        return;
    fill_header(recorder->header);
    recorder->window_bytes = WINDOW_FIRST_BYTES;
    recorder->window_used = sizeof(struct recording_header);
    recorder->phase = PHASE_RECORDING;
}

// Maps the next part of the file. False: recording was stopped.
static bool move_window(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t end = recorder->window_offset + recorder->window_used;
    uint64_t offset = end / page * page;
    size_t bytes = recorder->window_bytes * 2;
    if (bytes > WINDOW_BYTES_MAX)
        bytes = WINDOW_BYTES_MAX;
    int fd = reopen_file();
    if (fd < 0)
        return false;
    uint8_t *window = map_part(fd, offset, bytes);
    close(fd);
    if (!window)
        return false;
    munmap(recorder->window, recorder->window_bytes);
    recorder->window = window;
    recorder->window_bytes = bytes;
    recorder->window_offset = offset;
    recorder->window_used = (size_t)(end - offset);
    return true;
}

// ---- records ----

// Adds one record, unless an earlier one could not be written; the lock is held.
static void append(const uint8_t *record, const uint8_t *end)
{
    size_t bytes = (size_t)(end - record);
    if (recorder->phase != PHASE_RECORDING)
        return;
    if (recorder->window_used + bytes > recorder->window_bytes && !move_window())
        return;
    memcpy(recorder->window + recorder->window_used, record, bytes);
    recorder->window_used += bytes;
    recorder->data_bytes += bytes;
    __atomic_store_n(&recorder->header->data_bytes, recorder->data_bytes, __ATOMIC_RELEASE);
}

static void append_number(enum record_kind kind, uint64_t number)
{
    uint8_t record[RECORD_BYTES_MAX];
    record[0] = (uint8_t)kind;
    append(record, varint_put(record + 1, number));
}

static uint8_t *put_address(uint8_t *out, const void *p)
{
    uintptr_t address = (uintptr_t)p;
    out = varint_put(out, zigzag(address - recorder->last_address));
    recorder->last_address = address;
    return out;
}

// Gives the calling thread the lowest free number. The lock is held.
static void number_thread(void)
{
    for (size_t i = 0; i < sizeof recorder->threads / sizeof recorder->threads[0]; i++) {
        if (recorder->threads[i] == UINT64_MAX)
            continue;
        unsigned bit = (unsigned)__builtin_ctzll(~recorder->threads[i]);
        uint32_t number = (uint32_t)(i * 64 + bit);
        if (number >= RECORDING_THREADS_MAX)
            break;
        recorder->threads[i] |= (uint64_t)1 << bit;
        self = (struct self){ recorder->pid, number };
        // Any non-NULL value makes the exit handler run.
        pthread_setspecific(exit_key, recorder);
        return;
    }
    stop("too many threads for", 0);
}

// Writes down who speaks and what time it is, where that has changed.
static void append_context(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (recorder->last_time_us == 0)
        recorder->last_time_us = now_us;
    if (now_us - recorder->last_time_us >= TIME_STEP_US) {
        append_number(RECORD_TIME, now_us - recorder->last_time_us);
        recorder->last_time_us = now_us;
    }
    if (self.number != recorder->last_thread) {
        append_number(RECORD_THREAD, self.number);
        recorder->last_thread = self.number;
    }
}

// Takes the lock and gets everything ready for a record. False: there is nothing to record; the
// lock is held nonetheless.
static bool enter(void)
{
    pthread_mutex_lock(&recorder->lock);
    if (recorder->phase == PHASE_FRESH)
        begin();
    if (recorder->phase == PHASE_RECORDING && self.pid != recorder->pid)
        number_thread();
    if (recorder->phase == PHASE_RECORDING)
        append_context();
    return recorder->phase == PHASE_RECORDING;
}

static void leave(void)
{
    pthread_mutex_unlock(&recorder->lock);
}

void recorder_allocated(enum record_kind kind, size_t n, size_t arg, const void *p)
{
    if (!recorder || !p)
        return;
    int saved_errno = errno;
    if (enter()) {
        uint8_t record[RECORD_BYTES_MAX];
        record[0] = (uint8_t)kind;
        uint8_t *end = varint_put(record + 1, n);
        if (record_has_arg(kind))
            end = varint_put(end, arg);
        append(record, put_address(end, p));
    }
    leave();
    errno = saved_errno;
}

void recorder_touches(enum record_kind kind, const void *p)
{
    if (!recorder || !p)
        return;
    int saved_errno = errno;
    if (enter()) {
        uint8_t record[RECORD_BYTES_MAX];
        record[0] = (uint8_t)kind;
        append(record, put_address(record + 1, p));
    }
    leave();
    errno = saved_errno;
}

void recorder_lock(void)
{
    if (!recorder)
        return;
    int saved_errno = errno;
    enter();
    errno = saved_errno;
}

void recorder_unlock(void)
{
    if (recorder)
        leave();
}

void recorder_reallocated_unlock(const void *old, size_t n, const void *p)
{
    if (!recorder)
        return;
    int saved_errno = errno;
    if (recorder->phase == PHASE_RECORDING) {
        uint8_t record[RECORD_BYTES_MAX];
        uint8_t *end = record + 1;
        record[0] = (uint8_t)(p ? RECORD_REALLOC : RECORD_FREE);
        if (p)
            end = varint_put(end, n);
        end = put_address(end, old);
        if (p)
            end = put_address(end, p);
        append(record, end);
    }
    leave();
    errno = saved_errno;
}

void recorder_trimmed(void)
{
    if (!recorder)
        return;
    int saved_errno = errno;
    uint8_t record = RECORD_TRIM;
    if (enter())
        append(&record, &record + 1);
    leave();
    errno = saved_errno;
}

void recorder_thread_exit(void)
{
    if (!recorder || self.pid == 0)
        return;
    int saved_errno = errno;
    uint8_t record = RECORD_EXIT;
    // A child of fork that has not recorded under its own number has nothing to end.
    bool known = self.pid == recorder->pid;
    if (known && enter()) {
        append(&record, &record + 1);
        recorder->threads[self.number / 64] &= ~((uint64_t)1 << self.number % 64);
    }
    if (known)
        leave();
    self = (struct self){ 0, 0 };
    errno = saved_errno;
}

void recorder_close(void)
{
    if (!recorder)
        return;
    int saved_errno = errno;
    pthread_mutex_lock(&recorder->lock);
    if (recorder->phase == PHASE_RECORDING) {
        int fd = reopen_file();
        if (fd >= 0) {
            recorder->header->flags |= RECORDING_CLOSED;
            if (ftruncate(fd, (off_t)(sizeof *recorder->header + recorder->data_bytes)) != 0)
                stop("cannot shorten", errno);
            close(fd);
        }
        recorder->phase = PHASE_STOPPED;
    }
    leave();
    errno = saved_errno;
}

// ---- start ----

// Called by the C library in each of its rounds over the handlers of a thread that ends. Other
// libraries' handlers free too, so the end is recorded in the last round only.
static void on_thread_exit(void *value)
{
    static __thread __attribute__((tls_model("initial-exec"))) unsigned rounds;
    if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(exit_key, value);
        return;
    }
    recorder_thread_exit();
}

// Copies the value of HAKMEM_RECORD into `prefix`, as an absolute path. getenv would not do: the
// first allocation comes before the C library knows its environment.
static bool read_prefix(void)
{
    static const char name[] = "\0HAKMEM_RECORD=";
    char *text = mmap(NULL, ENVIRONMENT_BYTES_MAX, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    if (text == MAP_FAILED || fd < 0) {
        complain("cannot read", "/proc/self/environ", errno);
        return false;
    }
    size_t used = 1; // a 0 in front, as before every other variable
    ssize_t got;
    while ((got = read(fd, text + used, ENVIRONMENT_BYTES_MAX - 1 - used)) > 0)
        used += (size_t)got;
    close(fd);
    const char *value = memmem(text, used, name, sizeof name - 1);
    bool found = value && value[sizeof name - 1];
    if (!found) {
        complain("HAKMEM_RECORD is not set, nothing is recorded", "", 0);
    } else {
        value += sizeof name - 1;
        size_t length = 0;
        if (value[0] != '/' && getcwd(prefix, sizeof prefix - 1)) {
            length = strlen(prefix);
            prefix[length++] = '/';
        }
        found = length + strlen(value) < sizeof prefix;
        if (found)
            memcpy(prefix + length, value, strlen(value) + 1);
        else
            complain("HAKMEM_RECORD is too long, nothing is recorded", "", 0);
    }
    munmap(text, ENVIRONMENT_BYTES_MAX);
    return found;
}

void recorder_init(void)
{
    static bool begun;
    if (begun)
        return;
    begun = true;
    if (!read_prefix())
        return;
    first_pid = (uint32_t)getpid();
    int error = pthread_key_create(&exit_key, on_thread_exit);
    if (error) {
        complain("cannot notice the end of threads", "", error);
        return;
    }
    struct recorder *state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED || madvise(state, sizeof *state, MADV_WIPEONFORK) != 0) {
        complain("cannot prepare for fork", "", errno);
        return;
    }
    recorder = state;
}
