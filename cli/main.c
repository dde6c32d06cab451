/* The command `evenloop`: finds the subcommand. */
#include "cli.h"
#include <evenloop/loop.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int, char **);
    const char *what;
} commands[] = {
    { "run", command_run, "compile a C file against the library and run it, or run a program" },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

void complain(const char *format, ...)
{
    va_list args;
    fputs("evenloop: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void help(FILE *out)
{
    fputs("usage: evenloop COMMAND ...\n"
          "\n"
          "asyncio for C: a loop that shows what it does.\n"
          "\n", out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s  %s\n", commands[i].name, commands[i].what);
    fputs("\n"
          "  --help     this text; `evenloop COMMAND --help` tells about one command\n"
          "  --version\n", out);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;

    if (!name) {
        help(stderr);
        return USAGE_ERROR;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("evenloop %s\n", even_version());
        return 0;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (name[0] == '-')
        complain("unknown option '%s'; `evenloop --help` lists what there is", name);
    else if (strlen(name) > 2 && strcmp(name + strlen(name) - 2, ".c") == 0)
        complain("unknown command '%s'; was `evenloop run %s` meant?", name, name);
    else
        complain("unknown command '%s'; `evenloop --help` lists what there is", name);
    return USAGE_ERROR;
}
