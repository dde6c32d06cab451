/* The load: N connections, each of which sends SIZE bytes, waits for their echo, compares it, and sends again. A server may
 * answer with less than an echo (an upload's receipt: its first bytes), or with more (a body, whose bytes are known).
 *
 * It must cost less than the server that it measures, so it knows no abstraction: one thread, one epoll set,
 * edge-triggered, one send and one recv a round trip. The count of a phase is shared by all connections, so that all of
 * them are busy until its end, and the server is idle (its CPU time can be read) when the phase is over.
 */
#include "load_tls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, SIZE_MAX_BYTES = 64 << 20, CHUNK = 1 << 18 };

struct connection {
    int fd;
    bool busy;              /* a round trip is in progress */
    uint32_t sent, received;
    uint64_t number;        /* of the round trip: part of what is sent */
    int64_t began;
    void *tls;              /* or NULL */
    unsigned char *out;
};

static size_t connections = 50, size = 64;
static size_t echoed = SIZE_MAX, body;      /* the answer: so many bytes of what was sent, then so many of the pattern */
static bool encrypted;
static uint64_t warmup = 10000, count = 200000;
static double seconds;      /* of the measured phase; 0: `count` decides */
static bool progress, gate;

static struct connection *all;
static int epoll_fd;
static uint64_t begun, finished, target;
static int64_t deadline;    /* of the phase, or 0 */
static uint64_t next_number = 1;

/* A body's byte k is k modulo 256: so it can be compared wherever a piece of it begins. */
static unsigned char pattern[CHUNK + 256];

/* Latencies: 128 steps for each power of two of nanoseconds, so within 1 %. */
enum { STEP_BITS = 7, STEPS = 1 << STEP_BITS };
static uint64_t histogram[(64 - STEP_BITS + 1) * STEPS];

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void fail_words(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static unsigned histogram_index(uint64_t v)
{
    unsigned power = v < STEPS ? 0 : (unsigned)(63 - __builtin_clzll(v)) - STEP_BITS + 1;
    return power * STEPS + (unsigned)(power ? (v >> (power - 1)) & (STEPS - 1) : v);
}

static double histogram_us(double share)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < sizeof histogram / sizeof *histogram; i++)
        total += histogram[i];
    uint64_t wanted = (uint64_t)((double)total * share);
    for (unsigned i = 0; i < sizeof histogram / sizeof *histogram; i++)
        if ((seen += histogram[i]) > wanted) {
            unsigned power = i / STEPS;
            double low = power ? (double)((uint64_t)(STEPS + i % STEPS) << (power - 1)) : i;
            return low / 1e3;
        }
    return 0;
}

/* The bytes differ from one round trip to the next, and from one connection to another: eight of them are its number. */
static void begin(struct connection *c, int64_t now)
{
    c->busy = true;
    c->sent = c->received = 0;
    c->began = now;
    c->number = next_number++;
    memcpy(c->out, &c->number, size < sizeof c->number ? size : sizeof c->number);
    begun++;
}

static bool send_more(struct connection *c)
{
    while (c->sent < size) {
        const unsigned char *from = c->out + c->sent;
        ssize_t n = c->tls ? tls_send(c->tls, from, size - c->sent) : send(c->fd, from, size - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN)
                return false;
            fail("send");
        }
        c->sent += (uint32_t)n;
    }
    return true;
}

/* What came is the answer's next part. */
static void compare(struct connection *c, const unsigned char *part, size_t n)
{
    size_t of_echo = c->received < echoed ? echoed - c->received : 0;
    if (of_echo > n)
        of_echo = n;
    size_t at = c->received + of_echo - echoed;     /* in the body; looked at only if some of it is here */
    if (memcmp(part, c->out + c->received, of_echo) != 0 ||
        (of_echo < n && memcmp(part + of_echo, pattern + at % 256, n - of_echo) != 0))
        fail_words("the answer differs from what is due");
    c->received += (uint32_t)n;
}

/* True once the answer is whole. */
static bool receive_more(struct connection *c)
{
    static unsigned char chunk[CHUNK];
    while (c->received < echoed + body) {
        size_t left = echoed + body - c->received, most = left < CHUNK ? left : CHUNK;
        ssize_t n = c->tls ? tls_recv(c->tls, chunk, most) : recv(c->fd, chunk, most, 0);
        if (n < 0) {
            if (errno == EAGAIN)
                return false;
            fail("recv");
        }
        if (n == 0)
            fail_words("the server closed a connection");
        compare(c, chunk, (size_t)n);
    }
    if (c->sent < size)
        fail_words("the answer was whole before all was sent");
    return true;
}

static void step(struct connection *c)
{
    if (!c->busy)
        return;
    send_more(c);
    if (!receive_more(c))
        return;
    int64_t now = now_ns(CLOCK_MONOTONIC);
    histogram[histogram_index((uint64_t)(now - c->began))]++;
    finished++;
    c->busy = false;
    if (deadline ? now < deadline : begun < target) {
        begin(c, now);
        send_more(c);
    }
}

static void show_progress(int64_t start, int64_t *last, uint64_t *last_finished)
{
    int64_t now = now_ns(CLOCK_MONOTONIC);
    if (now - *last < 1000000000)
        return;
    fprintf(stderr, "%s%3.0f s: %9.0f round trips per second on %zu connections, p50 %.0f us, p99 %.0f us%s",
            isatty(2) ? "\r" : "", (double)(now - start) / 1e9,
            (double)(finished - *last_finished) * 1e9 / (double)(now - *last), connections, histogram_us(0.5),
            histogram_us(0.99), isatty(2) ? "  " : "\n");
    *last = now;
    *last_finished = finished;
}

/* Run until `round_trips` have been made, or for `duration` seconds, whichever is given. */
static void phase(uint64_t round_trips, double duration, bool show)
{
    int64_t start = now_ns(CLOCK_MONOTONIC), last = start;
    uint64_t last_finished = 0;
    begun = finished = 0;
    target = round_trips;
    deadline = duration > 0 ? start + (int64_t)(duration * 1e9) : 0;
    memset(histogram, 0, sizeof histogram);
    for (size_t i = 0; i < connections && (deadline || begun < target); i++) {
        begin(&all[i], now_ns(CLOCK_MONOTONIC));
        send_more(&all[i]);
    }
    while (finished < begun) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, 10000);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        if (n == 0)
            fail_words("no answer for 10 seconds");
        for (int i = 0; i < n; i++)
            step(events[i].data.ptr);
        if (show)
            show_progress(start, &last, &last_finished);
    }
    if (show && isatty(2))
        fputc('\n', stderr);
}

static int connect_to(const struct addrinfo *address)
{
    /* The server may still be starting. */
    for (int attempt = 0;; attempt++) {
        int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            fail("socket");
        if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
            return fd;
        if (errno != ECONNREFUSED || attempt >= 2000)
            fail("connect");
        close(fd);
        nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    }
}

static void open_all(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *address;
    int rc = getaddrinfo(host, port, &hints, &address);
    if (rc != 0)
        fail_words(gai_strerror(rc));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    all = calloc(connections, sizeof *all);
    if (epoll_fd < 0 || !all)
        fail("start");
    for (size_t i = 0; i < connections; i++) {
        struct connection *c = &all[i];
        c->fd = connect_to(address);
        c->out = malloc(size);
        if (!c->out)
            fail("malloc");
        for (size_t k = 0; k < size; k++)
            c->out[k] = (unsigned char)(i * 31 + k);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        c->tls = encrypted ? tls_connect(c->fd) : NULL;
        struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0)
            fail("epoll_ctl");
    }
    freeaddrinfo(address);
}

static void wait_for_line(void)
{
    int ch;
    while ((ch = getchar()) != '\n' && ch != EOF)
        ;
}

static uint64_t number(const char *text, const char *what, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || v < least || v > most) {
        fprintf(stderr, "load: %s: a number from %llu to %llu is wanted, not '%s'\n", what, (unsigned long long)least,
                (unsigned long long)most, text);
        exit(2);
    }
    return v;
}

static void usage(FILE *out)
{
    fputs("usage: load [options] HOST PORT\n"
          "Sends SIZE bytes on each of N connections, checks their echo, and sends again.\n"
          "  -n, --connections N   how many (50)\n"
          "  -z, --size BYTES      of a message (64)\n"
          "  -e, --echoed BYTES    how many bytes of it the answer begins with (all)\n"
          "  -b, --body BYTES      how many bytes follow: 0, 1, ... 255, 0, ... (0)\n"
          "  -c, --count N         round trips to measure, over all connections (200000)\n"
          "  -s, --seconds S       measure for so long instead\n"
          "  -w, --warmup N        round trips before (10000)\n"
          "  -p, --progress        a line a second on standard error (as if it were a terminal)\n"
          "  -g, --gate            print \"ready\" and \"done ...\", and wait for a line after each\n" TLS_USAGE,
          out);
}

static void options(int argc, char **argv)
{
    static const struct option longs[] = {
        { "connections", required_argument, NULL, 'n' }, { "size", required_argument, NULL, 'z' },
        { "count", required_argument, NULL, 'c' },       { "seconds", required_argument, NULL, 's' },
        { "warmup", required_argument, NULL, 'w' },      { "progress", no_argument, NULL, 'p' },
        { "gate", no_argument, NULL, 'g' },              { "help", no_argument, NULL, 'h' },
        { "echoed", required_argument, NULL, 'e' },      { "body", required_argument, NULL, 'b' },
        { "tls", no_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    int c;
    progress = isatty(2);
    while ((c = getopt_long(argc, argv, "n:z:e:b:c:s:w:pgth", longs, NULL)) != -1)
        switch (c) {
        case 'n': connections = number(optarg, "--connections", 1, 1000000); break;
        case 'z': size = number(optarg, "--size", 1, SIZE_MAX_BYTES); break;
        case 'e': echoed = number(optarg, "--echoed", 0, SIZE_MAX_BYTES); break;
        case 'b': body = number(optarg, "--body", 0, SIZE_MAX_BYTES); break;
        case 't': encrypted = true; break;
        case 'c': count = number(optarg, "--count", 1, UINT64_MAX / 2); break;
        case 's': seconds = (double)number(optarg, "--seconds", 1, 1000000); break;
        case 'w': warmup = number(optarg, "--warmup", 0, UINT64_MAX / 2); break;
        case 'p': progress = true; break;
        case 'g': gate = true; break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    if (argc - optind != 2) {
        usage(stderr);
        exit(2);
    }
    if (echoed > size)
        echoed = size;
    if (echoed + body == 0) {
        fputs("load: an answer has at least one byte\n", stderr);
        exit(2);
    }
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (unsigned char)i;
}

int main(int argc, char **argv)
{
    options(argc, argv);
    open_all(argv[optind], argv[optind + 1]);
    phase(warmup, 0, false);
    if (gate) {
        puts("ready");
        fflush(stdout);
        wait_for_line();
    }
    int64_t start = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    phase(count, seconds, progress && !gate);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    double each = (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3 / (double)(finished ? finished : 1);
    if (gate) {
        printf("done %llu seconds=%.3f p50_us=%.2f p99_us=%.2f load_us=%.2f\n", (unsigned long long)finished, took,
               histogram_us(0.5), histogram_us(0.99), each);
        fflush(stdout);
        wait_for_line();
    } else {
        printf("%llu round trips of %zu bytes on %zu connections in %.2f s, every answer compared:\n"
               "%.0f per second, latency p50 %.0f us, p99 %.0f us; the load itself used %.2f us of CPU for each\n",
               (unsigned long long)finished, size, connections, took, (double)finished / took, histogram_us(0.5),
               histogram_us(0.99), each);
    }
    return 0;
}
