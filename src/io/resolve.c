/* Names to addresses: what needs no asking is answered at once, for the rest resolver.c asks the C library. */
#include "resolve.h"
#include "../await/await.h"
#include "../base/sys.h"
#include <arpa/inet.h>
#include <evenloop/io.h>
#include <stdio.h>
#include <string.h>

/* ---- lists, each in one piece ---- */

struct entry {
    struct addrinfo info;
    struct sockaddr_storage address;
};

int even__addrinfo_copy(const struct addrinfo *from, struct addrinfo **out)
{
    size_t n = 0, i = 0, name = from && from->ai_canonname ? strlen(from->ai_canonname) + 1 : 0;
    for (const struct addrinfo *a = from; a; a = a->ai_next)
        n++;
    struct entry *entries = even__calloc(n * sizeof *entries + name);
    if (!entries)
        return -ENOMEM;
    for (const struct addrinfo *a = from; a; a = a->ai_next, i++) {
        struct entry *e = &entries[i];
        socklen_t length = a->ai_addrlen <= sizeof e->address ? a->ai_addrlen : sizeof e->address;
        e->info = *a;
        memcpy(&e->address, a->ai_addr, length);
        e->info.ai_addr = (struct sockaddr *)&e->address;
        e->info.ai_addrlen = length;
        e->info.ai_canonname = NULL;
        e->info.ai_next = a->ai_next ? &entries[i + 1].info : NULL;
    }
    if (name)
        entries[0].info.ai_canonname = memcpy(&entries[n], from->ai_canonname, name);
    *out = &entries[0].info;
    return 0;
}

void even_freeaddrinfo(struct addrinfo *list)
{
    even__free(list);
}

/* ---- what needs no asking ---- */

struct literal {
    struct addrinfo info;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;
};

static bool parse_port(const char *service, in_port_t *port)
{
    unsigned long n = 0;
    for (const char *c = service; c && *c; c++) {
        if (*c < '0' || *c > '9' || (n = n * 10 + (unsigned long)(*c - '0')) > 65535)
            return false;
    }
    *port = htons((uint16_t)n);
    return !service || *service;
}

static void set_v4(struct literal *l, struct in_addr address, in_port_t port)
{
    l->info.ai_family = AF_INET;
    l->info.ai_addrlen = sizeof l->address.in;
    l->address.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port, .sin_addr = address };
}

static void set_v6(struct literal *l, struct in6_addr address, in_port_t port)
{
    l->info.ai_family = AF_INET6;
    l->info.ai_addrlen = sizeof l->address.in6;
    l->address.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = address };
}

/* Fills in up to two; 0 if the C library must be asked. */
static int literals_of(struct literal out[2], const char *host, in_port_t port, bool passive, bool localhost)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (!host && passive) {
        set_v4(&out[0], (struct in_addr){ htonl(INADDR_ANY) }, port);
        set_v6(&out[1], in6addr_any, port);
        return 2;
    }
    if (!host || (localhost && strcmp(host, "localhost") == 0)) {
        set_v6(&out[0], in6addr_loopback, port);
        set_v4(&out[1], (struct in_addr){ htonl(INADDR_LOOPBACK) }, port);
        return 2;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        set_v4(&out[0], v4, port);
        return 1;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        set_v6(&out[0], v6, port);
        return 1;
    }
    return 0;
}

/* True if it is settled so. `alone`: there is nobody else to ask. */
static bool settle_at_once(struct even__resolve *r, const char *host, const char *service, const struct addrinfo *hints,
                           bool alone)
{
    struct literal literal[2];
    struct addrinfo *first = NULL, **next = &first;
    in_port_t port;
    int type = hints->ai_socktype ? hints->ai_socktype : SOCK_STREAM;
    int flags = hints->ai_flags & ~(AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV);

    /* Exactly what is plain; odd forms are the C library's. */
    if (!alone && (flags || (type != SOCK_STREAM && type != SOCK_DGRAM) || !hints->ai_socktype))
        return false;
    if ((!host && !service) || !parse_port(service, &port)) {
        r->status = !host && !service ? -EVEN_EAI_NONAME : -EVEN_EAI_SERVICE;
        return alone;
    }
    memset(literal, 0, sizeof literal);
    int n = literals_of(literal, host, port, hints->ai_flags & AI_PASSIVE, alone);
    for (int i = 0; i < n; i++) {
        struct literal *l = &literal[i];
        if (hints->ai_family != AF_UNSPEC && hints->ai_family != l->info.ai_family)
            continue;
        l->info.ai_socktype = type;
        l->info.ai_protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
        l->info.ai_addr = &l->address.any;
        *next = &l->info;
        next = &l->info.ai_next;
    }
    if (!first) {
        r->status = n ? -EVEN_EAI_ADDRFAMILY : -EVEN_EAI_NONAME;
        return alone;
    }
    r->status = even__addrinfo_copy(first, &r->list);
    return true;
}

bool even__resolve_start(struct even__resolve *r, even_loop *loop, const char *host, const char *service,
                         const struct addrinfo *hints, void (*done)(even_handle *))
{
    static const struct addrinfo none;
    *r = (struct even__resolve){ .handle = EVEN_HANDLE(done), .loop = loop };
    if (!hints)
        hints = &none;
    if (settle_at_once(r, host, service, hints, even__loop_has(loop, EVEN_LOOP_VIRTUAL_TIME)))
        return true;
    r->status = even__resolver_ask(r, host, service, hints);
    return r->status < 0;
}

bool even__resolve_port(struct even__resolve *r, even_loop *loop, const char *host, int port, bool passive,
                        void (*done)(even_handle *))
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 };
    char service[12];
    if (port < 0 || port > 65535) {
        *r = (struct even__resolve){ .loop = loop, .status = -EINVAL };
        return true;
    }
    snprintf(service, sizeof service, "%d", port);
    return even__resolve_start(r, loop, host, service, &hints, done);
}

/* ---- even_getaddrinfo ---- */

struct lookup {
    even_int_aw aw;
    struct even__resolve resolve;
    struct addrinfo **out;
    const char *host, *service;
    struct addrinfo hints;
};

static void lookup_over(struct lookup *l)
{
    if (l->resolve.status == 0)
        *l->out = l->resolve.list;
    even__complete(&l->aw.base, l->resolve.status);
}

static void lookup_answered(even_handle *h)
{
    struct lookup *l = even__container_of(h, struct lookup, resolve.handle);
    lookup_over(l);
    even_unref(&l->aw.base);
}

static void lookup_start(even_awaitable *x)
{
    struct lookup *l = (struct lookup *)(void *)x;
    if (even__resolve_start(&l->resolve, even__thread.loop, l->host, l->service, &l->hints, lookup_answered))
        lookup_over(l);
    else
        x->refs++;
}

static bool lookup_cancel(even_awaitable *x)
{
    struct lookup *l = (struct lookup *)(void *)x;
    even__resolve_cancel(&l->resolve);
    even__complete(x, -ECANCELED);
    even_unref(x);
    return true;
}

static const even_kind lookup_kind = {
    .name = "getaddrinfo",
    .size = sizeof(struct lookup),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = lookup_start,
    .cancel = lookup_cancel,
};

even_int_aw *even_getaddrinfo(struct addrinfo **list, const char *host, const char *service,
                              const struct addrinfo *hints)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&lookup_kind, -ENOMEM), -ENOMEM };
    struct lookup *l = (struct lookup *)(void *)even__object_new(&lookup_kind, __builtin_return_address(0));
    if (even__unlikely(!l))
        return &failed;
    l->aw.result = 0;
    l->out = list;
    l->host = host;
    l->service = service;
    l->hints = (struct addrinfo){ 0 };
    if (hints) {
        l->hints.ai_flags = hints->ai_flags;
        l->hints.ai_family = hints->ai_family;
        l->hints.ai_socktype = hints->ai_socktype;
        l->hints.ai_protocol = hints->ai_protocol;
    }
    return &l->aw;
}
