// ops_text.c: the text form of the operation language, and files of any form.
//
//   threads 3            header lines, all optional, before the first operation
//   seed 42
//   strategy pct 3       decided | random | pct D | pos
//   geometry small       any | default | small
//   arena 64             MiB
//   t0 s3 = malloc 128   operations: thread, slot that receives, kind, slot that is used, numbers
//   t1 realloc s3 0x1000
//   t2 misuse double_free s3 0
//   decide t1 17 run 2   schedule decisions: thread, its step, what, choice
//
// '#' starts a comment, empty lines are free. Numbers are decimal or 0x hexadecimal, 64 bits.
// Errors name the line (from 1). A program that failed to parse is left empty.
#include "ops_codec.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8u
#define LINE_BYTES_MAX 200u

#define NAME_OF(id, name, ...) name,
static const char *const kind_names[] = { OPS_KINDS(NAME_OF) };
static const char *const misuse_names[] = { OPS_MISUSES(NAME_OF) };
static const char *const structure_names[] = { OPS_STRUCTURES(NAME_OF) };
static const char *const decision_names[] = { OPS_DECISIONS(NAME_OF) };
#undef NAME_OF
static const char *const strategy_names[] = { "decided", "random", "pct", "pos" };
static const char *const geometry_names[] = { "any", "default", "small" };
#define COUNT(names) (sizeof(names) / sizeof *(names))

const char *ops_kind_name(unsigned kind)
{
    return kind < OP_KIND_COUNT ? kind_names[kind] : "unknown";
}

// ---- printing ----

// The names that `arg` of a kind is one of, or NULL.
static const char *const *names_of(unsigned kind, unsigned *count)
{
    *count = kind == OP_MISUSE ? MISUSE_COUNT : kind == OP_CORRUPT ? STRUCTURE_COUNT : 0;
    return kind == OP_MISUSE ? misuse_names : kind == OP_CORRUPT ? structure_names : NULL;
}

static int format_number(uint64_t n, char *out, size_t capacity)
{
    return snprintf(out, capacity, n >> 32 ? " 0x%" PRIx64 : " %" PRIu64, n);
}

int ops_format(const struct op *op, char *out, size_t capacity)
{
    char line[LINE_BYTES_MAX];
    size_t room = sizeof line;
    unsigned fields = ops_fields(op->kind), names;
    const char *const *named = names_of(op->kind, &names);
    int length = snprintf(line, room, "t%u ", op->thread);
    if (fields & OPS_DST)
        length += snprintf(line + length, room - (size_t)length, "s%u = ", op->slot);
    length += snprintf(line + length, room - (size_t)length, "%s", ops_kind_name(op->kind));
    if (fields & OPS_NAMED)
        length += snprintf(line + length, room - (size_t)length, " %s",
                           op->arg < names ? named[op->arg] : "unknown");
    if (fields & OPS_SLOT)
        length += snprintf(line + length, room - (size_t)length, " s%u", op->slot);
    if (fields & OPS_ARG && !(fields & OPS_NAMED))
        length += format_number(op->arg, line + length, room - (size_t)length);
    if (fields & OPS_SIZE)
        length += format_number(op->size, line + length, room - (size_t)length);
    return snprintf(out, capacity, "%s", line);
}

void ops_print(const struct ops *program, FILE *out)
{
    const struct ops_header *header = &program->header;
    fprintf(out, "threads %u\n", header->threads);
    if (header->seed)
        fprintf(out, "seed %u\n", header->seed);
    if (header->strategy || header->depth) {
        fprintf(out, "strategy %s", strategy_names[header->strategy]);
        if (header->depth)
            fprintf(out, " %u", header->depth);
        fputc('\n', out);
    }
    if (header->geometry)
        fprintf(out, "geometry %s\n", geometry_names[header->geometry]);
    if (header->arena_mib)
        fprintf(out, "arena %u\n", header->arena_mib);
    for (size_t i = 0; i < program->count; i++) {
        char line[LINE_BYTES_MAX];
        ops_format(&program->list[i], line, sizeof line);
        fprintf(out, "%s\n", line);
    }
    for (size_t i = 0; i < program->decision_count; i++) {
        const struct decision *d = &program->decisions[i];
        fprintf(out, "decide t%u %u %s %u\n", d->thread, d->step, decision_names[d->kind],
                d->choice);
    }
}

int ops_format_error(const struct ops_error *error, const char *path, char *out, size_t capacity)
{
    return snprintf(out, capacity, error->text ? "%s:%zu: %s" : "%s: offset %zu: %s", path,
                    error->where, error->reason);
}

// ---- parsing ----

// One line, split at blanks; words point into `text`.
struct line {
    char text[LINE_BYTES_MAX];
    char *words[WORDS_MAX];
    unsigned count;
    size_t number;
};

#define refuse(error, line, ...) ops_refuse(error, true, (line)->number, __VA_ARGS__)

static bool split(struct line *line, const char *from, size_t bytes, struct ops_error *error)
{
    const char *comment = memchr(from, '#', bytes);
    if (comment)
        bytes = (size_t)(comment - from);
    line->count = 0;
    if (bytes >= sizeof line->text)
        return refuse(error, line, "longer than %u characters", LINE_BYTES_MAX - 1);
    if (memchr(from, 0, bytes))
        return refuse(error, line, "a zero byte");
    memcpy(line->text, from, bytes);
    line->text[bytes] = 0;
    char *rest = line->text;
    for (char *word; (word = strsep(&rest, " \t\r")) != NULL;) {
        if (!*word)
            continue;
        if (line->count == WORDS_MAX)
            return refuse(error, line, "more than %u words", WORDS_MAX);
        line->words[line->count++] = word;
    }
    return true;
}

static bool parse_number(const char *word, uint64_t most, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)*word))
        return false;
    errno = 0;
    bool hex = word[0] == '0' && word[1] == 'x' && isxdigit((unsigned char)word[2]);
    *out = strtoull(word, &end, hex ? 16 : 10);
    return errno == 0 && !*end && *out <= most;
}

static bool parse_name(const char *word, const char *const *names, unsigned count, uint64_t *out)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

// "t3" or "s17".
static bool parse_id(const char *word, char letter, uint64_t most, uint64_t *out)
{
    return word[0] == letter && parse_number(word + 1, most, out);
}

static bool parse_header(struct ops_header *header, const struct line *line,
                         struct ops_error *error)
{
    const char *key = line->words[0];
    uint64_t v, depth = 0;
    if (line->count < 2 || line->count > 3 || (line->count == 3 && strcmp(key, "strategy") != 0))
        return refuse(error, line, "'%.40s' takes one value", key);
    const char *word = line->words[1];
    if (strcmp(key, "threads") == 0 && parse_number(word, OPS_THREADS_MAX, &v) && v)
        header->threads = (uint16_t)v;
    else if (strcmp(key, "seed") == 0 && parse_number(word, UINT32_MAX, &v))
        header->seed = (uint32_t)v;
    else if (strcmp(key, "arena") == 0 && parse_number(word, UINT16_MAX, &v))
        header->arena_mib = (uint16_t)v;
    else if (strcmp(key, "geometry") == 0 && parse_name(word, geometry_names, 3, &v))
        header->geometry = (uint8_t)v;
    else if (strcmp(key, "strategy") == 0 &&
             parse_name(word, strategy_names, COUNT(strategy_names), &v) &&
             (line->count == 2 || parse_number(line->words[2], UINT8_MAX, &depth))) {
        header->strategy = (uint8_t)v;
        header->depth = (uint8_t)depth;
    } else
        return refuse(error, line, "bad value '%.40s' of '%.40s'", line->words[line->count - 1],
                      key);
    return true;
}

static bool parse_decision(struct ops *program, const struct line *line, struct ops_error *error)
{
    uint64_t thread, step, kind, choice;
    if (line->count != 5)
        return refuse(error, line, "a decision is: decide THREAD STEP WHAT CHOICE");
    if (!parse_id(line->words[1], 't', OPS_THREADS_MAX - 1, &thread))
        return refuse(error, line, "'%.40s' is no thread", line->words[1]);
    if (!parse_number(line->words[2], UINT32_MAX, &step))
        return refuse(error, line, "'%.40s' is no step", line->words[2]);
    if (!parse_name(line->words[3], decision_names, DECIDE_COUNT, &kind))
        return refuse(error, line, "'%.40s' is no decision", line->words[3]);
    if (!parse_number(line->words[4], UINT8_MAX, &choice))
        return refuse(error, line, "'%.40s' is no choice", line->words[4]);
    struct decision d = { (uint16_t)thread, (uint8_t)kind, (uint8_t)choice, (uint32_t)step };
    if (!ops_push_decision(program, d))
        return refuse(error, line, "out of memory");
    if (program->header.threads <= thread)
        program->header.threads = (uint16_t)(thread + 1);
    return true;
}

// The words behind the kind's name: [name] [slot] [number] [number], as its fields say.
static bool parse_fields(struct op *op, const struct line *line, unsigned at,
                         struct ops_error *error)
{
    unsigned fields = ops_fields(op->kind), names;
    const char *const *named = names_of(op->kind, &names);
    const char *kind = ops_kind_name(op->kind);
    unsigned wanted = !!(fields & OPS_SLOT) + !!(fields & OPS_ARG) + !!(fields & OPS_SIZE);
    uint64_t slot;
    if (line->count - at != wanted)
        return refuse(error, line, "'%s' takes %u values, here are %u", kind, wanted,
                      line->count - at);
    if (fields & OPS_NAMED && !parse_name(line->words[at++], named, names, &op->arg))
        return refuse(error, line, "'%.40s' is no %s", line->words[at - 1], kind);
    if (fields & OPS_SLOT) {
        if (!parse_id(line->words[at++], 's', UINT32_MAX - 1, &slot))
            return refuse(error, line, "'%.40s' is no slot", line->words[at - 1]);
        op->slot = (uint32_t)slot;
    }
    if (fields & OPS_ARG && !(fields & OPS_NAMED) &&
        !parse_number(line->words[at++], UINT64_MAX, &op->arg))
        return refuse(error, line, "'%.40s' is no number", line->words[at - 1]);
    if (fields & OPS_SIZE && !parse_number(line->words[at], UINT64_MAX, &op->size))
        return refuse(error, line, "'%.40s' is no number", line->words[at]);
    return true;
}

static bool parse_op(struct ops *program, const struct line *line, struct ops_error *error)
{
    struct op op = { 0 };
    uint64_t thread, slot, kind;
    unsigned at = 1;
    bool received = false;
    if (!parse_id(line->words[0], 't', OPS_THREADS_MAX - 1, &thread))
        return refuse(error, line, "'%.40s' is no thread and no header line", line->words[0]);
    op.thread = (uint16_t)thread;
    if (line->count >= 3 && strcmp(line->words[2], "=") == 0) {
        if (!parse_id(line->words[1], 's', UINT32_MAX - 1, &slot))
            return refuse(error, line, "'%.40s' is no slot", line->words[1]);
        op.slot = (uint32_t)slot;
        received = true;
        at = 3;
    }
    if (at >= line->count || !parse_name(line->words[at], kind_names, OP_KIND_COUNT, &kind))
        return refuse(error, line, "unknown operation '%.40s'",
                      at < line->count ? line->words[at] : "");
    op.kind = (uint8_t)kind;
    if (received != !!(ops_fields(op.kind) & OPS_DST))
        return refuse(error, line, "'%s' %s", line->words[at],
                      received ? "gives no block" : "needs a slot: sN = ...");
    if (!parse_fields(&op, line, at + 1, error))
        return false;
    if (!ops_push(program, op))
        return refuse(error, line, "out of memory");
    return true;
}

static bool parse_line(struct ops *program, const struct line *line, struct ops_error *error)
{
    static const char *const header_names[] = { "threads", "seed", "strategy", "geometry",
                                                "arena" };
    uint64_t which;
    if (line->count == 0)
        return true;
    if (strcmp(line->words[0], "decide") == 0)
        return parse_decision(program, line, error);
    if (!parse_name(line->words[0], header_names, COUNT(header_names), &which))
        return parse_op(program, line, error);
    if (program->count || program->decision_count)
        return refuse(error, line, "'%s' behind the first operation", line->words[0]);
    return parse_header(&program->header, line, error);
}

bool ops_parse(struct ops *program, const char *text, size_t bytes, struct ops_error *error)
{
    struct line line = { .number = 0 };
    ops_clear(program);
    for (size_t at = 0; at < bytes;) {
        const char *newline = memchr(text + at, '\n', bytes - at);
        size_t length = newline ? (size_t)(newline - text) - at : bytes - at;
        line.number++;
        if (!split(&line, text + at, length, error) || !parse_line(program, &line, error)) {
            ops_clear(program);
            return false;
        }
        at += length + 1;
    }
    return true;
}

// ---- files ----

bool ops_load(struct ops *program, const char *path, struct ops_error *error)
{
    ops_clear(program);
    FILE *file = fopen(path, "rb");
    if (!file)
        return ops_refuse(error, false, 0, "cannot open: %s", strerror(errno));
    char *data = NULL;
    size_t bytes = 0, capacity = 0;
    bool ok = true;
    for (size_t got = 1; ok && got != 0; bytes += got) {
        if (capacity - bytes < 4096) {
            capacity = capacity ? capacity * 2 : 65536;
            char *moved = realloc(data, capacity);
            ok = moved || ops_refuse(error, false, bytes, "out of memory");
            data = moved ? moved : data;
        }
        got = ok ? fread(data + bytes, 1, capacity - bytes, file) : 0;
    }
    if (ok && ferror(file))
        ok = ops_refuse(error, false, bytes, "cannot read: %s", strerror(errno));
    fclose(file);
    if (ok)
        ok = bytes >= 4 && memcmp(data, "HAKO", 4) == 0
                 ? ops_decode(program, (const uint8_t *)data, bytes, error)
                 : ops_parse(program, data, bytes, error);
    free(data);
    return ok;
}
