// pprof.c: the profile as a message of protocol buffers, profile.proto of pprof, which pprof and
// other viewers read.
//
//   Profile { sample types; strings; samples; locations; mappings; when; how often; comments }
//
// Fields may come in any order and repeat, so everything is written as it is found: what is known
// of a stack, an address, an object of the loader. Only a nested message needs its length before
// it: each is put together in a buffer, all are small. Written without a lock or an allocation,
// also in a signal handler; counts are read first, so that what is referred to is there.
//
// Samples of one stack: one for the blocks that are live, and one for each lifetime and kind of
// freeing thread of those that are not, told apart by labels, which `pprof -tags` counts and
// `pprof -tagleaf` shows below each call. The sum over all is what was allocated.
//
// The encoding (developers.google.com/protocol-buffers/docs/encoding): a key of field number and
// type, then a number of 7 bits a byte, or a length and bytes.
#include "pprof.h"

#include <seam/os.h>
#include <seam/stack.h>

#include "attach.h"
#include "hakmem.h"
#include "options.h"
#include "print.h"
#include "profile.h"

enum { TYPE_NUMBER = 0, TYPE_BYTES = 2 };

// Fields of profile.proto.
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE,
    PROFILE_MAPPING,
    PROFILE_LOCATION,
    PROFILE_STRINGS = 6,
    PROFILE_DROP_FRAMES,
    PROFILE_TIME = 9,
    PROFILE_DURATION,
    PROFILE_PERIOD_TYPE,
    PROFILE_PERIOD,
    PROFILE_COMMENT,
    PROFILE_DEFAULT_TYPE,
};
enum { TYPE_TYPE = 1, TYPE_UNIT };
enum { SAMPLE_LOCATIONS = 1, SAMPLE_VALUES, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_STRING };
enum { MAPPING_ID = 1, MAPPING_START, MAPPING_LIMIT, MAPPING_OFFSET, MAPPING_FILE, MAPPING_BUILD };
enum { LOCATION_ID = 1, LOCATION_MAPPING, LOCATION_ADDRESS };

// The first strings, in this order.
enum {
    STRING_NONE,
    STRING_ALLOC_OBJECTS,
    STRING_COUNT,
    STRING_ALLOC_SPACE,
    STRING_BYTES,
    STRING_INUSE_OBJECTS,
    STRING_INUSE_SPACE,
    STRING_SPACE,
    STRING_LIFETIME,
    STRING_LIVE,
    STRING_FREED_BY,
    STRING_SAME,
    STRING_OTHER,
    STRING_DROP,
    STRING_LIFETIMES,
    STRINGS_FIRST = STRING_LIFETIMES + LIFETIMES,
};

// Functions of the allocator itself, in programs that it is linked with: they and what they call
// are left out.
static const char own_frames[] =
    "hak_[a-z_]*|malloc|calloc|realloc|reallocarray|aligned_alloc|memalign|posix_memalign|"
    "valloc|pvalloc|operator new.*";
static const char *const strings[STRINGS_FIRST] = {
    [STRING_NONE] = "",
    [STRING_ALLOC_OBJECTS] = "alloc_objects",
    [STRING_COUNT] = "count",
    [STRING_ALLOC_SPACE] = "alloc_space",
    [STRING_BYTES] = "bytes",
    [STRING_INUSE_OBJECTS] = "inuse_objects",
    [STRING_INUSE_SPACE] = "inuse_space",
    [STRING_SPACE] = "space",
    [STRING_LIFETIME] = "lifetime",
    [STRING_LIVE] = "live",
    [STRING_FREED_BY] = "freed_by",
    [STRING_SAME] = "same thread",
    [STRING_OTHER] = "other thread",
    [STRING_DROP] = own_frames,
    [STRING_LIFETIMES] = "1: below 10 us",
    "2: below 100 us",
    "3: below 1 ms",
    "4: below 10 ms",
    "5: below 100 ms",
    "6: below 1 s",
    "7: below 10 s",
    "8: 10 s and more",
};
_Static_assert(LIFETIMES == 8 && LIFETIME_FIRST_NS == 10000, "the names say so");

// Objects of the loader that samples lie in; more are not told.
#define MAPPINGS_MAX 256u

// Bytes of one message.
struct bytes {
    size_t used;
    uint8_t at[1024];
};
_Static_assert(PROFILE_FRAMES * 3 + 4 * 10 + 64 < 1024, "a sample fits");
_Static_assert(PROFILE_LOCATIONS_MAX < 1 << 21, "a location's number has three bytes at most");

struct writer {
    int fd;
    bool ok;
    uint64_t strings, mappings;
    struct bytes message, inner;
    size_t used; // of `out`
    uint8_t out[4096];
    uintptr_t start[MAPPINGS_MAX], limit[MAPPINGS_MAX];
};

// ---- encoding ----

static void put_varint(struct bytes *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        b->at[b->used++] = (uint8_t)(value | 0x80);
    b->at[b->used++] = (uint8_t)value;
}

static void put_number(struct bytes *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3 | TYPE_NUMBER);
    put_varint(b, value);
}

static void put_bytes(struct bytes *b, unsigned field, const void *bytes, size_t count)
{
    put_varint(b, field << 3 | TYPE_BYTES);
    put_varint(b, count);
    __builtin_memcpy(b->at + b->used, bytes, count);
    b->used += count;
}

static void flush(struct writer *w)
{
    w->ok = w->ok && hak_os_write_fd(w->fd, (const char *)w->out, w->used);
    w->used = 0;
}

static void write_raw(struct writer *w, const void *bytes, size_t count)
{
    if (count > sizeof w->out - w->used)
        flush(w);
    if (count > sizeof w->out) {
        w->ok = w->ok && hak_os_write_fd(w->fd, bytes, count);
        return;
    }
    __builtin_memcpy(w->out + w->used, bytes, count);
    w->used += count;
}

static void write_number(struct writer *w, unsigned field, uint64_t value)
{
    struct bytes b;
    b.used = 0;
    put_number(&b, field, value);
    write_raw(w, b.at, b.used);
}

static void write_bytes(struct writer *w, unsigned field, const void *bytes, size_t count)
{
    struct bytes b;
    b.used = 0;
    put_varint(&b, field << 3 | TYPE_BYTES);
    put_varint(&b, count);
    write_raw(w, b.at, b.used);
    write_raw(w, bytes, count);
}

static void write_message(struct writer *w, unsigned field)
{
    write_bytes(w, field, w->message.at, w->message.used);
    w->message.used = 0;
}

// Returns its number.
static uint64_t write_string(struct writer *w, const char *text)
{
    write_bytes(w, PROFILE_STRINGS, text, __builtin_strlen(text));
    return w->strings++;
}

static void write_type(struct writer *w, unsigned field, unsigned type, unsigned unit)
{
    put_number(&w->message, TYPE_TYPE, type);
    put_number(&w->message, TYPE_UNIT, unit);
    write_message(w, field);
}

// ---- what is sampled ----

static void write_head(struct writer *w)
{
    uint64_t now = hak_os_time_ns();
    for (unsigned i = 0; i < STRINGS_FIRST; i++)
        write_string(w, strings[i]);
    write_type(w, PROFILE_SAMPLE_TYPE, STRING_ALLOC_OBJECTS, STRING_COUNT);
    write_type(w, PROFILE_SAMPLE_TYPE, STRING_ALLOC_SPACE, STRING_BYTES);
    write_type(w, PROFILE_SAMPLE_TYPE, STRING_INUSE_OBJECTS, STRING_COUNT);
    write_type(w, PROFILE_SAMPLE_TYPE, STRING_INUSE_SPACE, STRING_BYTES);
    write_number(w, PROFILE_DEFAULT_TYPE, STRING_INUSE_SPACE);
    write_number(w, PROFILE_DROP_FRAMES, STRING_DROP);
    write_type(w, PROFILE_PERIOD_TYPE, STRING_SPACE, STRING_BYTES);
    write_number(w, PROFILE_PERIOD, hak_profile_interval());
    write_number(w, PROFILE_TIME, now);
    write_number(w, PROFILE_DURATION, now - hak_profile_began_ns());
    if (hak_profile_lost() != 0) {
        char text[96];
        struct printer out;
        hak_print_to_buffer(&out, text, sizeof text);
        hak_put_text(&out, "no room for samples: ");
        hak_put_decimal(&out, hak_profile_lost());
        write_number(w, PROFILE_COMMENT, write_string(w, text));
    }
}

static void put_label(struct writer *w, unsigned key, unsigned string)
{
    w->inner.used = 0;
    put_number(&w->inner, LABEL_KEY, key);
    put_number(&w->inner, LABEL_STRING, string);
    put_bytes(&w->message, SAMPLE_LABEL, w->inner.at, w->inner.used);
}

static uint64_t rounded(double value)
{
    return value > 0 ? (uint64_t)(value + 0.5) : 0; // a sum seen in the middle of its change
}

// Begins a sample: its frames, and its values, of which those `in_use` are.
static void begin_sample(struct writer *w, const uint32_t *frames, uint32_t count,
                         struct profile_sum sum, bool in_use)
{
    w->inner.used = 0;
    for (uint32_t i = 0; i < count; i++)
        put_varint(&w->inner, frames[i] + 1);
    put_bytes(&w->message, SAMPLE_LOCATIONS, w->inner.at, w->inner.used);
    w->inner.used = 0;
    for (unsigned i = 0; i < 2; i++) {
        put_varint(&w->inner, i == 0 || in_use ? rounded(sum.blocks) : 0);
        put_varint(&w->inner, i == 0 || in_use ? rounded(sum.bytes) : 0);
    }
    put_bytes(&w->message, SAMPLE_VALUES, w->inner.at, w->inner.used);
}

static void write_stack(struct writer *w, uint32_t stack)
{
    uint32_t frames[PROFILE_FRAMES];
    uint32_t count = hak_profile_frames(stack, frames);
    struct profile_sums sums;
    hak_profile_read(stack, &sums);
    struct profile_sum live = sums.allocated;
    for (unsigned i = 0; i < LIFETIMES; i++)
        for (unsigned other = 0; other < 2; other++) {
            struct profile_sum freed = sums.freed[i][other];
            if (rounded(freed.blocks) == 0)
                continue;
            live.blocks -= freed.blocks;
            live.bytes -= freed.bytes;
            begin_sample(w, frames, count, freed, false);
            put_label(w, STRING_LIFETIME, STRING_LIFETIMES + i);
            put_label(w, STRING_FREED_BY, other ? STRING_OTHER : STRING_SAME);
            write_message(w, PROFILE_SAMPLE);
        }
    if (rounded(live.blocks) == 0)
        return;
    begin_sample(w, frames, count, live, true);
    put_label(w, STRING_LIFETIME, STRING_LIVE);
    write_message(w, PROFILE_SAMPLE);
}

// ---- where ----

static void write_mapping(struct writer *w, const struct stack_object *o)
{
    static const char digits[] = "0123456789abcdef";
    char build[2 * STACK_BUILD_BYTES + 1];
    size_t length = 0;
    for (uint32_t i = 0; i < o->build_bytes; i++) {
        build[length++] = digits[o->build[i] >> 4];
        build[length++] = digits[o->build[i] & 15];
    }
    build[length] = 0;
    uint64_t file = write_string(w, o->name), id = write_string(w, build);
    w->start[w->mappings] = o->start;
    w->limit[w->mappings++] = o->limit;
    put_number(&w->message, MAPPING_ID, w->mappings);
    put_number(&w->message, MAPPING_START, o->start);
    put_number(&w->message, MAPPING_LIMIT, o->limit);
    put_number(&w->message, MAPPING_OFFSET, o->offset);
    put_number(&w->message, MAPPING_FILE, file);
    put_number(&w->message, MAPPING_BUILD, id);
    write_message(w, PROFILE_MAPPING);
}

// The number of the mapping that the address lies in; 0: none is known (any more).
static uint64_t mapping_of(struct writer *w, uintptr_t address)
{
    struct stack_object object;
    for (uint64_t i = 0; i < w->mappings; i++)
        if (address - w->start[i] < w->limit[i] - w->start[i])
            return i + 1;
    if (w->mappings == MAPPINGS_MAX || !stack_object((const void *)address, &object))
        return 0;
    write_mapping(w, &object);
    return w->mappings;
}

static void write_location(struct writer *w, uint32_t location)
{
    // A return address lies behind its call, which may be the last instruction of a function.
    uintptr_t address = (uintptr_t)hak_profile_location(location) - 1;
    uint64_t mapping = mapping_of(w, address);
    put_number(&w->message, LOCATION_ID, location + 1);
    if (mapping != 0)
        put_number(&w->message, LOCATION_MAPPING, mapping);
    put_number(&w->message, LOCATION_ADDRESS, address);
    write_message(w, PROFILE_LOCATION);
}

static bool write_profile(struct writer *w, int fd)
{
    if (!hak_started() || hak_profile_interval() == 0)
        return false;
    w->fd = fd;
    w->ok = true;
    w->strings = w->mappings = 0;
    w->used = w->message.used = w->inner.used = 0;
    write_head(w);
    (void)mapping_of(w, stack_program()); // viewers take the first for the program
    for (uint32_t i = 0, count = hak_profile_stacks(); i < count; i++)
        write_stack(w, i);
    for (uint32_t i = 0, count = hak_profile_locations(); i < count; i++)
        write_location(w, i);
    flush(w);
    return w->ok;
}

bool hak_write_profile(int fd)
{
    struct writer w;
    return write_profile(&w, fd);
}

static struct writer shared; // of the next two

void hak_pprof_answer(int fd)
{
    (void)write_profile(&shared, fd); // who asked sees what there is
}

void hak_pprof_write_file(uint32_t number)
{
    char path[OPTIONS_PATH_BYTES + 32];
    char text[OPTIONS_PATH_BYTES + 96];
    struct printer out;
    if (hak_options.profile_file[0] == 0 || hak_profile_interval() == 0)
        return;
    hak_print_to_buffer(&out, path, sizeof path);
    hak_put_text(&out, hak_options.profile_file);
    hak_put_text(&out, ".");
    hak_put_decimal(&out, hak_os_process_id());
    if (number != 0) {
        hak_put_text(&out, ".");
        hak_put_decimal(&out, number);
    }
    hak_put_text(&out, ".pb");
    int fd = hak_os_create(path);
    bool written = fd >= 0 && write_profile(&shared, fd);
    if (fd >= 0)
        hak_os_close(fd);
    if (written)
        return;
    hak_print_to_buffer(&out, text, sizeof text);
    hak_put_text(&out, "hakmem: cannot write the profile ");
    hak_put_text(&out, path);
    hak_print_error_line(&out);
}
