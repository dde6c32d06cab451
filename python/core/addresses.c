/* The addresses of a connection's two ends. */
#include "addresses.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* So many bytes of an address say all: its family comes first, and what ends an address of IPv4 means nothing. */
static size_t length_of(sa_family_t family)
{
    return family == AF_INET ? offsetof(struct sockaddr_in, sin_zero) : sizeof(struct sockaddr_in6);
}

static bool is_number(PyObject *o, unsigned long most, unsigned long *number)
{
    if (!PyLong_CheckExact(o))
        return false;
    *number = PyLong_AsUnsignedLong(o);
    if (!PyErr_Occurred())
        return *number <= most;
    PyErr_Clear();
    return false;
}

/* Python's tuple as an address of this family. False: it says something else, too. */
static bool parse(PyObject *tuple, sa_family_t family, union address *a)
{
    char text[INET6_ADDRSTRLEN];
    unsigned long port, flow, scope;
    const Py_ssize_t fields = family == AF_INET ? 2 : 4;
    if (!PyTuple_CheckExact(tuple) || PyTuple_GET_SIZE(tuple) != fields || !PyUnicode_CheckExact(PyTuple_GET_ITEM(tuple, 0)) ||
        !is_number(PyTuple_GET_ITEM(tuple, 1), UINT16_MAX, &port))
        return false;
    const char *host = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, 0));
    if (!host) {
        PyErr_Clear();
        return false;
    }
    if (family == AF_INET) {
        a->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        return inet_pton(AF_INET, host, &a->in.sin_addr) == 1;
    }
    if (!is_number(PyTuple_GET_ITEM(tuple, 2), UINT32_MAX, &flow) || !is_number(PyTuple_GET_ITEM(tuple, 3), UINT32_MAX, &scope))
        return false;
    a->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
                                    .sin6_flowinfo = htonl((uint32_t)flow), .sin6_scope_id = (uint32_t)scope };
    /* There are many ways to write one of IPv6. */
    return inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1 && inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof text) &&
           strcmp(host, text) == 0;
}

void *addresses_of(int fd, PyObject *peer)
{
    union address local = { 0 }, other = { 0 };
    socklen_t length = sizeof local;
    if (getsockname(fd, &local.any, &length) < 0 || (local.any.sa_family != AF_INET && local.any.sa_family != AF_INET6))
        return NULL;
    length = sizeof other;
    if (peer == Py_None ? getpeername(fd, &other.any, &length) < 0 || other.any.sa_family != local.any.sa_family
                        : !parse(peer, local.any.sa_family, &other))
        return NULL;
    const size_t each = length_of(local.any.sa_family);
    char *both = PyMem_Malloc(2 * each);
    if (both) {
        memcpy(both, &local, each);
        memcpy(both + each, &other, each);
    }
    return both;
}

void addresses_free(void *addresses)
{
    PyMem_Free(addresses);
}

/* As inet_ntop() writes it, but in a tenth of the time; gives the end of it. */
static char *write_ipv4(char *to, struct in_addr address)
{
    const unsigned char *bytes = (const unsigned char *)&address;
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *to++ = '.';
        if (bytes[i] >= 100)
            *to++ = (char)('0' + bytes[i] / 100);
        if (bytes[i] >= 10)
            *to++ = (char)('0' + bytes[i] / 10 % 10);
        *to++ = (char)('0' + bytes[i] % 10);
    }
    return to;
}

static PyObject *tuple_of_ipv4(const struct sockaddr_in *a)
{
    char text[INET_ADDRSTRLEN];
    PyObject *tuple = NULL, *host = PyUnicode_FromStringAndSize(text, write_ipv4(text, a->sin_addr) - text);
    PyObject *port = PyLong_FromLong(ntohs(a->sin_port));
    if (host && port)
        tuple = PyTuple_Pack(2, host, port);
    Py_XDECREF(host);
    Py_XDECREF(port);
    return tuple;
}

static PyObject *tuple_of(const void *bytes)
{
    char text[INET6_ADDRSTRLEN];
    union address a = { 0 };
    sa_family_t family;
    memcpy(&family, (const char *)bytes + offsetof(struct sockaddr, sa_family), sizeof family);
    memcpy(&a, bytes, length_of(family));
    if (family == AF_INET)
        return tuple_of_ipv4(&a.in);
    inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof text);
    return Py_BuildValue("siII", text, (int)ntohs(a.in6.sin6_port), (unsigned)ntohl(a.in6.sin6_flowinfo),
                         (unsigned)a.in6.sin6_scope_id);
}

PyObject *addresses_local(const void *addresses)
{
    return tuple_of(addresses);
}

PyObject *addresses_peer(const void *addresses)
{
    sa_family_t family;
    memcpy(&family, (const char *)addresses + offsetof(struct sockaddr, sa_family), sizeof family);
    return tuple_of((const char *)addresses + length_of(family));
}
