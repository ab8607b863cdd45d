// ops_tool.c: converts files of operations between their forms.
//
//   ops text FILE                 prints the operations, whatever the form of the file
//   ops records|trace FILE OUT    writes the binary form
//   ops check FILE...             reads each file strictly; says where the first error lies
//
// Exit status: 0 all done, 1 a file was refused, 2 wrong usage.
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool load(struct ops *program, const char *path)
{
    struct ops_error error;
    char line[400];
    if (ops_load(program, path, &error))
        return true;
    ops_format_error(&error, path, line, sizeof line);
    fprintf(stderr, "%s\n", line);
    return false;
}

static int convert(enum ops_form form, const char *from, const char *to)
{
    struct ops program = { 0 };
    struct ops_error error;
    int status = 1;
    if (!load(&program, from))
        return 1;
    size_t bytes = ops_encode(&program, form, NULL, 0, &error);
    uint8_t *data = bytes ? malloc(bytes) : NULL;
    FILE *out = NULL;
    if (!bytes)
        fprintf(stderr, "%s: %s\n", from, error.reason);
    else if (!data)
        fprintf(stderr, "%s: out of memory\n", from);
    else if (!(out = fopen(to, "wb")))
        fprintf(stderr, "%s: cannot create: %s\n", to, strerror(errno));
    if (out) {
        ops_encode(&program, form, data, bytes, &error);
        bool written = fwrite(data, 1, bytes, out) == bytes;
        status = fclose(out) == 0 && written ? 0 : 1;
        if (status)
            fprintf(stderr, "%s: cannot write: %s\n", to, strerror(errno));
    }
    free(data);
    ops_free(&program);
    return status;
}

static int check(int count, char **paths)
{
    int status = 0;
    for (int i = 0; i < count; i++) {
        struct ops program = { 0 };
        if (load(&program, paths[i]))
            printf("%s: %zu operations, %u threads, %u slots, %zu decisions\n", paths[i],
                   program.count, program.header.threads, program.slots, program.decision_count);
        else
            status = 1;
        ops_free(&program);
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "text") == 0) {
        struct ops program = { 0 };
        if (!load(&program, argv[2]))
            return 1;
        ops_print(&program, stdout);
        ops_free(&program);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (argc == 4 && strcmp(argv[1], "records") == 0)
        return convert(OPS_RECORDS, argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "trace") == 0)
        return convert(OPS_TRACE, argv[2], argv[3]);
    if (argc >= 3 && strcmp(argv[1], "check") == 0)
        return check(argc - 2, argv + 2);
    fprintf(stderr, "usage: ops text FILE | ops records|trace FILE OUT | ops check FILE...\n");
    return 2;
}
