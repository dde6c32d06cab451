/* Loads plugin.c, which is linked with the shared library, and unloads it while a thread of the library still asks for a name:
 * the thread's code may not go away under it. */
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sem_t answer, freed;

int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict list)
{
    static struct sockaddr address = { .sa_family = AF_INET };
    static struct addrinfo info = { .ai_family = AF_INET, .ai_addr = &address, .ai_addrlen = sizeof address };
    (void)host, (void)service, (void)hints;
    while (sem_wait(&answer) < 0)
        ;
    *list = &info;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
    sem_post(&freed);
}

int main(int argc, char **argv)
{
    int (*run)(void);
    void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!plugin) {
        puts(dlerror());
        return 1;
    }
    sem_init(&answer, 0, 0);
    sem_init(&freed, 0, 0);
    *(void **)&run = dlsym(plugin, "plugin_run");
    if (run() != 0) {
        puts("the plugin's run failed");
        return 1;
    }
    dlclose(plugin);
    sem_post(&answer);
    while (sem_wait(&freed) < 0)
        ;
    return 0;
}
