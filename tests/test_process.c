/* Processes: how they are started, and that their end is heard of. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <evenloop/process.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct watched {
    even_process process;
    int place;
};

static void ended(even_handle *h)
{
    struct watched *w = even_container_of(h, struct watched, process.handle);
    assert_null(w->process.loop);
    w->place = ++over;
    if (--waiting == 0)
        even_loop_stop(loop);
}

static void watch(struct watched *w, pid_t pid)
{
    w->place = 0;
    int rc = even_process_watch(loop, &w->process, pid, ended);
    if (rc == -ENOSYS)
        test_skip("no pidfd_open here");
    assert_int_equal(rc, 0);
    waiting++;
}

#define SHELL(text) { .arguments = (char *[]){ "sh", "-c", text, NULL } }

static pid_t spawn(const even_process_options *o)
{
    const char *failed = NULL;
    pid_t pid = even_process_spawn(o, &failed);
    assert_true(pid > 0);
    assert_null(failed);
    return pid;
}

static int status_of(pid_t pid)
{
    struct watched w;
    watch(&w, pid);
    run_all();
    assert_int_equal(w.process.pid, pid);
    return w.process.status;
}

static void no_child_left(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Run it; what it writes, up to the end. `from` are the descriptors that it gets beside its output. */
static const char *output_of(even_process_options o)
{
    static char text[4096];
    int p[2], before[3] = { 0, 0, 2 };
    size_t n = 0;
    ssize_t got;
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    before[1] = p[1];
    if (!o.descriptors) {
        o.descriptors = before;
        o.descriptor_count = 3;
    } else {
        ((int *)(uintptr_t)o.descriptors)[1] = p[1];
    }
    pid_t pid = even_process_spawn(&o, NULL);
    close(p[1]);
    while ((got = read(p[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    close(p[0]);
    text[n] = '\0';
    assert_true(pid > 0);
    int status = status_of(pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return text;
}

/* ---- the end ---- */

TEST(an_end_is_told_with_its_status)
{
    even_process_options o = SHELL("exit 7");
    struct sigaction before, now;
    open_loop();
    sigaction(SIGCHLD, NULL, &before);
    int status = status_of(spawn(&o));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    sigaction(SIGCHLD, NULL, &now);
    assert_ptr_equal(before.sa_handler, now.sa_handler);
    no_child_left();
    close_loop();
}

TEST(a_killed_one_is_told_with_its_signal)
{
    int p[2];
    struct watched w;
    even_process_options o = { .arguments = (char *[]){ "cat", NULL }, .descriptors = p, .descriptor_count = 1 };
    open_loop();
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    watch(&w, spawn(&o));
    pump();
    assert_int_equal(w.place, 0);
    assert_int_equal(even_process_kill(&w.process, 0), 0);
    assert_int_equal(even_process_kill(&w.process, SIGTERM), 0);
    run_all();
    assert_true(WIFSIGNALED(w.process.status));
    assert_int_equal(WTERMSIG(w.process.status), SIGTERM);
    assert_int_equal(even_process_kill(&w.process, SIGTERM), -ESRCH);
    no_child_left();
    close_loop();
    close_pair(p);
}

/* Whoever started it, and when. */
TEST(one_that_has_ended_already_is_told_all_the_same)
{
    siginfo_t info;
    open_loop();
    pid_t pid = fork();
    if (pid == 0)
        _exit(42);
    assert_true(pid > 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    int status = status_of(pid);
    assert_int_equal(WEXITSTATUS(status), 42);
    no_child_left();
    close_loop();
}

TEST(many_end_and_each_is_told_its_own)
{
    enum { MANY = 20 };
    struct watched w[MANY];
    char text[MANY][16];
    open_loop();
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "exit %d", i);
        even_process_options o = SHELL(text[i]);
        watch(&w[i], spawn(&o));
    }
    run_all();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(WEXITSTATUS(w[i].process.status), i);
    no_child_left();
    close_loop();
}

TEST(other_children_are_not_waited_for)
{
    int status;
    siginfo_t info;
    even_process_options o = SHELL("exit 1");
    open_loop();
    pid_t other = fork();
    if (other == 0)
        _exit(33);
    assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(WEXITSTATUS(status_of(spawn(&o))), 1);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 33);
    close_loop();
}

TEST(a_child_that_somebody_else_took_is_told_as_such)
{
    struct watched w;
    int status, p[2];
    even_process_options o = { .arguments = (char *[]){ "cat", NULL }, .descriptors = p, .descriptor_count = 1 };
    open_loop();
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = spawn(&o);
    watch(&w, pid);
    pump();
    close_pair(p);      /* its input ends, and so does it */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    run_all();
    assert_int_equal(w.process.status, -ECHILD);
    assert_int_equal(even_process_watch(loop, &w.process, pid, ended), -ECHILD);
    assert_int_equal(even_process_watch(loop, &w.process, getppid(), ended), -ECHILD);
    assert_int_equal(even_process_watch(loop, &w.process, 0, ended), -ECHILD);
    assert_int_equal(even_process_watch(loop, &w.process, -1, ended), -ECHILD);
    close_loop();
}

TEST(children_that_are_ignored_are_told_as_such)
{
    even_process_options o = SHELL("exit 3");
    open_loop();
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = spawn(&o);
    struct watched w;
    int rc = even_process_watch(loop, &w.process, pid, ended);      /* it may be gone already */
    if (rc == -ENOSYS)
        test_skip("no pidfd_open here");
    if (rc == 0) {
        waiting++;
        run_all();
        rc = w.process.status;
    }
    assert_int_equal(rc, -ECHILD);
    close_loop();
}

TEST(what_is_not_watched_is_not_told)
{
    struct watched w;
    int status;
    even_process_options o = SHELL("exit 5");
    open_loop();
    pid_t pid = spawn(&o);
    watch(&w, pid);
    pump();
    if (w.process.loop) {
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        even_process_unwatch(&w.process);
        even_process_unwatch(&w.process);
        pump();
        assert_int_equal(w.place, 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 5);
    }
    close_loop();
}

/* A child of ours that somebody else traces, and that is killed: until `go` can be read, its tracer does not look at it. */
static pid_t traced_child(pid_t *tracer, int go[2])
{
    int ready[2];
    char c = 'y';
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
        pause();
        _exit(0);
    }
    assert_true(pid > 0);
    *tracer = fork();
    if (*tracer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
            c = 'n';
        (void)!write(ready[1], &c, 1);
        (void)!read(go[0], &c, 1);
        waitpid(pid, NULL, __WALL);
        _exit(0);
    }
    assert_true(*tracer > 0);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close_pair(ready);
    kill(pid, SIGKILL);
    if (c == 'n') {
        kill(*tracer, SIGKILL);
        test_skip("no ptrace here");
    }
    return pid;
}

static void stop_loop(even_handle *h)
{
    (void)h;
    even_loop_stop(loop);
}

TEST(a_child_that_its_tracer_holds_is_waited_for_in_peace)
{
    enum { LOOKS_MAX = 20 };
    even_timer enough = EVEN_TIMER(stop_loop);
    struct watched w;
    pid_t tracer;
    int go[2];
    open_loop();
    watch(&w, traced_child(&tracer, go));
    assert_int_equal(poll(&(struct pollfd){ w.process.descriptor, POLLIN, 0 }, 1, 5000), 1);
    uint64_t before = loop->passes;
    assert_int_equal(even_call_later(loop, &enough, 0.25), 0);
    assert_int_equal(even_loop_run_forever(loop), 0);
    assert_int_equal(w.place, 0);
    assert_true(loop->passes - before < LOOKS_MAX);
    put(go[1], "!");
    run_all();
    assert_true(WIFSIGNALED(w.process.status));
    assert_int_equal(WTERMSIG(w.process.status), SIGKILL);
    assert_int_equal(waitpid(tracer, NULL, 0), tracer);
    no_child_left();
    close_loop();
    close_pair(go);
}

TEST(a_child_that_its_tracer_holds_is_waited_for_without_descriptors)
{
    even_timer enough = EVEN_TIMER(stop_loop);
    struct rlimit before, now;
    struct watched w;
    pid_t tracer;
    int go[2];
    open_loop();
    watch(&w, traced_child(&tracer, go));
    assert_int_equal(poll(&(struct pollfd){ w.process.descriptor, POLLIN, 0 }, 1, 5000), 1);
    assert_int_equal(even_call_later(loop, &enough, 0.05), 0);
    int next = dup(go[0]);      /* one is left: a timer's, and none to look at it with */
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    now = before;
    now.rlim_cur = (rlim_t)next + 1;
    setrlimit(RLIMIT_NOFILE, &now);
    assert_int_equal(even_loop_run_forever(loop), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(w.place, 0);
    put(go[1], "!");
    run_all();
    assert_true(WIFSIGNALED(w.process.status));
    assert_int_equal(waitpid(tracer, NULL, 0), tracer);
    no_child_left();
    close_loop();
    close_pair(go);
}

TEST(one_that_its_tracer_holds_is_watched_no_longer)
{
    even_timer enough = EVEN_TIMER(stop_loop);
    struct watched w;
    pid_t tracer;
    int go[2], status;
    open_loop();
    pid_t pid = traced_child(&tracer, go);
    watch(&w, pid);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(even_call_later(loop, &enough, 0.02), 0);
        assert_int_equal(even_loop_run_forever(loop), 0);
        even_process_unwatch(&w.process);
    }
    assert_int_equal(w.place, 0);
    put(go[1], "!");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(waitpid(tracer, NULL, 0), tracer);
    close_loop();
    close_pair(go);
}

/* ---- the start ---- */

static void fails(even_process_options o, int error, const char *what)
{
    const char *failed = "untouched";
    assert_int_equal(even_process_spawn(&o, &failed), error);
    assert_string_equal(failed, what);
    assert_int_equal(even_process_spawn(&o, NULL), error);
    no_child_left();
}

TEST(a_failed_start_says_what_failed, .on = TEST_PLAIN)
{
    char folder[] = "/tmp/even-process-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/program", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    put(fd, "no program");
    close(fd);
    char *const arguments[] = { "even-no-such-program", "x", NULL };
    char *const empty[] = { "PATH=/even-nowhere:", NULL };
    fails((even_process_options){ .arguments = arguments }, -ENOENT, "even-no-such-program");
    fails((even_process_options){ .arguments = arguments, .file = "/even/nowhere" }, -ENOENT, "/even/nowhere");
    fails((even_process_options){ .arguments = arguments, .file = "" }, -ENOENT, "");
    fails((even_process_options){ .arguments = arguments, .file = "sh", .environment = empty }, -ENOENT, "sh");
    fails((even_process_options){ .arguments = arguments, .file = path }, -EACCES, path);
    fails((even_process_options){ .arguments = arguments, .file = "sh", .directory = "/even/nowhere" }, -ENOENT, "/even/nowhere");
    fails((even_process_options){ .arguments = arguments, .file = "sh", .descriptors = (int[]){ 0, 1, 1 << 20 },
                                  .descriptor_count = 3 }, -EBADF, "dup2");
    fails((even_process_options){ .arguments = arguments, .file = "sh", .flags = EVEN_PROCESS_SET_GROUP, .group = 1 << 30 },
          -EPERM, "setpgid");
    assert_int_equal(chmod(path, 0700), 0);
    fails((even_process_options){ .arguments = arguments, .file = path }, -ENOEXEC, path);
    assert_int_equal(even_process_spawn(&(even_process_options){ .arguments = NULL }, NULL), -EINVAL);
    assert_int_equal(even_process_spawn(&(even_process_options){ .arguments = (char *[]){ NULL } }, NULL), -EINVAL);
    unlink(path);
    rmdir(folder);
}

/* What the library opens itself may get its number, and the child must not get that. */
TEST(a_closed_descriptor_is_refused, .on = TEST_PLAIN)
{
    static const int maps[][3] = { { 0, 1, 2 }, { 2, 0, 1 }, { 1, 0, 2 } };
    enum { MAPS = sizeof maps / sizeof *maps };
    for (int closed = 0; closed < 3; closed++) {
        const char *failed[MAPS];
        pid_t result[MAPS];
        int kept = fcntl(closed, F_DUPFD_CLOEXEC, 50);
        assert_true(kept >= 50);
        close(closed);
        for (int i = 0; i < MAPS; i++) {
            even_process_options o = SHELL("exit 0");
            o.descriptors = maps[i];
            o.descriptor_count = 3;
            result[i] = even_process_spawn(&o, &failed[i]);
        }
        assert_int_equal(dup2(kept, closed), closed);       /* now it can be said */
        close(kept);
        for (int i = 0; i < MAPS; i++) {
            assert_int_equal(result[i], -EBADF);
            assert_string_equal(failed[i], "dup2");
        }
    }
    int next = dup(0);
    close(next);
    even_process_options o = SHELL("exit 0");
    for (int i = 0; i < 4; i++) {
        int map[] = { 0, 1, 2, -1, -1, -1 };
        o.descriptors = map;
        o.descriptor_count = 6;
        map[i == 3 ? 5 : i] = next + i % 2;     /* those that a pipe would have */
        fails(o, -EBADF, "dup2");
    }
    no_child_left();
}

TEST(its_place_and_its_environment)
{
    even_process_options o = SHELL("pwd; echo $EVEN_NAME; echo $0");
    char *const environment[] = { "EVEN_NAME=a name", "PATH=/even-nowhere:/bin:/usr/bin", NULL };
    open_loop();
    o.directory = "/";
    o.environment = environment;
    assert_string_equal(output_of(o), "/\na name\nsh\n");
    o.environment = NULL;
    setenv("EVEN_NAME", "ours", 1);
    o.file = "/bin/sh";
    o.arguments = (char *[]){ "another", "-c", "pwd; echo $EVEN_NAME; echo $0", NULL };
    o.directory = "/proc";
    assert_string_equal(output_of(o), "/proc\nours\nanother\n");
    close_loop();
}

static int number(int fd, int wanted)
{
    assert_int_equal(fcntl(wanted, F_GETFD), -1);
    assert_int_equal(dup2(fd, wanted), wanted);     /* not close-on-exec */
    close(fd);
    return wanted;
}

static int file_with(const char *text)
{
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    put(p[1], text);
    close(p[1]);
    return p[0];
}

TEST(descriptors_are_put_in_their_places)
{
    even_process_options o = SHELL("cd /proc/self/fd; cat 47 48 46; [ -e 45 ] || echo 45 is closed");
    open_loop();
    /* 47 and 48 change places, 46 stays, 45 is to be closed. */
    int five = number(file_with("5"), 45), six = number(file_with("six "), 46), seven = number(file_with("seven "), 47),
        eight = number(file_with("eight "), 48), map[49];
    memset(map, -1, sizeof map);
    map[0] = 0;
    map[2] = 2;
    map[46] = six;
    map[47] = eight;
    map[48] = seven;
    o.descriptors = map;
    o.descriptor_count = 49;
    assert_string_equal(output_of(o), "eight seven six 45 is closed\n");
    assert_int_equal(fcntl(five, F_GETFD), 0);      /* ours are as they were */
    assert_int_equal(fcntl(seven, F_GETFD), 0);
    close_loop();
    close(five);
    close(six);
    close(seven);
    close(eight);
}

TEST(no_other_descriptor_is_inherited)
{
    even_process_options o = { .arguments = (char *[]){ "ls", "/proc/self/fd", NULL } };
    int p[2];
    open_loop();
    assert_int_equal(pipe(p), 0);       /* somebody forgot the flag */
    assert_string_equal(output_of(o), "0\n1\n2\n3\n");      /* 3 is the folder, as ls reads it */
    close_loop();
    close_pair(p);
}

static void nothing(int unused)
{
    (void)unused;
}

static unsigned long long mask_in(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 16);
}

TEST(its_signals_are_as_a_program_expects_them)
{
    even_process_options o = { .arguments = (char *[]){ "cat", "/proc/self/status", NULL } };
    sigset_t blocked, before;
    open_loop();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, nothing);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const char *text = output_of(o);
    assert_int_equal(mask_in(text, "SigBlk:"), 0);
    assert_int_equal(mask_in(text, "SigCgt:"), 0);
    unsigned long long ignored = mask_in(text, "SigIgn:");
    assert_true(ignored & 1ull << (SIGHUP - 1));        /* nohup */
    assert_false(ignored & 1ull << (SIGPIPE - 1));
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    assert_true(sigismember(&now, SIGUSR2));            /* ours are as they were */
    assert_false(sigismember(&now, SIGUSR1));
    close_loop();
}

static void groups(unsigned flags, pid_t group, pid_t *pid, int *its_group, int *its_session)
{
    even_process_options o = { .arguments = (char *[]){ "cat", "/proc/self/stat", NULL }, .flags = flags, .group = group };
    int parent;
    const char *text = output_of(o), *at = strrchr(text, ')');
    assert_non_null(at);
    *pid = (pid_t)atoi(text);
    assert_int_equal(sscanf(at, ") %*c %d %d %d", &parent, its_group, its_session), 3);
    assert_int_equal(parent, getpid());
}

TEST(its_group_and_its_session)
{
    pid_t pid;
    int group, session;
    open_loop();
    groups(0, 0, &pid, &group, &session);
    assert_int_equal(group, getpgrp());
    assert_int_equal(session, getsid(0));
    groups(EVEN_PROCESS_SET_GROUP, 0, &pid, &group, &session);
    assert_int_equal(group, pid);
    assert_int_equal(session, getsid(0));
    groups(EVEN_PROCESS_SET_GROUP, getpgrp(), &pid, &group, &session);
    assert_int_equal(group, getpgrp());
    groups(EVEN_PROCESS_NEW_SESSION, 0, &pid, &group, &session);
    assert_int_equal(group, pid);
    assert_int_equal(session, pid);
    close_loop();
}

static void *other_thread(void *id)
{
    *(uid_t *)id = geteuid();
    return NULL;
}

TEST(its_identity)
{
    even_process_options o = SHELL("id -u; id -g; id -G");
    pthread_t thread;
    uid_t there = 1;
    if (geteuid() != 0) {
        o.flags = EVEN_PROCESS_SET_UID;
        fails(o, -EPERM, "setuid");
        return;
    }
    open_loop();
    o.flags = EVEN_PROCESS_SET_UID | EVEN_PROCESS_SET_GID;
    o.uid = 65534;
    o.gid = 65533;
    assert_string_equal(output_of(o), "65534\n65533\n65533\n");
    assert_int_equal(geteuid(), 0);     /* ours, in every thread */
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &there), 0);
    pthread_join(thread, NULL);
    assert_int_equal(there, 0);
    close_loop();
}

static bool vfork_shares_memory(void)
{
    volatile bool shared = false;
    pid_t pid = vfork();
    if (pid == 0) {
        shared = true;
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return shared;
}

static _Atomic bool enough;

/* Forks children that execute nothing, and live until the other end of the pipe is closed. */
static void *forks(void *pipe_of_theirs)
{
    int *p = pipe_of_theirs, n = 0;
    char c;
    for (; !enough && n < 100; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            close(p[1]);
            (void)!read(p[0], &c, 1);
            _exit(0);
        }
        if (pid < 0)
            break;
        poll(NULL, 0, 1);
    }
    return (void *)(intptr_t)n;
}

/* They have copies of what is open meanwhile. */
TEST(a_start_does_not_wait_for_a_fork_of_another_thread, .on = TEST_PLAIN, .no_valgrind = true, .no_faults = true)
{
    char path[100000] = "PATH=";
    char *const environment[] = { path, NULL };
    even_process_options o = { .arguments = (char *[]){ "even-no-such-program", NULL }, .environment = environment };
    pthread_t thread;
    void *n;
    int p[2];
    if (!vfork_shares_memory())
        test_skip("vfork() is a fork here");
    for (size_t end = strlen(path); end + 2 < sizeof path; end += 2)    /* a start that takes its time */
        memcpy(path + end, "x:", 3);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&thread, NULL, forks, p), 0);
    pid_t missing = even_process_spawn(&o, NULL);
    snprintf(path + sizeof path - 16, 16, ":/bin:/usr/bin");
    o.arguments = (char *[]){ "true", NULL };
    pid_t found = even_process_spawn(&o, NULL);
    enough = true;
    pthread_join(thread, &n);
    close_pair(p);
    assert_int_equal(missing, -ENOENT);
    assert_true(found > 0);
    assert_true((intptr_t)n > 0);
    for (intptr_t left = (intptr_t)n + 1; left > 0; left--)
        assert_true(wait(NULL) > 0);
    no_child_left();
}

/* A program between two pipes, which are read and written by operations. */
TEST(a_program_between_two_pipes)
{
    int in[2], out[2];
    struct wop r, w;
    struct watched end;
    char got[16] = "";
    open_loop();
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(fcntl(in[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
    even_process_options o = { .arguments = (char *[]){ "cat", NULL }, .descriptors = (int[]){ in[0], out[1] },
                               .descriptor_count = 2 };
    watch(&end, spawn(&o));
    close(in[0]);
    close(out[1]);
    even_op_read(expect(&r), out[0], got, sizeof got);
    even_op_write(expect(&w), in[1], "through", 7);
    waiting--;      /* it goes on */
    run_all();
    assert_int_equal(w.op.result, 7);
    assert_int_equal(r.op.result, 7);
    assert_memory_equal(got, "through", 7);
    assert_int_equal(end.place, 0);
    close(in[1]);
    waiting++;
    even_op_read(expect(&r), out[0], got, sizeof got);
    run_all();
    assert_int_equal(r.op.result, 0);
    assert_int_equal(end.process.status, 0);
    close_loop();
    close(out[0]);
}

TEST(processes_have_no_simulation, .on = TEST_SIM)
{
    struct watched w;
    int status;
    even_process_options o = SHELL("exit 0");
    open_loop();
    pid_t pid = spawn(&o);
    assert_int_equal(even_process_watch(loop, &w.process, pid, ended), -EOPNOTSUPP);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close_loop();
}
