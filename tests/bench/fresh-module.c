/* SPDX-License-Identifier: Apache-2.0 */
/* fresh-module MODULE.so ENTRY JSON [FIFO]: a process that preloads a module for itself, runs one
 * entry and prints its value; with FIFO it then waits until somebody has opened and closed the
 * other end. It is what every job would be without a forkserver, for ./quickstart to compare with.
 */

#include "forkd-module.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct ForkdCall {
        char unused;
};

__attribute__((visibility("default"))) int forkd_call_fail(ForkdCall *call, const char *code,
                                                           const char *format, ...) {
        va_list ap;

        (void)call;
        fprintf(stderr, "fresh-module: %s: ", code);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        return -ECANCELED;
}

__attribute__((visibility("default"))) int forkd_call_progress(ForkdCall *call, json_t *value) {
        (void)call;
        (void)value;
        return 0;
}

__attribute__((visibility("default"))) bool forkd_call_cancelled(ForkdCall *call) {
        (void)call;
        return false;
}

__attribute__((visibility("default"))) void forkd_module_keep_fd(int fd) {
        (void)fd;
}

static ForkdFunction entry_find(const ForkdModule *module, const char *name) {
        for (const ForkdEntry *e = module->entries; e->name; e++)
                if (strcmp(e->name, name) == 0)
                        return e->function;
        return NULL;
}

static int call_entry(const ForkdModule *module, const char *entry, json_t *arguments) {
        ForkdFunction function = entry_find(module, entry);
        ForkdCall call = { 0 };
        json_t *value = NULL;
        int r;

        if (!function)
                return -ENOENT;
        r = module->preload ? module->preload() : 0;
        if (r == 0 && module->worker_start)
                r = module->worker_start();
        if (r == 0)
                r = function(&call, arguments, &value);
        if (r < 0)
                return r;
        r = value ? json_dumpf(value, stdout, JSON_COMPACT) : fputs("{}", stdout);
        json_decref(value);
        putchar('\n');
        return r < 0 ? -EIO : 0;
}

static int wait_at(const char *fifo) {
        int fd = open(fifo, O_RDONLY | O_CLOEXEC);
        char byte;

        if (fd < 0)
                return -errno;
        while (read(fd, &byte, 1) > 0)
                ;
        close(fd);
        return 0;
}

int main(int argc, char **argv) {
        const ForkdModule *module;
        json_t *arguments;
        void *library;
        int r;

        if (argc < 4 || argc > 5) {
                fputs("usage: fresh-module MODULE.so ENTRY JSON [FIFO]\n", stderr);
                return 2;
        }
        arguments = json_loads(argv[3], JSON_REJECT_DUPLICATES, NULL);
        library = dlopen(argv[1], RTLD_NOW);
        module = library ? dlsym(library, "forkd_module") : NULL;
        if (!module || !json_is_object(arguments)) {
                fprintf(stderr, "fresh-module: %s\n",
                        module ? "the arguments are no JSON object" : dlerror());
                return 2;
        }
        r = call_entry(module, argv[2], arguments);
        json_decref(arguments);
        if (r == 0 && argc == 5)
                r = wait_at(argv[4]);
        if (r < 0)
                fprintf(stderr, "fresh-module: %s: %s\n", argv[2], strerror(-r));
        return r < 0;
}
