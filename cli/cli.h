/* The command `evenloop`: one file a subcommand. */
#ifndef EVEN_CLI_H
#define EVEN_CLI_H

enum { USAGE_ERROR = 2 };

/* Each gets its own words as argc and argv, the first one its name; gives the exit status. */
int command_run(int argc, char **argv);

/* "evenloop: ..." on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
