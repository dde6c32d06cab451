# 2 "<evenloop/combine.h>"
/* The macros that make a new awaitable: gather, wait_for, shield, even_start_server. A part of async.h.
 *
 * The line above says that this is no header of the system, wherever it is installed: for those, gcc does not warn of
 * `wait_for(f(), 1);`, which lacks an await. Hence these macros alone stand here. In angle brackets, because ccache looks for
 * each file that such a line names; where one is missing, it preprocesses the program every time.
 */
#ifndef EVENLOOP_COMBINE_H
#define EVENLOOP_COMBINE_H

/* 1 to 16 entries, each an awaitable or into(&target, awaitable); a future whose value is its status. gather_n() takes any
 * number, 0 too. */
#define even_gather(...) EVEN__GATHER(NULL, __VA_ARGS__)
/* return_exceptions=True: int statuses[], one for each entry, take the failures, and the gather succeeds. */
#define even_gather_statuses(statuses, ...) EVEN__GATHER(statuses, __VA_ARGS__)
#define EVEN__GATHER(statuses, ...)                                                                                    \
    even_gather_entries((const even_gather_entry[EVEN__COUNT(__VA_ARGS__)]){                                           \
                            EVEN__CAT(EVEN__E, EVEN__COUNT(__VA_ARGS__))(__VA_ARGS__) },                               \
                        EVEN__COUNT(__VA_ARGS__), statuses)

/* The same over arrays: n awaitables of one type, and n results of theirs, or NULL. */
#define even_gather_n(n, objects, results) EVEN__GATHER_N(n, objects, results, NULL)
#define even_gather_n_statuses(statuses, n, objects, results) EVEN__GATHER_N(n, objects, results, statuses)
#define EVEN__GATHER_N(n, objects, results, statuses)                                                                  \
    even_gather_array(n, objects, results, EVEN__SIZE_OF_EACH(objects, results), statuses)

/* Both have the type of x. */
#define even_wait_for(x, seconds)                                                                                      \
    (EVEN__ARGUMENT((EVEN__TYPE_OF_SMALL("wait_for", x))(void *)even_wait_for_any(EVEN__BASE(x), seconds)))
#define even_shield(x) (EVEN__ARGUMENT((EVEN__TYPE_OF_SMALL("shield", x))(void *)even_shield_any(EVEN__BASE(x))))
/* What comes from the argument of a macro, clang takes for the program's own: it warns of a cast that nobody uses. */
#define EVEN__ARGUMENT(...) __VA_ARGS__

/* Options by name: even_start_server(&server, echo(EVEN_STREAM), NULL, 7000, .backlog = 1000, .reuse_port = true) */
#define even_start_server(server, handler, host, port, ...)                                                            \
    even_start_server_any(server, EVEN__CHECKED_BASE("even_start_server", handler), host, port,                        \
                          EVEN__OR_NULL(even_server_options, __VA_ARGS__))

#ifdef EVEN_SHORT_NAMES
#define gather(...) even_gather(__VA_ARGS__)
#define gather_statuses(...) even_gather_statuses(__VA_ARGS__)
#define gather_n(...) even_gather_n(__VA_ARGS__)
#define gather_n_statuses(...) even_gather_n_statuses(__VA_ARGS__)
#define wait_for(x, seconds) even_wait_for(x, seconds)
#define shield(x) even_shield(x)
#endif

#endif
