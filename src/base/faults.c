/* The Nth failure: see faults.h and sys.h. */
#include "faults.h"
#include "base.h"
#include "sys.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Threads of ours make calls too, so the counts are atomic. */
static atomic_ulong count[2], nth[2];
static const char *_Atomic fired;
static char *note;

__attribute__((constructor)) static void read_environment(void)
{
    static const char *const names[] = { "EVENLOOP_FAIL_SYSCALL", "EVENLOOP_FAIL_MEMORY" };
    for (int kind = 0; kind < 2; kind++) {
        const char *text = getenv(names[kind]);
        if (text)
            nth[kind] = strtoul(text, NULL, 10);
    }
}

void even__fault_arm(enum even__fault_kind kind, unsigned long n, char *text)
{
    note = text;
    count[0] = count[1] = nth[0] = nth[1] = 0;
    nth[kind] = n;
    if (n)
        fired = NULL;
}

unsigned long even__fault_count(enum even__fault_kind kind)
{
    return count[kind];
}

const char *even__fault_fired(void)
{
    return fired;
}

static bool is_due(enum even__fault_kind kind, const char *what)
{
    unsigned long n = ++count[kind];
    if (n != nth[kind])
        return false;
    fired = what;
    if (note)
        snprintf(note, EVEN__FAULT_NOTE, "%s", what);
    return true;
}

bool even__fault_memory(void)
{
    return is_due(EVEN__FAULT_MEMORY, "an allocation");
}

/* What a call most likely fails with. A call is found by the beginning of its name; 0: it is let through. */
static const struct {
    const char *call;
    int error;
} errors[] = {
    { "close(", 0 },            { "munmap(", 0 },           { "socketpair(", EMFILE },  { "socket(", EMFILE },
    { "accept", EMFILE },       { "eventfd(", EMFILE },     { "epoll_create", EMFILE }, { "epoll_ctl(", ENOSPC },
    { "pipe", EMFILE },         { "dup", EMFILE },          { "open", EMFILE },         { "pidfd_open(", EMFILE },
    { "memfd_create(", EMFILE }, { "signalfd(", EMFILE },   { "timerfd_create(", EMFILE }, { "mmap(", ENOMEM },
    { "mprotect(", ENOMEM },    { "madvise(", ENOMEM },     { "pthread_create(", EAGAIN }, { "vfork(", EAGAIN },
    { "send", ENOBUFS },        { "recv", ECONNRESET },     { "connect(", ENETUNREACH }, { "bind(", EADDRINUSE },
    { "listen(", EADDRINUSE },  { "getsockname(", ENOBUFS }, { "getpeername(", ENOTCONN }, { "setsockopt(", ENOMEM },
    { "shutdown(", ENOTCONN },  { "io_uring_queue_init", ENOMEM }, { "io_uring_register", ENOMEM },
};

int even__fault_syscall(const char *what)
{
    int error = EIO;
    while (*what == '(' || *what == ' ')
        what++;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strncmp(what, errors[i].call, strlen(errors[i].call)) == 0) {
            error = errors[i].error;
            break;
        }
    if (error == 0 || !is_due(EVEN__FAULT_SYSCALL, what))
        return 0;
    return -error;
}
