/* Tasks in C++: a function object is the body of a coroutine, and a failure is an exception, from await() as from a body.
 * Two of these tasks wait at the same time, one fails, and one is cancelled. */
#include <evenloop.h>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <new>
#include <string>
#include <system_error>
#include <utility>

struct coroutine {
    even_awaitable base;
    int result;
    std::function<int()> *body;     /* memory that C gives runs no constructors: what has one is held by a pointer */
};

/* The library is C: no exception may leave a body. */
static long enter(even_awaitable *x)
{
    coroutine *c = reinterpret_cast<coroutine *>(x);
    try {
        c->result = (*c->body)();
    } catch (const std::system_error &e) {
        c->result = -e.code().value();
    } catch (...) {
        c->result = -EIO;
    }
    return c->result;
}

/* Called once in any case, also if the body was never run. */
static void drop(even_awaitable *x) { delete reinterpret_cast<coroutine *>(x)->body; }

static even_kind kind_of_coroutine()
{
    even_kind kind{};
    kind.name = "a C++ coroutine";
    kind.size = sizeof(coroutine);
    kind.result_size = sizeof(int);
    kind.result_class = EVEN_RESULT_INT;
    kind.enter = enter;
    kind.drop = drop;
    return kind;
}

static coroutine *make(std::function<int()> body)
{
    static const even_kind kind = kind_of_coroutine();
    auto *held = new std::function<int()>(std::move(body));
    auto *c = reinterpret_cast<coroutine *>(even_awaitable_new(&kind));
    if (!c) {
        delete held;
        throw std::bad_alloc();
    }
    c->body = held;
    return c;
}

static coroutine *start(std::function<int()> body)
{
    coroutine *c = make(std::move(body));
    even_create_task_any(&c->base, nullptr);
    return c;
}

template <class T> static auto await(T *x) -> decltype(x->result)
{
    const int status = even_await_any(&x->base);
    const auto result = x->result;
    even_unref(&x->base);
    if (status < 0)
        throw std::system_error(-status, std::generic_category(), even_strerror(status));
    return result;
}

struct says_when_it_ends {
    const char *what;
    ~says_when_it_ends() { std::printf("%s is unwound\n", what); }
};

static int run()
{
    std::string name = "tea";
    coroutine *tea = start([name] {
        await(even_sleep(0.02));
        std::printf("%s is ready\n", name.c_str());
        return 1;
    });
    coroutine *toast = start([]() -> int {
        await(even_sleep(0.01));
        throw std::system_error(EIO, std::generic_category(), "the toaster");
    });
    coroutine *roast = start([] {
        says_when_it_ends guard{"the roast"};
        return await(even_sleep(3600));
    });
    try {
        await(toast);
    } catch (const std::system_error &e) {
        std::printf("no toast: %s\n", even_errname(e.code().value()));
    }
    even_cancel_any(&roast->base);
    try {
        await(roast);
    } catch (const std::system_error &e) {
        std::printf("no roast: %s\n", even_errname(e.code().value()));
    }
    return await(tea) - 1;
}

int main() { return even_main_any(&make(run)->base, nullptr, EVEN_ABI); }
