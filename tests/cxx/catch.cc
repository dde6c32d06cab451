// What a task has caught is its own while it waits inside of the catch block: `throw;` gives that, std::current_exception() too, and
// std::uncaught_exceptions() counts a task's own. The same for whoever runs the loop from a catch block.
#include <evenloop.h>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

struct body {
    even_awaitable base;
    int result;
    int number;
};

static even_kind catcher, unwinder, main_kind;
static int wrong;

static void expect(bool right, const char *what, int number)
{
    if (!right) {
        std::printf("task %d: %s\n", number, what);
        wrong++;
    }
}

static void nap(double seconds)
{
    even_int_aw *a = even_sleep(seconds);
    even_await_any(&a->base);
    even_unref(&a->base);
}

static body *self(even_awaitable *x) { return reinterpret_cast<body *>(x); }

static long catches(even_awaitable *x)
{
    const int n = self(x)->number;
    try {
        throw std::runtime_error(std::to_string(n));
    } catch (const std::exception &) {
        for (int i = 0; i < 5; i++) {
            nap(n % 3 * 0.001);
            try {
                throw;
            } catch (const std::exception &e) {
                expect(e.what() == std::to_string(n), "rethrows the exception of another task", n);
            }
            expect(std::current_exception() != nullptr, "has lost its exception", n);
        }
    }
    expect(std::current_exception() == nullptr, "has an exception that it did not catch", n);
    return self(x)->result = 0;
}

struct waits_while_unwound {
    int number;
    ~waits_while_unwound()
    {
        nap(0.001);
        expect(std::uncaught_exceptions() == 1, "does not know that it is unwound", number);
    }
};

static long unwinds(even_awaitable *x)
{
    const int n = self(x)->number;
    expect(std::uncaught_exceptions() == 0, "begins with the exception of another task", n);
    try {
        waits_while_unwound guard{n};
        throw n;
    } catch (int caught) {
        expect(caught == n, "catches the exception of another task", n);
    }
    expect(std::uncaught_exceptions() == 0, "is unwound still", n);
    return self(x)->result = 0;
}

static long runs_all(even_awaitable *x)
{
    enum { N = 12 };
    even_awaitable *tasks[N];
    expect(std::current_exception() == nullptr, "begins with the exception of whoever runs the loop", 0);
    for (int i = 0; i < N; i++) {
        body *b = self(even_awaitable_new(i % 2 ? &unwinder : &catcher));
        b->number = i + 1;
        tasks[i] = &b->base;
    }
    even_int_aw *all = even_gather_array(N, tasks, nullptr, sizeof(int), nullptr);
    even_await_any(&all->base);
    even_unref(&all->base);
    return self(x)->result = 0;
}

static even_kind kind(const char *name, long (*enter)(even_awaitable *))
{
    even_kind k{};
    k.name = name;
    k.size = sizeof(body);
    k.result_size = sizeof(int);
    k.result_class = EVEN_RESULT_INT;
    k.enter = enter;
    return k;
}

int main()
{
    catcher = kind("catcher", catches);
    unwinder = kind("unwinder", unwinds);
    main_kind = kind("main", runs_all);
    try {
        throw std::logic_error("mine");
    } catch (const std::exception &) {
        even_awaitable *x = even_awaitable_new(&main_kind);
        even_run_any(x, nullptr, EVEN_ABI);
        even_unref(x);
        try {
            throw;
        } catch (const std::exception &e) {
            expect(e.what() == std::string("mine"), "the loop has taken its runner's exception", 0);
        }
    }
    return wrong != 0;
}
