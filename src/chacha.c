// chacha.c: ChaCha, four quarter rounds at a time: a row of the state is a vector.
//
//   state:  "expand 32-byte k"              row a
//           key                             rows b, c
//           counter | nonce (3 words)       row d
//
// A double round does the four columns, turns rows b, c, d by 1, 2, 3 words so that the diagonals
// become columns, does these, and turns back. At the end the first state is added.
//
// No state of its own, cannot fail. tests/unit/test_chacha.c has the RFC's vectors.
#include "chacha.h"

typedef uint32_t row __attribute__((vector_size(16)));

static inline row rotate(row x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static inline void quarter_rounds(row *a, row *b, row *c, row *d)
{
    *a += *b, *d = rotate(*d ^ *a, 16);
    *c += *d, *b = rotate(*b ^ *c, 12);
    *a += *b, *d = rotate(*d ^ *a, 8);
    *c += *d, *b = rotate(*b ^ *c, 7);
}

void hak_chacha_block(uint32_t out[CHACHA_BLOCK_WORDS], const uint32_t key[CHACHA_KEY_WORDS],
                      uint32_t counter, const uint32_t nonce[CHACHA_NONCE_WORDS], unsigned rounds)
{
    const row first[4] = {
        { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 },
        { key[0], key[1], key[2], key[3] },
        { key[4], key[5], key[6], key[7] },
        { counter, nonce[0], nonce[1], nonce[2] },
    };
    row a = first[0], b = first[1], c = first[2], d = first[3];
    for (unsigned i = 0; i < rounds; i += 2) {
        quarter_rounds(&a, &b, &c, &d);
        b = __builtin_shufflevector(b, b, 1, 2, 3, 0);
        c = __builtin_shufflevector(c, c, 2, 3, 0, 1);
        d = __builtin_shufflevector(d, d, 3, 0, 1, 2);
        quarter_rounds(&a, &b, &c, &d);
        b = __builtin_shufflevector(b, b, 3, 0, 1, 2);
        c = __builtin_shufflevector(c, c, 2, 3, 0, 1);
        d = __builtin_shufflevector(d, d, 1, 2, 3, 0);
    }
    const row last[4] = { a + first[0], b + first[1], c + first[2], d + first[3] };
    __builtin_memcpy(out, last, sizeof last);
}
