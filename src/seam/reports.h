// reports.h (seam): what the asan-user flavour remembers of blocks, and how it reports mistakes
// with them in AddressSanitizer's own terms. sanitizer.h calls it; no other flavour contains it.
//
// `block_bytes` is the whole block, `n` what the user asked for.
#ifndef HAK_REPORTS_H
#define HAK_REPORTS_H

#include "../base.h"

// p is handed out, or resized in place: n bytes are accessible, the rest is beyond its end.
void hak_reports_took(void *p, size_t n, size_t block_bytes);

// A block just handed out has only n bytes for the user.
void hak_reports_narrow(void *p, size_t n);

// p came back. Does not return if p was free already, was never a block or is a variable; that is
// reported.
void hak_reports_gave(void *p, size_t block_bytes);

// A mapping of its own came back; it will be unmapped.
void hak_reports_gone(void *p, size_t bytes);

// Nothing in the range is handed out.
void hak_reports_own(void *p, size_t bytes);

// The allocator itself works on the range, or gives it away.
void hak_reports_open(void *p, size_t bytes);

// The allocator found a mistake with p and ends the process: says what is known about p.
void hak_reports_fault(const void *p);

// ---- for override_asan.c ----

// False until the program's constructors run: AddressSanitizer may have no shadow memory yet.
extern bool hak_reports_ready __attribute__((visibility("hidden")));

// Whether p is a block of AddressSanitizer's own malloc, and how such a one is freed.
bool hak_reports_is_other(const void *p);
void hak_reports_free_other(void *p);

// What the user asked for at p, and the whole block. False if p is not known as handed out.
bool hak_reports_find(const void *p, size_t *n, size_t *block_bytes);

// Puts a block that is marked as freed off. Returns a block that is to be freed now, or NULL.
// Blocks that are freed between hak_reports_leave(true) and (false) are not checked again.
void *hak_reports_delay(void *p, size_t block_bytes);
void *hak_reports_due(void);
void hak_reports_leave(bool begin);

#endif
