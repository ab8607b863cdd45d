// random.c: ChaCha20 with a key that is replaced by each block, so that who reads a generator does
// not learn the numbers that were made before.
//
//   block = ChaCha20(key, 0, 0) = | next key: 8 words | numbers: 8 words |
//
// The generator is its owner's alone. `generation` counts the forks of this process: a generator of
// another generation was copied, and its twin goes on in another process.
#include "random.h"

#include <seam/atomics.h>
#include <seam/os.h>

#include "config.h"
#include "fault.h"

static struct atomic_u32 forks;

static void seed(struct random_source *r, uint32_t generation)
{
    if (!hak_os_entropy(r->key, sizeof r->key))
        hak_fault(FAULT_NO_ENTROPY, r, TAG_NONE);
    r->blocks = 0;
    r->left = 0;
    r->generation = generation;
}

uint32_t hak_random_word(struct random_source *r)
{
    static const uint32_t nonce[CHACHA_NONCE_WORDS];
    uint32_t generation = 1 + load_relaxed(RANDOM_GENERATION, &forks);
    if (unlikely(r->generation != generation || r->blocks == RANDOM_BLOCKS_MAX))
        seed(r, generation);
    if (unlikely(r->left == 0)) {
        uint32_t block[CHACHA_BLOCK_WORDS];
        hak_chacha_block(block, r->key, 0, nonce);
        __builtin_memcpy(r->key, block, sizeof r->key);
        __builtin_memcpy(r->words, block + CHACHA_KEY_WORDS, sizeof r->words);
        r->left = sizeof r->words / sizeof *r->words;
        r->blocks++;
    }
    uint32_t word = r->words[--r->left];
    r->words[r->left] = 0;
    return word;
}

void hak_random_after_fork(void)
{
    fetch_add_relaxed(RANDOM_FORK, &forks, 1);
}
