// random.c: ChaCha with 8 rounds and a key that is replaced by each fill, so that who reads a
// generator does not learn the numbers that were made before.
//
//   fill = ChaCha(key, 0 .. RANDOM_FILL_BLOCKS - 1, 0) = | next key: 8 words | numbers ... |
//   a number is the last bytes of it that are left; what was used is gone
//
// 8 rounds: no attack on more than 7 is known, and numbers are no ciphertext that can be kept.
//
// The generator is its owner's alone. `generation` counts the forks of this process: a generator of
// another generation was copied, and its twin goes on in another process.
//
// Shared: block number n of one key is the n-th number, n from an atomic counter. The key is
// written at start and after a fork only, and is not replaced: numbers that were made can be found
// by who reads it.
#include "random.h"

#include <seam/os.h>

#include "config.h"
#include "fault.h"

struct atomic_u32 hak_random_forks;
static const uint32_t nonce[CHACHA_NONCE_WORDS];

static struct {
    uint32_t key[CHACHA_KEY_WORDS];
    struct atomic_u32 counter;
} shared;

static void seed(uint32_t key[CHACHA_KEY_WORDS])
{
    if (!hak_os_entropy(key, CHACHA_KEY_WORDS * sizeof key[0]))
        hak_fault(FAULT_NO_ENTROPY, key, TAG_NONE);
}

static void fill(struct random_source *r)
{
    uint32_t key[CHACHA_KEY_WORDS];
    __builtin_memcpy(key, r->words, sizeof key);
    for (uint32_t i = 0; i < RANDOM_FILL_BLOCKS; i++)
        hak_chacha_block(r->words + (size_t)i * CHACHA_BLOCK_WORDS, key, i, nonce, RANDOM_ROUNDS);
    r->left = sizeof r->words;
    r->fills++;
}

void hak_random_more(struct random_source *r)
{
    uint32_t generation = hak_random_generation();
    if (r->generation != generation || r->fills == RANDOM_FILLS_MAX) {
        seed(r->words);
        r->fills = 0;
        r->generation = generation;
    }
    fill(r);
}

void hak_random_start(void)
{
    seed(shared.key);
}

uint32_t hak_random_shared(void)
{
    uint32_t block[CHACHA_BLOCK_WORDS];
    uint32_t n = fetch_add_relaxed(RANDOM_SHARED, &shared.counter, 1);
    hak_chacha_block(block, shared.key, n, nonce, RANDOM_ROUNDS);
    return block[0];
}

void hak_random_after_fork(void)
{
    fetch_add_relaxed(RANDOM_FORK, &hak_random_forks, 1);
    hak_random_start();
}
