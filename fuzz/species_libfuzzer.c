// species_libfuzzer.c: stands between libFuzzer and a target (--wrap) and counts each execution.
#include "species.h"

#include <stddef.h>

int __real_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int __wrap_LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int opened;
    if (!opened) {
        opened = 1;
        species_open();
    }
    int result = __real_LLVMFuzzerTestOneInput(data, size);
    species_end(data, size);
    return result;
}
