// fault.c: one line on standard error, then abort. The list of texts is the list of faults.
#include "fault.h"

#include <seam/os.h>
#include <seam/sanitizer.h>
#include <seam/stack.h>

#include "config.h"
#include "print.h"
#include "sizeclass.h"
#include "stacks.h"

static const char *const fault_text[] = {
    [FAULT_DOUBLE_FREE] = "double free of",
    [FAULT_INTERIOR_FREE] = "invalid free of",
    [FAULT_NEVER_ALLOCATED] = "free of never allocated",
    [FAULT_INVALID_REALLOC] = "invalid realloc of",
    [FAULT_FOREIGN_REALLOC] = "realloc of foreign pointer",
    [FAULT_INVALID_SIZE] = "invalid malloc_usable_size of",
    [FAULT_FOREIGN_SIZE] = "malloc_usable_size of foreign pointer",
    [FAULT_SIZE_MISMATCH] = "sized free with wrong size of",
    [FAULT_CORRUPT_RECORD] = "corrupt record for",
    [FAULT_FOREIGN_FREE] = "free of foreign pointer",
    [FAULT_WRITE_AFTER_FREE] = "write after free of",
    [FAULT_OVERFLOW] = "write past the end of",
    [FAULT_USE_AFTER_FREE] = "use after free of",
    [FAULT_OUT_OF_BOUNDS] = "access out of bounds of",
    [FAULT_UNDERFLOW] = "write before the begin of",
    [FAULT_NO_ENTROPY] = "no random bytes from the system for",
};
_Static_assert(sizeof fault_text / sizeof fault_text[0] == FAULT_COUNT, "a text for each fault");

// What the tag table says about the place; a foreign pointer has no tag.
ALWAYS_INLINE void put_place(struct printer *out, unsigned tag)
{
    if (tag == TAG_NONE) {
        hak_put_text(out, " (no block)");
    } else if (tag == TAG_LARGE) {
        hak_put_text(out, " (large)");
    } else if (tag == TAG_HUGE) {
        hak_put_text(out, " (huge)");
    } else if (tag == TAG_EMPTY) {
        hak_put_text(out, " (0 bytes)");
    } else if (tag <= CLASS_LAST) {
        hak_put_text(out, " (class ");
        hak_put_decimal(out, tag);
        hak_put_text(out, ", ");
        hak_put_decimal(out, hak_class_bytes(tag));
        hak_put_text(out, " bytes)");
    } else {
        hak_put_text(out, " (unknown tag ");
        hak_put_decimal(out, tag);
        hak_put_text(out, ")");
    }
}

void hak_fault(enum fault what, const void *p, unsigned tag)
{
    char buffer[160];
    struct printer out;
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "hakmem: ");
    hak_put_text(&out, fault_text[what]);
    hak_put_text(&out, " ");
    hak_put_hex(&out, (uintptr_t)p);
    put_place(&out, tag);
    hak_print_error_line(&out);
    sanitize_fault(p);
    hak_os_abort();
}

static void put_bytes(struct printer *out, uint64_t word, unsigned from, unsigned last)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = from; i <= last; i++) {
        unsigned byte = word >> i * 8 & 0xff;
        char text[] = { ' ', digits[byte >> 4], digits[byte & 15], 0 };
        hak_put_text(out, text);
    }
}

void hak_fault_bytes(enum fault what, const void *p, unsigned tag, size_t offset, uint64_t should,
                     uint64_t is)
{
    char buffer[224];
    struct printer out;
    uint64_t changed = (should ^ is) | (uint64_t)(should == is);
    unsigned first = lowest_bit(changed) / 8; // little-endian
    unsigned last = highest_bit(changed) / 8;
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "hakmem: ");
    hak_put_text(&out, fault_text[what]);
    hak_put_text(&out, " ");
    hak_put_hex(&out, (uintptr_t)p);
    put_place(&out, tag);
    hak_put_text(&out, " at byte ");
    hak_put_decimal(&out, offset + first);
    hak_put_text(&out, ":");
    put_bytes(&out, should, first, last);
    hak_put_text(&out, ", now");
    put_bytes(&out, is, first, last);
    hak_print_error_line(&out);
    hak_os_abort();
}

// Lines of one stack: "  freed at 0x7f0123456789 (libx.so.1+0x6789)".
static void print_stack(const char *what, void *const *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char buffer[512];
        struct printer out;
        size_t offset = 0;
        const char *module = stack_module(frames[i], &offset);
        hak_print_to_buffer(&out, buffer, sizeof buffer);
        hak_put_text(&out, i == 0 ? what : "  from ");
        hak_put_hex(&out, (uintptr_t)frames[i]);
        if (module != NULL) {
            hak_put_text(&out, " (");
            hak_put_text(&out, module);
            hak_put_text(&out, "+");
            hak_put_hex(&out, offset);
            hak_put_text(&out, ")");
        }
        hak_print_error_line(&out);
    }
}

void hak_fault_sampled(enum fault what, const void *p, size_t bytes, ptrdiff_t offset,
                       const struct stacks *stacks)
{
    char buffer[224];
    struct printer out;
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "hakmem: ");
    hak_put_text(&out, fault_text[what]);
    hak_put_text(&out, " ");
    hak_put_hex(&out, (uintptr_t)p);
    hak_put_text(&out, " (sampled, ");
    hak_put_decimal(&out, bytes);
    hak_put_text(&out, offset < 0 ? " bytes) at byte -" : " bytes) at byte ");
    hak_put_decimal(&out, offset < 0 ? -(uint64_t)offset : (uint64_t)offset);
    hak_print_error_line(&out);
    print_stack("  allocated at ", stacks->allocated, stacks->allocated_count);
    print_stack("  freed at ", stacks->freed, stacks->freed_count);
    hak_os_abort();
}
