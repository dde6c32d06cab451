/* An object's life: how it is made, who refers to it, how it is described, and its last reference. */
#include "await.h"
#include "../base/sys.h"
#include <stdio.h>
#include <string.h>

void *even__result_of(even_awaitable *x)
{
    return x + 1;
}

/* ---- making ---- */

even_awaitable *even__coroutine_new(const even_kind *kind, const void *site)
{
    even_awaitable *x = even__heap_alloc(kind->size);
    if (even__likely(x))
        *x = (even_awaitable){ .kind = kind, .by.site = site, .refs = 1, .state = EVEN_INERT };
    return x;
}

/* What is no coroutine says where it was made while it is active, too: behind its kind's memory. */
static const void **site_behind(const even_awaitable *x)
{
    return (const void **)((uintptr_t)x + x->kind->size);
}

static inline even_awaitable *new_operation(const even_kind *kind, const void *site, uint8_t flags)
{
    even__check_slow(kind->size % sizeof site == 0);        /* as that of everything that begins with a header */
    even_awaitable *x = even__heap_alloc(kind->size + sizeof site);
    if (even__likely(x)) {
        *x = (even_awaitable){ .kind = kind, .by.site = site, .refs = 1, .state = EVEN_INERT, .flags = flags };
        *site_behind(x) = site;
    }
    return x;
}

even_awaitable *even__operation_new(const even_kind *kind, const void *site)
{
    return new_operation(kind, site, 0);
}

static inline even_awaitable *new_object(const even_kind *kind, const void *site)
{
    const uint8_t flags = kind->drop || kind->borrows ? EVEN__SPECIAL : 0;
    if (even__likely(!kind->enter))
        return new_operation(kind, site, flags);
    even_awaitable *x = even__coroutine_new(kind, site);
    if (even__likely(x))
        x->flags = flags;
    return x;
}

even_awaitable *even__object_new(const even_kind *kind, const void *site)
{
    return new_object(kind, site);
}

even_awaitable *even__zeroed_new(const even_kind *kind, const void *site)
{
    even_awaitable *x = new_object(kind, site);
    if (even__likely(x)) {
        memset(even__result(x), 0, kind->size - sizeof *x);
        if (kind->borrows) {
            x->state = EVEN_ACTIVE;
            x->by.loop = even__thread.loop ? even__thread.loop->number : 0;
        }
    }
    return x;
}

even_awaitable *even_awaitable_new(const even_kind *kind)
{
    return even__zeroed_new(kind, __builtin_return_address(0));
}

even_awaitable *even__clone(const even_awaitable *from, const void *placeholder, void *argument)
{
    const even_kind *kind = from->kind;
    if (from->flags & EVEN__STATIC)
        return NULL;            /* the template itself found no memory: it has no arguments */
    even_awaitable *x = even__coroutine_new(kind, from->by.site);
    if (!x)
        return NULL;
    memcpy((char *)x + kind->argument_offset, (const char *)from + kind->argument_offset, kind->argument_size);
    /* The placeholder's address is unique, so that a word equal to it is the placeholder. */
    for (size_t at = kind->argument_offset; at + sizeof(void *) <= kind->argument_offset + kind->argument_size;
         at += sizeof(void *)) {
        void *word;
        memcpy(&word, (char *)x + at, sizeof word);
        if (word == placeholder)
            memcpy((char *)x + at, &argument, sizeof argument);
    }
    return x;
}

even_awaitable *even__without_memory(even_awaitable *x)
{
    /* Threads share the object: all of them store the same. */
    unsigned class = x->kind->result_class;
    if (class == EVEN_RESULT_INT || class == EVEN_RESULT_VOID)
        __atomic_store_n((int *)even__result(x), x->status, __ATOMIC_RELAXED);
    else if (class == EVEN_RESULT_LONG)
        __atomic_store_n((long *)even__result(x), x->status, __ATOMIC_RELAXED);
    return x;
}

/* ---- references ---- */

const char *even__describe(const even_awaitable *x, char *out, size_t size)
{
    if (even__is_task(x) && x->state != EVEN_SPENT)
        snprintf(out, size, "task '%s' (%s)", even__task_name(x->by.task), x->kind->name);
    else
        snprintf(out, size, "%s '%s'", even__is_coroutine(x) ? "coroutine" : "awaitable", x->kind->name);
    return out;
}

const void *even__made_at(const even_awaitable *x)
{
    if (x->flags & EVEN__STATIC)
        return NULL;
    if (!even__is_coroutine(x)) {
        if (x->state == EVEN_SPENT)
            ASAN_UNPOISON_MEMORY_REGION(site_behind(x), sizeof(void *));
        return *site_behind(x);
    }
    return x->state == EVEN_INERT ? x->by.site : NULL;
}

const char *even__describe_made(const even_awaitable *x, char *out, size_t size)
{
    char site[EVEN__SITE_MAX];
    const void *made_at = even__is_task(x) || even__is_coroutine(x) ? NULL : even__made_at(x);
    even__describe(x, out, size);
    size_t n = strlen(out);
    if (made_at)
        snprintf(out + n, size - n, " (made at %s)", even__site_name(made_at, site, sizeof site));
    return out;
}

void even__report_never_awaited(even_awaitable *x)
{
    char name[EVEN__DESCRIPTION_MAX], site[EVEN__SITE_MAX];
    if (!even__report_wanted(x->by.site))
        return;
    even__report("%s was never %s; it was made at %s", even__describe(x, name, sizeof name),
                 x->kind->borrows ? "closed" : "awaited",     /* a stream is the one inert object that many may wait for */
                 even__site_name(x->by.site, site, sizeof site));
}

static even__noinline void report_never_fetched(even_awaitable *x)
{
    char name[EVEN__DESCRIBED_MADE_MAX];
    if (!even__report_wanted(x->kind))
        return;
    even__report("%s failed with %s (%s), and nobody fetched its failure", even__describe_made(x, name, sizeof name),
                 even_errname(x->status), even_strerror(x->status));
}

static inline void free_object(even_awaitable *x)
{
    even__check_slow(x->refs == 0 && x->state != EVEN_SPENT);
    if (even__is_task(x))
        even__task_free(x->by.task);
    x->state = EVEN_SPENT;
    even__heap_free(x);
}

/* A drop function gives up the references that it holds, and so on, as deep as the program's objects are nested: so those that
 * it ends wait here, by their unused `waiters`, until it has returned. */
static even__noinline void release_with_drop(even_awaitable *x)
{
    x->waiters = even__thread.to_release;
    even__thread.to_release = x;
    if (even__thread.releases)
        return;
    even__thread.releases = true;
    while ((x = even__thread.to_release)) {     /* bounded: each was the last reference to it */
        even__thread.to_release = x->waiters;
        x->kind->drop(x);
        free_object(x);
    }
    even__thread.releases = false;
}

static inline void release(even_awaitable *x)
{
    if (even__likely(!x->kind->drop))
        free_object(x);
    else
        release_with_drop(x);
}

/* Given up by one who had no reference: a task that goes on has its loop's, what is awaited that of whoever awaits it. */
static even__noinline bool is_in_use(even_awaitable *x, const void *site)
{
    char name[EVEN__DESCRIBED_MADE_MAX], where[EVEN__SITE_MAX];
    if (even__is_future(x) && !x->waiters)
        return false;
    if (even__report_wanted(site))
        even__report("%s was given up once too often (even_detach(), even_unref()), while %s; at %s",
                     even__describe_made(x, name, sizeof name), even__is_task(x) ? "it runs" : "somebody waits for it",
                     even__site_name(site, where, sizeof where));
    x->refs = 1;
    return true;
}

static even__noinline void unref(even_awaitable *x, const void *site)
{
    if ((x->flags & EVEN__STATIC) || x->state == EVEN_SPENT)
        return;
    even__check_slow(x->refs > 0);
    if (--x->refs > 0)
        return;
    if (even__likely(x->state == EVEN_DONE)) {
        if (even__unlikely(x->status < 0) && x->status != -ECANCELED && !(x->flags & EVEN__FETCHED) && even__is_shared(x))
            report_never_fetched(x);
    } else if (x->state == EVEN_INERT) {
        even__report_never_awaited(x);
    } else if (is_in_use(x, site)) {
        return;
    }
    release(x);
}

void even_unref(even_awaitable *x)
{
    /* The object of an await that went well. Narrow loads, by volatile: the compiler would make a wide one of them, and that
     * would have to wait for the narrow store of the state just before. */
    const volatile uint8_t *state = &x->state, *flags = &x->flags;
    if (even__likely(*state == EVEN_DONE && *flags == 0 && x->refs == 1)) {
        x->state = EVEN_SPENT;
        even__heap_free(x);
        return;
    }
    unref(x, __builtin_return_address(0));
}

even_awaitable *even_ref_any(even_awaitable *x)
{
    if (even__likely(!(x->flags & EVEN__STATIC))) {
        x->refs++;
        if (even__is_task(x))
            x->flags |= EVEN__HELD;
    }
    return x;
}

static even__noinline void report_spent(const even_awaitable *x, const void *site)
{
    char name[EVEN__DESCRIPTION_MAX], where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("%s was given up once too often (even_detach()): it is spent; at %s", even__describe(x, name, sizeof name),
                     even__site_name(site, where, sizeof where));
}

void even_detach_any(even_awaitable *x)
{
    if (even__unlikely(x->state == EVEN_SPENT))
        report_spent(x, __builtin_return_address(0));
    else if (even__is_anothers(x, "given up", __builtin_return_address(0)))
        return;
    unref(x, __builtin_return_address(0));
}

void even__drop_silently(even_awaitable *x)
{
    if (!(x->flags & EVEN__STATIC) && x->state != EVEN_SPENT && --x->refs == 0)
        release(x);
}
