/* A program that a seed makes up: tasks that spawn, await, cancel, time out, shield, gather and set futures, in virtual time;
 * with a model beside it that knows what each of them must have given. A run that goes wrong prints its seed.
 *
 *     random_program FIRST_SEED LAST_SEED
 */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include "await/await.h"
#include "base/heap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 150, FUTURES = 100, DEPTH = 5, ENTRIES = 6, UNTOUCHED = 0x5A5A5A5A, PASSES = 200000 };

/* The model of one coroutine. */
struct node {
    int id, depth;
    int root;                       /* the id of the task in which it runs: who waits does so for higher ones only */
    unsigned started, ended, told;  /* told: by its done-callback */
    int final;                      /* what it gave; -ECANCELED until then: of a task that never began */
    bool is_task;
    struct actor_co *object;        /* a task: our own reference */
    even_handle done;
};

static struct {
    unsigned long long seed;
    uint64_t random;
    struct node nodes[NODES];
    int count;
    even_future *futures[FUTURES];
    int future_count;
    int64_t asked;                  /* ns of all sleeps and time-outs together */
    bool ending;
    unsigned long checks;
} now;

static void wrong(const char *what, int line)
{
    fprintf(stderr, "random_program: %s (line %d), seed %llu at %g s; again with: random_program %llu %llu\n", what,
            line, now.seed, even_running_loop() ? even_time(even_running_loop()) : 0.0, now.seed, now.seed);
    abort();
}
#define check(condition) (now.checks++, (condition) ? (void)0 : wrong(#condition, __LINE__))

static unsigned below(unsigned n)
{
    return (unsigned)(even__random(&now.random) % n);
}

static double some_seconds(void)
{
    static const double choices[] = { 0, 0, 0.001, 0.002, 0.003, 0.005, 0.01, 0.05 };
    double s = choices[below(8)];
    now.asked += (int64_t)(s * 1e9) + 1;
    return s;
}

static void count_end(even_handle *h)
{
    even_container_of(h, struct node, done)->told++;
}

async_decl(int, actor, (struct node *, n));

/* A new coroutine, or NULL if there are enough. */
static struct node *new_node(const struct node *parent)
{
    if (now.count == NODES || (parent && parent->depth == DEPTH))
        return NULL;
    struct node *n = &now.nodes[now.count];
    *n = (struct node){ .id = now.count++, .depth = parent ? parent->depth + 1 : 0, .final = -ECANCELED,
                        .done = EVEN_HANDLE(count_end) };
    n->root = parent ? parent->root : 0;
    return n;
}

static struct node *spawn(const struct node *parent)
{
    struct node *n = new_node(parent);
    if (!n)
        return NULL;
    n->is_task = true;
    n->root = n->id;
    n->object = create_task(actor(n));
    check(even_add_done_callback(n->object, &n->done) == 0);
    return n;
}

/* A task that `n` may wait for. */
static struct node *other_task(const struct node *n)
{
    for (int tries = 0; tries < 4; tries++) {
        struct node *other = &now.nodes[below((unsigned)now.count)];
        if (other->is_task && other->id > n->root)
            return other;
    }
    return NULL;
}

/* A cancellation that nobody asked for is the worst of bugs. */
static int told(int rc)
{
    if (rc == -ECANCELED)
        check(even_cancelling(NULL) > 0);
    return rc;
}

static int sleep_some(void)
{
    double seconds = some_seconds();
    int64_t start = even_time_ns(even_running_loop()), ns = (int64_t)(seconds * 1e9 + 0.5);
    int rc = told(await(even_sleep(seconds)));
    int64_t took = even_time_ns(even_running_loop()) - start;
    check(rc == 0 || rc == -ECANCELED);
    check(rc == 0 ? took >= ns && took <= ns + 1 : took <= ns + 1);     /* time stands still while anything is ready */
    return rc;
}

static int await_task(struct node *other)
{
    int rc = await(even_ref(other->object));
    check(even_done(other->object) && rc == other->final && even_status() == (rc < 0 ? rc : 0));
    return rc;
}

static int await_inline(struct node *n)
{
    struct node *inner = new_node(n);
    if (!inner)
        return 0;
    int rc = await(actor(inner));
    check(inner->started == 1 && inner->ended == 1 && rc == inner->final);
    return rc;
}

static int await_in_time(struct node *n)
{
    struct node *inner = below(2) ? other_task(n) : NULL;
    bool task = inner != NULL, shielded = task && below(3) == 0;
    if (!inner && !(inner = new_node(n)))
        return 0;
    double seconds = below(10) == 0 ? -1 : some_seconds();
    int64_t start = even_time_ns(even_running_loop());
    unsigned before = even_cancelling(NULL);
    struct actor_co *x = !task ? actor(inner) : shielded ? shield(inner->object) : even_ref(inner->object);
    int rc = await(wait_for(x, seconds));
    if (rc == -ETIMEDOUT && inner->final != -ETIMEDOUT) {
        check(shielded || inner->final == -ECANCELED);
        check(even_time_ns(even_running_loop()) - start >= (int64_t)(seconds * 1e9) - 1);
    } else if (shielded && rc == -ECANCELED) {
        check(even_cancelling(NULL) > before || inner->final == -ECANCELED || before > 0);
    } else {
        check(rc == inner->final);
        check(!task || even_done(inner->object));
    }
    check(task || inner->started == inner->ended);
    check(even_cancelling(NULL) >= before);     /* its own request has left with it */
    return rc;
}

static int await_shielded(struct node *n)
{
    struct node *other = other_task(n);
    if (!other)
        return 0;
    unsigned before = even_cancelling(NULL);
    int rc = await(shield(other->object));
    if (rc != other->final || !even_done(other->object))
        check(rc == -ECANCELED && (before > 0 || even_cancelling(NULL) > 0));
    return rc;
}

/* ---- futures ---- */

async(int, sets, (even_future *, f), (int, value))
{
    int rc = await(even_sleep(some_seconds()));
    if (!even_done(f)) {
        if (rc < 0)
            even_set_error(f, rc);
        else
            even_set_result(f, value);
    }
    return rc;
}

async(int, waits_too, (even_future *, f), (int, value))
{
    ssize_t n = await(even_ref(f));
    check(even_status() < 0 ? n == even_status() : n == value);
    return even_status();
}

static int await_future(struct node *n)
{
    int value = 1000 + n->id;
    if (now.future_count == FUTURES)
        return 0;
    even_future *f = even_future_new(even_future);
    now.futures[now.future_count++] = f;    /* a task that never begins would not let go of a reference of its own */
    if (below(4) == 0)
        even_set_result(f, value);
    else
        even_detach(create_task(sets(f, value)));
    if (below(3) == 0)
        even_detach(create_task(waits_too(f, value)));
    if (below(6) == 0)
        even_cancel(f);
    ssize_t got = await(even_ref(f));
    int rc = even_status();
    check(rc < 0 ? got == rc && rc == -ECANCELED : got == value);
    return rc;
}

/* ---- gather ---- */

struct targets {
    int before, value[ENTRIES], after, statuses[ENTRIES];
};

static void paint(struct targets *t)
{
    t->before = t->after = UNTOUCHED;
    for (int i = 0; i < ENTRIES; i++)
        t->value[i] = t->statuses[i] = UNTOUCHED;
}

static void check_untouched(const struct targets *t)
{
    check(t->before == UNTOUCHED && t->after == UNTOUCHED);
    for (int i = 0; i < ENTRIES; i++)
        check(t->value[i] == UNTOUCHED && t->statuses[i] == UNTOUCHED);
}

static int gather_some(struct node *n, struct targets *t)
{
    even_gather_entry entries[ENTRIES];
    struct node *children[ENTRIES];
    unsigned count = below(ENTRIES + 1), used = 0;
    bool statuses = below(2), nested = false;

    memset(entries, 0, sizeof entries);
    paint(t);
    for (unsigned i = 0; i < count; i++) {
        struct node *child = below(2) ? other_task(n) : NULL;
        struct actor_co *x;
        if (child) {
            x = below(4) ? even_ref(child->object) : shield(child->object);
        } else {
            if (!(child = new_node(n)))
                break;
            child->root = child->id;        /* gather makes it a task */
            x = actor(child);
            if (below(4) == 0) {
                x = wait_for(x, 1000);
                now.asked += INT64_C(1000000000000);
            }
        }
        children[used] = child;
        struct even__into e = into(&t->value[used], x);
        entries[used++] = e.entry;
    }
    even_int_aw *g = even_gather_entries(entries, used, statuses ? t->statuses : NULL);
    if (below(8) == 0) {
        g = gather(g, even_sleep(some_seconds()));
        nested = true;
    }
    if (below(10) == 0)
        g = wait_for(g, 1000), now.asked += INT64_C(1000000000000);
    if (below(4) == 0 && now.future_count < FUTURES)     /* somebody else holds it on */
        now.futures[now.future_count++] = (even_future *)(void *)even_ref(g);
    int rc = await(g);
    check(t->before == UNTOUCHED && t->after == UNTOUCHED);
    for (unsigned i = 0; i < used; i++) {
        if (t->value[i] != UNTOUCHED)
            check(t->value[i] == children[i]->final && t->value[i] >= 0);
        if (rc == 0 && !statuses)
            check(t->value[i] == children[i]->final);
        if (rc == 0 && statuses) {
            check(t->statuses[i] == (children[i]->final < 0 ? children[i]->final : 0) || t->statuses[i] == -ECANCELED);
            check((t->statuses[i] == 0) == (t->value[i] != UNTOUCHED));
        }
        if (statuses && !nested)            /* it fails by its own cancellation alone, and has waited for all */
            check(t->statuses[i] != UNTOUCHED && (rc == 0 || rc == -ECANCELED));
    }
    for (unsigned i = used; i < ENTRIES; i++)
        check(t->value[i] == UNTOUCHED && t->statuses[i] == UNTOUCHED);
    paint(t);       /* nobody may write there any more */
    return rc;
}

/* ---- the actor ---- */

static int finish(struct node *n, int rc)
{
    n->ended++;
    n->final = rc;
    return rc;
}

async_def(int, actor, (struct node *, n))
{
    struct targets targets;
    bool painted = false;
    char canary[64];
    const unsigned char mark = (unsigned char)(n->id * 7 + 1);
    int steps = 2 + (int)below(9);

    n->started++;
    memset(canary, mark, sizeof canary);
    for (int i = 0; i < steps; i++) {
        int rc = 0;
        struct node *other;
        errno = n->id;
        switch (below(14)) {
        case 0: case 1: case 2:
            rc = sleep_some();
            break;
        case 3: case 4:
            spawn(n);
            break;
        case 5:
            if ((other = other_task(n)))
                rc = await_task(other);
            break;
        case 6:
            rc = await_inline(n);
            break;
        case 7:
            rc = await_in_time(n);
            break;
        case 8:
            rc = await_shielded(n);
            break;
        case 9:
            rc = await_future(n);
            break;
        case 10: case 11:
            rc = gather_some(n, &targets);
            painted = true;
            break;
        case 12:
            if ((other = other_task(n)) && below(2))
                even_cancel(other->object);
            break;
        case 13:
            if (below(4) == 0)
                even_cancel(even_current_task());
            else
                rc = -EPIPE;
            break;
        }
        for (size_t k = 0; k < sizeof canary; k++)
            check((unsigned char)canary[k] == mark);
        if (painted)
            check_untouched(&targets);
        if (rc == -ECANCELED && even_cancelling(NULL) > 0) {
            for (unsigned cleanup = below(3); cleanup > 0; cleanup--)
                sleep_some();
            if (n->id == n->root && below(4) == 0 && !now.ending)
                while (even_uncancel(NULL) > 0) {}  /* it goes on, and says so: no request is somebody else's here */
            else
                return finish(n, -ECANCELED);
        } else if (rc < 0 && below(2)) {
            return finish(n, rc);
        }
    }
    if (even_cancelling(NULL) > 0)
        return finish(n, -ECANCELED);
    return finish(n, n->id);
}

/* ---- the run ---- */

static void judge_report(void *data, const char *text)
{
    static const char *const usual[] = { "nobody fetched its failure", "went on after its cancellation", "was never awaited" };
    (void)data;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (strstr(text, usual[i]))
            return;
    fprintf(stderr, "random_program: %s\n", text);
    wrong("an unexpected report", __LINE__);
}

static void run(unsigned long long seed)
{
    even_loop *loop;
    size_t live = even__heap_live();
    memset(&now, 0, sizeof now);
    now.seed = seed;
    now.random = seed * 2654435761u + 17;
    const even_loop_options options = { .backend = "sim", .seed = seed % 4 ? seed : 0 };
    check(even_loop_new(&loop, &options) == 0);
    check(even__loop_enter(loop) == 0);

    struct node *first = spawn(NULL);
    unsigned passes = 0;
    while (!even_done(first->object)) {
        int rc = even__loop_pass(loop, true);
        check(rc == 0);
        check(even__loop_is_valid(loop));
        check(++passes < PASSES);
    }
    now.ending = true;
    check(even__tasks_shut_down(loop, 0) == 0);
    check(even__loop_is_valid(loop));
    check(even_all_tasks(NULL, 0) == 0);
    for (int i = 0; i < 10; i++) {          /* what is still queued: done-callbacks */
        if (even__queue_is_empty(&loop->ready))
            break;
        check(even__loop_pass(loop, false) == 0);
    }
    check(even_time_ns(loop) <= now.asked);
    even__loop_leave(loop);

    for (int i = 0; i < now.count; i++) {
        struct node *n = &now.nodes[i];
        check(n->started <= 1 && n->ended == n->started);
        if (!n->is_task)
            continue;
        check(n->told == 1);
        check(even_done(n->object) && even_status_of(&n->object->base) == (n->final < 0 ? n->final : 0));
        check(n->object->result == n->final);
        even_detach(n->object);
    }
    for (int i = 0; i < now.future_count; i++)
        even_detach(now.futures[i]);
    check(even_loop_close(loop) == 0);
    check(even__heap_live() == live);
}

int main(int argc, char **argv)
{
    const char *range = getenv("EVENLOOP_TEST_SEEDS");
    unsigned long long first = 1, last = 200;
    if (argc > 1)
        first = last = strtoull(argv[1], NULL, 10);
    else if (range && sscanf(range, "%llu-%llu", &first, &last) == 1)
        last = first;
    if (argc > 2)
        last = strtoull(argv[2], NULL, 10);
    unsigned long checks = 0, tasks = 0;
    if (argc > 3 || first == 0 || last < first) {
        fprintf(stderr, "usage: %s [FIRST_SEED [LAST_SEED]], or EVENLOOP_TEST_SEEDS=FIRST-LAST\n", argv[0]);
        return 2;
    }
    even_set_report_hook(judge_report, NULL);
    for (unsigned long long seed = first; seed <= last; seed++) {
        run(seed);
        checks += now.checks;
        tasks += (unsigned long)now.count;
    }
    printf("%llu seeds, %lu coroutines, %lu checks: all as the model says\n", last - first + 1, tasks, checks);
    return 0;
}
