// print.c: see print.h. A byte is put in one place only (put), where the buffer's end is met.
//
// Invariant: length < capacity and buffer[length] == 0, after each function.
// Failure: dropped text sets `failed` and nothing else; printing never stops its caller.
#include "print.h"

#include <seam/os.h>

enum {
    DIGITS_MAX = 20, // of a uint64_t in decimal; in hexadecimal 16
    FIXED_MAX = 22,  // digits, point, one decimal
    UNTRUSTED_MAX = 64,
};

static void write_out(struct printer *out)
{
    if (out->length != 0 && !hak_os_write_fd(out->fd, out->buffer, out->length))
        out->failed = true;
    out->length = 0;
    out->buffer[0] = 0;
}

static void put(struct printer *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (out->length == out->capacity - 1) {
            if (out->fd < 0) {
                out->failed = true;
                break;
            }
            write_out(out);
        }
        out->buffer[out->length++] = text[i];
    }
    out->buffer[out->length] = 0;
}

static size_t text_length(const char *text)
{
    size_t n = 0;
    while (text[n] != 0)
        n++;
    return n;
}

static void put_spaces(struct printer *out, size_t used, unsigned width)
{
    for (; used < width; used++)
        put(out, " ", 1);
}

// Writes the digits to the end of `digits` and returns the first.
static char *format(char digits[DIGITS_MAX], uint64_t value, unsigned base)
{
    char *at = digits + DIGITS_MAX;
    do {
        *--at = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    return at;
}

// Returns the length of the text it leaves in `text`.
static size_t format_fixed(char text[FIXED_MAX], uint64_t value, uint64_t unit)
{
    uint64_t whole = value / unit;
    uint64_t tenths = (value % unit * 10 + unit / 2) / unit; // unit <= 2^60: no overflow
    if (tenths == 10) {
        whole++;
        tenths = 0;
    }
    char digits[DIGITS_MAX];
    size_t n = 0;
    for (char *at = format(digits, whole, 10); at < digits + DIGITS_MAX; at++)
        text[n++] = *at;
    text[n++] = '.';
    text[n++] = (char)('0' + tenths);
    return n;
}

void hak_print_to_buffer(struct printer *out, char *buffer, size_t bytes)
{
    hak_print_to_fd(out, buffer, bytes, -1);
}

void hak_print_to_fd(struct printer *out, char *buffer, size_t bytes, int fd)
{
    *out = (struct printer){ .buffer = buffer, .capacity = bytes, .fd = fd };
    buffer[0] = 0;
}

bool hak_print_end(struct printer *out)
{
    if (out->fd >= 0)
        write_out(out);
    return !out->failed;
}

void hak_print_error_line(struct printer *out)
{
    if (out->length == out->capacity - 1)
        out->length--;
    out->buffer[out->length++] = '\n';
    out->buffer[out->length] = 0;
    hak_os_write_error(out->buffer, out->length);
}

void hak_put_text(struct printer *out, const char *text)
{
    put(out, text, text_length(text));
}

void hak_put_untrusted(struct printer *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < min_size(bytes, UNTRUSTED_MAX); i++)
        put(out, text[i] >= ' ' && text[i] <= '~' ? &text[i] : "?", 1);
    if (bytes > UNTRUSTED_MAX)
        hak_put_text(out, "...");
}

void hak_put_decimal(struct printer *out, uint64_t value)
{
    hak_put_decimal_column(out, value, 0);
}

void hak_put_hex(struct printer *out, uint64_t value)
{
    char digits[DIGITS_MAX];
    char *first = format(digits, value, 16);
    put(out, "0x", 2);
    put(out, first, (size_t)(digits + DIGITS_MAX - first));
}

void hak_put_fixed(struct printer *out, uint64_t value, uint64_t unit)
{
    hak_put_fixed_column(out, value, unit, 0);
}

void hak_put_text_column(struct printer *out, const char *text, unsigned width)
{
    size_t n = text_length(text);
    put(out, text, n);
    put_spaces(out, n, width);
}

void hak_put_text_right(struct printer *out, const char *text, unsigned width)
{
    put_spaces(out, text_length(text), width);
    hak_put_text(out, text);
}

void hak_put_decimal_column(struct printer *out, uint64_t value, unsigned width)
{
    char digits[DIGITS_MAX];
    char *first = format(digits, value, 10);
    size_t n = (size_t)(digits + DIGITS_MAX - first);
    put_spaces(out, n, width);
    put(out, first, n);
}

void hak_put_fixed_column(struct printer *out, uint64_t value, uint64_t unit, unsigned width)
{
    char text[FIXED_MAX];
    size_t n = format_fixed(text, value, unit);
    put_spaces(out, n, width);
    put(out, text, n);
}

void hak_put_json(struct printer *out, bool *first, const char *name, uint64_t value)
{
    hak_put_text(out, *first ? "\"" : ", \"");
    *first = false;
    hak_put_text(out, name);
    hak_put_text(out, "\": ");
    hak_put_decimal(out, value);
}
