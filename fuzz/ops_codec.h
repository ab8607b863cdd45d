// ops_codec.h: the parts of the binary forms that encoding and decoding share. Internal to ops*.c.
#ifndef FUZZ_OPS_CODEC_H
#define FUZZ_OPS_CODEC_H

#include "ops.h"

// How a record says a number: a form and a value of SIZE_BITS or ARG_BITS.
enum number_form {
    NUMBER_PLAIN, // the value
    NUMBER_PAGES, // value << 12
    NUMBER_POWER, // 2^(low 6 bits) + the signed rest
    NUMBER_TOP,   // SIZE_MAX - value
    NUMBER_HALF,  // PTRDIFF_MAX + signed value
    NUMBER_COUNT
};
#define SIZE_BITS 32u
#define ARG_BITS 24u
#define SAME_THREAD 0x80u // in a trace's kind: the thread is that of the operation before

static inline uint64_t get(const uint8_t *from, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << (8 * i);
    return v;
}

static inline void put(uint8_t *to, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

uint64_t ops_number_decode(unsigned form, uint64_t v, unsigned bits);
// False if no form can say n.
bool ops_number_encode(uint64_t n, unsigned bits, unsigned *form, uint64_t *v);
// False if a record cannot hold the operation.
bool ops_put_record(const struct op *op, uint8_t record[OPS_RECORD_BYTES]);
// Fills `error` and returns false.
bool ops_refuse(struct ops_error *error, bool text, size_t where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
