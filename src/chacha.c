// chacha.c: ChaCha20, written for brevity: a block makes 64 bytes, and few are needed.
//
//   state:  "expand 32-byte k" | key (8 words) | counter | nonce (3 words)
//   20 rounds, columns and diagonals in turn, then the first state is added
//
// No state of its own, cannot fail. tests/unit/test_chacha.c has the RFC's vectors.
#include "chacha.h"

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static void quarter_round(uint32_t *s, unsigned a, unsigned b, unsigned c, unsigned d)
{
    s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 16);
    s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 12);
    s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 8);
    s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 7);
}

void hak_chacha_block(uint32_t out[CHACHA_BLOCK_WORDS], const uint32_t key[CHACHA_KEY_WORDS],
                      uint32_t counter, const uint32_t nonce[CHACHA_NONCE_WORDS])
{
    uint32_t first[CHACHA_BLOCK_WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
    for (unsigned i = 0; i < CHACHA_KEY_WORDS; i++)
        first[4 + i] = key[i];
    first[12] = counter;
    for (unsigned i = 0; i < CHACHA_NONCE_WORDS; i++)
        first[13 + i] = nonce[i];
    for (unsigned i = 0; i < CHACHA_BLOCK_WORDS; i++)
        out[i] = first[i];
    for (unsigned round = 0; round < 20; round += 2) {
        for (unsigned i = 0; i < 4; i++)
            quarter_round(out, i, i + 4, i + 8, i + 12);
        for (unsigned i = 0; i < 4; i++)
            quarter_round(out, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (unsigned i = 0; i < CHACHA_BLOCK_WORDS; i++)
        out[i] += first[i];
}
