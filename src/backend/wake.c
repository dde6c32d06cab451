/* The descriptor that wakes a poll(): see wake.h. */
#include "wake.h"
#include "../base/sys.h"
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int even__wake_open(void)
{
    return (int)even__sys(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

void even__wake_write(int fd)
{
    int saved = errno;
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);     /* can only fail when it is full, which wakes as well */
    errno = saved;
}

void even__wake_read(int fd)
{
    uint64_t value;
    (void)!read(fd, &value, sizeof value);
}
