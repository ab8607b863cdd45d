// print.h: text without stdio: into a fixed buffer, and on to a file descriptor.
//
// Nothing here allocates, locks or touches errno; all of it works in any thread at any time, also
// while the allocator is broken. A printer is a local variable of its user.
//
//   char buffer[256];
//   struct printer out;
//   hak_print_to_buffer(&out, buffer, sizeof buffer);   or   hak_print_to_fd(&out, ..., fd);
//   hak_put_text(&out, "live "); hak_put_decimal(&out, n);
//   hak_print_end(&out);
#ifndef HAK_PRINT_H
#define HAK_PRINT_H

#include "base.h"

struct printer {
    char *buffer;
    size_t capacity; // bytes at buffer, at least 2
    size_t length;   // of them used, not counting the final NUL; < capacity
    int fd;          // -1: text beyond the buffer is dropped; else the buffer is written out
    bool failed;     // text was dropped, or the descriptor refused it
};

// Text goes to the buffer, which is a C string at all times; what does not fit is dropped.
void hak_print_to_buffer(struct printer *out, char *buffer, size_t bytes);
// Text goes to `fd` by way of the buffer.
void hak_print_to_fd(struct printer *out, char *buffer, size_t bytes, int fd);
// Writes out what is left. False if anything was dropped since the printer was made.
bool hak_print_end(struct printer *out);
// For a printer to a buffer: ends the line (at the cost of its last byte if it was cut off) and
// writes all of it to standard error with one system call.
void hak_print_error_line(struct printer *out);

void hak_put_text(struct printer *out, const char *text);
// `bytes` bytes out of the user's hand: cut at 64, what is not printable ASCII becomes '?'.
void hak_put_untrusted(struct printer *out, const char *text, size_t bytes);
void hak_put_decimal(struct printer *out, uint64_t value);
// "0x" and the digits, without leading zeroes.
void hak_put_hex(struct printer *out, uint64_t value);
// value / unit with one decimal, rounded to the nearest: put_fixed(1310720, 1 << 20) = "1.3".
// unit is 1 to 2^60.
void hak_put_fixed(struct printer *out, uint64_t value, uint64_t unit);

// Columns of `width` characters, wider if the content is: text to the left or right, figures to the
// right.
void hak_put_text_column(struct printer *out, const char *text, unsigned width);
void hak_put_text_right(struct printer *out, const char *text, unsigned width);
void hak_put_decimal_column(struct printer *out, uint64_t value, unsigned width);
void hak_put_fixed_column(struct printer *out, uint64_t value, uint64_t unit, unsigned width);

// `"name": value` of a JSON object, with ", " before it unless *first, which becomes false.
void hak_put_json(struct printer *out, bool *first, const char *name, uint64_t value);

#endif
