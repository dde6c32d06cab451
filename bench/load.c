/* The load: N connections, each of which sends SIZE bytes, waits for their echo, compares it, and sends again.
 *
 * It must cost less than the server that it measures, so it knows no abstraction: one thread, one epoll set,
 * edge-triggered, one send and one recv a round trip. The count of a phase is shared by all connections, so that all of
 * them are busy until its end, and the server is idle (its CPU time can be read) when the phase is over.
 */
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

enum { EVENTS = 512, SIZE_MAX_BYTES = 1 << 20 };

struct connection {
    int fd;
    bool busy;              /* a round trip is in progress */
    uint32_t sent, received;
    uint64_t number;        /* of the round trip: part of what is sent */
    int64_t began;
    unsigned char *out, *in;
};

static size_t connections = 50, size = 64;
static uint64_t warmup = 10000, count = 200000;
static double seconds;      /* of the measured phase; 0: `count` decides */
static bool progress, gate;

static struct connection *all;
static int epoll_fd;
static uint64_t begun, finished, target;
static int64_t deadline;    /* of the phase, or 0 */
static uint64_t next_number = 1;

/* Latencies: 32 steps for each power of two of nanoseconds, so within 3 %. */
static uint64_t histogram[64 * 32];

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
    unsigned power = v < 32 ? 0 : (unsigned)(63 - __builtin_clzll(v)) - 4;
    return power * 32 + (unsigned)(power ? (v >> (power - 1)) & 31 : v);
}

static double histogram_us(double share)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < sizeof histogram / sizeof *histogram; i++)
        total += histogram[i];
    uint64_t wanted = (uint64_t)((double)total * share);
    for (unsigned i = 0; i < sizeof histogram / sizeof *histogram; i++)
        if ((seen += histogram[i]) > wanted) {
            unsigned power = i / 32;
            double low = power ? (double)((uint64_t)(32 + i % 32) << (power - 1)) : i;
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
        ssize_t n = send(c->fd, c->out + c->sent, size - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN)
                return false;
            fail("send");
        }
        c->sent += (uint32_t)n;
    }
    return true;
}

/* True once the echo is whole. */
static bool receive_more(struct connection *c)
{
    while (c->received < size) {
        ssize_t n = recv(c->fd, c->in + c->received, size - c->received, 0);
        if (n < 0) {
            if (errno == EAGAIN)
                return false;
            fail("recv");
        }
        if (n == 0)
            fail_words("the server closed a connection");
        c->received += (uint32_t)n;
    }
    if (c->received > c->sent || memcmp(c->in, c->out, size) != 0)
        fail_words("the echo differs from what was sent");
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
            fail_words("no echo for 10 seconds");
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
        if (errno != ECONNREFUSED || attempt >= 500)
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
        c->out = malloc(2 * size);
        if (!c->out)
            fail("malloc");
        c->in = c->out + size;
        for (size_t k = 0; k < size; k++)
            c->out[k] = (unsigned char)(i * 31 + k);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
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
          "  -c, --count N         round trips to measure, over all connections (200000)\n"
          "  -s, --seconds S       measure for so long instead\n"
          "  -w, --warmup N        round trips before (10000)\n"
          "  -p, --progress        a line a second on standard error (as if it were a terminal)\n"
          "  -g, --gate            print \"ready\" and \"done ...\", and wait for a line after each\n",
          out);
}

static void options(int argc, char **argv)
{
    static const struct option longs[] = {
        { "connections", required_argument, NULL, 'n' }, { "size", required_argument, NULL, 'z' },
        { "count", required_argument, NULL, 'c' },       { "seconds", required_argument, NULL, 's' },
        { "warmup", required_argument, NULL, 'w' },      { "progress", no_argument, NULL, 'p' },
        { "gate", no_argument, NULL, 'g' },              { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int c;
    progress = isatty(2);
    while ((c = getopt_long(argc, argv, "n:z:c:s:w:pgh", longs, NULL)) != -1)
        switch (c) {
        case 'n': connections = number(optarg, "--connections", 1, 1000000); break;
        case 'z': size = number(optarg, "--size", 1, SIZE_MAX_BYTES); break;
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
        printf("done %llu seconds=%.3f p50_us=%.1f p99_us=%.1f load_us=%.2f\n", (unsigned long long)finished, took,
               histogram_us(0.5), histogram_us(0.99), each);
        fflush(stdout);
        wait_for_line();
    } else {
        printf("%llu round trips of %zu bytes on %zu connections in %.2f s, every echo compared:\n"
               "%.0f per second, latency p50 %.0f us, p99 %.0f us; the load itself used %.2f us of CPU for each\n",
               (unsigned long long)finished, size, connections, took, (double)finished / took, histogram_us(0.5),
               histogram_us(0.99), each);
    }
    return 0;
}
