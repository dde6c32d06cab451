/* A TCP echo server: echo HOST PORT. One coroutine a connection, and no buffer in it: what comes is sent from where it lies.
 * Serves until SIGINT, closes its connections, exits 0. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>
#include <stdlib.h>

async(int, echo, (even_stream *, s))
{
    const void *data;
    ssize_t n;

    while ((n = await(even_read_piece(s, &data))) > 0)
        if ((n = await(even_write_all(s, data, (size_t)n))) < 0)
            break;
    /* That a client is gone is no failure of the server's. */
    return n == -ECONNRESET || n == -EPIPE ? 0 : (int)n;
}

async(int, serve, (const char *, host), (int, port))
{
    even_server *server;
    try_await(even_start_server(&server, echo(EVEN_STREAM), host, port, .backlog = 4096));
    printf("listening on %s port %d\n", host, even_server_port(server));
    fflush(stdout);

    int rc = await(even_serve_forever(server));
    if (rc == -ECANCELED)
        even_uncancel(NULL);        /* SIGINT: this is the ordinary end */
    even_server_close_clients(server);
    await(even_server_wait_closed(server));
    even_server_free(server);
    return rc == -ECANCELED ? 0 : rc;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST PORT\n", argv[0]);
        return 2;
    }
    int rc = even_run(serve(argv[1], atoi(argv[2])));
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], even_strerror(rc));
        return 1;
    }
    return 0;
}
