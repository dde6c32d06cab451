/* TCP: streams, servers, names.
 *
 *     async(int, hello)
 *     {
 *         even_stream *s;
 *         char line[512];
 *         try_await(even_open_connection(&s, "example.org", 7));
 *         ssize_t n = await(even_write_all(s, "hello\n", 6));
 *         if (n >= 0 && (n = await(even_read_until(s, line, sizeof line, "\n", 1))) >= 0)
 *             fwrite(line, 1, n, stdout);
 *         await(even_close(s));
 *         return n < 0 ? n : 0;
 *     }
 *
 *     async(int, echo, (even_stream *, s)) { ... }
 *
 *     async(int, serve)
 *     {
 *         even_server *server;
 *         try_await(even_start_server(&server, echo(EVEN_STREAM), "localhost", 7000, .backlog = 1000));
 *         int rc = await(even_serve_forever(server));
 *         even_server_free(server);
 *         return rc;
 *     }
 *
 * WHAT HOLDS FOR ALL OF THEM
 *
 * Suspending. A function that returns an awaitable suspends nothing: awaiting it does (it may also be done at once).
 *   The others never suspend.
 * Memory. Buffers are borrowed, not copied, until the await is over; so are `host`, `separator` and the place where a
 *   new object's pointer goes. Where there is no memory, the awaitable has failed with -ENOMEM.
 * Reading ahead. From its first read on, a stream takes what comes before anybody asks for it: small reads then cost
 *   no system call. It takes a bounded amount, mostly less than a megabyte; a peer that sends more waits until somebody
 *   reads. A stream that nobody has read from takes nothing, and one that is idle holds no buffer. A read that is
 *   answered by what has come is done at once, and lets nobody else run: thousands of small messages may be read in a
 *   row. Where that is too long, await even_sleep(0) now and then.
 * One at a time, each way. One task may read from a stream while another one writes to it. Of two that read at once the
 *   second one fails with -EBUSY and a report; likewise of two that write.
 * Failures. Those of the socket as they are: -ECONNRESET, -EPIPE (no signal comes with it), -ETIMEDOUT, ...; what broke
 *   the connection is told to each later read and write too, to reads behind the bytes that had come before. -EBADF,
 *   with a report, for a stream that was closed; -ECANCELED for a read or write in progress on a stream that is being
 *   closed.
 * Cancelling. When a cancelled await returns, nothing uses the buffer any more. What had succeeded stands: it is the
 *   result, and the cancel comes at the next await. So nothing that came is lost, unless a function says so.
 * Ownership. A stream is its maker's, until even_close(); one that a server made is its handler's, until the handler
 *   returns: the server closes it then. So does the end of even_run() with servers that still listen. A server is its
 *   maker's until even_server_free().
 */
#ifndef EVENLOOP_IO_H
#define EVENLOOP_IO_H

#include <evenloop/await.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A connection: bytes in order, both ways. (asyncio.StreamReader and StreamWriter in one) */
typedef struct even_stream even_stream;
/* What listens, and the connections that it took. (asyncio.Server) */
typedef struct even_server even_server;

#define EVEN__ONCE __attribute__((warn_unused_result))

/* ---- Reading --------------------------------------------------------------------------------------------- */

/* Wait until something has come, and take up to n bytes of it, at most INT32_MAX. The result: how many; 0 at the end
 * of the stream (and for n == 0). Cancelling loses nothing. (StreamReader.read(n)) */
EVEN_API even_ssize_aw *even_read(even_stream *s, void *buffer, size_t n) EVEN__ONCE;

/* Wait until something has come, and get a piece of it where it lies, in the library's own memory: *data is set to it,
 * and the result is its length; 0 at the end of the stream. The bytes are yours until the next read from the stream, or
 * its close, over awaits, too. So no buffer is needed, and a connection that is idle holds none. Cancelling loses nothing.
 * (asyncio has no such thing; BufferedProtocol is the nearest)
 *
 *     while ((n = await(even_read_piece(s, &data))) > 0)
 *         try_await(even_write_all(s, data, (size_t)n)); */
EVEN_API even_ssize_aw *even_read_piece(even_stream *s, const void **data) EVEN__ONCE;

/* Read n bytes; the result is n. -EVEN_EINCOMPLETE if the stream ends before. When it fails or is cancelled, what had
 * come stays in the stream, and the next read takes it first; `buffer` may have been written to. (Should there be no
 * memory to keep it, it is lost, and the failure is -ENOMEM.) (StreamReader.readexactly, whose exception carries what
 * stays in the stream here) */
EVEN_API even_ssize_aw *even_read_exactly(even_stream *s, void *buffer, size_t n) EVEN__ONCE;

/* Read up to and including the first `separator`; the result is how many bytes that is. -EVEN_ELIMIT if it does not end
 * within `capacity` bytes, -EVEN_EINCOMPLETE if the stream ends before it, -EINVAL for an empty separator. When it
 * fails or is cancelled, all that had come stays in the stream, and `buffer` is untouched. What comes behind the
 * separator waits in the stream for the next read. (StreamReader.readuntil) */
EVEN_API even_ssize_aw *even_read_until(even_stream *s, void *buffer, size_t capacity, const void *separator,
                                        size_t separator_length) EVEN__ONCE;

/* ---- Writing --------------------------------------------------------------------------------------------- */

/* Wait until the socket takes something, and give it up to n bytes, at most INT32_MAX. The result: how many, which may
 * be fewer than n. Cancelling loses nothing: the result says what was taken. (write(2); asyncio has no such thing) */
EVEN_API even_ssize_aw *even_write(even_stream *s, const void *buffer, size_t n) EVEN__ONCE;

/* Write all n bytes; the result is n. When it fails or is cancelled before the last byte, part of them may have been
 * sent, and how many is lost: all that is left to do is to close the stream. (StreamWriter.write, then drain) */
EVEN_API even_ssize_aw *even_write_all(even_stream *s, const void *buffer, size_t n) EVEN__ONCE;

/* No more writing: the peer reads the end of the stream, once it has read what was written. Reading goes on. Never
 * suspends. -EBUSY while a task writes. (StreamWriter.write_eof) */
EVEN_API even_int_aw *even_shutdown(even_stream *s) EVEN__ONCE;

/* ---- A stream's end, and what it is ------------------------------------------------------------------------ */

/* Close the stream, and free it with the await; the result is 0. The call itself begins to close: reads and writes of
 * other tasks in progress end with -ECANCELED, then the descriptor is closed. That cannot be cancelled (a cancel comes
 * at the next await), needs no memory and does not fail; -EBADF, with a report, if the stream was closed before. Bytes
 * that came and were not read are lost; where the kernel still has some of them, the close resets the connection. NULL
 * is allowed. What is still open when
 * even_run() ends is reported and closed. (StreamWriter.close, then wait_closed) */
EVEN_API even_int_aw *even_close(even_stream *s) EVEN__ONCE;

/* The address of the other end, or of this one. `length` is set, no input. 0 or a negative errno.
 * (get_extra_info("peername"), get_extra_info("sockname")) */
EVEN_API int even_peer_name(even_stream *s, struct sockaddr_storage *address, socklen_t *length);
EVEN_API int even_local_name(even_stream *s, struct sockaddr_storage *address, socklen_t *length);

/* The descriptor, for setsockopt() and the like. It stays the stream's. Whoever receives from it by other means gets
 * what the stream has not taken: all, if nobody has read from the stream. Under `sim` it is no descriptor of the
 * kernel's. (get_extra_info("socket")) */
EVEN_API int even_stream_fd(const even_stream *s);

/* ---- Connecting ---------------------------------------------------------------------------------------------- */

/* Connect to `host` (a name or an address; NULL: this machine) and `port` (0..65535); the result is 0, and *stream the
 * new stream, with TCP_NODELAY set. The addresses of a name are tried in turn, families alternating; each one has 250
 * ms before the next one is tried beside it, and the first that answers wins (RFC 8305). Failures: -EVEN_EAI_*, that
 * of the first address that failed (-ECONNREFUSED, ...), -EINVAL for the port. Cancelled: nothing stays open.
 * (asyncio.open_connection, with happy_eyeballs_delay=0.25) */
EVEN_API even_int_aw *even_open_connection(even_stream **stream, const char *host, int port) EVEN__ONCE;

/* ---- Serving --------------------------------------------------------------------------------------------------- */

#ifdef __GNUC__
#pragma GCC system_header   /* what is wrong in a use of this macro is then reported at the user's line */
#endif

/* Stands for the connection's stream where a handler is written down as a call: echo(EVEN_STREAM). Anywhere else it is a stream
 * that is closed, and a report says so. */
#define EVEN_STREAM (&even__stream_placeholder)
EVEN_API extern even_stream even__stream_placeholder;

typedef struct even_server_options {
    int backlog;            /* connections that wait to be accepted, as listen(2) takes it; 0: 100 */
    bool reuse_port;        /* SO_REUSEPORT: several servers share the port */
    size_t stack_size;      /* bytes of a handler's stack, as even_task_options; 0: 64 KiB */
} even_server_options;

/* Listen on `host` and `port`, on each address that the name has (NULL: all interfaces, IPv4 and IPv6), and accept
 * from now on; the result is 0 and *server the new server. Port 0: any free one, the same for all addresses;
 * even_server_port() tells which. `handler` is a coroutine object that serves as a template: for each connection a
 * task is made that runs a copy, in which EVEN_STREAM among the arguments is the stream. The template is taken, and is
 * never run itself; what its other arguments point to must stay until the server has ended.
 * A handler that returns without even_close(): the server closes its stream. A handler's failure, unless it is
 * -ECANCELED, is reported. While descriptors or memory are short, accepting rests for a second at a time.
 * Failures: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EVEN_EAI_*, -EINVAL for the port. Cancelled: nothing stays open.
 * (asyncio.start_server)
 *
 * GNU C writes it with its options by name:
 *     await(even_start_server(&server, echo(EVEN_STREAM), NULL, 7000, .backlog = 1000, .reuse_port = true)) */
EVEN_API even_int_aw *even_start_server_any(even_server **server, even_awaitable *handler, const char *host, int port,
                                            const even_server_options *options) EVEN__ONCE;

/* Stop accepting. Connections go on. Again: nothing. The port is free when even_server_wait_closed() has come back.
 * (Server.close) */
EVEN_API void even_server_close(even_server *server);

/* Cancel the handlers of all connections; their streams are closed when they have ended. (Server.close_clients) */
EVEN_API void even_server_close_clients(even_server *server);

/* Wait until the server was closed, its handlers have ended, and all its descriptors are closed; the result is 0. Any
 * number of tasks may wait. Cancelling loses nothing. (Server.wait_closed) */
EVEN_API even_int_aw *even_server_wait_closed(even_server *server) EVEN__ONCE;

/* Serve until cancelled: that closes the server, but not its connections, and the listening sockets are closed when the
 * await gives -ECANCELED. 0 if somebody else closed the server. (Server.serve_forever) */
EVEN_API even_int_aw *even_serve_forever(even_server *server) EVEN__ONCE;

/* The address of the first listening socket; its port. 0, or the port; -EBADF once it is closed; -EVEN_ESPENT, with a report,
 * after even_server_free(). (Server.sockets) */
EVEN_API int even_server_name(even_server *server, struct sockaddr_storage *address, socklen_t *length);
EVEN_API int even_server_port(even_server *server);

/* Connections whose handlers have not ended, or whose streams are not closed yet. */
EVEN_API size_t even_server_connections(const even_server *server);

/* Give the server up, closing it first if need be: its memory goes when its last connection has ended. Nobody may be
 * waiting in even_server_wait_closed() or even_serve_forever(). NULL is allowed. */
EVEN_API void even_server_free(even_server *server);

/* ---- Names ------------------------------------------------------------------------------------------------------- */

struct addrinfo;

/* getaddrinfo(3); the result is 0, and *list what even_freeaddrinfo() frees. An address written as one, with a port in
 * digits, is translated at once; all else asks the C library, in another thread. `host` and `service` are copied
 * when the await begins, `hints` (may be NULL) already by the call. Failures: -EVEN_EAI_*, negative errnos; -EAGAIN if there
 * is no thread and none can be made. Cancelled: the await returns at once, the thread's answer is dropped. Four names are
 * asked for at a time, the others wait. One that was given up, or takes longer than a second, no longer counts, unless 32
 * are being asked for in all. Under `sim` only addresses and "localhost" have an answer, all else is -EVEN_EAI_NONAME.
 * (loop.getaddrinfo) */
EVEN_API even_int_aw *even_getaddrinfo(struct addrinfo **list, const char *host, const char *service,
                                       const struct addrinfo *hints) EVEN__ONCE;
EVEN_API void even_freeaddrinfo(struct addrinfo *list);

#ifdef __cplusplus
}
#endif
#endif
