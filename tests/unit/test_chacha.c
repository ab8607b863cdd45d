// test_chacha.c: the vectors of RFC 8439: section 2.3.2, and appendix A.1, numbers 1 and 2.
#define _GNU_SOURCE 1
#include "support.h"

#include "chacha.h"

static void expect(const uint32_t *key, uint32_t counter, const uint32_t *nonce,
                   const uint32_t *words, unsigned rounds)
{
    uint32_t out[CHACHA_BLOCK_WORDS];
    hak_chacha_block(out, key, counter, nonce, rounds);
    assert_memory_equal(out, words, sizeof out);
}

static void test_section_2_3_2(void **state)
{
    (void)state;
    uint32_t key[CHACHA_KEY_WORDS];
    for (uint32_t i = 0; i < CHACHA_KEY_WORDS; i++)
        key[i] = 0x03020100 + i * 0x04040404;
    static const uint32_t nonce[] = { 0x09000000, 0x4a000000, 0x00000000 };
    static const uint32_t words[] = {
        0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
        0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
        0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2,
    };
    expect(key, 1, nonce, words, 20);
}

static void test_appendix_a_1(void **state)
{
    (void)state;
    static const uint32_t zero[CHACHA_KEY_WORDS];
    static const uint32_t first[] = {
        0xade0b876, 0x903df1a0, 0xe56a5d40, 0x28bd8653, 0xb819d2bd, 0x1aed8da0,
        0xccef36a8, 0xc70d778b, 0x7c5941da, 0x8d485751, 0x3fe02477, 0x374ad8b8,
        0xf4b8436a, 0x1ca11815, 0x69b687c3, 0x8665eeb2,
    };
    static const uint32_t second[] = {
        0xbee7079f, 0x7a385155, 0x7c97ba98, 0x0d082d73, 0xa0290fcb, 0x6965e348,
        0x3e53c612, 0xed7aee32, 0x7621b729, 0x434ee69c, 0xb03371d5, 0xd539d874,
        0x281fed31, 0x45fb0a51, 0x1f0ae1ac, 0x6f4d794b,
    };
    expect(zero, 0, zero, first, 20);
    expect(zero, 1, zero, second, 20);
}

// draft-strombergsson-chacha-test-vectors-01, TC1, 256 bits of key, 8 rounds.
static void test_eight_rounds(void **state)
{
    (void)state;
    static const uint32_t zero[CHACHA_KEY_WORDS];
    static const unsigned char bytes[] = {
        0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f,
        0x09, 0xa5, 0xa1, 0x2c, 0x84, 0x0e, 0xc3, 0xce, 0x9a, 0x7f, 0x3b, 0x18, 0x1b,
        0xe1, 0x88, 0xef, 0x71, 0x1a, 0x1e, 0x98, 0x4c, 0xe1, 0x72, 0xb9, 0x21, 0x6f,
        0x41, 0x9f, 0x44, 0x53, 0x67, 0x45, 0x6d, 0x56, 0x19, 0x31, 0x4a, 0x42, 0xa3,
        0xda, 0x86, 0xb0, 0x01, 0x38, 0x7b, 0xfd, 0xb8, 0x0e, 0x0c, 0xfe, 0x42,
    };
    uint32_t words[CHACHA_BLOCK_WORDS];
    memcpy(words, bytes, sizeof words);
    expect(zero, 0, zero, words, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_2_3_2),
        cmocka_unit_test(test_appendix_a_1),
        cmocka_unit_test(test_eight_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
