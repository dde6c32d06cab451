/* SIGPIPE is ignored, where it would end the program, while anybody needs it so: an even_run(), and a loop from its first
 * write or sendfile on. These have no flag that keeps the signal off (send has), and io_uring's raise it like others. */
#include "../base/fork.h"
#include "loop.h"
#include <signal.h>

static struct {
    pthread_mutex_t lock;
    unsigned users;
    bool taken;
    struct sigaction old;
} pipes = { .lock = PTHREAD_MUTEX_INITIALIZER };
EVEN__AT_FORK(.lock = &pipes.lock);

void even__sigpipe_ignore(void)
{
    pthread_mutex_lock(&pipes.lock);
    if (pipes.users++ == 0 && sigaction(SIGPIPE, NULL, &pipes.old) == 0 && !(pipes.old.sa_flags & SA_SIGINFO) &&
        pipes.old.sa_handler == SIG_DFL) {
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        pipes.taken = sigaction(SIGPIPE, &ignore, NULL) == 0;
    }
    pthread_mutex_unlock(&pipes.lock);
}

void even__sigpipe_restore(void)
{
    struct sigaction now;
    pthread_mutex_lock(&pipes.lock);
    if (--pipes.users == 0 && pipes.taken) {
        if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_IGN)
            sigaction(SIGPIPE, &pipes.old, NULL);   /* unless somebody else has taken it meanwhile */
        pipes.taken = false;
    }
    pthread_mutex_unlock(&pipes.lock);
}
