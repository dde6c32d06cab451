/* `evenloop run`: compile one C file against the library and run it; or run a program. */
#include "cli.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, WORDS_MAX = 256, NOT_STARTED = 127 };

static const char help[] =
    "usage: evenloop run FILE.c [OPTIONS] [-- ARGUMENTS]\n"
    "       evenloop run PROGRAM [OPTIONS] [-- ARGUMENTS]\n"
    "\n"
    "Compiles FILE.c against the library and runs it with the arguments; a program is run as it is. The exit status\n"
    "is the program's.\n"
    "\n"
    "  --explain        tell in plain words, on standard error, what the loop does\n"
    "  --virtual-time   run on a simulated clock and network: sleeps take no time, each run is like the one before\n"
    "  --seed N         with --virtual-time: vary what may come in any order; the same number, the same order\n"
    "  --backend NAME   uring or epoll; without it, the best that works here\n"
    "  -O LEVEL         the compiler's optimisation: 0, 1 (the default), 2, 3, s or g\n"
    "  --help           this text\n"
    "\n"
    "CC (a compiler, `cc` without it), CFLAGS and LDLIBS in the environment are respected.\n";

/* ---- compiling ---- */

/* Where the headers and the library are, seen from this very program: in the build tree, or installed. */
static int find_library(char *include, char *library, const char **problem)
{
    char here[PATH_SIZE], path[PATH_SIZE + 64];
    static const char *const places[][2] = { { "include", "." }, { EVEN_CLI_INCLUDE, EVEN_CLI_LIBRARY } };
    ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    if (n < 0) {
        *problem = strerror(errno);
        return -1;
    }
    here[n] = '\0';
    *strrchr(here, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s/evenloop.h", here, places[i][0]);
        if (access(path, R_OK) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s/libevenloop.so", here, places[i][1]);
        if (access(path, R_OK) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", here, places[i][0]);
        if (!realpath(path, include))
            continue;
        snprintf(path, sizeof path, "%s/%s", here, places[i][1]);
        if (realpath(path, library))
            return 0;
    }
    *problem = "no evenloop.h and libevenloop.so where this program expects them";
    return -1;
}

struct words {
    char *word[WORDS_MAX + 1];
    int count;
};

static void add(struct words *words, const char *word)
{
    if (words->count < WORDS_MAX)
        words->word[words->count++] = (char *)word;     /* exec takes what it does not change */
}

/* Each word of a variable, or of `otherwise`; as make does it, without quotes. */
static void add_variable(struct words *words, const char *name, const char *otherwise)
{
    const char *text = name ? getenv(name) : NULL;
    char *copy = strdup(text && *text ? text : otherwise), *rest = NULL;
    if (!copy)
        return;
    for (char *word = strtok_r(copy, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest))
        add(words, word);   /* the copy lives until we end */
}

static int wait_for_child(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* 0, or an exit status; the compiler has said then what is wrong. */
static int compile(const char *file, const char *level, const char *program)
{
    char include[PATH_SIZE], library[PATH_SIZE], rpath[PATH_SIZE + 16], shared[PATH_SIZE + 32], optimize[32];
    const char *problem;
    struct words words = { .count = 0 };

    if (find_library(include, library, &problem) < 0) {
        complain("the library is not to be found: %s", problem);
        return 1;
    }
    snprintf(rpath, sizeof rpath, "-Wl,-rpath,%s", library);
    snprintf(shared, sizeof shared, "%s/libevenloop.so", library);
    snprintf(optimize, sizeof optimize, "-O%s", level);
    add_variable(&words, "CC", EVEN_CLI_CC);
    add(&words, "-std=gnu17");
    add(&words, "-g");
    add(&words, optimize);
    add(&words, "-Wall");
    add_variable(&words, NULL, EVEN_CLI_FLAGS);
    add_variable(&words, "CFLAGS", "");
    add(&words, "-I");
    add(&words, include);
    add(&words, "-o");
    add(&words, program);
    add(&words, file);
    add(&words, shared);
    add(&words, rpath);
    add_variable(&words, "LDLIBS", "");
    add(&words, "-lm");
    add(&words, "-pthread");

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        execvp(words.word[0], words.word);
        complain("the compiler '%s' cannot be run: %s", words.word[0], strerror(errno));
        _exit(NOT_STARTED);
    }
    int status = pid < 0 ? -1 : wait_for_child(pid);
    if (status == 0)
        return 0;
    if (pid < 0)
        complain("fork: %s", strerror(errno));
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != NOT_STARTED)
        complain("'%s' does not compile", file);
    return 1;
}

/* ---- running ---- */

static volatile sig_atomic_t child_pid;

/* A terminal sends its signals to the program as well; what a process sends to us alone is passed on. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (child_pid > 0 && (info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL))
        kill((pid_t)child_pid, number);
}

/* Run it in a child, so that the file can be removed behind it. Gives the wait status. */
static int run_child(const char *program, char **argv)
{
    static const int passed[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
    struct sigaction action = { .sa_sigaction = pass_on, .sa_flags = SA_SIGINFO };
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigprocmask(SIG_SETMASK, &before, NULL);
        execv(program, argv);
        complain("'%s' cannot be run: %s", program, strerror(errno));
        _exit(NOT_STARTED);
    }
    if (pid > 0) {
        child_pid = pid;
        for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
            struct sigaction old;
            sigaction(passed[i], NULL, &old);
            if (old.sa_handler != SIG_IGN)      /* nohup stays nohup */
                sigaction(passed[i], &action, NULL);
        }
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        complain("fork: %s", strerror(errno));
        return -1;
    }
    return wait_for_child(pid);
}

/* End as the program ended. */
static int end_like(int status)
{
    if (status == -1)
        return 1;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    int number = WTERMSIG(status);
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);      /* the program has left its own */
    signal(number, SIG_DFL);
    raise(number);
    return 128 + number;
}

static int compile_and_run(const char *file, const char *level, char **argv)
{
    const char *tmp = getenv("TMPDIR"), *base = strrchr(file, '/');
    char folder[PATH_SIZE], program[PATH_SIZE + 256];

    base = base ? base + 1 : file;
    snprintf(folder, sizeof folder, "%s/evenloop-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        complain("no folder can be made for the program, '%s': %s", folder, strerror(errno));
        return 1;
    }
    /* The program has the file's name without its end, so that its own messages name it. */
    snprintf(program, sizeof program, "%s/%.*s", folder, (int)(strlen(base) - 2), base);
    int rc = compile(file, level, program), status = 0;
    if (rc == 0) {
        argv[0] = program;
        status = run_child(program, argv);
    }
    unlink(program);
    rmdir(folder);
    return rc ? rc : end_like(status);
}

/* ---- the command ---- */

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words != NULL;
}

int command_run(int argc, char **argv)
{
    enum { EXPLAIN = 256, VIRTUAL_TIME, SEED, BACKEND };
    static const struct option options[] = {
        { "explain", no_argument, NULL, EXPLAIN },       { "virtual-time", no_argument, NULL, VIRTUAL_TIME },
        { "seed", required_argument, NULL, SEED },       { "backend", required_argument, NULL, BACKEND },
        { "help", no_argument, NULL, 'h' },              { NULL, 0, NULL, 0 },
    };
    static const char *const backends[] = { "uring", "epoll", "sim", NULL };
    static const char *const levels[] = { "0", "1", "2", "3", "s", "g", NULL };
    const char *backend = NULL, *seed = NULL, *level = "1";
    bool explain = false, virtual_time = false;
    int own = 1, o;
    char *end;

    /* What is behind -- is the program's. */
    while (own < argc && strcmp(argv[own], "--") != 0)
        own++;
    char **arguments = argv + own;      /* its first word, --, makes room for the program's name */

    opterr = 0;
    while ((o = getopt_long(own, argv, ":hO:", options, NULL)) != -1)
        switch (o) {
        case EXPLAIN: explain = true; break;
        case VIRTUAL_TIME: virtual_time = true; break;
        case SEED: seed = optarg; break;
        case BACKEND: backend = optarg; break;
        case 'O': level = optarg; break;
        case 'h': fputs(help, stdout); return 0;
        case ':':
            complain("run: '%s' wants a value behind it", argv[optind - 1]);
            return USAGE_ERROR;
        default:
            if (optopt && optopt < EXPLAIN)
                complain("run: unknown option '-%c'; `evenloop run --help` lists what there is", optopt);
            else
                complain("run: unknown option '%s'; `evenloop run --help` lists what there is", argv[optind - 1]);
            return USAGE_ERROR;
        }
    if (optind == own) {
        complain("run: which file? `evenloop run --help` tells more");
        return USAGE_ERROR;
    }
    if (optind + 1 < own) {
        complain("run: one file only, but there is '%s' too; the program's own arguments go behind --", argv[optind + 1]);
        return USAGE_ERROR;
    }
    if (virtual_time && backend) {
        complain("run: --virtual-time is a backend of its own, so it cannot go with --backend");
        return USAGE_ERROR;
    }
    if (backend && !is_one_of(backend, backends)) {
        complain("run: no backend is called '%s'; there are uring and epoll, and --virtual-time", backend);
        return USAGE_ERROR;
    }
    if (!is_one_of(level, levels)) {
        complain("run: no optimisation is called '%s'; there are 0, 1, 2, 3, s and g", level);
        return USAGE_ERROR;
    }
    if (seed && ((void)strtoull(seed, &end, 10), *seed < '0' || *seed > '9' || *end)) {
        complain("run: the seed '%s' is not a whole number", seed);
        return USAGE_ERROR;
    }
    if (explain)
        setenv("EVENLOOP_EXPLAIN", "1", 1);
    if (virtual_time)
        backend = "sim";
    if (backend)
        setenv("EVENLOOP_BACKEND", backend, 1);
    if (seed)
        setenv("EVENLOOP_SEED", seed, 1);

    char *file = argv[optind];
    struct stat st;
    if (stat(file, &st) < 0) {
        complain("run: '%s': %s", file, strerror(errno));
        return 1;
    }
    char *only_name[] = { file, NULL };
    if (own == argc)
        arguments = only_name;
    size_t n = strlen(file);
    if (n > 2 && strcmp(file + n - 2, ".c") == 0)
        return compile_and_run(file, level, arguments);
    if (!S_ISREG(st.st_mode) || access(file, X_OK) != 0) {
        complain("run: '%s' is neither a C file (its name would end with .c) nor a program", file);
        return 1;
    }
    arguments[0] = file;
    fflush(NULL);
    execv(file, arguments);
    complain("run: '%s' cannot be run: %s", file, strerror(errno));
    return 1;
}
