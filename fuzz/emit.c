// emit.c: writes C tests. The program written fills each block with a pattern of its slot, checks
// it before the block is freed or resized, and ends with everything freed and an audit.
#include "emit.h"

#include "target.h"

#include <inttypes.h>

// What each program of calls begins with: a slot is empty or holds a block.
static const char *const helpers[] = {
    "#include <hakmem.h>",
    "",
    "#include <stdio.h>",
    "#include <stdlib.h>",
    "",
    "static struct {",
    "    unsigned char *start; // NULL: empty",
    "    size_t asked, usable;",
    "    unsigned fills;",
    "} slots[SLOTS];",
    "",
    "static void wrong(int line, const char *what)",
    "{",
    "    fprintf(stderr, \"line %d: %s\\n\", line, what);",
    "    abort();",
    "}",
    "",
    "static unsigned char pattern(unsigned slot, size_t i)",
    "{",
    "    return (unsigned char)(slot * 131 + slots[slot].fills * 29 + i * 7 + (i >> 8) + 1);",
    "}",
    "",
    "static void fill(unsigned slot)",
    "{",
    "    slots[slot].fills++;",
    "    for (size_t i = 0; i < slots[slot].usable; i++)",
    "        slots[slot].start[i] = pattern(slot, i);",
    "}",
    "",
    "static void check(int line, unsigned slot, size_t n)",
    "{",
    "    for (size_t i = 0; i < n; i++)",
    "        if (slots[slot].start[i] != pattern(slot, i))",
    "            wrong(line, \"the contents of a block changed\");",
    "}",
    "",
    "// A new block; NULL leaves the slot empty.",
    "static void take(int line, unsigned slot, void *p, size_t n, size_t align, int zeroed)",
    "{",
    "    slots[slot].start = p;",
    "    slots[slot].asked = n;",
    "    slots[slot].usable = hak_malloc_usable_size(p);",
    "    if (p == NULL)",
    "        return;",
    "    if ((size_t)p % align != 0)",
    "        wrong(line, \"a block is not aligned\");",
    "    if (slots[slot].usable < n)",
    "        wrong(line, \"a block is too small\");",
    "    for (size_t i = 0; zeroed && i < n; i++)",
    "        if (slots[slot].start[i] != 0)",
    "            wrong(line, \"a block of calloc is not zero\");",
    "    fill(slot);",
    "}",
    "",
    "static void *give(int line, unsigned slot)",
    "{",
    "    void *p = slots[slot].start;",
    "    check(line, slot, slots[slot].usable);",
    "    slots[slot].start = NULL;",
    "    return p;",
    "}",
    "",
    "static void resize(int line, unsigned slot, size_t n)",
    "{",
    "    size_t kept = slots[slot].asked < n ? slots[slot].asked : n;",
    "    if (slots[slot].start != NULL)",
    "        check(line, slot, slots[slot].usable);",
    "    else",
    "        kept = 0;",
    "    void *p = hak_realloc(slots[slot].start, n);",
    "    if (p == NULL && n != 0)",
    "        return; // out of memory: the block is as it was",
    "    slots[slot].start = p;",
    "    check(line, slot, kept);",
    "    take(line, slot, p, n, 16, 0);",
    "}",
    "",
    "#define FULL(slot) (slots[slot].start != NULL)",
    "#define EMPTY(slot) (slots[slot].start == NULL)",
    "",
};

static bool can_say(const struct ops *program)
{
    for (size_t i = 0; i < program->count; i++) {
        switch (program->list[i].kind) {
        case OP_TICK:
        case OP_FAIL_OS:
        case OP_FORK:
        case OP_BARRIER:
        case OP_FREEZE:
        case OP_MISUSE:
        case OP_CORRUPT:
            return false;
        default:
            if (program->list[i].thread != program->list[0].thread)
                return false;
        }
    }
    return program->decision_count == 0;
}

static void emit_take(const struct op *op, const char *call, uint64_t bytes, uint64_t align,
                      bool zeroed, FILE *out)
{
    fprintf(out,
            "    if (EMPTY(%" PRIu32 "))\n        take(__LINE__, %" PRIu32 ", %s, %" PRIu64
            "u, %" PRIu64 "u, %d);\n",
            op->slot, op->slot, call, bytes, align, zeroed);
}

static void emit_allocation(const struct op *op, FILE *out)
{
    char call[200];
    uint64_t align = 16, bytes = op->size;
    switch (op->kind) {
    case OP_CALLOC:
        snprintf(call, sizeof call, "hak_calloc(%" PRIu64 "u, %" PRIu64 "u)", op->arg, op->size);
        bytes = op->arg * op->size;
        break;
    case OP_ALIGNED_ALLOC:
    case OP_MEMALIGN:
    case OP_POSIX_MEMALIGN:
    case OP_NEW_ALIGNED:
        // posix_memalign differs in how it says no; the block is the same.
        snprintf(call, sizeof call, "hak_%s(%" PRIu64 "u, %" PRIu64 "u)",
                 op->kind == OP_MEMALIGN ? "memalign" : "aligned_alloc", op->arg, op->size);
        align = op->arg ? op->arg & -op->arg : 1;
        break;
    case OP_VALLOC:
    case OP_PVALLOC:
        snprintf(call, sizeof call, "hak_%s(%" PRIu64 "u)", ops_kind_name(op->kind), op->size);
        align = 4096;
        break;
    default: // operator new asks for blocks as malloc does
        snprintf(call, sizeof call, "hak_malloc(%" PRIu64 "u)", op->size);
    }
    emit_take(op, call, bytes, align, op->kind == OP_CALLOC, out);
}

static void emit_op(const struct op *op, FILE *out)
{
    unsigned fields = ops_fields(op->kind);
    if (fields & OPS_DST) {
        emit_allocation(op, out);
        return;
    }
    switch (op->kind) {
    case OP_REALLOC:
    case OP_REALLOCARRAY:
        fprintf(out, "    resize(__LINE__, %" PRIu32 ", ", op->slot);
        if (op->kind == OP_REALLOCARRAY)
            fprintf(out, "%" PRIu64 "u * ", op->arg);
        fprintf(out, "%" PRIu64 "u);\n", op->size);
        break;
    case OP_TOUCH:
    case OP_USABLE_SIZE:
        fprintf(out,
                "    if (FULL(%" PRIu32 ")) {\n        check(__LINE__, %" PRIu32 ", slots[%" PRIu32
                "].usable);\n        fill(%" PRIu32 ");\n    }\n",
                op->slot, op->slot, op->slot, op->slot);
        break;
    case OP_TRIM:
        fprintf(out, "    hak_malloc_trim(%" PRIu64 "u);\n", op->size);
        break;
    case OP_FLUSH:
    case OP_EXIT:
        fprintf(out, "    hak_thread_flush();\n");
        break;
    default:
        if (fields & OPS_SLOT)
            fprintf(out,
                    "    if (FULL(%" PRIu32 "))\n        hak_free(give(__LINE__, %" PRIu32 "));\n",
                    op->slot, op->slot);
    }
}

bool emit_calls(const struct ops *program, const char *why, FILE *out)
{
    if (!can_say(program))
        return false;
    fprintf(out,
            "// Made by minimize from an input of %s, which failed with:\n//   %s\n"
            "// cc -std=gnu11 -Isrc THIS.c BUILD/audit-gcc%s/libhakmem-prefixed.a -pthread\n"
            "#define SLOTS %" PRIu32 "\n",
            target_name, why, GEOMETRY_SMALL ? "-small" : "",
            program->slots + (program->slots == 0));
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers; i++)
        fprintf(out, "%s\n", helpers[i]);
    fprintf(out, "int main(void)\n{\n");
    for (size_t i = 0; i < program->count; i++)
        emit_op(&program->list[i], out);
    fprintf(out, "    for (unsigned slot = 0; slot < SLOTS; slot++)\n"
                 "        if (FULL(slot))\n"
                 "            hak_free(give(__LINE__, slot));\n"
                 "    struct hak_audit_report audit;\n"
                 "    hak_thread_flush();\n"
                 "    if (!hak_audit(&audit))\n"
                 "        wrong(__LINE__, audit.first_error);\n"
                 "    if (audit.live + audit.large + audit.huge != 0)\n"
                 "        wrong(__LINE__, \"blocks are live after all were freed\");\n"
                 "    return 0;\n}\n");
    return true;
}

void emit_embedded(const uint8_t *data, size_t size, const char *why, FILE *out)
{
    fprintf(
        out,
        "// Made by minimize from an input of %s, which failed with:\n//   %s\n"
        "// To be linked with the objects of that target, in place of fuzz/replay.c:\n"
        "//   make emitted FILE=THIS.c TARGET=%s FLAVOUR=%s GEOMETRY=%s\n"
        "// It ends by a signal, with what was found on standard error, while the bug is there;\n"
        "// with 0 when it is not.\n"
        "#include \"fuzz/target.h\"\n\n#include <stdio.h>\n\n"
        "int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));\n\n"
        "static const uint8_t input[] = {",
        target_name, why, target_name, HAK_FLAVOUR, GEOMETRY_SMALL ? "small" : "default");
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%s0x%02x,", i % 12 ? " " : "\n    ", data[i]);
    fprintf(out, "\n};\n\nint main(int argc, char **argv)\n{\n"
                 "    if (LLVMFuzzerInitialize)\n"
                 "        LLVMFuzzerInitialize(&argc, &argv);\n"
                 "    if (target_print)\n"
                 "        target_print(input, sizeof input, stdout);\n"
                 "    return LLVMFuzzerTestOneInput(input, sizeof input) == 0 ? 0 : 1;\n}\n");
}
