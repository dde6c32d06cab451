/* TLS for the load generator, where OpenSSL is here. */
#ifndef BENCH_LOAD_TLS_H
#define BENCH_LOAD_TLS_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#ifdef BENCH_TLS
#define TLS_USAGE "  -t, --tls             over TLS; the server's certificate is not looked at\n"

/* Shakes hands over a connected, blocking socket; exits where that fails. */
void *tls_connect(int fd);

/* As send() and recv() do on a socket that does not block. */
ssize_t tls_send(void *tls, const void *data, size_t size);
ssize_t tls_recv(void *tls, void *data, size_t size);

#else
#define TLS_USAGE ""

static inline void *tls_connect(int fd)
{
    (void)fd;
    fputs("load: built without OpenSSL, so it knows no TLS\n", stderr);
    exit(2);
}

static inline ssize_t tls_send(void *tls, const void *data, size_t size)
{
    (void)tls, (void)data, (void)size;
    return -1;
}

static inline ssize_t tls_recv(void *tls, void *data, size_t size)
{
    (void)tls, (void)data, (void)size;
    return -1;
}
#endif

#endif
