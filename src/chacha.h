// chacha.h: the ChaCha block function of RFC 8439, section 2.3, with a chosen number of rounds.
#ifndef HAK_CHACHA_H
#define HAK_CHACHA_H

#include "base.h"

enum { CHACHA_KEY_WORDS = 8, CHACHA_NONCE_WORDS = 3, CHACHA_BLOCK_WORDS = 16 };

// One block of key stream, as little-endian words in the order of the RFC, which has 20 rounds; an
// even number of them.
void hak_chacha_block(uint32_t out[CHACHA_BLOCK_WORDS], const uint32_t key[CHACHA_KEY_WORDS],
                      uint32_t counter, const uint32_t nonce[CHACHA_NONCE_WORDS], unsigned rounds);

#endif
