/* Two streams of one loop send to and fro, N times: `bench_echo MODE N`. For counting instructions: both ends are in it, and the
 * network is not. Ends with 77 where the backend is not to be had.
 *
 *   read     64 bytes, and both ends read into a buffer of theirs
 *   piece    the same, but the server reads in the library's own buffer
 *   frames   100 bytes, of which both ends read 4 and then 96 */
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE = 64, HEAD = 4, FRAME = 100 };

static int failed(const char *what, ssize_t n)
{
    fprintf(stderr, "%s: %zd\n", what, n);
    return n < 0 ? (int)n : -EIO;
}

async(ssize_t, read_frame, (even_stream *, s), (char *, frame))
{
    ssize_t n = await(even_read_exactly(s, frame, HEAD));
    return n < 0 ? n : await(even_read_exactly(s, frame + HEAD, FRAME - HEAD));
}

async(int, serve_read, (even_stream *, s))
{
    char buffer[16 * 1024];
    ssize_t n;
    while ((n = await(even_read(s, buffer, sizeof buffer))) > 0)
        try_await(even_write_all(s, buffer, (size_t)n));
    return (int)n;
}

async(int, serve_pieces, (even_stream *, s))
{
    const void *data;
    ssize_t n;
    while ((n = await(even_read_piece(s, &data))) > 0)
        try_await(even_write_all(s, data, (size_t)n));
    return (int)n;
}

async(int, serve_frames, (even_stream *, s))
{
    char frame[FRAME];
    while (await(read_frame(s, frame)) > 0)
        try_await(even_write_all(s, frame, sizeof frame));
    return 0;
}

async(int, go_and_come, (even_stream *, s), (bool, frames), (int, n))
{
    char message[FRAME] = "", buffer[16 * 1024];
    for (int i = 0; i < n; i++) {
        ssize_t got;
        try_await(even_write_all(s, message, frames ? FRAME : MESSAGE));
        got = frames ? await(read_frame(s, buffer)) : await(even_read(s, buffer, sizeof buffer));
        if (got != (frames ? FRAME - HEAD : MESSAGE))
            return failed("a read", got);
    }
    return 0;
}

async(int, echo, (const char *, mode), (int, n))
{
    const bool frames = strcmp(mode, "frames") == 0;
    even_server *server;
    even_stream *s;
    if (frames)
        try_await(even_start_server(&server, serve_frames(EVEN_STREAM), "127.0.0.1", 0));
    else if (strcmp(mode, "piece") == 0)
        try_await(even_start_server(&server, serve_pieces(EVEN_STREAM), "127.0.0.1", 0));
    else
        try_await(even_start_server(&server, serve_read(EVEN_STREAM), "127.0.0.1", 0));
    try_await(even_open_connection(&s, "127.0.0.1", even_server_port(server)));
    int rc = await(go_and_come(s, frames, n));
    await(even_close(s));
    even_server_close(server);
    await(even_server_wait_closed(server));
    even_server_free(server);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s read|piece|frames N\n", argv[0]);
        return 2;
    }
    int rc = even_run(echo(argv[1], atoi(argv[2])));
    return rc == -EVEN_EBACKEND ? 77 : rc < 0 ? failed("echo", rc), 1 : 0;
}
