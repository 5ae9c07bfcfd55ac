/* SPDX-License-Identifier: Apache-2.0 */

/* misbehave: the module of the tests. Its entries do, well and badly, what entries can do to
 * themselves, their worker and their forkserver. With FORKD_TEST_COUNT in the environment of the
 * preload, each preload appends a line to that file. */

#include <forkd-module.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

static int the_preloads, the_starts, the_kept = -1;
static char the_count_file[4096];

static int count_line(const char *what) {
        int fd, n;

        if (!the_count_file[0])
                return 0;
        fd = open(the_count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        n = dprintf(fd, "%s %d\n", what, (int)getpid());
        close(fd);
        return n < 0 ? -EIO : 0;
}

static int preload(void) {
        const char *file = getenv("FORKD_TEST_COUNT");

        the_preloads++;
        if (file)
                snprintf(the_count_file, sizeof(the_count_file), "%s", file);
        the_kept = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        forkd_module_keep_fd(the_kept);
        return count_line("preload");
}

static int worker_start(void) {
        the_starts++;
        return getenv("FORKD_TEST_START_FAILS") ? -ENODEV : 0;
}

static void worker_stop(void) {
        if (getenv("FORKD_TEST_STOP"))
                printf("stopped\n");
}

static json_int_t integer(const json_t *arguments, const char *name, json_int_t otherwise) {
        const json_t *value = json_object_get(arguments, name);

        return json_is_number(value) ? (json_int_t)json_number_value(value) : otherwise;
}

static const char *text(const json_t *arguments, const char *name, const char *otherwise) {
        return json_string_value(json_object_get(arguments, name)) ?: otherwise;
}

static int echo(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        *ret_value = json_incref(arguments);
        return 0;
}

/* Until the time is over or the call is cancelled. */
static int sleep_usec(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_int_t usec = integer(arguments, "usec", 0);

        while (usec > 0) {
                json_int_t part = usec < 2000 ? usec : 2000;
                struct timespec t = { .tv_nsec = (long)part * 1000 };

                nanosleep(&t, NULL);
                usec -= part;
                if (forkd_call_cancelled(call))
                        return forkd_call_fail(call, "Cancelled", "woken up with %lld us to go",
                                               (long long)usec);
        }
        *ret_value = json_object();
        return 0;
}

static int exit_status(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)ret_value;
        exit((int)integer(arguments, "status", 0));
}

static int abort_now(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        abort();
}

static int segv(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make an exit of it */
        raise(SIGSEGV);
        return 0;
}

static int signal_self(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        kill(getpid(), (int)integer(arguments, "signal", SIGKILL));
        *ret_value = json_object();
        return 0;
}

static int close_channel(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        close(3);
        *ret_value = json_object();
        return 0;
}

/* Puts another socket where the channel was, whose other end nobody but we ourselves has. */
static int replace_channel(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        int pair[2];

        (void)call;
        (void)arguments;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || dup2(pair[0], 3) < 0)
                return -errno;
        *ret_value = json_object();
        return 0;
}

/* Writes raw bytes to the channel, which are no packet. */
static int garbage(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const char *bytes = text(arguments, "text", "}garbage{");

        (void)call;
        if (send(3, bytes, strlen(bytes), MSG_NOSIGNAL) < 0)
                return -errno;
        *ret_value = json_object();
        return 0;
}

/* {"bytes": "xxx…"}: that many bytes. */
static int big(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_int_t n = integer(arguments, "bytes", 0);
        char *bytes;

        if (n < 0 || n > 256 * 1024 * 1024)
                return forkd_call_fail(call, "InvalidArgument", "'bytes' must be 0 to 268435456");
        bytes = malloc((size_t)n + 1);
        if (!bytes)
                return -ENOMEM;
        memset(bytes, 'x', (size_t)n);
        *ret_value = json_pack("{so}", "bytes", json_stringn_nocheck(bytes, (size_t)n));
        free(bytes);
        return *ret_value ? 0 : -ENOMEM;
}

/* Looks at nothing, not even at the time. */
static int never(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)ret_value;
        if (json_is_true(json_object_get(arguments, "ignoreTerm")))
                signal(SIGTERM, SIG_IGN);
        while (pause() < 0)
                ;
        return 0;
}

static int ignore_term(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        signal(SIGTERM, SIG_IGN);
        printf("ready\n");
        fflush(stdout);
        while (pause() < 0)
                ;
        return 0;
}

static int count(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        int r = count_line("call");

        (void)call;
        (void)arguments;
        *ret_value = json_pack("{si,si}", "preloads", the_preloads, "starts", the_starts);
        return r;
}

static int fail(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)ret_value;
        return forkd_call_fail(call, text(arguments, "code", "Failed"), "%s",
                               text(arguments, "text", "as it was told to"));
}

/* Fails with a bare errno, or whatever number. */
static int fail_errno(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)ret_value;
        return -(int)integer(arguments, "errno", ENOENT);
}

/* Leaves a child behind, in a session of its own if so told. */
static int fork_child(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        bool own = json_is_true(json_object_get(arguments, "setsid"));
        pid_t pid;

        (void)call;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                if (own)
                        setsid();
                for (;;)
                        pause();
        }
        *ret_value = json_pack("{si}", "pid", (int)pid);
        return 0;
}

/* The child returns from the entry too, and first. */
static int fork_return(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        pid_t pid = fork();

        (void)call;
        (void)arguments;
        if (pid < 0 || (pid > 0 && waitpid(pid, NULL, 0) < 0))
                return -errno;
        *ret_value = json_pack("{sb}", "child", pid == 0);
        return 0;
}

static int write_stdout(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        fputs(text(arguments, "text", ""), stdout); /* unflushed: the host has to */
        *ret_value = json_object();
        return 0;
}

static int write_stderr(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        fputs(text(arguments, "text", ""), stderr);
        *ret_value = json_object();
        return 0;
}

static int progress(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_int_t n = integer(arguments, "n", 1);

        for (json_int_t i = 1; i <= n; i++) {
                json_t *value = json_pack("{sI,sI}", "done", i, "of", n);
                int r = forkd_call_progress(call, value);

                json_decref(value);
                if (r < 0)
                        return r;
        }
        *ret_value = json_pack("{sI}", "n", n);
        return 0;
}

static int environment(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_t *array = json_array();

        (void)call;
        (void)arguments;
        for (char **e = environ; e && *e; e++)
                json_array_append_new(array, json_string(*e));
        *ret_value = json_pack("{so}", "environment", array);
        return 0;
}

/* {"descriptors": {"0": "/dev/null", …}, "kept": 5} */
static int descriptors(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_t *object = json_object();
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;

        (void)call;
        (void)arguments;
        while (d && (e = readdir(d))) {
                char target[256];
                ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

                if (n < 0 || atoi(e->d_name) == dirfd(d))
                        continue;
                target[n] = '\0';
                json_object_set_new(object, e->d_name, json_string(target));
        }
        if (d)
                closedir(d);
        *ret_value = json_pack("{so,si}", "descriptors", object, "kept", the_kept);
        return 0;
}

static void add_file(json_t *object, const char *name, const char *path) {
        char content[8192] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

        if (fd >= 0)
                close(fd);
        for (ssize_t i = 0; i + 1 < n; i++)
                if (content[i] == '\0')
                        content[i] = ' ';
        json_object_set_new(object, name, json_string(content));
}

/* What the process looks like from inside. */
static int process(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        mode_t mask = umask(0);
        char directory[4096] = "";

        (void)call;
        (void)arguments;
        umask(mask);
        if (!getcwd(directory, sizeof(directory)))
                return -errno;
        *ret_value =
                json_pack("{si,si,si,si,ss,sI,si}", "pid", (int)getpid(), "session", (int)getsid(0),
                          "group", (int)getpgrp(), "umask", (int)mask, "directory", directory,
                          "random", (json_int_t)random(), "uid", (int)getuid());
        add_file(*ret_value, "status", "/proc/self/status");
        add_file(*ret_value, "title", "/proc/self/cmdline");
        add_file(*ret_value, "cgroup", "/proc/self/cgroup");
        return 0;
}

static int scalar(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        *ret_value = json_integer(42);
        return 0;
}

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

/* To syslog and to the journal, each of which keeps a socket of its own from then on. */
static int log_twice(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const char *line = text(arguments, "text", "hello");

        (void)call;
        syslog(LOG_INFO, "%s", line);
        sd_journal_print(LOG_INFO, "%s", line);
        *ret_value = json_object();
        return 0;
}

static int module_arguments(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        *ret_value = json_deep_copy(forkd_module_arguments());
        return 0;
}

static const ForkdEntry entries[] = {
        { "echo", echo, "returns its arguments", "…" },
        { "sleep", sleep_usec, "sleeps, but can be cancelled", "usec=N" },
        { "exit", exit_status, "calls exit()", "status=N" },
        { "abort", abort_now, "calls abort()", "" },
        { "segv", segv, "dies of SIGSEGV", "" },
        { "signal", signal_self, "sends itself a signal", "signal=N" },
        { "close-channel", close_channel, "closes its channel", "" },
        { "replace-channel", replace_channel, "puts another socket in the place of its channel",
          "" },
        { "garbage", garbage, "writes no packet to its channel", "text=BYTES" },
        { "big", big, "returns many bytes", "bytes=N" },
        { "never", never, "never returns", "ignoreTerm=BOOL" },
        { "ignore-term", ignore_term, "ignores SIGTERM, prints 'ready', never returns", "" },
        { "count", count, "returns how often the module was preloaded", "" },
        { "fail", fail, "fails as told", "code=WORD text=TEXT" },
        { "errno", fail_errno, "returns minus that", "errno=N" },
        { "fork", fork_child, "leaves a child behind", "setsid=BOOL" },
        { "fork-return", fork_return, "returns twice", "" },
        { "stdout", write_stdout, "writes to standard output", "text=TEXT" },
        { "stderr", write_stderr, "writes to standard error", "text=TEXT" },
        { "progress", progress, "tells of its progress", "n=N" },
        { "environment", environment, "returns its environment", "" },
        { "descriptors", descriptors, "returns its open descriptors", "" },
        { "process", process, "returns what its process looks like", "" },
        { "log", log_twice, "logs to syslog and to the journal", "text=TEXT" },
        { "module-arguments", module_arguments, "returns the forkserver's arguments", "" },
        { "scalar", scalar, "returns a number", "" },
        { "nothing", nothing, "returns nothing", "" },
        { 0 },
};

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "misbehave",
        .preload = preload,
        .worker_start = worker_start,
        .worker_stop = worker_stop,
        .entries = entries,
};
