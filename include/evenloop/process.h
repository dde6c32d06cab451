/* Processes and signals, at the callback level.
 *
 *     static void ended(even_handle *h)
 *     {
 *         even_process *p = even_container_of(h, even_process, handle);
 *         if (p->status >= 0 && WIFEXITED(p->status))
 *             printf("%d ended with %d\n", (int)p->pid, WEXITSTATUS(p->status));
 *     }
 *
 *     even_process_options o = { .arguments = (char *[]){ "ls", "-l", NULL } };
 *     pid_t pid = even_process_spawn(&o, NULL);
 *     if (pid > 0)
 *         rc = even_process_watch(loop, &process, pid, ended);
 *
 * Nothing of the process is touched that others may use: SIGCHLD keeps its disposition, and no child is waited for but the
 * watched one. Functions here never suspend.
 */
#ifndef EVENLOOP_PROCESS_H
#define EVENLOOP_PROCESS_H

#include <evenloop/loop.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Starting a process ---------------------------------------------------------------------------------- */

enum even_process_flags {
    EVEN_PROCESS_NEW_SESSION = 1,   /* setsid(2): no terminal, a group of its own */
    EVEN_PROCESS_SET_GROUP = 2,     /* into process group `group`; 0: a new one */
    EVEN_PROCESS_SET_GID = 4,       /* as `gid`, and for root without other groups */
    EVEN_PROCESS_SET_UID = 8        /* as `uid` */
};

typedef struct even_process_options {
    const char *file;               /* the program; without a '/' looked for in its PATH. NULL: arguments[0] */
    char *const *arguments;         /* argv, its end a NULL */
    char *const *environment;       /* the same of "NAME=value"; NULL: ours */
    const char *directory;          /* where it starts, before `file` is looked for; NULL: where we are */
    const int *descriptors;         /* [i]: what of ours is its descriptor i; -1: it has none. All are open, or -EBADF */
    size_t descriptor_count;        /* 0, 1 and 2 are ours if they are not among these; it has no others */
    unsigned flags;                 /* enum even_process_flags */
    pid_t group;
    gid_t gid;
    uid_t uid;
} even_process_options;

/* Start a program; returns its process id once it runs. It has no signal blocked, and SIGPIPE is not ignored; it inherits
 * our other ignored signals. All that is pointed to is needed for the call only. Blocks for as long as the start takes, some
 * 100 us. Descriptors are handed on as they are: pipes that you read and write by operations are non-blocking, the
 * child's ends had better not be.
 * Failures: those of fork(2), and of whatever the new process could not do before it ran: -ENOENT, -EACCES, -ENOEXEC, -EPERM,
 * -EBADF, ... Then `failed`, if not NULL, is set to what that was: `file`, `directory`, or the call, as "setuid" or "dup2"; to
 * NULL if it was the start itself. -EINVAL without arguments. Nothing is left behind.
 * (loop.subprocess_exec, of which it is one part; subprocess.Popen) */
EVEN_API pid_t even_process_spawn(const even_process_options *options, const char **failed);

/* ---- The end of a process ---------------------------------------------------------------------------------- */

typedef struct even_process {
    even_handle handle;             /* run once, when it has ended */
    even_loop *loop;                /* NULL: it is not watched, or no longer */
    pid_t pid;
    int status;                     /* then: as of wait(2), WIFEXITED() and so on; or -ECHILD: somebody else took it */
    int descriptor;                 /* a pidfd */
    even_watch watch;
} even_process;

/* Watch a child of this process, whoever started it: when it has ended, take its status (it is a zombie no more) and
 * run `run`. The structure belongs to you and must stay until then, or until it is no longer watched.
 * Errors: -ECHILD (no child of ours, or somebody has waited for it), -ENOSYS or -EPERM (no pidfd_open: a kernel before 5.3, or a
 * filter), -EMFILE, -ENOMEM; under `sim` -EOPNOTSUPP. Stop it before the loop is closed.
 * (asyncio's child watchers, PidfdChildWatcher) */
EVEN_API int even_process_watch(even_loop *loop, even_process *p, pid_t pid, void (*run)(even_handle *self));

/* Watch it no longer: `run` will not run, and the child's status is whoever's. Nothing if it is not watched. */
EVEN_API void even_process_unwatch(even_process *p);

/* Send a signal to a watched process: never to a stranger that got its number meanwhile. -ESRCH: it has ended.
 * (SubprocessTransport.send_signal) */
EVEN_API int even_process_kill(const even_process *p, int signal_number);

/* ---- Signals ------------------------------------------------------------------------------------------------ */

typedef struct even_signal {
    even_handle handle;             /* run in the loop's thread when the signal has come */
    even_loop *loop;                /* NULL: stopped */
    int number;
    int sent;                       /* the arrival is on its way */
    even_handle arrival;
    struct even_signal *next;
} even_signal;

/* Run `run` in the loop's thread whenever the process gets the signal. Any number of watches may stand for a signal, of any
 * loops; each is told, in the order of their starts. Signals that come before it has run are told as one, as the kernel
 * does it. The first watch takes the signal's disposition over, the last one to stop gives it back (unless somebody else has
 * taken it meanwhile). System calls of others that it interrupts are restarted. In the child of a fork nothing is told to
 * anybody, until it starts watches of its own; a program that it executes has the default.
 * The structure belongs to you and must stay until it is stopped, which must be before the loop is closed. Call it from the
 * loop's thread. Errors: -EINVAL for no signal, for SIGKILL and SIGSTOP, and for SIGSEGV, SIGBUS, SIGFPE and SIGILL, which a
 * program cannot return from; under `sim` -EOPNOTSUPP. (loop.add_signal_handler) */
EVEN_API int even_signal_start(even_loop *loop, even_signal *watch, int number, void (*run)(even_handle *self));

/* `run` will not run any more. From the loop's thread; nothing if it was stopped. (loop.remove_signal_handler) */
EVEN_API void even_signal_stop(even_signal *watch);

#ifdef __cplusplus
}
#endif
#endif
