// A task throws and catches, over frames that have arrays.
#include <evenloop.h>
#include <cstring>

struct thrower {
    even_awaitable base;
    int result;
};

static int caught;

static __attribute__((noinline)) void throws(int depth)
{
    volatile char mine[500];
    memset(const_cast<char *>(mine), depth, sizeof mine);
    if (depth == 0)
        throw depth;
    throws(depth - 1);
    caught -= mine[0] != depth;
}

static long enter(even_awaitable *x)
{
    for (int i = 0; i < 20; i++) {
        try {
            throws(i);
        } catch (int) {
            caught++;
        }
        volatile char mine[9000];
        memset(const_cast<char *>(mine), i, sizeof mine);
    }
    return reinterpret_cast<thrower *>(x)->result = 0;
}

int main()
{
    static even_kind kind;
    kind.name = "thrower";
    kind.size = sizeof(thrower);
    kind.result_size = sizeof(int);
    kind.result_class = EVEN_RESULT_INT;
    kind.enter = enter;
    even_awaitable *x = even_awaitable_new(&kind);
    int rc = even_run_any(x, nullptr, EVEN_ABI);
    even_unref(x);
    return rc != 0 || caught != 20;
}
