/* SPDX-License-Identifier: Apache-2.0 */

/* A host's way from its start by forkd to serve(). Lives in forkd-server and in programs that call
 * forkd_serve(); the HostMain is on the stack of whoever serves. */

#include "host-main.h"

#include "child.h"
#include "huge-pages.h"
#include "packet.h"
#include "plain-text.h"
#include "safety.h"

#include <stdarg.h>
#include <sys/socket.h>

/* What forkd asks malloc() of forkd-server for; nothing that workers should inherit. */
#define HUGE_TUNABLE "glibc.malloc.hugetlb=1"

static int _printf_(2, 3) host_main_invalid(char **ret_reason, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(ret_reason, format, ap);
        va_end(ap);
        return r < 0 ? -ENOMEM : HOST_MAIN_E_INVALID;
}

static int read_channel(const char *variable, const char *text, int *ret, char **ret_reason) {
        int type = 0, fd;
        socklen_t size = sizeof(type);
        char *end;

        errno = 0;
        fd = (int)strtol(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || fd <= STDERR_FILENO)
                return host_main_invalid(ret_reason,
                                         "%s is '%s', no number of a descriptor above 2", variable,
                                         text);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return host_main_invalid(ret_reason,
                                         "descriptor %d of %s is no socket of type SOCK_SEQPACKET",
                                         fd, variable);
        *ret = fd;
        return 0;
}

int host_main_read(HostMain *ret, char **ret_reason) {
        static const char *const ours[] = { "FORKD_CHANNEL", "FORKD_WORKER", "FORKD_SERVER",
                                            "FORKD_ARGUMENTS", "FORKD_HUGE_PAGES" };
        const char *channel = getenv("FORKD_CHANNEL"), *worker = getenv("FORKD_WORKER");
        const char *tunables = getenv("GLIBC_TUNABLES");
        HostMain host = { .began = now_usec(CLOCK_BOOTTIME), .one_shot = !channel };
        static char *title; /* the kernel reads it as long as the process lives */
        int r;

        if (!channel && !worker)
                return HOST_MAIN_E_ALONE;
        r = read_channel(channel ? "FORKD_CHANNEL" : "FORKD_WORKER", channel ?: worker,
                         &host.channel, ret_reason);
        if (r != 0)
                return r;
        if (asprintf(&title, "forkd: %s", getenv("FORKD_SERVER") ?: program_invocation_short_name) <
            0)
                return -ENOMEM;
        host.title = title;
        host.name = title + strlen("forkd: ");
        host.huge_pages = streq(getenv("FORKD_HUGE_PAGES") ?: "", "1");
        *ret = host;

        r = modules_read_arguments();
        for (size_t i = 0; i < ELEMENTSOF(ours); i++)
                unsetenv(ours[i]);
        if (tunables && streq(tunables, HUGE_TUNABLE))
                unsetenv("GLIBC_TUNABLES");
        if (r == -EINVAL)
                host_main_refuse(ret, EINVAL, "FORKD_ARGUMENTS is no JSON object");
        return r;
}

void host_main_refuse(const HostMain *host, int error, const char *reason) {
        json_t *parameters;

        if (host->one_shot)
                serve_worker_failed(host->channel, error, reason);
        else {
                parameters = json_pack("{so}", "reason", plain_text(reason));
                if (parameters)
                        (void)packet_send(host->channel, "Refused", parameters, NULL, 0);
                json_decref(parameters);
        }
        fprintf(stderr, "%s\n", reason);
        fflush(NULL);
        _exit(host->one_shot ? CHILD_EXIT_STATUS : EXIT_FAILURE);
}

/* The one thing that a one-shot host may be and a forkserver may not is unsafe to fork. */
static void check_safety(const HostMain *host, const ModuleSet *modules) {
        size_t n;
        const int *kept = modules_kept_fds(modules, &n);
        _cleanup_(freep) int *declared = calloc(n + 1, sizeof(int));
        char *culprit = NULL;
        int r = -ENOMEM;

        if (declared) {
                declared[0] = host->channel;
                if (n > 0)
                        memcpy(declared + 1, kept, n * sizeof(int));
                r = modules_check_safety(declared, n + 1, &culprit);
        }
        if (r < 0)
                host_main_refuse(host, -r, strerror(-r));
        if (r > 0)
                host_main_refuse(host, EBUSY, culprit);
}

static void use_huge_pages(void) {
        uint64_t bytes;
        int r = huge_pages_collapse(&bytes);

        if (r < 0)
                fprintf(stderr, "no huge pages here, going on without them: %s\n", strerror(-r));
}

int host_main_serve(const HostMain *host, const ModuleSet *modules, WorkerProgram *ret_program) {
        ServeOptions options = {
                .name = host->name,
                .title = host->title,
                .channel = host->channel,
                .modules = modules,
                .program = modules_count(modules) == 0,
                .keep_arguments = host->keep_arguments,
                .log_fd = STDERR_FILENO,
        };

        if (host->one_shot)
                return serve_worker(&options, ret_program);

        check_safety(host, modules);
        if (host->huge_pages)
                use_huge_pages();
        options.preload_usec = now_usec(CLOCK_BOOTTIME) - host->began;
        return serve(&options, ret_program);
}
