// verdict.c: the end of a corrupted execution, and what the parent makes of it.
//
// The child ends with a status of its own for each verdict that it can say itself, and the reason
// on standard error; faults, crashes and hangs are seen from outside. An audit in the middle is
// made by a child of the child: a structure that sends the audit astray must not end what the
// program itself would have survived.
#define _GNU_SOURCE 1
#include "verdict.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SILENT 71
#define EXIT_AUDIT 72
#define AUDIT_SECONDS 5

const char *const verdict_names[VERDICT_COUNT] = { "harmless", "fault",   "audit",
                                                   "silent",   "crashed", "hung" };

static void say(const char *head, const char *text)
{
    fprintf(stderr, "%s%s\n", head, text);
    fflush(stderr);
}

_Noreturn void verdict_fail(struct exec *exec, const struct op *op, const char *reason)
{
    (void)exec, (void)op;
    // The allocator's own audit says "audit: N errors"; what disagrees with the map it did not see.
    bool seen = strncmp(reason, "audit: ", 7) == 0 && strstr(reason, " errors: ") != NULL;
    say(seen ? "" : "silent: ", reason);
    _exit(seen ? EXIT_AUDIT : EXIT_SILENT);
}

_Noreturn void verdict_audit(struct exec *exec)
{
    struct hak_audit_report audit = { 0 };
    alarm(AUDIT_SECONDS);
    exec->allocator->fail_os(0, 0); // it needs scratch memory
    if (exec->allocator->audit(&audit))
        _exit(0);
    say("audit: ", audit.first_error);
    _exit(EXIT_AUDIT);
}

// Whether an audit finds something, or does not come back.
static bool audit_finds(struct exec *exec)
{
    int status = 0;
    // Without the hooks of fork: they belong to the structures that may be corrupted.
    pid_t pid = _Fork();
    if (pid == 0)
        verdict_audit(exec);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFSIGNALED(status))
        say("audit: ended by signal ", sigabbrev_np(WTERMSIG(status)));
    return pid > 0 && status != 0;
}

_Noreturn void verdict_end(struct exec *exec)
{
    bool found = audit_finds(exec);
    exec_finish(exec);
    _exit(found ? EXIT_AUDIT : 0);
}

// ---- the parent ----

// Behind hexadecimal numbers, with a blank between each two of them; `at` if there is none.
static const char *behind_numbers(const char *at)
{
    static const char digits[] = "0123456789abcdef";
    at += strspn(at, digits);
    while (*at == ' ' && strspn(at + 1, digits) != 0)
        at += 1 + strspn(at + 1, digits);
    return at;
}

static void take_text(struct judgement *j, const char *said, const char *mark)
{
    static const char place[] = " at byte "; // and the bytes of a block follow
    const char *at = strstr(said, mark), *bytes, *end;
    size_t n = 0;
    at = at ? at + strlen(mark) : "";
    bytes = strstr(at, place);
    bytes = bytes ? bytes + strlen(place) : at + strlen(at);
    while (*at && *at != '\n' && n + 1 < sizeof j->text) {
        if (at >= bytes && at[-1] == ' ' && (end = behind_numbers(at)) != at) {
            j->text[n++] = '#';
            at = end;
            continue;
        }
        bool in_word = n && ((j->text[n - 1] >= 'a' && j->text[n - 1] <= 'z') ||
                             j->text[n - 1] == '_' || j->text[n - 1] == '.');
        bool hex = at[0] == '0' && at[1] == 'x';
        if (in_word || *at < '0' || *at > '9') {
            j->text[n++] = *at++;
            continue;
        }
        j->text[n++] = '#';
        at += hex ? 2 : 0;
        at += strspn(at, hex ? "0123456789abcdef" : "0123456789");
    }
    j->text[n] = 0;
}

struct judgement verdict_judge(const struct trial *trial)
{
    struct judgement j = { VERDICT_HARMLESS, "" };
    int status = trial->status;
    if (trial->hung || (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)) {
        j.verdict = VERDICT_HUNG;
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
               strstr(trial->said, "hakmem: ")) {
        j.verdict = VERDICT_FAULT;
        take_text(&j, trial->said, "hakmem: ");
    } else if (WIFSIGNALED(status)) {
        j.verdict = VERDICT_CRASHED;
        snprintf(j.text, sizeof j.text, "SIG%s", sigabbrev_np(WTERMSIG(status)));
    } else if (WEXITSTATUS(status) == EXIT_AUDIT) {
        j.verdict = VERDICT_AUDIT;
        take_text(&j, trial->said, "audit: ");
    } else if (WEXITSTATUS(status) == EXIT_SILENT) {
        j.verdict = VERDICT_SILENT;
        take_text(&j, trial->said, "silent: ");
    } else if (status != 0) {
        j.verdict = VERDICT_CRASHED;
        snprintf(j.text, sizeof j.text, "exit status %d", WEXITSTATUS(status));
    }
    return j;
}
