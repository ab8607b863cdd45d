// fuzz_sizeclass.c: the map from sizes to classes against a list that is searched from the start.
//
// Input: records of three numbers, a size, an alignment's exponent and an offset in a slab.
#include "target.h"

#include "../src/sizeclass.h"

#include <string.h>

const char target_name[] = "fuzz_sizeclass";

static size_t bytes_of[CLASS_COUNT + 1];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    unsigned c = CLASS_FIRST;
    for (size_t n = 16; n <= CLASS_LINEAR_MAX; n += 16)
        bytes_of[c++] = n;
    for (size_t top = CLASS_LINEAR_MAX; top < CLASS_SIZE_MAX; top *= 2)
        for (unsigned quarter = 1; quarter <= CLASSES_PER_DOUBLING; quarter++)
            bytes_of[c++] = top + top / CLASSES_PER_DOUBLING * quarter;
    hak_classes_start((size_t)128 << 10);
    return 0;
}

static void check(size_t n, size_t align, size_t offset)
{
    n %= CLASS_SIZE_MAX + 1;
    offset %= SUPERSLAB_SIZE;
    unsigned naive = CLASS_FIRST;
    while (bytes_of[naive] < n)
        naive++;
    target_must(hak_class_of(n) == naive, "a size has another class than the list's");
    target_must(hak_class_bytes(naive) == bytes_of[naive],
                "a class has another size than the list's");
    target_must(hak_class_index(&hak_classes[naive], offset) == offset / bytes_of[naive],
                "an offset has another index than by division");
    // Blocks lie at multiples of their size from the start of a unit.
    unsigned aligned = CLASS_FIRST;
    while (aligned <= CLASS_LAST && (bytes_of[aligned] < n || bytes_of[aligned] % align != 0))
        aligned++;
    if (aligned > CLASS_LAST || align > UNIT_SIZE)
        aligned = 0;
    target_must(hak_class_aligned(n, align) == aligned, "an aligned size has another class");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (; size >= 9; data += 9, size -= 9) {
        uint32_t n, offset;
        memcpy(&n, data, 4);
        memcpy(&offset, data + 4, 4);
        check(n, (size_t)1 << data[8] % 24, offset);
    }
    return 0;
}
