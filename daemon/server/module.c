/* SPDX-License-Identifier: Apache-2.0 */

/* Modules and their entries. A ModuleSet belongs to the host that loaded it (forkd, forkd-server, a
 * program in forkd_serve()) and lives as long as the process, and in its workers. The handles of
 * dlopen() are never closed, as pointers into preloaded code may be anywhere. */

#include "module.h"

#include "child.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdarg.h>

#define ENTRY_NAME_MAX 63
#define KEEP_MAX       64

typedef struct Kept {
        int *fds; /* ascending, as descriptors are closed in ranges between them */
        size_t n;
} Kept;

struct ModuleSet {
        const ForkdModule **modules;
        size_t n;
        Kept kept;
};

/* forkd_module_keep_fd() has no context: the set that is being loaded, or NULL; then a program
 * declares what it keeps, before it calls forkd_serve(). */
static ModuleSet *the_loading;
static Kept the_kept;

/* What forkd_module_arguments() returns. */
static json_t *the_arguments;

static int _printf_(2, 3) module_failed(char **ret_reason, const char *format, ...) {
        char *reason;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&reason, format, ap);
        va_end(ap);
        if (r < 0)
                return -ENOMEM;
        *ret_reason = reason;
        return MODULES_E_FAILED;
}

void forkd_module_keep_fd(int fd) {
        Kept *kept = the_loading ? &the_loading->kept : &the_kept;
        int *fds;
        size_t i;

        if (fd <= STDERR_FILENO)
                return;
        fds = reallocarray(kept->fds, kept->n + 1, sizeof(int));
        if (!fds)
                return; /* then the descriptor is undeclared, and the safety check names it */
        kept->fds = fds;

        for (i = kept->n; i > 0 && fds[i - 1] >= fd; i--)
                if (fds[i - 1] == fd)
                        return;
        memmove(fds + i + 1, fds + i, (kept->n - i) * sizeof(int));
        fds[i] = fd;
        kept->n++;
}

static bool text_ends_with(const char *text, const char *end) {
        size_t n = strlen(text), m = strlen(end);

        return n >= m && streq(text + n - m, end);
}

/* A bare name is looked for in the folders of path, then in that of installed modules. */
static int module_find_file(const char *name, const char *path, char **ret, char **ret_reason) {
        const char *p = path;

        if (strchr(name, '/')) {
                *ret = strdup(name);
                return *ret ? 0 : -ENOMEM;
        }
        while (p && *p) {
                size_t length = strcspn(p, ":");
                char *file;

                if (asprintf(&file, "%.*s/%s.so", (int)length, p, name) < 0)
                        return -ENOMEM;
                if (length > 0 && access(file, F_OK) == 0) {
                        *ret = file;
                        return 0;
                }
                free(file);
                p += length + (p[length] == ':');
        }
        if (asprintf(ret, "%s/%s.so", FORKD_MODULE_DIR, name) < 0)
                return -ENOMEM;
        if (access(*ret, F_OK) == 0)
                return 0;
        free(*ret);
        *ret = NULL;
        return module_failed(ret_reason, "module '%s': there is no %s.so in %s%s%s%s", name, name,
                             path ?: "", path && *path ? " or " : "", FORKD_MODULE_DIR,
                             text_ends_with(name, ".so") ? "; a file is named with a slash in its path"
                                                         : "");
}

static bool entry_name_valid(const char *name) {
        size_t n = 0;

        if (!isalpha((unsigned char)name[0]))
                return false;
        while (name[n] && (isalnum((unsigned char)name[n]) || name[n] == '_' || name[n] == '-'))
                n++;
        return name[n] == '\0' && n <= ENTRY_NAME_MAX;
}

static int module_check(const ModuleSet *set, const ForkdModule *module, const char *file,
                        char **ret_reason) {
        if (module->abi != FORKD_MODULE_ABI)
                return module_failed(
                        ret_reason,
                        "module '%s' was built for version %u of the module interface, "
                        "this is version %d: build it again with our forkd-module.h",
                        file, module->abi, FORKD_MODULE_ABI);
        if (!module->name || !*module->name)
                return module_failed(ret_reason, "module '%s' has no name: set .name", file);
        if (!module->entries || !module->entries[0].name)
                return module_failed(ret_reason,
                                     "module '%s' has no entries: list at least one in .entries",
                                     file);

        for (const ForkdEntry *e = module->entries; e->name; e++) {
                const ForkdModule *other = NULL;

                if (!entry_name_valid(e->name))
                        return module_failed(
                                ret_reason,
                                "module '%s' has an entry named '%s': a name is a letter, then "
                                "letters, digits, '_' and '-', at most %d in all",
                                file, e->name, ENTRY_NAME_MAX);
                if (!e->function)
                        return module_failed(ret_reason,
                                             "module '%s': its entry '%s' has no function", file,
                                             e->name);
                for (const ForkdEntry *f = module->entries; f != e; f++)
                        if (streq(f->name, e->name))
                                return module_failed(ret_reason,
                                                     "module '%s' has the entry '%s' twice", file,
                                                     e->name);
                if (modules_find(set, e->name, &other))
                        return module_failed(
                                ret_reason,
                                "module '%s' has an entry '%s', but so does the module "
                                "'%s' before it: names of entries are used once",
                                file, e->name, other->name);
        }
        return 0;
}

static int modules_add(ModuleSet *set, const ForkdModule *module) {
        const ForkdModule **modules = reallocarray(set->modules, set->n + 1, sizeof(*modules));

        if (!modules)
                return -ENOMEM;
        set->modules = modules;
        modules[set->n++] = module;
        return 0;
}

static int module_load(ModuleSet *set, const char *name, const char *path, char **ret_reason) {
        _cleanup_(freep) char *file = NULL;
        const ForkdModule *module;
        void *handle;
        int r;

        r = module_find_file(name, path, &file, ret_reason);
        if (r != 0)
                return r;
        handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
                return module_failed(ret_reason, "module '%s' cannot be loaded: %s", file,
                                     dlerror());
        module = dlsym(handle, "forkd_module");
        if (!module)
                return module_failed(
                        ret_reason,
                        "module '%s' is none: it does not define the symbol forkd_module", file);
        r = module_check(set, module, file, ret_reason);
        if (r != 0)
                return r;

        r = module->preload ? module->preload() : 0;
        if (r < 0)
                return module_failed(ret_reason, "module '%s': its preload failed: %s", file,
                                     strerror(-r));
        if (r > 0)
                return module_failed(ret_reason,
                                     "module '%s': its preload failed with %d, which is neither 0 "
                                     "nor a negative errno",
                                     file, r);
        return modules_add(set, module);
}

/* Occupies the numbers that the channel and the token get in workers, so that no module declares
 * them. */
static void reserve_descriptors(int reserved[static 2]) {
        for (int i = 0; i < 2; i++) {
                reserved[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (reserved[i] > CHILD_TOKEN_FD)
                        reserved[i] = close_fd(reserved[i]);
        }
}

static int modules_check_kept(const ModuleSet *set, char **ret_reason) {
        if (set->kept.n <= KEEP_MAX)
                return 0;
        return module_failed(ret_reason, "the modules keep %zu descriptors open, more than %d",
                             set->kept.n, KEEP_MAX);
}

int modules_load_from(ModuleSet **ret, char *const *names, const char *path, char **ret_reason) {
        _cleanup_(modules_freep) ModuleSet *set = calloc(1, sizeof(ModuleSet));
        int reserved[2], r = 0;

        if (!set)
                return -ENOMEM;
        /* nobody has read any, so there are none: not even what a job of ours has in its
         * environment */
        if (!the_arguments && !(the_arguments = json_object()))
                return -ENOMEM;

        reserve_descriptors(reserved);
        the_loading = set;
        for (size_t i = 0; names[i] && r == 0; i++)
                r = module_load(set, names[i], path, ret_reason);
        the_loading = NULL;
        for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
                close_fd(reserved[i]);

        r = r ?: modules_check_kept(set, ret_reason);
        if (r != 0)
                return r;
        *ret = steal(set);
        return 0;
}

int modules_load(ModuleSet **ret, char *const *names, char **ret_reason) {
        return modules_load_from(ret, names, secure_getenv("FORKD_MODULE_PATH"), ret_reason);
}

int modules_of_program(ModuleSet **ret, const ForkdModule *module, char **ret_reason) {
        _cleanup_(modules_freep) ModuleSet *set = calloc(1, sizeof(ModuleSet));
        int r = 0;

        if (!set)
                return -ENOMEM;
        set->kept = the_kept;
        the_kept = (Kept){ 0 };
        if (module)
                r = module_check(set, module, module->name ?: "", ret_reason)
                            ?: modules_add(set, module);
        r = r ?: modules_check_kept(set, ret_reason);
        if (r != 0)
                return r;
        *ret = steal(set);
        return 0;
}

ModuleSet *modules_free(ModuleSet *set) {
        if (!set)
                return NULL;
        free(set->modules);
        free(set->kept.fds);
        free(set);
        return NULL;
}

const ForkdEntry *modules_find(const ModuleSet *set, const char *entry,
                               const ForkdModule **ret_module) {
        for (size_t i = 0; i < set->n; i++)
                for (const ForkdEntry *e = set->modules[i]->entries; e->name; e++)
                        if (streq(e->name, entry)) {
                                if (ret_module)
                                        *ret_module = set->modules[i];
                                return e;
                        }
        return NULL;
}

size_t modules_count(const ModuleSet *set) {
        return set->n;
}

const ForkdModule *modules_get(const ModuleSet *set, size_t i) {
        return set->modules[i];
}

const int *modules_kept_fds(const ModuleSet *set, size_t *ret_n) {
        *ret_n = set->kept.n;
        return set->kept.fds;
}

/* ---- Arguments= */

int modules_read_arguments(void) {
        const char *text = getenv("FORKD_ARGUMENTS");
        json_t *object = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_object();

        if (!json_is_object(object)) {
                json_decref(object);
                return object || text ? -EINVAL : -ENOMEM;
        }
        json_decref(the_arguments);
        the_arguments = object;
        return 0;
}

const json_t *forkd_module_arguments(void) {
        /* a program may ask before forkd_serve() does */
        if (!the_arguments && modules_read_arguments() < 0)
                the_arguments = json_object();
        return the_arguments;
}
