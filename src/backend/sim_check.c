/* What must hold of the simulated network between two polls. */
#include "sim_net.h"

/* Those that wait in a queue of a socket, added to *n; *canceled: one of them shall not wait any longer. */
static bool queue_is_valid(struct even__sim_socket *s, even_handle *queue, uint32_t *n, bool *canceled)
{
    if (!even__list_is_valid(s->loop, queue))
        return false;
    for (even_handle *h = queue->next; h != queue; h = h->next, ++*n) {
        const even_op *op = even__container_of(h, even_op, handle);
        if (op->loop != s->loop || op->fd != s->fd || (op->state != EVEN__OP_PENDING && op->state != EVEN__OP_CANCELING))
            return false;
        if (queue == &s->canceled ? op->state != EVEN__OP_CANCELING : even__sim_queue_of(s, op) != queue)
            return false;
        *canceled |= op->state == EVEN__OP_CANCELING;
    }
    return true;
}

static bool bytes_are_valid(const struct even__sim_socket *s)
{
    uint64_t on_the_way = 0;
    for (uint32_t i = 0; i < s->segments; i++)
        on_the_way += s->segment[(s->first_segment + i) % EVEN__SIM_SEGMENTS].bytes;
    return s->used == s->readable + on_the_way && s->used <= s->capacity && (s->segments > 0) == (s->arrival.index > 0);
}

static bool socket_is_valid(struct even__sim_state *sim, struct even__sim_socket *s)
{
    even_handle *queues[] = { &s->in, &s->out, &s->polls, &s->canceled };
    bool canceled = false;
    uint32_t n = 0;
    for (int i = 0; i < 4; i++)
        if (!queue_is_valid(s, queues[i], &n, &canceled))
            return false;
    return n == s->pending && (!canceled || s->active.next) && s->loop == sim->loop && !s->dead && bytes_are_valid(s) &&
           (!s->peer || s->peer->peer == s) && (s->fd < 0 || even__sim_find(sim, s->fd) == s);
}

static bool strays_are_valid(struct even__sim_state *sim, size_t *n)
{
    if (!even__list_is_valid(sim->loop, &sim->strays))
        return false;
    for (even_handle *h = sim->strays.next; h != &sim->strays; h = h->next, ++*n) {
        const even_op *op = even__container_of(h, even_op, handle);
        if (op->state != EVEN__OP_PENDING && op->state != EVEN__OP_CANCELING)
            return false;
    }
    return true;
}

bool even__sim_is_valid(even_loop *loop)
{
    struct even__sim_state *sim = even__sim_of(loop);
    uint32_t sockets = 0, numbers = 0;
    size_t n = 0;
    if (!even__list_is_valid(loop, &sim->all) || !even__list_is_valid(loop, &sim->active) || !strays_are_valid(sim, &n) ||
        !even__timers_are_valid(&sim->arrivals))
        return false;
    for (even_handle *h = sim->all.next; h != &sim->all; h = h->next, sockets++) {
        struct even__sim_socket *s = even__container_of(h, struct even__sim_socket, all);
        if (!socket_is_valid(sim, s))
            return false;
        numbers += s->fd >= 0;
        n += s->pending;
    }
    return n == loop->operations && sockets == sim->sockets && numbers + sim->free_fds == sim->fds &&
           sim->jobs >= 0 && !sim->current;
}
