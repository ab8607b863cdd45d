// test_chacha.c: the vectors of RFC 8439: section 2.3.2, and appendix A.1, numbers 1 and 2.
#define _GNU_SOURCE 1
#include "support.h"

#include "chacha.h"

static void expect(const uint32_t *key, uint32_t counter, const uint32_t *nonce,
                   const uint32_t *words)
{
    uint32_t out[CHACHA_BLOCK_WORDS];
    hak_chacha_block(out, key, counter, nonce);
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
    expect(key, 1, nonce, words);
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
    expect(zero, 0, zero, first);
    expect(zero, 1, zero, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_2_3_2),
        cmocka_unit_test(test_appendix_a_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
