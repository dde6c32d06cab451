/* Makes the Nth system call or allocation of a process fail, in builds with EVEN_FAULTS; elsewhere all of this is nothing.
 *
 * EVENLOOP_FAIL_SYSCALL=N and EVENLOOP_FAIL_MEMORY=N say which, for any program; the test runner says it by a call. */
#ifndef EVEN__FAULTS_H
#define EVEN__FAULTS_H

enum even__fault_kind { EVEN__FAULT_SYSCALL, EVEN__FAULT_MEMORY };

#ifdef EVEN_FAULTS
/* Count from here, and let the Nth call of this kind fail; 0: none. Its text goes to `note`, if that is not NULL, at once,
 * so that it is known even if the process does not live to tell. */
enum { EVEN__FAULT_NOTE = 160 };
void even__fault_arm(enum even__fault_kind kind, unsigned long nth, char *note);
/* Calls of this kind since then. */
unsigned long even__fault_count(enum even__fault_kind kind);
/* The text of the call that was made to fail, or NULL. */
const char *even__fault_fired(void);
#else
enum { EVEN__FAULT_NOTE = 160 };
static inline void even__fault_arm(enum even__fault_kind kind, unsigned long nth, char *note)
{
    (void)kind, (void)nth, (void)note;
}
static inline unsigned long even__fault_count(enum even__fault_kind kind) { return (void)kind, 0; }
static inline const char *even__fault_fired(void) { return (const char *)0; }
#endif

#endif
