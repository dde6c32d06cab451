/* What other threads and signal handlers wake a poll() with: an eventfd of the backend's. Nobody has to read it where an edge
 * is told, for each write is one. */
#ifndef EVEN__WAKE_H
#define EVEN__WAKE_H

int even__wake_open(void);      /* non-blocking, close-on-exec; -errno */
void even__wake_write(int fd);  /* from any thread, and from signal handlers: errno stays */
void even__wake_read(int fd);   /* where a level is told */

#endif
