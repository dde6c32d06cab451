/* The load generator's TLS: OpenSSL on the socket itself. It reads ahead, so that a record costs one recv, not two. */
#include "load_tls.h"
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

static SSL_CTX *context;

static _Noreturn void fail_tls(const char *what)
{
    fprintf(stderr, "load: %s: ", what);
    ERR_print_errors_fp(stderr);
    fputc('\n', stderr);
    exit(1);
}

void *tls_connect(int fd)
{
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context)
            fail_tls("SSL_CTX_new");
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        signal(SIGPIPE, SIG_IGN);       /* OpenSSL writes without MSG_NOSIGNAL */
    }
    SSL *tls = SSL_new(context);
    if (!tls || SSL_set_fd(tls, fd) != 1 || SSL_connect(tls) != 1)
        fail_tls("the TLS handshake");
    return tls;
}

/* The result of a call that gave `n`. */
static ssize_t outcome(SSL *tls, int n, const char *what)
{
    if (n > 0)
        return n;
    int saved = errno;
    switch (SSL_get_error(tls, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: errno = saved ? saved : ECONNRESET; return -1;
    default: fail_tls(what);
    }
}

static int at_most(size_t size)
{
    return size < INT_MAX ? (int)size : INT_MAX;
}

ssize_t tls_send(void *tls, const void *data, size_t size)
{
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_write(tls, data, at_most(size)), "SSL_write");
}

ssize_t tls_recv(void *tls, void *data, size_t size)
{
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_read(tls, data, at_most(size)), "SSL_read");
}
