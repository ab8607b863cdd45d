// test_remote.c: the token, the inbox and the remote bitmap: each rule alone, then freeing threads
// against an owner, where every block must come back exactly once.
#define _GNU_SOURCE 1
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#include <seam/sanitizer.h>

#include "one_superslab.h"
#include "remote.h"

enum { SLABS = 6, FREERS = 3, ROUNDS = 400, BATCH_MAX = 64 };

static struct inbox mine, other;

static unsigned small_class(void)
{
    return hak_class_of(32);
}

// A slab of unit `unit` in the hands of `owner`, with all of its blocks taken.
static struct slab *begin_taken(uint32_t unit, struct inbox *owner)
{
    static void *out[SLAB_BLOCKS_MAX];
    struct slab *s = hak_slab_at(unit);
    hak_slab_begin(s, small_class(), 1, true);
    hak_remote_begin(s, owner);
    assert_int_equal(hak_slab_take(s, out, SLAB_BLOCKS_MAX), own_load(&s->blocks));
    return s;
}

static void end(struct slab *s)
{
    assert_true(hak_remote_try_hold(s));
    hak_slab_end(s);
}

static void test_owner(void **state)
{
    (void)state;
    struct slab *s = begin_taken(0, &mine);
    assert_true(hak_remote_is_owner(s, &mine));
    assert_false(hak_remote_is_owner(s, &other));
    for (unsigned bit = 6; bit < 48; bit++) { // the whole identity, wherever heaps lie
        uintptr_t another = (uintptr_t)&mine ^ (uintptr_t)1 << bit;
        assert_false(hak_remote_is_owner(s, (struct inbox *)another));
    }
    assert_true(hak_remote_try_hold(s));
    assert_int_equal(hak_remote_adopt(s, &other), 0);
    assert_true(hak_remote_is_owner(s, &other));
    end(s);
}

static void test_mark_notify_settle(void **state)
{
    (void)state;
    struct slab *s = begin_taken(0, &mine), *next;
    assert_null(hak_remote_take_all(&mine));
    assert_int_equal(hak_remote_mark(s, 0, 0x15), 0);
    assert_int_equal(hak_remote_mark(s, 1, 0x8), 0);
    assert_int_equal(hak_remote_mark(s, 0, 0x16), 0x14); // two of them twice
    assert_int_equal(hak_remote_count(s), 5);
    assert_null(hak_remote_take_all(&mine));
    hak_remote_notify(s);
    hak_remote_notify(s); // on its way already
    assert_false(hak_remote_try_hold(s));
    assert_null(hak_remote_take_all(&other));
    assert_ptr_equal(hak_remote_take_all(&mine), s);
    assert_null(hak_remote_take_all(&mine));
    assert_false(hak_remote_try_hold(s)); // the token left the inbox with the list
    assert_int_equal(hak_remote_settle(s, &next), 5);
    assert_null(next);
    assert_int_equal(own_load(hak_slab_free_word(s, 0)), 0x17);
    assert_int_equal(own_load(hak_slab_free_word(s, 1)), 0x8);
    assert_int_equal(own_load(&s->free_blocks), 5);
    assert_int_equal(hak_remote_count(s), 0);
    assert_true(hak_slab_ok(s));
    // A notification for nothing is legal.
    hak_remote_notify(s);
    assert_ptr_equal(hak_remote_take_all(&mine), s);
    assert_int_equal(hak_remote_settle(s, &next), 0);
    end(s);
}

// While someone else holds the token nothing reaches an inbox, and nothing is lost.
static void test_hold(void **state)
{
    (void)state;
    struct slab *s = begin_taken(0, &mine);
    assert_true(hak_remote_try_hold(s));
    assert_false(hak_remote_try_hold(s));
    assert_int_equal(hak_remote_mark(s, 0, 0x3), 0);
    hak_remote_notify(s);
    assert_null(hak_remote_take_all(&mine));
    assert_int_equal(hak_remote_adopt(s, &other), 2);
    hak_remote_notify(s);
    assert_null(hak_remote_take_all(&mine));
    assert_ptr_equal(hak_remote_take_all(&other), s);
    struct slab *next;
    assert_int_equal(hak_remote_settle(s, &next), 0);
    end(s);
}

// Between two lives the token is held: a late freer of the old one pushes nothing.
static void test_between_lives(void **state)
{
    (void)state;
    struct slab *s = begin_taken(0, &mine);
    end(s);
    hak_remote_notify(s);
    assert_null(hak_remote_take_all(&mine));
    s = begin_taken(0, &other);
    hak_remote_notify(s);
    assert_null(hak_remote_take_all(&mine));
    struct slab *next;
    assert_ptr_equal(hak_remote_take_all(&other), s);
    assert_int_equal(hak_remote_settle(s, &next), 0);
    end(s);
}

static void test_list(void **state)
{
    (void)state;
    struct slab *s[SLABS];
    for (uint32_t i = 0; i < SLABS; i++) {
        s[i] = begin_taken(i, &mine);
        assert_int_equal(hak_remote_mark(s[i], 0, ((uint64_t)1 << i) - 1), 0);
        hak_remote_notify(s[i]);
    }
    bool seen[SLABS] = { false };
    unsigned count = 0;
    struct slab *next;
    for (struct slab *at = hak_remote_take_all(&mine); at != NULL; at = next, count++) {
        uint32_t i = hak_slab_unit(at);
        assert_true(i < SLABS && !seen[i]);
        seen[i] = true;
        assert_int_equal(hak_remote_settle(at, &next), i);
    }
    assert_int_equal(count, SLABS);
    for (uint32_t i = 0; i < SLABS; i++)
        end(s[i]);
}

// ---- double frees that the harvest finds ----

static void harvest_free_block(const void *argument)
{
    struct slab *s = begin_taken(0, &mine), *next;
    void *out[1];
    if (argument == NULL) { // freed by the owner, then by another thread
        hak_slab_give(s, 0, 0x4);
    } else { // never handed out in this life
        end(s);
        hak_slab_begin(s, small_class(), 1, true);
        hak_remote_begin(s, &mine);
        hak_slab_take(s, out, 1);
    }
    hak_remote_mark(s, 0, 0x4);
    hak_remote_notify(s);
    hak_remote_settle(hak_remote_take_all(&mine), &next);
}

static void test_double_free(void **state)
{
    (void)state;
    struct capture capture;
    run_in_child(&capture, harvest_free_block, NULL);
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: double free of 0x"));
    assert_non_null(strstr(capture.text, " (class 2, 32 bytes)\n"));
    run_in_child(&capture, harvest_free_block, "");
    assert_aborted(&capture);
    assert_non_null(strstr(capture.text, "hakmem: free of never allocated 0x"));
}

// ---- threads ----

// The owner hands batches of blocks of one slab to the freers.
struct hand_over {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void *blocks[BATCH_MAX];
    uint32_t count; // 0: the owner may fill it
    bool closed;
};

static struct hand_over lanes[FREERS];

static void *free_batches(void *argument)
{
    struct hand_over *lane = argument;
    for (;;) {
        void *blocks[BATCH_MAX];
        pthread_mutex_lock(&lane->mutex);
        while (lane->count == 0 && !lane->closed)
            pthread_cond_wait(&lane->changed, &lane->mutex);
        uint32_t count = lane->count;
        memcpy(blocks, lane->blocks, sizeof blocks);
        lane->count = 0;
        pthread_mutex_unlock(&lane->mutex);
        if (count == 0)
            return NULL;
        struct slab *s = hak_slab_of_unit(hak_unit_of(blocks[0]));
        for (uint32_t i = 0; i < count; i++) {
            uint32_t index = hak_slab_index(s, blocks[i]);
            *(char *)blocks[i] = (char)index; // the owner reads it after the block came back
            if (hak_remote_mark(s, index / 64, (uint64_t)1 << index % 64) != 0)
                hak_assert_failed("a block is freed once", __FILE__, __LINE__);
            if (i % 16 == 15)
                hak_remote_notify(s);
        }
        hak_remote_notify(s);
    }
}

static uint32_t drain(struct inbox *inbox)
{
    uint32_t count = 0;
    struct slab *next;
    for (struct slab *s = hak_remote_take_all(inbox); s != NULL; s = next)
        count += hak_remote_settle(s, &next);
    return count;
}

static bool offer(struct hand_over *lane, struct slab *s, unsigned *seed)
{
    bool filled = false;
    pthread_mutex_lock(&lane->mutex);
    if (lane->count == 0) {
        lane->count = hak_slab_take(s, lane->blocks, 1 + (uint32_t)rand_r(seed) % BATCH_MAX);
        for (uint32_t i = 0; i < lane->count; i++) {
            char last = *(char *)lane->blocks[i];
            uint32_t index = hak_slab_index(s, lane->blocks[i]);
            if (last != 0 && last != (char)index)
                hak_assert_failed("a block comes back as it was left", __FILE__, __LINE__);
        }
        filled = lane->count != 0;
        pthread_cond_signal(&lane->changed);
    }
    pthread_mutex_unlock(&lane->mutex);
    return filled;
}

static void test_threads(void **state)
{
    (void)state;
    struct slab *s[SLABS];
    pthread_t thread[FREERS];
    unsigned seed = 1;
    for (uint32_t i = 0; i < SLABS; i++) {
        s[i] = hak_slab_at(i);
        hak_slab_begin(s[i], small_class(), 1, false);
        hak_remote_begin(s[i], &mine);
        sanitize_disown(hak_slab_base(s[i]),
                        UNIT_SIZE); // no block is handed out by the library here
        memset(hak_slab_base(s[i]), 0, UNIT_SIZE);
    }
    for (unsigned i = 0; i < FREERS; i++) {
        pthread_mutex_init(&lanes[i].mutex, NULL);
        pthread_cond_init(&lanes[i].changed, NULL);
        assert_int_equal(pthread_create(&thread[i], NULL, free_batches, &lanes[i]), 0);
    }
    for (unsigned round = 0, filled = 0; filled < ROUNDS * FREERS; round++) {
        struct slab *from = s[(unsigned)rand_r(&seed) % SLABS];
        filled += offer(&lanes[round % FREERS], from, &seed);
        drain(&mine);
        // Re-owning in between: with the token a slab may change hands at any time.
        if (round % 64 == 0 && hak_remote_try_hold(from))
            hak_remote_adopt(from, &mine);
    }
    for (unsigned i = 0; i < FREERS; i++) {
        pthread_mutex_lock(&lanes[i].mutex);
        lanes[i].closed = true;
        pthread_cond_signal(&lanes[i].changed);
        pthread_mutex_unlock(&lanes[i].mutex);
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    drain(&mine); // no notification was lost: everything is back
    for (uint32_t i = 0; i < SLABS; i++) {
        assert_int_equal(hak_remote_count(s[i]), 0);
        assert_true(hak_slab_is_empty(s[i]));
        assert_true(hak_slab_ok(s[i]));
        end(s[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner),   cmocka_unit_test(test_mark_notify_settle),
        cmocka_unit_test(test_hold),    cmocka_unit_test(test_between_lives),
        cmocka_unit_test(test_list),    cmocka_unit_test(test_double_free),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, start_one_superslab, NULL);
}
