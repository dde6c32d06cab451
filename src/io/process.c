/* Processes, at the callback level: starting one, and hearing of its end.
 *
 * The child shares our memory until it runs its program (vfork), so starting costs the same however large we are. Until
 * then it may do system calls, and nothing else: no allocation, no lock, and no signal handler of ours, which is why all
 * signals are blocked until none has a handler. What fails there it leaves in our memory, which tells all once vfork() has
 * returned. Emulators make a fork of it: their child is heard by a pipe that a successful exec closes.
 * Identities are changed by the bare system calls: the C library's functions would change those of all our threads.
 */
#include "../base/sys.h"
#include "../loop/loop.h"
#include <evenloop/process.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- starting ---- */

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

enum step { EXEC, DIRECTORY, SIGNALS, SESSION, GROUP, DESCRIPTORS, GROUPS, GID, UID };
static const char *const step_names[] = { [SIGNALS] = "sigaction", [SESSION] = "setsid", [GROUP] = "setpgid",
                                          [DESCRIPTORS] = "dup2", [GROUPS] = "setgroups", [GID] = "setgid", [UID] = "setuid" };

struct failure {
    int32_t error, step;
};

struct start {
    const even_process_options *o;
    const char *file, *path;
    char *const *environment;
    int *from;                      /* a copy of the descriptors; NULL: there are none */
    int count;
    int report;                     /* a pipe for a failure; its number is above all that the child gets */
    volatile struct failure failure;    /* volatile: by the child */
    volatile bool shared;           /* it has our memory: it ran, or failed, before vfork() returned */
};

static long reset_signals(void)
{
    struct sigaction a, standard = { .sa_handler = SIG_DFL };
    for (int i = 1; i < _NSIG; i++) {
        if (sigaction(i, NULL, &a) < 0)
            continue;   /* the C library keeps some to itself */
        if (i == SIGPIPE || (a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN)) {
            long rc = even__sys(sigaction(i, &standard, NULL));
            if (rc < 0)
                return rc;
        }
    }
    sigset_t none;
    sigemptyset(&none);
    return even__sys(sigprocmask(SIG_SETMASK, &none, NULL));
}

/* Everything from number `first` on is closed by the exec. */
static long close_others(unsigned first)
{
    long rc = even__sys(syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_CLOEXEC));
    if (rc == -ENOSYS || rc == -EPERM || rc == -EINVAL) {   /* a kernel before 5.11, or a filter: one by one */
        struct rlimit limit;
        rc = even__sys(getrlimit(RLIMIT_NOFILE, &limit));
        for (rlim_t fd = first; rc == 0 && fd < limit.rlim_cur && fd < INT_MAX; fd++)
            (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    }
    return rc;
}

static long arrange_descriptors(const struct start *s)
{
    long rc = 0;
    for (int i = 0; i < s->count && rc >= 0; i++) {
        if (s->from[i] < 0 || s->from[i] >= s->count || s->from[i] == i)
            continue;
        rc = even__sys(fcntl(s->from[i], F_DUPFD_CLOEXEC, s->count));   /* out of the way of those that come to its number */
        s->from[i] = (int)rc;
    }
    for (int i = 0; i < s->count && rc >= 0; i++) {
        if (s->from[i] < 0)
            (void)close(i);
        else if (s->from[i] == i)
            rc = even__sys(fcntl(i, F_SETFD, 0));
        else
            rc = even__sys(dup2(s->from[i], i));
    }
    return rc < 0 ? rc : close_others(s->count > 3 ? (unsigned)s->count : 3);
}

/* As execvp(3) looks for it, but in the PATH of the environment that the program will have. */
static long execute(const struct start *s)
{
    char path[PATH_MAX];
    size_t length = strlen(s->file);
    long rc = -ENOENT, seen = -ENOENT;

    if (strchr(s->file, '/') || length == 0)
        return even__sys(execve(s->file, s->o->arguments, s->environment));
    for (const char *from = s->path, *end; from; from = *end ? end + 1 : NULL) {
        end = strchrnul(from, ':');
        size_t n = (size_t)(end - from);
        if (n + length + 2 > sizeof path)
            continue;
        memcpy(path, from, n);
        if (n)
            path[n++] = '/';    /* an empty one is the current directory */
        memcpy(path + n, s->file, length + 1);
        rc = even__sys(execve(path, s->o->arguments, s->environment));
        if (rc == -EACCES)
            seen = rc;          /* there may be another one, and if not, this is why */
        else if (rc != -ENOENT && rc != -ENOTDIR)
            return rc;
    }
    return seen;
}

/* In the new process. Ends with the failed step. */
static long prepare_and_run(const struct start *s, enum step *step)
{
    const even_process_options *o = s->o;
    long rc;
    *step = SESSION;
    if ((o->flags & EVEN_PROCESS_NEW_SESSION) && (rc = even__sys(setsid())) < 0)
        return rc;
    *step = GROUP;
    if ((o->flags & EVEN_PROCESS_SET_GROUP) && (rc = even__sys(setpgid(0, o->group))) < 0)
        return rc;
    *step = DESCRIPTORS;
    if ((rc = arrange_descriptors(s)) < 0)
        return rc;
    *step = DIRECTORY;
    if (o->directory && (rc = even__sys(chdir(o->directory))) < 0)
        return rc;
    *step = GROUPS;
    if ((o->flags & EVEN_PROCESS_SET_GID) && geteuid() == 0 && (rc = even__sys(syscall(SYS_setgroups, 0, NULL))) < 0)
        return rc;
    *step = GID;
    if ((o->flags & EVEN_PROCESS_SET_GID) && (rc = even__sys(syscall(SYS_setgid, o->gid))) < 0)
        return rc;
    *step = UID;
    if ((o->flags & EVEN_PROCESS_SET_UID) && (rc = even__sys(syscall(SYS_setuid, o->uid))) < 0)
        return rc;
    *step = SIGNALS;
    if ((rc = reset_signals()) < 0)
        return rc;
    *step = EXEC;
    return execute(s);
}

/* A separate function, because after vfork() parent and child return into the same frame and the child must not change it. */
static __attribute__((noinline, noreturn)) void child(struct start *s)
{
    enum step step;
    s->shared = true;
    struct failure f = { (int32_t)prepare_and_run(s, &step), 0 };
    f.step = (int32_t)step;
    s->failure = f;
    (void)!write(s->report, &f, sizeof f);
    _exit(127);
}

static __attribute__((noinline)) pid_t fork_child(struct start *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = (pid_t)even__fault_syscall("vfork()");
    if (pid == 0) {
        pid = vfork();
        if (pid == 0)
            child(s);
        if (pid < 0)
            pid = -errno;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* The child runs, or has ended with a failure. The pipe is a last resort: a fork in another thread may have a copy of the end
 * that it waits for, for as long as it lives. */
static long hear(const struct start *s, pid_t pid, int from, struct failure *f)
{
    long n = 0;
    *f = s->failure;
    if (!s->shared)
        do
            n = even__sys(read(from, f, sizeof *f));
        while (n == -EINTR);
    if (n == 0 && f->error == 0)
        return 0;
    if (n < 0)
        kill(pid, SIGKILL);     /* it may run, and nobody would know of it */
    reap(pid);
    return n < 0 ? n : f->error;
}

static const char *value_of_path(char *const *environment)
{
    for (; *environment; environment++)
        if (strncmp(*environment, "PATH=", 5) == 0)
            return *environment + 5;
    return "/bin:/usr/bin";
}

static const char *what_failed(const struct start *s, int step)
{
    return step == EXEC ? s->file : step == DIRECTORY ? s->o->directory : step_names[step];
}

/* Asked before anything of ours is opened, which might get the number of one that is closed. */
static long check_descriptors(const struct start *s)
{
    long rc = 0;
    for (int i = 0; i < s->count && rc >= 0; i++)
        if (s->from[i] >= 0)
            rc = even__sys(fcntl(s->from[i], F_GETFD));
    return rc < 0 ? rc : 0;
}

/* A pipe whose end for the child is above the numbers that the child gets. */
static long open_report(int report[2], int count)
{
    int first[2];
    long rc = even__sys(pipe2(first, O_CLOEXEC));
    if (rc < 0)
        return rc;
    rc = even__sys(fcntl(first[1], F_DUPFD_CLOEXEC, count > 3 ? count : 3));
    close(first[1]);
    if (rc < 0) {
        close(first[0]);
        return rc;
    }
    report[0] = first[0];
    report[1] = (int)rc;
    return 0;
}

pid_t even_process_spawn(const even_process_options *o, const char **failed)
{
    struct failure f = { 0, -1 };
    struct start s = { .o = o, .count = o->descriptors ? (int)o->descriptor_count : 0, .failure = f };
    int report[2];

    if (failed)
        *failed = NULL;
    if (!o->arguments || !o->arguments[0] || o->descriptor_count > INT_MAX / 2)
        return -EINVAL;
    s.file = o->file ? o->file : o->arguments[0];
    s.environment = o->environment ? o->environment : environ;
    s.path = value_of_path(s.environment);
    if (s.count && !(s.from = even__malloc((size_t)s.count * sizeof *s.from)))
        return -ENOMEM;
    for (int i = 0; i < s.count; i++)
        s.from[i] = o->descriptors[i];
    long rc = check_descriptors(&s);
    if (rc < 0)
        f.step = DESCRIPTORS;
    else if ((rc = open_report(report, s.count)) == 0) {
        s.report = report[1];
        pid_t pid = fork_child(&s);
        close(report[1]);
        rc = pid < 0 ? pid : hear(&s, pid, report[0], &f);
        close(report[0]);
        if (rc == 0)
            rc = pid;
    }
    even__free(s.from);
    if (failed && f.step >= 0)
        *failed = what_failed(&s, f.step);
    return (pid_t)rc;
}

/* ---- ending ---- */

/* Has it ended? 0 and si_pid 0 if not. By its descriptor, so that it is no other child with its number. */
static int look(const even_process *p, siginfo_t *info, int options)
{
    info->si_pid = 0;
    int rc;
    do
        rc = (int)even__sys(waitid(P_PIDFD, (id_t)p->descriptor, info, WEXITED | WNOHANG | options));
    while (rc == -EINTR);
    return rc;
}

/* As wait(2) gives it. */
static int status_of(const siginfo_t *info)
{
    int status = info->si_status;
    return info->si_code == CLD_EXITED ? (status & 0xff) << 8 : (status & 0x7f) | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Its debugger has it first, and meanwhile the descriptor is readable without cease: look again at longer and longer intervals.
 * By a timer of the kernel's, which is watched instead; the loop's may go by a clock of the program's. */
static int look_later(even_process *p)
{
    enum { SHORTEST = 1000 * 1000, LONGEST = 128 * SHORTEST };  /* ns */
    struct itimerspec t = { .it_interval.tv_nsec = SHORTEST };
    int timer = p->watch.fd;

    if (timer != p->descriptor) {
        timerfd_gettime(timer, &t);
        if (t.it_interval.tv_nsec < LONGEST)
            t.it_interval.tv_nsec *= 2;
    } else {
        if ((timer = (int)even__sys(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC))) < 0)
            return 0;       /* then we look in each pass */
        even_watch_stop(&p->watch);
        int rc = even_watch_start(p->loop, &p->watch, timer, POLLIN, p->watch.handle.run);
        if (rc < 0) {       /* descriptors or memory are short: as without a timer */
            close(timer);
            return even_watch_start(p->loop, &p->watch, p->descriptor, POLLIN, p->watch.handle.run);
        }
    }
    t.it_value = t.it_interval;
    timerfd_settime(timer, 0, &t, NULL);
    return 0;
}

static void ended(even_handle *h)
{
    even_process *p = even__container_of(h, even_process, watch.handle);
    siginfo_t info;
    int rc = look(p, &info, 0);
    if (rc == 0 && info.si_pid == 0 && (rc = look_later(p)) == 0)
        return;
    p->status = rc < 0 ? rc : status_of(&info);
    even_process_unwatch(p);
    p->handle.run(&p->handle);
}

int even_process_watch(even_loop *loop, even_process *p, pid_t pid, void (*run)(even_handle *))
{
    siginfo_t info;
    memset(p, 0, sizeof *p);
    p->pid = pid;
    p->handle.run = run;
    p->descriptor = -1;
    if (even__loop_has(loop, EVEN_LOOP_VIRTUAL_TIME))
        return -EOPNOTSUPP;     /* processes end in real time */
    if (pid <= 0)
        return -ECHILD;
    int rc = (int)even__sys(syscall(SYS_pidfd_open, pid, 0));   /* close-on-exec by itself */
    if (rc < 0)
        return rc == -ESRCH || rc == -EINVAL ? -ECHILD : rc;
    p->descriptor = rc;
    if ((rc = look(p, &info, WNOWAIT)) == 0)
        rc = even_watch_start(loop, &p->watch, p->descriptor, POLLIN, ended);
    if (rc < 0) {
        close(p->descriptor);
        p->descriptor = -1;
        return rc;
    }
    p->loop = loop;
    return 0;
}

void even_process_unwatch(even_process *p)
{
    if (!p->loop)
        return;
    even_watch_stop(&p->watch);
    if (p->watch.fd != p->descriptor)
        close(p->watch.fd);
    close(p->descriptor);
    p->descriptor = -1;
    p->loop = NULL;
}

int even_process_kill(const even_process *p, int number)
{
    if (!p->loop)
        return -ESRCH;
    return (int)even__sys(syscall(SYS_pidfd_send_signal, p->descriptor, number, NULL, 0));
}
