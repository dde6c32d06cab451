/* What a negative number means.
 *
 * Every failure is a negative errno, or one of the codes below: numbers that no errno uses, all of them
 * within -4095..-1, so that one test, `rc < 0`, finds every failure.
 */
#ifndef EVENLOOP_ERROR_H
#define EVENLOOP_ERROR_H

#if defined(__GNUC__)
#define EVEN_API __attribute__((visibility("default")))
#else
#define EVEN_API
#endif

/* X(name, number, words). Misuse of the library first, then what getaddrinfo() may say. */
#define EVEN_ERRORS(X)                                                                                        \
    X(EVEN_ENOTASK, 3501, "await outside a task")                                                             \
    X(EVEN_ENOLOOP, 3502, "no loop is running in this thread")                                                \
    X(EVEN_ERUNNING, 3503, "the loop is already running")                                                     \
    X(EVEN_ECLOSED, 3504, "the loop is closed")                                                               \
    X(EVEN_ESPENT, 3505, "the object was awaited before and is spent")                                        \
    X(EVEN_EAWAITED, 3506, "the object is already being awaited")                                             \
    X(EVEN_ESELF, 3507, "a task cannot await itself")                                                         \
    X(EVEN_ESTATE, 3508, "the result was already set")                                                        \
    X(EVEN_ETHREAD, 3509, "this belongs to another thread")                                                   \
    X(EVEN_ESTUCK, 3510, "a task did not end when it was asked to, and was given up")                         \
    X(EVEN_EABI, 3511, "the program was compiled with a header of another ABI than the library's")            \
    X(EVEN_EBACKEND, 3512, "no such backend, or not here")                                                    \
    X(EVEN_EFORK, 3513, "the loop belongs to the parent process")                                             \
    X(EVEN_ESTOPPED, 3514, "the loop was stopped before the task was done")                                   \
    X(EVEN_EINCOMPLETE, 3515, "the stream ended before all that was asked for had come")                      \
    X(EVEN_ELIMIT, 3516, "the separator did not come within the limit")                                       \
    X(EVEN_EDEADLOCK, 3517, "nothing is left that could wake the task")                                       \
    X(EVEN_EOTHERLOOP, 3518, "the object is pending in another loop")                                         \
    X(EVEN_EAI_ADDRFAMILY, 3001, "the name has no address of this family")                                    \
    X(EVEN_EAI_AGAIN, 3002, "temporary failure of the name resolution")                                       \
    X(EVEN_EAI_BADFLAGS, 3003, "bad flags for the name resolution")                                           \
    X(EVEN_EAI_FAIL, 3004, "permanent failure of the name resolution")                                        \
    X(EVEN_EAI_FAMILY, 3005, "address family not supported")                                                  \
    X(EVEN_EAI_NODATA, 3006, "the name has no address")                                                       \
    X(EVEN_EAI_NONAME, 3007, "unknown name or service")                                                       \
    X(EVEN_EAI_SERVICE, 3008, "service not available for this type of socket")                                \
    X(EVEN_EAI_SOCKTYPE, 3009, "type of socket not supported")

enum {
#define EVEN__X(name, number, words) name = number,
    EVEN_ERRORS(EVEN__X)
#undef EVEN__X
};

#ifdef __cplusplus
extern "C" {
#endif

/* The words for a failure: of ours, or of errno. `rc` may be given negative or positive. Never NULL; the text of
 * an unknown number names it. Valid until the thread's next call. Follows strerror(3). */
EVEN_API const char *even_strerror(int rc);

/* The name of a failure, "ECONNRESET" or "EVEN_ESPENT"; "?" for an unknown number. */
EVEN_API const char *even_errname(int rc);

#ifdef __cplusplus
}
#endif
#endif
