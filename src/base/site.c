/* Code addresses in words: the line of the call that made a coroutine, for reports and for the narrator.
 *
 * Which file an address belongs to is asked of the dynamic linker, its line of libdw. A lookup costs milliseconds, and
 * the same addresses come again and again, so lines are kept in a small table that is fixed: it allocates nothing, and
 * forgets where it is full. libdw wants more than a task's stack (its line reader alone takes 100 KiB), so it runs on
 * a thread of its own.
 */
#include "base.h"
#include "fork.h"
#include "sys.h"
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef EVEN_HAVE_LIBDW
#include <elfutils/libdwfl.h>
#endif

/* The program or the shared library that holds an address. */
struct module {
    uintptr_t address, base;
    const char *path;       /* NULL: none; empty: the program itself */
};

static int look_at_module(struct dl_phdr_info *info, size_t size, void *data)
{
    struct module *m = data;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || m->address - (info->dlpi_addr + p->p_vaddr) >= p->p_memsz)
            continue;
        m->base = info->dlpi_addr;
        m->path = info->dlpi_name ? info->dlpi_name : "";
        return 1;
    }
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

#ifdef EVEN_HAVE_LIBDW

struct lookup {
    const void *site;
    bool done;
    int line;               /* 0: unknown */
    char file[EVEN__SITE_MAX];
};

/* Compilers other than gcc leave the index of addresses out; then every unit is asked. */
static Dwarf_Line *line_of(Dwfl *dwfl, Dwarf_Addr address)
{
    Dwfl_Module *module = dwfl_addrmodule(dwfl, address);
    if (!module)
        return NULL;
    Dwfl_Line *line = dwfl_module_getsrc(module, address);
    Dwarf_Addr bias;
    if (line)
        return dwfl_dwarf_line(line, &bias);
    for (Dwarf_Die *unit = NULL; (unit = dwfl_module_nextcu(module, unit, &bias));)
        if (dwarf_haspc(unit, address - bias) > 0)
            return dwarf_getsrc_die(unit, address - bias);
    return NULL;
}

static void *look_up(void *data)
{
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_build_id_find_debuginfo,     /* on this disk; the standard one may ask the network */
    };
    struct lookup *l = data;
    struct module m = { .address = (uintptr_t)l->site - 1 };    /* the call's last byte, not what follows it */
    char program[4096];
    dl_iterate_phdr(look_at_module, &m);
    if (!m.path)
        return NULL;
    if (!*m.path) {
        long n = even__sys(readlink("/proc/self/exe", program, sizeof program - 1));
        program[n > 0 ? n : 0] = 0;
        /* If it was removed meanwhile, the link itself still opens it. */
        m.path = n > 0 && access(program, R_OK) == 0 ? program : "/proc/self/exe";
    }
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (!dwfl)
        return NULL;
    l->done = true;
    dwfl_report_begin(dwfl);
    int number;
    Dwarf_Line *line;
    const char *file;
    if (dwfl_report_elf(dwfl, base_name(m.path), m.path, -1, m.base, true) && dwfl_report_end(dwfl, NULL, NULL) == 0 &&
        (line = line_of(dwfl, m.address)) && dwarf_lineno(line, &number) == 0 && number > 0 &&
        (file = dwarf_linesrc(line, NULL, NULL))) {
        snprintf(l->file, sizeof l->file, "%s", base_name(file));
        l->line = number;
    }
    dwfl_end(dwfl);
    return NULL;
}

static void look_up_on_own_stack(struct lookup *l)
{
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    if (even__fault_memory() || pthread_sigmask(SIG_BLOCK, &all, &old) != 0)
        return;
    if (pthread_create(&thread, NULL, look_up, l) == 0)     /* with blocked signals: handlers are not for it */
        pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

enum { SLOTS = 256, PROBES = 4 };
static struct slot {
    const void *site;       /* NULL: free */
    int line;
    char file[52];
} slots[SLOTS];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
EVEN__AT_FORK(.lock = &slots_lock);

static struct slot *slot_of(const void *site, unsigned probe)
{
    uint64_t state = (uintptr_t)site;
    return &slots[(even__random(&state) + probe) % SLOTS];
}

static bool recall(struct lookup *l)
{
    bool found = false;
    pthread_mutex_lock(&slots_lock);
    for (unsigned i = 0; i < PROBES && !found; i++) {
        const struct slot *s = slot_of(l->site, i);
        if ((found = s->site == l->site)) {
            l->line = s->line;
            snprintf(l->file, sizeof l->file, "%s", s->file);
        }
    }
    pthread_mutex_unlock(&slots_lock);
    return found;
}

static void remember(const struct lookup *l)
{
    if (strlen(l->file) >= sizeof slots[0].file)
        return;
    pthread_mutex_lock(&slots_lock);
    struct slot *s = slot_of(l->site, 0);           /* the one that goes, if all are taken */
    for (unsigned i = PROBES; i-- > 0;)
        if (!slot_of(l->site, i)->site)
            s = slot_of(l->site, i);
    s->site = l->site;
    s->line = l->line;
    memcpy(s->file, l->file, strlen(l->file) + 1);
    pthread_mutex_unlock(&slots_lock);
}

int even__site_line(const void *site, char *file, size_t size)
{
    struct lookup l = { .site = site };
    if (!site)
        return 0;
    if (!recall(&l)) {
        look_up_on_own_stack(&l);
        if (l.done)
            remember(&l);
    }
    if (l.line)
        snprintf(file, size, "%s", l.file);
    return l.line;
}

#else

int even__site_line(const void *site, char *file, size_t size)
{
    (void)site, (void)file, (void)size;
    return 0;
}

#endif

char *even__site_name(const void *site, char *out, size_t size)
{
    char file[EVEN__SITE_MAX];
    int saved = errno, line = even__site_line(site, file, sizeof file);
    if (line) {
        snprintf(out, size, "%s:%d", file, line);
    } else {
        struct module m = { .address = (uintptr_t)site - 1 };
        if (site)
            dl_iterate_phdr(look_at_module, &m);
        if (m.path)     /* the number is what addr2line wants */
            snprintf(out, size, "%s+0x%jx", *m.path ? base_name(m.path) : program_invocation_short_name,
                     (uintmax_t)(m.address - m.base));
        else
            snprintf(out, size, "%p", site);
    }
    errno = saved;
    return out;
}
