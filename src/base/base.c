/* Memory, and the words for failures. */
#include "sys.h"
#include "thread.h"
#include <evenloop/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    void *(*allocate)(size_t);
    void *(*resize)(void *, size_t);
    void (*release)(void *);
} memory = { malloc, realloc, free };

void even_set_allocator(void *(*allocate)(size_t), void *(*resize)(void *, size_t), void (*release)(void *))
{
    memory.allocate = allocate ? allocate : malloc;
    memory.resize = resize ? resize : realloc;
    memory.release = release ? release : free;
}

void *even__malloc(size_t size)
{
    return even__fault_memory() ? NULL : memory.allocate(size);
}

void *even__calloc(size_t size)
{
    void *p = even__malloc(size);
    return p ? memset(p, 0, size) : NULL;
}

void *even__calloc_for_good(size_t size)
{
    void *p = even__fault_memory() ? NULL : malloc(size);
    return p ? memset(p, 0, size) : NULL;
}

void *even__realloc(void *old, size_t size)
{
    return even__fault_memory() ? NULL : memory.resize(old, size);
}

void even__free(void *p)
{
    if (p)
        memory.release(p);
}

char *even__strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = even__malloc(n);
    return p ? memcpy(p, text, n) : NULL;
}

const char *even_version(void)
{
    return EVEN_VERSION;
}

static const struct {
    int number;
    const char *name, *words;
} errors[] = {
#define EVEN__X(name, number, words) { number, #name, words },
    EVEN_ERRORS(EVEN__X)
#undef EVEN__X
};

const char *even_errname(int rc)
{
    unsigned number = rc < 0 ? 0u - (unsigned)rc : (unsigned)rc;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if ((unsigned)errors[i].number == number)
            return errors[i].name;
    const char *name = number <= 4095 ? strerrorname_np((int)number) : NULL;
    return name ? name : "?";
}

const char *even_strerror(int rc)
{
    char *unknown = even__thread.unknown_error;
    unsigned number = rc < 0 ? 0u - (unsigned)rc : (unsigned)rc;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if ((unsigned)errors[i].number == number)
            return errors[i].words;
    const char *words = number <= 4095 ? strerrordesc_np((int)number) : NULL;
    if (words)
        return words;
    snprintf(unknown, sizeof even__thread.unknown_error, "unknown error %d", rc);
    return unknown;
}
