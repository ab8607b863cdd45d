// fuzz_options.c: the parser of HAKMEM_OPTIONS against a naive model of what options.h says.
//
// The model splits at commas and decides each item by itself; values, the number of refused items
// and one report line for each must agree. Reports are caught at the system's seam.
#include "target.h"

#include "../src/options.h"

#include <stdlib.h>
#include <string.h>

const char target_name[] = "fuzz_options";

void __wrap_hak_os_write_error(const char *text, size_t bytes);

static const struct {
    const char *name;
    uint64_t min, max;
    size_t offset;
} known[] = {
    { "arena_mib", 0, 16777216, offsetof(struct options, arena_mib) },
    { "purge_delay_ms", 0, 3600000, offsetof(struct options, purge_delay_ms) },
    { "cache_kib", 1, 65536, offsetof(struct options, cache_kib) },
    { "huge_pages", 0, 1, offsetof(struct options, huge_pages) },
    { "stats", 0, 2, offsetof(struct options, stats) },
    { "foreign", 0, 1, offsetof(struct options, foreign) },
};
#define KNOWN (sizeof known / sizeof *known)

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

// The index of the option that a well-formed item sets, or -1.
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
        size_t length = strlen(digits);
        if (given[i] || length == 0 || strspn(digits, "0123456789") != length)
            return -1;
        while (*digits == '0' && digits[1])
            digits++;
        if (strlen(digits) > 18)
            return -1;
        *value = strtoull(digits, NULL, 10);
        return *value >= known[i].min && *value <= known[i].max ? (int)i : -1;
    }
    return -1;
}

static unsigned model(struct options *out, char *text)
{
    unsigned refused = 0;
    bool given[KNOWN] = { false };
    if (!*text)
        return 0;
    for (char *item; (item = strsep(&text, ",")) != NULL;) {
        uint64_t value;
        int i = model_item(item, given, &value);
        if (i < 0) {
            refused++;
            continue;
        }
        given[i] = true;
        *(uint64_t *)((char *)out + known[i].offset) = value;
    }
    return refused;
}

static unsigned count_reports(size_t length)
{
    static const char head[] = "hakmem: input: offset ";
    unsigned lines = 0;
    for (size_t at = 0; at < report_bytes;) {
        const char *end = memchr(reports + at, '\n', report_bytes - at);
        if (!end || strncmp(reports + at, head, sizeof head - 1) != 0 ||
            strtoull(reports + at + sizeof head - 1, NULL, 10) > length)
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
    if (size > 4096 || memchr(data, 0, size))
        return -1;
    char *text = malloc(size + 1), *copy = malloc(size + 1);
    if (!text || !copy)
        exit(2);
    memcpy(text, data, size);
    text[size] = 0;
    memcpy(copy, text, size + 1);
    struct options got, expected;
    memset(&got, 0xa5, sizeof got);
    expected = got;
    report_bytes = 0;
    unsigned refused = hak_options_parse(&got, text, "input");
    unsigned due = model(&expected, copy);
    if (refused != due)
        target_found(&none, NULL, "another number of refused items than the model's");
    if (memcmp(&got, &expected, sizeof got) != 0)
        target_found(&none, NULL, "other values than the model's");
    if (report_bytes < sizeof reports && count_reports(size) != refused)
        target_found(&none, NULL, "not one report for each refused item");
    free(text);
    free(copy);
    return 0;
}
