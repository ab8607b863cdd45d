// check.c: the end of a failed assertion: one line, one write, abort.
#include "check.h"

#include <seam/os.h>

#include "print.h"

void hak_assert_failed(const char *condition, const char *file, int line)
{
    char buffer[512];
    struct printer out;
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "hakmem: assertion failed: ");
    hak_put_text(&out, condition);
    hak_put_text(&out, " (");
    hak_put_text(&out, file);
    hak_put_text(&out, ":");
    hak_put_decimal(&out, (uint64_t)line);
    hak_put_text(&out, ")");
    hak_print_error_line(&out);
    hak_os_abort();
}
