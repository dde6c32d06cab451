/* Work that may block, on threads that all loops of the process share.
 *
 * A job is embedded in whoever owns it. even__job_start() queues it; run() is called in a worker, where all signals are
 * blocked, and done() in the loop's thread after it. A job that nobody waits for any more is abandoned: drop() is
 * called once nobody works on it.
 *
 * Each kind of work is a *tenant* and has a number of *places*, so that no kind can keep the others waiting. A job that
 * runs has a place. It loses the place, but not its thread, when it was abandoned or when the tenant's patience is
 * over, so that jobs which hang keep nobody out before the tenant has reached its hard limit of threads. Workers are
 * started on demand, and end after ten idle seconds.
 *
 * Under virtual time there are no workers: run() is called in the loop's thread at the job's turn, so that a simulated
 * run stays the same each time.
 */
#ifndef EVEN__POOL_H
#define EVEN__POOL_H

#include "../loop/loop.h"

struct even__tenant {
    unsigned share;             /* places */
    unsigned most;              /* threads, with those of jobs that have lost their places */
    int64_t patience;           /* ns that a job may keep its place; 0: as long as it runs */
    /* The pool's: */
    even_handle waiting;        /* jobs that have not begun */
    even_handle placed;         /* jobs that run and have a place, in the order in which they began */
    even_handle leaving;        /* the same, abandoned: in the order in which they were given up */
    unsigned waits, places, hangs;          /* how many wait, have a place, run without one */
    bool is_known;
    struct even__tenant *next;
};

/* A tenant lives as long as the process: static struct even__tenant files = EVEN__TENANT(files, 8, 16, 0); */
#define EVEN__TENANT(self, share, most, patience)                                                                      \
    { (share), (most), (patience), EVEN__JOBS(self, waiting), EVEN__JOBS(self, placed), EVEN__JOBS(self, leaving),    \
      0, 0, 0, false, NULL }
#define EVEN__JOBS(self, list) { &(self).list, &(self).list, NULL }

struct even__job {
    void (*run)(struct even__job *self);    /* in a worker: may block; knows no loop */
    void (*done)(struct even__job *self);   /* in the loop's thread, after run(): the memory is the owner's again */
    void (*drop)(struct even__job *self);   /* in either thread, instead of done(), for an abandoned job: frees it */
    /* The pool's: */
    even_handle handle;         /* stands in a list of the tenant's, then brings the job back to its loop */
    even_loop *loop;
    even_door *door;            /* the worker's way there */
    struct even__tenant *tenant;            /* NULL: it runs in the loop's thread */
    int64_t place_until;        /* by CLOCK_MONOTONIC */
    unsigned forks;             /* of the process that started it */
    uint8_t state;
    bool has_place, is_abandoned;
};

/* Queue a job whose three functions are set; from the thread of `loop`. 0, or why it cannot be run: there is no worker,
 * and none can be started. (If there are others, the job waits for one of them.) */
int even__job_start(struct even__job *job, struct even__tenant *tenant, even_loop *loop);

/* From the loop's thread, for a job whose done() has not been called. Neither takes longer if there are many jobs.
 *
 * Withdraw it: true if it had not begun; none of its functions will be called. False: done() is still to come.
 *
 * Abandon it: done() will not be called. drop() is: at once, or by the worker as soon as run() returns. If it runs, its
 * place goes to another one a moment later. After this the loop may be closed.
 *
 * In the child of a fork nobody runs the parent's jobs: there, each is as if it had not begun. */
bool even__job_withdraw(struct even__job *job);
void even__job_abandon(struct even__job *job);

/* How many jobs run, the abandoned ones too: tests wait until there are none. */
unsigned even__pool_busy(void);

#endif
