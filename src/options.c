// options.c: the table of options, and the parser of HAKMEM_OPTIONS="name=value,name=value".
//
// Strict: every item is name=decimal, once, in range; anything else is refused with the byte
// offset of what is wrong and the reason, and the other items hold. No value is bent to fit.
// hak_options is written by hak_options_read only, before any other thread reads it.
#include "options.h"

#include <seam/os.h>

#include "print.h"

//        name            min  max       default  help
#define OPTIONS(X)                                                            \
    X(arena_mib, 0, 16777216, 0, "address space to reserve, MiB; 0: as fits") \
    X(purge_delay_ms, 0, 3600000, 100, "time that free units stay committed") \
    X(cache_kib, 1, 65536, 128, "bound of one magazine, KiB of blocks")       \
    X(huge_pages, 0, 1, 0, "1: advise 2 MiB pages")                           \
    X(stats, 0, 2, 0, "at exit: 1 statistics as text, 2 as JSON")             \
    X(foreign, 0, 1, 0, "at exit: 1 call sites of foreign frees")

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
_Static_assert(OPTION_COUNT <= 32, "a bit of struct parse for each option");
_Static_assert(MITIGATE_SEAL || sizeof(struct options) == OPTION_COUNT * sizeof(uint64_t),
               "an entry per field");

struct options hak_options;

// One run of the parser over one string.
struct parse {
    const char *text;
    const char *source;
    struct options *out;
    uint32_t given; // bit per entry of the table: has its value already
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

static void refuse_range(struct parse *parse, size_t start, size_t end, const struct option *option)
{
    char reason[96];
    struct printer out;
    hak_print_to_buffer(&out, reason, sizeof reason);
    hak_put_text(&out, option->name);
    hak_put_text(&out, " must be ");
    hak_put_decimal(&out, option->min);
    hak_put_text(&out, " to ");
    hak_put_decimal(&out, option->max);
    hak_put_text(&out, ", not");
    refuse(parse, start, end, reason);
}

// The entry whose name is the bytes [start, end), or NULL.
static const struct option *find_option(const char *text, size_t start, size_t end)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        const char *name = table[i].name;
        size_t at = start;
        while (at < end && *name != 0 && *name == text[at])
            name++, at++;
        if (at == end && *name == 0)
            return &table[i];
    }
    return NULL;
}

static void parse_value(struct parse *parse, const struct option *option, size_t start, size_t end)
{
    uint64_t value = 0;
    if (start == end) {
        refuse(parse, start, end, "a number is missing");
        return;
    }
    for (size_t at = start; at < end; at++) {
        unsigned digit = (unsigned)parse->text[at] - '0';
        if (digit > 9) {
            refuse(parse, start, end, "not a decimal number:");
            return;
        }
        if (value <= option->max) // beyond, it stays beyond, and cannot overflow
            value = value * 10 + digit;
    }
    if (value < option->min || value > option->max) {
        refuse_range(parse, start, end, option);
        return;
    }
    *field(parse->out, option) = value;
    parse->given |= 1u << (option - table);
}

// One item: the bytes [start, end) between two commas.
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
    if (option == NULL)
        refuse(parse, start, equals, "unknown option");
    else if (equals == end)
        refuse(parse, start, end, "'=' and a number are missing after");
    else if (parse->given >> (option - table) & 1)
        refuse(parse, start, equals, "given twice:");
    else
        parse_value(parse, option, equals + 1, end);
}

unsigned hak_options_parse(struct options *out, const char *text, const char *source)
{
    struct parse parse = { .text = text, .source = source, .out = out };
    size_t start = 0;
    if (text[0] == 0)
        return 0;
    for (;;) {
        size_t end = start;
        while (text[end] != 0 && text[end] != ',')
            end++;
        parse_item(&parse, start, end);
        if (text[end] == 0)
            return parse.refused;
        start = end + 1;
    }
}

void hak_options_defaults(struct options *out)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++)
        *field(out, &table[i]) = table[i].standard;
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
    (void)hak_print_end(&out);
}
