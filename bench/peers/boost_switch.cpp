// The peer Boost.Context: jump_fcontext() there and back, N times. `boost_switch N`.
#include "../gate.h"
#include <boost/context/detail/fcontext.hpp>
#include <boost/version.hpp>
#include <cstdlib>
#include <cstring>

namespace ctx = boost::context::detail;

static void there(ctx::transfer_t t)
{
    for (;;)
        t = ctx::jump_fcontext(t.fctx, t.data);
}

int main(int argc, char **argv)
{
    if (argc > 1 && std::strcmp(argv[1], "--version") == 0) {
        puts(BOOST_LIB_VERSION);
        return 0;
    }
    unsigned long long n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10000000;
    const std::size_t size = 65536;
    char *stack = static_cast<char *>(std::malloc(size));
    if (!stack)
        return 1;
    ctx::transfer_t t = { ctx::make_fcontext(stack + size, size, there), nullptr };
    for (int i = 0; i < 10000; i++)
        t = ctx::jump_fcontext(t.fctx, nullptr);
    gate_open();
    for (unsigned long long i = 0; i < n; i++)
        t = ctx::jump_fcontext(t.fctx, nullptr);
    gate_close(n, "");
    std::free(stack);
    return 0;
}
