// options.c: the table of options, and the parser of HAKMEM_OPTIONS="name=value,name=value" and of
// the file that the item options_file=/path names.
//
// Strict: every item is name=decimal (prewarm: pairs of decimals), in range, or a path, and stands
// there once; anything else is refused with the byte offset of what is wrong and the reason, and
// the other items hold. No value is bent to fit. What HAKMEM_OPTIONS itself gives goes before what
// its file gives. A file is a regular one of at most OPTIONS_FILE_BYTES_MAX bytes, else nothing of
// it holds; it cannot name another. hak_options is written by hak_options_read only, before any
// other thread reads it.
#include "options.h"

#include <seam/os.h>

#include "print.h"

//        name            min  max       default  help
#define OPTIONS(X)                                                            \
    X(arena_mib, 0, 16777216, 0, "address space to reserve, MiB; 0: as fits") \
    X(purge_delay_ms, 0, 3600000, 100, "time that free units stay committed") \
    X(cache_kib, 1, 65536, 128, "bound of one magazine, KiB of blocks")       \
    X(huge_pages, 0, 1, 0, "1: advise 2 MiB pages")                           \
    X(stats, 0, 3, 0, "at exit: 1 statistics as text, 2 JSON, 3 CSV")         \
    X(stats_signal, 0, 64, 0, "the signal that prints them at any time")      \
    X(count_hits, 0, 1, 0, "1: count each malloc, for exact numbers of hits") \
    X(sample, 0, 1000000000, 0, "guard one of so many allocations; 0: none")  \
    X(profile, 0, 1099511627776, 0, "heap profile: bytes between samples")    \
    X(profile_seed, 0, 4294967295, 0, "its random numbers; 0: of the system") \
    X(foreign, 0, 1, 0, "at exit: 1 call sites of foreign frees")             \
    X(prewarm_threads, 0, 64, 0, "heaps kept ready for new threads")

struct option {
    const char *name;
    const char *help;
    uint64_t min, max, standard;
    size_t offset; // of its uint64_t in struct options
};

#define OPTION_ENTRY(name, min, max, standard, help) \
    { #name, help, min, max, standard, offsetof(struct options, name) },
static const struct option table[] = { OPTIONS(OPTION_ENTRY) };
enum { OPTION_COUNT = sizeof table / sizeof table[0] };
_Static_assert(OPTIONS_FILE_BYTES_MAX == 4096, "the report of a larger file names this number");
_Static_assert(OPTION_COUNT <= 30, "a bit of struct parse for each option, and two for texts");
_Static_assert(PREWARM_THREADS_MAX == 64, "the table names this number");
_Static_assert(offsetof(struct options, prewarm) == OPTION_COUNT * sizeof(uint64_t),
               "an entry per field of numbers");

struct options hak_options;

static const char file_option[] = "options_file";
static const char prewarm_option[] = "prewarm";
static const char profile_option[] = "profile_file";
enum { PREWARM_BIT = 1u << 31, PROFILE_FILE_BIT = 1u << 30 };

// One run of the parser over one text.
struct parse {
    const char *text;
    size_t length;
    const char *source;
    struct options *out;
    uint32_t given; // bit per entry of the table, and *_BIT: has its value already
    uint32_t fixed; // the same: is not to be changed, whatever this text says
    bool may_name_file;
    bool names_file;
    size_t path_start, path_end; // the path then: [start, end) of the text
    unsigned refused;
};

static uint64_t *field(struct options *options, const struct option *option)
{
    return (uint64_t *)((char *)options + option->offset);
}

// Reports `reason` with the bytes [start, end) of the text that it is about.
static void refuse(struct parse *parse, size_t start, size_t end, const char *reason)
{
    char buffer[256];
    struct printer out;
    hak_print_to_buffer(&out, buffer, sizeof buffer);
    hak_put_text(&out, "hakmem: ");
    hak_put_text(&out, parse->source);
    hak_put_text(&out, ": offset ");
    hak_put_decimal(&out, start);
    hak_put_text(&out, ": ");
    hak_put_text(&out, reason);
    if (start < end) {
        hak_put_text(&out, " '");
        hak_put_untrusted(&out, parse->text + start, end - start);
        hak_put_text(&out, "'");
    }
    hak_print_error_line(&out);
    parse->refused++;
}

static void refuse_range(struct parse *parse, size_t start, size_t end, const char *name,
                         uint64_t min, uint64_t max)
{
    char reason[96];
    struct printer out;
    hak_print_to_buffer(&out, reason, sizeof reason);
    hak_put_text(&out, name);
    hak_put_text(&out, " must be ");
    hak_put_decimal(&out, min);
    hak_put_text(&out, " to ");
    hak_put_decimal(&out, max);
    hak_put_text(&out, ", not");
    refuse(parse, start, end, reason);
}

// Takes the decimal number [start, end) of what `name` says. False: it was refused.
static bool parse_number(struct parse *parse, size_t start, size_t end, const char *name,
                         uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (start == end) {
        refuse(parse, start, end, "a number is missing");
        return false;
    }
    for (size_t at = start; at < end; at++) {
        unsigned digit = (unsigned)parse->text[at] - '0';
        if (digit > 9) {
            refuse(parse, start, end, "not a decimal number:");
            return false;
        }
        if (value <= max) // beyond, it stays beyond, and cannot overflow
            value = value * 10 + digit;
    }
    if (value < min || value > max) {
        refuse_range(parse, start, end, name, min, max);
        return false;
    }
    *out = value;
    return true;
}

static bool is_name(const char *name, const char *text, size_t start, size_t end)
{
    while (start < end && *name != 0 && *name == text[start])
        name++, start++;
    return start == end && *name == 0;
}

// The entry whose name is the bytes [start, end), or NULL.
static const struct option *find_option(const char *text, size_t start, size_t end)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++)
        if (is_name(table[i].name, text, start, end))
            return &table[i];
    return NULL;
}

static size_t end_of_item(const char *text, size_t start, size_t end, char separator)
{
    while (start < end && text[start] != separator)
        start++;
    return start;
}

// Whether [start, end) is an absolute path of at most so many bytes; else it is refused. What a
// file holds may have zero bytes, which would end the path early.
static bool is_path(struct parse *parse, size_t start, size_t end, size_t bytes_max,
                    const char *relative)
{
    if (start == end || parse->text[start] != '/')
        refuse(parse, start, end, relative);
    else if (end - start > bytes_max)
        refuse(parse, start, end, "the path is too long:");
    else if (end_of_item(parse->text, start, end, 0) != end)
        refuse(parse, start, end, "a zero byte in the path:");
    else
        return true;
    return false;
}

// Takes the path [start, end) that names of profiles begin with.
static void parse_profile_file(struct parse *parse, size_t start, size_t end)
{
    if ((parse->given & PROFILE_FILE_BIT) != 0) {
        refuse(parse, start, end, "given twice: profile_file");
        return;
    }
    if (!is_path(parse, start, end, OPTIONS_PATH_BYTES - 1,
                 "profile_file must be an absolute path, not"))
        return;
    parse->given |= PROFILE_FILE_BIT;
    if ((parse->fixed & PROFILE_FILE_BIT) != 0)
        return;
    size_t length = end - start;
    __builtin_memcpy(parse->out->profile_file, parse->text + start, length);
    parse->out->profile_file[length] = 0;
}

// Takes the path [start, end) of a file of options.
static void parse_path(struct parse *parse, size_t start, size_t end)
{
    if (!parse->may_name_file)
        refuse(parse, start, end, "a file of options cannot name another:");
    else if (parse->names_file)
        refuse(parse, start, end, "given twice: options_file");
    else if (is_path(parse, start, end, OPTIONS_FILE_BYTES_MAX,
                     "options_file must be an absolute path, not")) {
        parse->names_file = true;
        parse->path_start = start;
        parse->path_end = end;
    }
}

static void parse_value(struct parse *parse, const struct option *option, size_t start, size_t end)
{
    uint64_t value;
    if (!parse_number(parse, start, end, option->name, option->min, option->max, &value))
        return;
    if ((parse->fixed >> (option - table) & 1) == 0)
        *field(parse->out, option) = value;
    parse->given |= 1u << (option - table);
}

// One pair SIZE:BLOCKS. False: it was refused.
static bool parse_pair(struct parse *parse, size_t start, size_t end, struct prewarm_item *out)
{
    size_t colon = end_of_item(parse->text, start, end, ':');
    uint64_t bytes, blocks;
    if (colon == end) {
        refuse(parse, start, end, "prewarm wants SIZE:BLOCKS, not");
        return false;
    }
    if (!parse_number(parse, start, colon, "prewarm's size", 1, CLASS_REQUEST_MAX, &bytes) ||
        !parse_number(parse, colon + 1, end, "prewarm's blocks", 1, MAGAZINE_BLOCKS_MAX, &blocks))
        return false;
    *out = (struct prewarm_item){ (uint32_t)bytes, (uint32_t)blocks };
    return true;
}

static void parse_prewarm(struct parse *parse, size_t start, size_t end)
{
    struct prewarm_item items[PREWARM_CLASSES_MAX] = { { 0, 0 } };
    uint64_t bytes = 0;
    size_t at = start;
    for (unsigned count = 0; at <= end; count++) {
        size_t stop = end_of_item(parse->text, at, end, '+');
        if (count == PREWARM_CLASSES_MAX) {
            refuse(parse, at, end, "prewarm has too many sizes:");
            return;
        }
        if (!parse_pair(parse, at, stop, &items[count]))
            return;
        bytes += (uint64_t)items[count].bytes * items[count].blocks;
        at = stop + 1;
    }
    if (bytes > PREWARM_BYTES_MAX) {
        refuse(parse, start, end, "prewarm asks for too many bytes:");
        return;
    }
    for (unsigned i = 0; i < PREWARM_CLASSES_MAX && (parse->fixed & PREWARM_BIT) == 0; i++)
        parse->out->prewarm[i] = items[i];
    parse->given |= PREWARM_BIT;
}

// One item: the bytes [start, end) between two separators.
static void parse_item(struct parse *parse, size_t start, size_t end)
{
    size_t equals = start;
    while (equals < end && parse->text[equals] != '=')
        equals++;
    if (start == end) {
        refuse(parse, start, end, "empty item");
        return;
    }
    const struct option *option = find_option(parse->text, start, equals);
    bool is_prewarm = equals != end && is_name(prewarm_option, parse->text, start, equals);
    if (equals != end && is_name(file_option, parse->text, start, equals))
        parse_path(parse, equals + 1, end);
    else if (equals != end && is_name(profile_option, parse->text, start, equals))
        parse_profile_file(parse, equals + 1, end);
    else if (option == NULL && !is_prewarm)
        refuse(parse, start, equals, "unknown option");
    else if (equals == end)
        refuse(parse, start, end, "'=' and a number are missing after");
    else if ((parse->given & (is_prewarm ? PREWARM_BIT : 1u << (option - table))) != 0)
        refuse(parse, start, equals, "given twice:");
    else if (is_prewarm)
        parse_prewarm(parse, equals + 1, end);
    else
        parse_value(parse, option, equals + 1, end);
}

static void parse_list(struct parse *parse)
{
    size_t start = 0;
    while (parse->length != 0) {
        size_t end = end_of_item(parse->text, start, parse->length, ',');
        parse_item(parse, start, end);
        if (end == parse->length)
            return;
        start = end + 1;
    }
}

// An item to a line; empty lines, and those that begin with '#', are for people.
static void parse_lines(struct parse *parse)
{
    size_t end;
    for (size_t start = 0; start < parse->length; start = end + 1) {
        end = end_of_item(parse->text, start, parse->length, '\n');
        if (start != end && parse->text[start] != '#')
            parse_item(parse, start, end);
    }
}

// The items of the file that `list` names.
static void parse_file(struct parse *list)
{
    static char text[OPTIONS_FILE_BYTES_MAX + 1]; // first the path, then the contents
    size_t length = list->path_end - list->path_start;
    size_t bytes;
    for (size_t i = 0; i < length; i++)
        text[i] = list->text[list->path_start + i];
    text[length] = 0;
    enum os_read result = hak_os_read_file(text, text, sizeof text, &bytes);
    if (result != OS_READ_ALL) {
        refuse(list, list->path_start, list->path_end,
               result == OS_READ_TOO_LARGE     ? "larger than 4096 bytes: the file of options"
               : result == OS_READ_NOT_REGULAR ? "not a regular file:"
                                               : "cannot read the file of options");
        return;
    }
    struct parse lines = {
        .text = text, .length = bytes, .source = file_option, .out = list->out, .fixed = list->given
    };
    parse_lines(&lines);
    list->refused += lines.refused;
}

unsigned hak_options_parse(struct options *out, const char *text, const char *source)
{
    struct parse parse = { .text = text, .source = source, .out = out, .may_name_file = true };
    while (text[parse.length] != 0)
        parse.length++;
    parse_list(&parse);
    if (parse.names_file)
        parse_file(&parse);
    return parse.refused;
}

void hak_options_defaults(struct options *out)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++)
        *field(out, &table[i]) = table[i].standard;
    for (unsigned i = 0; i < PREWARM_CLASSES_MAX; i++)
        out->prewarm[i] = (struct prewarm_item){ 0, 0 };
    __builtin_memset(out->profile_file, 0, sizeof out->profile_file);
}

void hak_options_read(void)
{
    hak_options_defaults(&hak_options);
    const char *text = hak_os_environment("HAKMEM_OPTIONS");
    if (text != NULL)
        (void)hak_options_parse(&hak_options, text, "HAKMEM_OPTIONS");
}

void hak_options_help(int fd)
{
    char buffer[512];
    struct printer out;
    hak_print_to_fd(&out, buffer, sizeof buffer, fd);
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        hak_put_text_column(&out, table[i].name, 16);
        hak_put_decimal_column(&out, table[i].min, 4);
        hak_put_text(&out, " to ");
        hak_put_decimal_column(&out, table[i].max, 8);
        hak_put_text(&out, ", default ");
        hak_put_decimal_column(&out, table[i].standard, 4);
        hak_put_text(&out, "   ");
        hak_put_text(&out, table[i].help);
        hak_put_text(&out, "\n");
    }
    hak_put_text_column(&out, prewarm_option, 16);
    hak_put_text(&out, "SIZE:BLOCKS+SIZE:BLOCKS...: blocks that are ready before main\n");
    hak_put_text_column(&out, file_option, 16);
    hak_put_text(&out, "an absolute path: a file with one of the above on each line\n");
    hak_put_text_column(&out, profile_option, 16);
    hak_put_text(&out, "an absolute path: names of profiles begin with it\n");
    (void)hak_print_end(&out);
}
