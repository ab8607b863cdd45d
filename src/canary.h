// canary.h: the last 8 bytes of a block in the hardened flavour: a secret, the block's address, and
// how much of the block was not asked for.
//
//   class:  | n bytes of the user | slack: zero | canary |
//   others: | n bytes of the user | slack: zero, to the end of a page |   guard
//                                   the last 8 bytes of the slack, or what there is, are a canary
//
// So a block of any size ends with the byte that was asked for: usable size says n, and what is
// written behind it is seen when the block comes back. The first byte of a canary is 0, so that
// a string that ends before it cannot be read through it; then come 36 secret bits, and only then
// the length of the slack, so that no overflow reaches it first.
//
// Holder of the block only.
#ifndef HAK_CANARY_H
#define HAK_CANARY_H

#include "zero.h"

struct ON_SEALED_PAGE canary_secret {
    uint64_t value;
};
extern struct canary_secret hak_canary_secret __attribute__((visibility("hidden")));

#define CANARY_SLACK_SHIFT 44
_Static_assert(CLASS_SIZE_MAX < (size_t)1 << (64 - CANARY_SLACK_SHIFT), "a slack fits in");

// Once at start: the secret. No random bytes from the system is a fault.
void hak_canary_start(void);

static inline uint64_t hak_canary_at(const char *place)
{
    return (hak_canary_secret.value ^ (uintptr_t)place) << 8;
}

// What is wrong with the canary or the slack of block p, which has `bytes` bytes with them, of
// which the user has `n`, if the canary can still tell; does not return.
_Noreturn COLD void hak_canary_fault(const void *p, unsigned tag, size_t bytes);

// ---- blocks of a class ----

// The slack of a block is zero, and stays so.
static inline void hak_canary_write(void *p, size_t bytes, size_t n)
{
    char *place = (char *)p + bytes - CANARY_BYTES;
    *(uint64_t *)place = hak_canary_at(place) ^ (bytes - CANARY_BYTES - n) << CANARY_SLACK_SHIFT;
}

static inline void hak_canary_clear(void *p, size_t bytes)
{
    *(uint64_t *)((char *)p + bytes - CANARY_BYTES) = 0;
}

// The bytes that were asked for; a fault if the canary was written to.
static inline size_t hak_canary_read(const void *p, unsigned class_index, size_t bytes)
{
    const char *place = (const char *)p + bytes - CANARY_BYTES;
    uint64_t word = *(const uint64_t *)place ^ hak_canary_at(place);
    if (unlikely(word << (64 - CANARY_SLACK_SHIFT) != 0 ||
                 word >> CANARY_SLACK_SHIFT >= bytes - CANARY_BYTES))
        hak_canary_fault(p, class_index, bytes);
    return bytes - CANARY_BYTES - (word >> CANARY_SLACK_SHIFT);
}

// Whether the slack of a block of which the user has n bytes, 1 at least, is zero. What is looked
// at first and last may overlap; of a slack shorter than a word the bytes that are the user's are
// shifted out.
static inline bool hak_canary_slack_ok(const void *p, size_t bytes, size_t n)
{
    const char *at = (const char *)p + n, *end = (const char *)p + bytes - CANARY_BYTES;
    size_t slack = (size_t)(end - at);
    uint64_t last = *(const uint64_t *)(end - sizeof last);
    if (slack < sizeof last)
        return last >> 1 >> (63 - 8 * slack) == 0;
    if (slack < sizeof(pair))
        return (last | *(const uint64_t *)at) == 0;
    pair any = *(const loose_pair *)(end - sizeof any);
    for (; at < end - sizeof any; at += sizeof any)
        any |= *(const loose_pair *)at;
    return (any[0] | any[1]) == 0;
}

// The same, where the slack may be long.
bool hak_canary_slack_long_ok(const void *p, size_t bytes, size_t n);

// ---- larger blocks: `room` bytes of slack behind the user's, to the end of a page ----

void hak_canary_write_behind(void *p, size_t n, size_t room);
void hak_canary_check_behind(const void *p, unsigned tag, size_t n, size_t room);

// The `bytes` bytes of p from `from` on must be zero: nobody asked for them.
void hak_canary_check_zero(const void *p, unsigned tag, size_t from, size_t bytes);

#endif
