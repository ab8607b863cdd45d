// fuzz_options.c: the parser of HAKMEM_OPTIONS against a naive model of what options.h says.
//
// An input is the string, and behind its first zero byte, if there is one, the file that it may
// name; the first bytes of the file's path choose how reading it ends. The model splits at
// separators and decides each item by itself; values, the number of refused items and one report
// line for each must agree. Reports and reads are caught at the system's seam.
#include "target.h"

#include "../src/options.h"
#include "../src/seam/os.h"

#include <stdlib.h>
#include <string.h>

const char target_name[] = "fuzz_options";

void __wrap_hak_os_write_error(const char *text, size_t bytes);
enum os_read __wrap_hak_os_read_file(const char *path, char *out, size_t bytes_max, size_t *bytes);

static const char *file; // what the system holds, whatever the name
static size_t file_bytes;
static unsigned reads;
static char path_read[OPTIONS_FILE_BYTES_MAX + 1];

static const struct {
    const char *name;
    uint64_t min, max;
    size_t offset;
} known[] = {
    { "arena_mib", 0, 16777216, offsetof(struct options, arena_mib) },
    { "purge_delay_ms", 0, 3600000, offsetof(struct options, purge_delay_ms) },
    { "cache_kib", 1, 65536, offsetof(struct options, cache_kib) },
    { "huge_pages", 0, 1, offsetof(struct options, huge_pages) },
    { "stats", 0, 3, offsetof(struct options, stats) },
    { "stats_signal", 0, 64, offsetof(struct options, stats_signal) },
    { "count_hits", 0, 1, offsetof(struct options, count_hits) },
    { "sample", 0, 1000000000, offsetof(struct options, sample) },
    { "profile", 0, 1099511627776, offsetof(struct options, profile) },
    { "profile_seed", 0, 4294967295, offsetof(struct options, profile_seed) },
    { "foreign", 0, 1, offsetof(struct options, foreign) },
    { "prewarm_threads", 0, PREWARM_THREADS_MAX, offsetof(struct options, prewarm_threads) },
};
#define KNOWN (sizeof known / sizeof *known)
enum { PREWARM = KNOWN, PROFILE_FILE, ALL }; // their indices behind those
_Static_assert(KNOWN == offsetof(struct options, prewarm) / sizeof(uint64_t),
               "the model knows every option");

static const struct ops none;
static char reports[1 << 16];
static size_t report_bytes;

void __wrap_hak_os_write_error(const char *text, size_t bytes)
{
    if (bytes > sizeof reports - report_bytes)
        bytes = sizeof reports - report_bytes;
    memcpy(reports + report_bytes, text, bytes);
    report_bytes += bytes;
}

static enum os_read outcome(const char *path)
{
    if (strncmp(path, "/fails", 6) == 0)
        return OS_READ_FAILED;
    if (strncmp(path, "/pipe", 5) == 0)
        return OS_READ_NOT_REGULAR;
    return file_bytes > OPTIONS_FILE_BYTES_MAX ? OS_READ_TOO_LARGE : OS_READ_ALL;
}

enum os_read __wrap_hak_os_read_file(const char *path, char *out, size_t bytes_max, size_t *bytes)
{
    if (bytes_max != OPTIONS_FILE_BYTES_MAX + 1)
        target_found(&none, NULL, "another bound of a file than the header's");
    reads++;
    strcpy(path_read, path);
    enum os_read result = outcome(path);
    *bytes = file_bytes < bytes_max ? file_bytes : bytes_max;
    memcpy(out, file, *bytes);
    return result;
}

// A decimal number of text that is nothing else, in the range.
static bool model_number(const char *digits, uint64_t min, uint64_t max, uint64_t *value)
{
    size_t length = strlen(digits);
    if (length == 0 || strspn(digits, "0123456789") != length)
        return false;
    while (*digits == '0' && digits[1])
        digits++;
    if (strlen(digits) > 18)
        return false;
    *value = strtoull(digits, NULL, 10);
    return *value >= min && *value <= max;
}

// What the pairs say; the text is changed. False: they are refused.
static bool model_prewarm(char *pairs, struct prewarm_item *items)
{
    uint64_t size, blocks, bytes = 0;
    unsigned count = 0;
    for (char *pair; (pair = strsep(&pairs, "+")) != NULL; count++) {
        char *colon = strchr(pair, ':');
        if (!colon || count == PREWARM_CLASSES_MAX)
            return false;
        *colon = 0;
        if (!model_number(pair, 1, CLASS_REQUEST_MAX, &size) ||
            !model_number(colon + 1, 1, MAGAZINE_BLOCKS_MAX, &blocks))
            return false;
        items[count] = (struct prewarm_item){ (uint32_t)size, (uint32_t)blocks };
        bytes += size * blocks;
    }
    return bytes <= PREWARM_BYTES_MAX;
}

// The index of the option that a well-formed item sets, or -1. The item is changed.
static int model_item(char *item, const bool *given, uint64_t *value)
{
    char *equals = strchr(item, '=');
    if (!equals)
        return -1;
    *equals = 0;
    const char *digits = equals + 1;
    for (unsigned i = 0; i < KNOWN; i++) {
        if (strcmp(item, known[i].name) != 0)
            continue;
        return !given[i] && model_number(digits, known[i].min, known[i].max, value) ? (int)i : -1;
    }
    return -1;
}

static bool model_profile_file(struct options *out, const char *path, bool *given,
                               const bool *fixed)
{
    if (given[PROFILE_FILE] || *path != '/' || strlen(path) >= OPTIONS_PATH_BYTES)
        return false;
    given[PROFILE_FILE] = true;
    if (!fixed[PROFILE_FILE])
        strcpy(out->profile_file, path);
    return true;
}

// One item; `fixed` options keep their values. False: it is refused.
static bool model_set(struct options *out, char *item, bool *given, const bool *fixed)
{
    static const char prewarm[] = "prewarm=", profile_file[] = "profile_file=";
    uint64_t value;
    if (strncmp(item, profile_file, sizeof profile_file - 1) == 0)
        return model_profile_file(out, item + sizeof profile_file - 1, given, fixed);
    if (strncmp(item, prewarm, sizeof prewarm - 1) == 0) {
        struct prewarm_item items[PREWARM_CLASSES_MAX] = { { 0, 0 } };
        if (given[PREWARM] || !model_prewarm(item + sizeof prewarm - 1, items))
            return false;
        given[PREWARM] = true;
        if (!fixed[PREWARM])
            memcpy(out->prewarm, items, sizeof items);
        return true;
    }
    int i = model_item(item, given, &value);
    if (i < 0)
        return false;
    given[i] = true;
    if (!fixed[i])
        *(uint64_t *)((char *)out + known[i].offset) = value;
    return true;
}

static unsigned model_file(struct options *out, const bool *fixed)
{
    unsigned refused = 0;
    bool given[ALL] = { false };
    for (size_t at = 0; at < file_bytes;) {
        const char *end = memchr(file + at, '\n', file_bytes - at);
        size_t length = end ? (size_t)(end - file) - at : file_bytes - at;
        char *line = strndup(file + at, length);
        if (!line)
            exit(2);
        // A zero byte within is no part of any good line.
        if (length && *line != '#' &&
            (strlen(line) != length || !model_set(out, line, given, fixed)))
            refused++;
        free(line);
        at += length + 1;
    }
    return refused;
}

// `path` becomes the file that is to be read, or NULL; it lies in `text`.
static unsigned model(struct options *out, char *text, char **path)
{
    static const char file_item[] = "options_file=";
    static const bool nothing[ALL];
    unsigned refused = 0;
    bool given[ALL] = { false };
    *path = NULL;
    if (!*text)
        return 0;
    for (char *item; (item = strsep(&text, ",")) != NULL;) {
        if (strncmp(item, file_item, sizeof file_item - 1) != 0) {
            refused += !model_set(out, item, given, nothing);
            continue;
        }
        item += sizeof file_item - 1;
        if (*path || *item != '/')
            refused++;
        else
            *path = item;
    }
    if (*path)
        refused += outcome(*path) == OS_READ_ALL ? model_file(out, given) : 1;
    return refused;
}

static unsigned count_reports(size_t length)
{
    static const char head[] = "hakmem: input: offset ";
    static const char file_head[] = "hakmem: options_file: offset ";
    unsigned lines = 0;
    for (size_t at = 0; at < report_bytes;) {
        const char *end = memchr(reports + at, '\n', report_bytes - at);
        bool in_file = strncmp(reports + at, file_head, sizeof file_head - 1) == 0;
        size_t skip = in_file ? sizeof file_head - 1 : sizeof head - 1;
        if (!end || (!in_file && strncmp(reports + at, head, skip) != 0) ||
            strtoull(reports + at + skip, NULL, 10) > (in_file ? file_bytes : length))
            target_found(&none, NULL, "a report that is no line with an offset of the text");
        for (const char *c = reports + at; c < end; c++)
            if (*c < ' ' || *c > '~')
                target_found(&none, NULL, "a report with an unprintable character");
        lines++;
        at = (size_t)(end - reports) + 1;
    }
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t length = zero ? (size_t)(zero - data) : size;
    if (length > OPTIONS_FILE_BYTES_MAX)
        return -1;
    char *text = malloc(length + 1), *copy = malloc(length + 1), *path;
    if (!text || !copy)
        exit(2);
    memcpy(text, data, length);
    text[length] = 0;
    memcpy(copy, text, length + 1);
    file = (const char *)data + length + (zero != NULL);
    file_bytes = size - length - (zero != NULL);
    struct options got, expected;
    memset(&got, 0xa5, sizeof got);
    expected = got;
    report_bytes = reads = 0;
    unsigned refused = hak_options_parse(&got, text, "input");
    unsigned due = model(&expected, copy, &path);
    if (reads != (path != NULL) || (path && strcmp(path, path_read) != 0))
        target_found(&none, NULL, "another file was read than the one named, or not once");
    if (refused != due)
        target_found(&none, NULL, "another number of refused items than the model's");
    if (memcmp(&got, &expected, sizeof got) != 0)
        target_found(&none, NULL, "other values than the model's");
    if (report_bytes < sizeof reports && count_reports(length) != refused)
        target_found(&none, NULL, "not one report for each refused item");
    free(text);
    free(copy);
    return 0;
}
