/* Which backend: by name, or the best that works here. */
#include "../loop/loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef EVEN_HAVE_URING
#define URING &even__uring,
#else
#define URING
#endif

static const struct even__backend *const all[] = { URING &even__epoll, &even__sim };

static int open_with(even_loop *loop, const struct even__backend *b, const even_loop_options *options)
{
    loop->backend = b;
    return b->open(loop, options);
}

int even__backend_open(even_loop *loop, const even_loop_options *options)
{
    const char *name = options && options->backend ? options->backend : getenv("EVENLOOP_BACKEND");

    if (!name || !*name) {
        int rc = -EVEN_EBACKEND;
        /* io_uring may be forbidden (EPERM), absent (ENOSYS) or too old: quietly the next one then. */
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            if (!all[i]->by_name_only && (rc = open_with(loop, all[i], options)) == 0)
                return 0;
        return rc;
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i]->name, name) != 0)
            continue;
        int rc = open_with(loop, all[i], options);
        if (rc < 0 && rc != -ENOMEM)
            even__report("the backend '%s' cannot be used here: %s", name, even_strerror(rc));
        return rc;
    }
    even__report("no backend is called '%s': there are uring, epoll and sim"
#ifndef EVEN_HAVE_URING
                 " (this build is without uring)"
#endif
                 , name);
    return -EVEN_EBACKEND;
}
