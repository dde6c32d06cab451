/* What the multishot limits share: a ring of buffers for what comes in on any connection. */
#ifndef BENCH_BUFFERS_H
#define BENCH_BUFFERS_H

#include "uring.h"
#include <stdint.h>
#include <sys/mman.h>

/* Its includer's BUFFERS, a power of two, of BUFFER bytes. */
enum { GROUP = 1 };

static struct io_uring_buf_ring *buffers;
static char *memory;

static inline char *limit_buffer(unsigned id)
{
    return memory + (size_t)id * BUFFER;
}

static inline void limit_give_back(unsigned id)
{
    io_uring_buf_ring_add(buffers, limit_buffer(id), BUFFER, (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static inline void limit_buffers(void)
{
    buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    memory = malloc((size_t)BUFFERS * BUFFER);
    if (buffers == MAP_FAILED || !memory)
        limit_fail("buffers", errno);
    memset(memory, 0, (size_t)BUFFERS * BUFFER);    /* its pages' faults are no part of what is measured */
    struct io_uring_buf_reg reg = { .ring_addr = (uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP };
    int rc = io_uring_register_buf_ring(&ring, &reg, 0);
    if (rc < 0)
        limit_fail("io_uring_register_buf_ring", -rc);
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++)
        limit_give_back(i);
}

/* One multishot recv; its completions carry `data`. */
static inline void limit_receive(int fd, uint64_t data)
{
    struct io_uring_sqe *sqe = limit_sqe();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    io_uring_sqe_set_data64(sqe, data);
}

#endif
