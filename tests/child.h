/* A part of a test that runs in a process of its own, and may die there. */
#ifndef EVEN_TEST_CHILD_H
#define EVEN_TEST_CHILD_H

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* wait(2)'s status of a child that runs the body; one that comes back from that exits with 99. */
static int status_of_child(void (*body)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(99);
    }
    waitpid(pid, &status, 0);
    return status;
}

#endif
