// canary.c: the secret, and what a damaged canary can still tell.
#include "canary.h"

#include <seam/os.h>

#include "fault.h"
#include "zero.h"

struct canary_secret hak_canary_secret;

void hak_canary_start(void)
{
    if (!hak_os_entropy(&hak_canary_secret.value, sizeof hak_canary_secret.value))
        hak_fault(FAULT_NO_ENTROPY, &hak_canary_secret, TAG_NONE);
}

bool hak_canary_slack_long_ok(const void *p, size_t bytes, size_t n)
{
    size_t slack = bytes - CANARY_BYTES - n;
    return slack < ZERO_SHORT_MAX ? hak_canary_slack_ok(p, bytes, n)
                                  : hak_zero_is_long((const char *)p + n, slack);
}

static uint64_t word_at(const char *place)
{
    uint64_t word;
    __builtin_memcpy(&word, place, sizeof word);
    return word;
}

// Tells the first byte in [from, end) that is not zero; returns if there is none.
static void tell_slack(const char *p, unsigned tag, size_t from, size_t end)
{
    if (end - from >= ZERO_SHORT_MAX && hak_zero_is_long(p + from, end - from))
        return;
    for (size_t i = from; i < end; i++)
        if (p[i] != 0) {
            uint64_t is = 0;
            __builtin_memcpy(&is, p + i, min_size(end - i, sizeof is));
            hak_fault_bytes(FAULT_OVERFLOW, p, tag, i, 0, is);
        }
}

void hak_canary_fault(const void *block, unsigned tag, size_t bytes)
{
    const char *p = block, *place = p + bytes - CANARY_BYTES;
    uint64_t is = word_at(place);
    uint64_t slack = (is ^ hak_canary_at(place)) >> CANARY_SLACK_SHIFT;
    if (slack < bytes - CANARY_BYTES) // the length may be the one that was written
        tell_slack(p, tag, bytes - CANARY_BYTES - slack, bytes - CANARY_BYTES);
    uint64_t should = hak_canary_at(place) ^ slack << CANARY_SLACK_SHIFT;
    hak_fault_bytes(FAULT_OVERFLOW, p, tag, bytes - CANARY_BYTES, should, is);
}

// ---- larger blocks ----

// The canary behind n bytes, as far as there is room for it, and where it begins.
static size_t canary_behind(const char *p, size_t n, size_t room, uint64_t *canary, char **place)
{
    size_t bytes = min_size(room, sizeof *canary);
    *place = (char *)p + n + room - bytes;
    *canary = hak_canary_at(p + n + room);
    return bytes;
}

void hak_canary_write_behind(void *p, size_t n, size_t room)
{
    uint64_t canary;
    char *place;
    size_t bytes = canary_behind(p, n, room, &canary, &place);
    __builtin_memcpy(place, &canary, bytes);
}

void hak_canary_check_zero(const void *p, unsigned tag, size_t from, size_t bytes)
{
    tell_slack(p, tag, from, from + bytes);
}

void hak_canary_check_behind(const void *block, unsigned tag, size_t n, size_t room)
{
    const char *p = block;
    uint64_t canary, is = 0;
    char *place;
    size_t bytes = canary_behind(p, n, room, &canary, &place);
    tell_slack(p, tag, n, n + room - bytes);
    __builtin_memcpy(&is, place, bytes);
    if (bytes < sizeof canary)
        canary &= ((uint64_t)1 << 8 * bytes) - 1;
    if (unlikely(is != canary))
        hak_fault_bytes(FAULT_OVERFLOW, p, tag, (size_t)(place - p), canary, is);
}
