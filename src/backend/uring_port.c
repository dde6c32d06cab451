/* What is known of each descriptor: the table grows. */
#include "uring.h"
#include <string.h>

struct even__uring_port *even__uring_port_grow(struct even__uring_state *s, int fd)
{
    int n = s->ports_count ? s->ports_count : 64;
    while (n <= fd)
        n *= 2;
    struct even__uring_port *p = even__realloc(s->ports, (size_t)n * sizeof *p);
    if (!p)
        return NULL;
    memset(p + s->ports_count, 0, (size_t)(n - s->ports_count) * sizeof *p);
    s->ports = p;
    s->ports_count = n;
    return &p[fd];
}
