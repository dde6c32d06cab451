/* Says which task overflowed which stack, before the program dies of it. */
#include "stack.h"
#include "../base/sys.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The same for all threads; set by each. */
static const struct even__stack *(*_Atomic describe)(struct even__runner *who);

/* Async-signal-safe. */
static char *append(char *at, const char *end, const char *text)
{
    while (*text && at < end)
        *at++ = *text++;
    return at;
}

static char *append_number(char *at, const char *end, size_t n)
{
    char digits[24], *d = digits + sizeof digits;
    *--d = 0;
    do
        *--d = (char)('0' + n % 10);
    while (n /= 10);
    return append(at, end, d);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    struct even__runner who = { NULL, NULL, 0 };
    const struct even__stack *s = describe(&who);
    char *address = info->si_addr;
    (void)context;
    if (s && info->si_code > 0 && address >= s->low - EVEN__GUARD && address < s->low) {
        char text[256], *end = text + sizeof text, *at = append(text, end, "evenloop: task '");
        if (who.name) {
            at = append(at, end, who.name);
        } else {
            at = append(at, end, "Task-");
            at = append_number(at, end, who.id);
        }
        at = append(at, end, "' (");
        at = append(at, end, who.kind);
        at = append(at, end, ") overflowed its stack of ");
        at = append_number(at, end, (s->size - EVEN__STACK_OWN) / 1024);
        at = append(at, end, " KiB; the option .stack_size of create_task() or even_start_server() makes it larger\n");
        (void)!write(STDERR_FILENO, text, (size_t)(at - text));
    }
    /* As without us: the instruction faults again, or what was raised is raised again. */
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigaction(signal_number, &standard, NULL);
    if (info->si_code <= 0)
        raise(signal_number);
}

/* ---- the stack that the handler runs on: not the one that overflowed ---- */

enum { ALTERNATE_SIZE = 64 * 1024 };

static void thread_ends(void)
{
    void *alternate = even__thread.alternate_stack;
    stack_t current;
    if (!alternate)
        return;
    if (sigaltstack(NULL, &current) == 0 && current.ss_sp == alternate)     /* else somebody has put another in its place */
        sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    munmap(alternate, ALTERNATE_SIZE);
    even__thread.alternate_stack = NULL;
    even__thread.watches_overflow = false;
}

/* False without memory. */
static bool have_alternate(void)
{
    stack_t alternate;
    if (sigaltstack(NULL, &alternate) < 0 || !(alternate.ss_flags & SS_DISABLE))
        return true;        /* the program's own */
    void *p = even__sys_map(mmap(NULL, ALTERNATE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (!p)
        return false;
    alternate = (stack_t){ .ss_sp = p, .ss_size = ALTERNATE_SIZE };
    if (sigaltstack(&alternate, NULL) == 0 && even__thread_at_end(thread_ends) == 0) {
        even__thread.alternate_stack = p;
        return true;
    }
    sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    munmap(p, ALTERNATE_SIZE);
    return false;
}

void even__overflow_watch(const struct even__stack *(*f)(struct even__runner *))
{
    struct sigaction current;

    if (even__thread.watches_overflow)
        return;
    even__thread.watches_overflow = true;
    describe = f;
    if (!have_alternate())
        return;
    if (sigaction(SIGSEGV, NULL, &current) == 0 && !(current.sa_flags & SA_SIGINFO) && current.sa_handler == SIG_DFL) {
        struct sigaction ours = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
        sigemptyset(&ours.sa_mask);
        sigaction(SIGSEGV, &ours, NULL);
    }
}
