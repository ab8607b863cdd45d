// fuzz_mapped.c: the registry of blocks in mappings of their own against a list.
//
// Input: records of four bytes: what to do, with which block, and two numbers for it. Calls to the
// system are made to fail.
#include "allocator.h"
#include "target.h"
#include "world.h"

#include "../src/arena.h"
#include "../src/mapped.h"
#include "../src/meta.h"

#include <seam/os.h>

#include <string.h>

const char target_name[] = "fuzz_mapped";

#define BLOCKS 96u

static size_t page;
static struct block {
    unsigned char *p; // NULL: none
    size_t bytes;     // of the mapping
    unsigned char mark;
} list[BLOCKS];
static unsigned char *freed; // what was freed last

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    world_reset();
    page = os_page_size();
    return 0;
}

static size_t round_to_page(size_t n)
{
    return (n + page - 1) / page * page;
}

static const struct block *containing(const unsigned char *p)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (list[i].p != NULL && p >= list[i].p && p < list[i].p + list[i].bytes)
            return &list[i];
    return NULL;
}

static void fill(struct block *b, size_t n, unsigned char mark)
{
    b->mark = mark;
    b->p[0] = b->p[n - 1] = mark;
}

static void allocate(struct block *b, size_t n, size_t align, unsigned char mark)
{
    uint64_t failed = os_fault_failed();
    unsigned char *p = hak_mapped_alloc(n, align);
    target_must(p != NULL || os_fault_failed() != failed, "refused without need");
    if (p == NULL)
        return;
    target_must((uintptr_t)p % (align > page ? align : page) == 0, "not aligned");
    target_must(containing(p) == NULL && containing(p + n - 1) == NULL, "overlaps another block");
    sanitize_defined(p, n); // as the caller, who promises zeroes, does
    target_must(p[0] == 0 && p[n / 2] == 0 && p[n - 1] == 0, "not zero");
    *b = (struct block){ p, round_to_page(n), 0 };
    fill(b, n, mark);
}

static void release(struct block *b)
{
    target_must(b->p[0] == b->mark, "the contents changed");
    target_must(hak_mapped_free(b->p), "a block is not known");
    freed = b->p;
    b->p = NULL;
}

static void resize(struct block *b, size_t n, unsigned char mark)
{
    uint64_t failed = os_fault_failed();
    unsigned char *p = hak_mapped_resize(b->p, n);
    target_must(p != NULL || os_fault_failed() != failed, "resizing refused without need");
    if (p == NULL) {
        target_must(b->p[0] == b->mark, "a resize that failed changed the contents");
        return;
    }
    target_must(p[0] == b->mark, "a resize lost the contents");
    *b = (struct block){ p, round_to_page(n), b->mark };
    fill(b, n, mark);
}

// What begins no block.
static void ask_for_stranger(unsigned char *p)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (list[i].p == p)
            return;
    target_must(hak_mapped_usable(p) == 0, "something else has a usable size");
    target_must(!hak_mapped_free(p), "something else was freed");
    target_must(hak_mapped_resize(p, page) == NULL, "something else was resized");
}

static void check(void)
{
    uint64_t count = 0;
    size_t bytes = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (list[i].p == NULL)
            continue;
        target_must(hak_mapped_usable(list[i].p) == list[i].bytes,
                    "another usable size than in the list");
        count++;
        bytes += list[i].bytes;
    }
    target_must(hak_mapped_count() == count && hak_mapped_bytes() == bytes,
                "blocks are miscounted");
    target_must(hak_mapped_ok(), "the registry's own check fails");
}

static void act(const uint8_t *record)
{
    struct block *b = &list[record[1] % BLOCKS];
    size_t n = 1 + (size_t)record[2] * 300;
    switch (record[0] % 8) {
    default: // 0 to 2
        if (b->p == NULL)
            allocate(b, n, (size_t)1 << record[3] % 20, record[3] | 1);
        break;
    case 3:
    case 4:
        if (b->p != NULL)
            release(b);
        break;
    case 5:
        if (b->p != NULL)
            resize(b, n, record[3] | 1);
        break;
    case 6:
        ask_for_stranger(b->p != NULL && record[2] ? b->p + record[2] % 16 * 16 + 16 : freed);
        break;
    case 7:
        os_fault_arm(record[2] % 8, record[3] % 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_reset();
    target_must(hak_arena_start(2 * SUPERSLAB_SIZE), "no arena");
    hak_meta_start();
    hak_mapped_start();
    memset(list, 0, sizeof list);
    freed = (unsigned char *)&list;
    for (; size >= 4; data += 4, size -= 4) {
        act(data);
        check();
    }
    os_fault_arm(0, 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (list[i].p != NULL)
            release(&list[i]);
    check();
    return 0;
}
