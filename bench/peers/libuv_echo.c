/* The peer libuv in its best form: one buffer for all reads, and uv_try_write() first, so that a write that fits makes no
 * request and no trip through the loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char buffer[65536];

struct rest {
    uv_write_t request;
    char data[];
};

static void check(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(rc));
        exit(1);
    }
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

static void on_written(uv_write_t *request, int status)
{
    uv_handle_t *h = (uv_handle_t *)request->handle;
    if (status < 0 && !uv_is_closing(h))
        uv_close(h, on_closed);
    free(request->data);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h, (void)suggested;
    *buf = uv_buf_init(buffer, sizeof buffer);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    if (n == 0)
        return;
    uv_buf_t b = uv_buf_init(buf->base, (unsigned)n);
    int written = uv_try_write(s, &b, 1);
    if (written == n)
        return;
    if (written < 0 && written != UV_EAGAIN) {
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    size_t done = written > 0 ? (size_t)written : 0;
    struct rest *rest = malloc(sizeof *rest + (size_t)n - done);
    if (!rest)
        check(UV_ENOMEM, "malloc");
    memcpy(rest->data, buf->base + done, (size_t)n - done);
    rest->request.data = rest;
    b = uv_buf_init(rest->data, (unsigned)((size_t)n - done));
    check(uv_write(&rest->request, s, &b, 1, on_written), "uv_write");
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    if (status < 0 || !tcp) {
        free(tcp);
        return;
    }
    uv_tcp_init(server->loop, tcp);
    if (uv_accept(server, (uv_stream_t *)tcp) == 0)
        uv_read_start((uv_stream_t *)tcp, on_alloc, on_read);
    else
        uv_close((uv_handle_t *)tcp, on_closed);
}

int main(int argc, char **argv)
{
    uv_tcp_t server;
    struct sockaddr_in address;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts(uv_version_string());
        return 0;
    }
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST PORT\n", argv[0]);
        return 2;
    }
    check(uv_ip4_addr(argv[1], atoi(argv[2]), &address), argv[1]);
    check(uv_tcp_init(uv_default_loop(), &server), "uv_tcp_init");
    check(uv_tcp_bind(&server, (const struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&server, 4096, on_connection), "uv_listen");
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
