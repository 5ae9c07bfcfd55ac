/* SPDX-License-Identifier: Apache-2.0 */

/* The fixture of test-keeper; lives in the test program, which forks the keeper. */

#include "keeper-fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

static int count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int bind_socket(const char *dir, const char *name, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct timeval patience = { .tv_sec = 20 };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
                return -1;
        setenv(streq(name, "forkd") ? "FAKE_FORKD" : "NOTIFY_SOCKET", address.sun_path, 1);
        return fd;
}

int fixture_make(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        ssize_t n = readlink("/proc/self/exe", f->exe, sizeof(f->exe) - 1);

        f->n_fds = count_fds();
        f->forkd = -1;
        snprintf(f->dir, sizeof(f->dir), "/tmp/test-keeper-XXXXXX");
        if (n <= 0 || !mkdtemp(f->dir))
                return -1;
        f->listener = bind_socket(f->dir, "forkd", SOCK_SEQPACKET);
        f->manager = bind_socket(f->dir, "manager", SOCK_DGRAM);
        f->argv[0] = f->exe;
        f->argv[1] = (char *)"--fake-forkd";
        f->options = KEEPER_OPTIONS_DEFAULT;
        f->options.argv = f->argv;
        f->options.watchdog_usec = 0;
        f->options.backoff_first_usec = 1000;
        f->options.backoff_max_usec = 4000;
        *state = f;
        return f->listener < 0 || f->manager < 0 || listen(f->listener, 10) < 0 ? -1 : 0;
}

/* Nothing may be left, not even a zombie. */
int fixture_end(void **state) {
        Fixture *f = *state;
        char path[128];
        int r = 0;

        close_fd(f->forkd);
        close_fd(f->listener);
        close_fd(f->manager);
        snprintf(path, sizeof(path), "%s/forkd", f->dir);
        unlink(path);
        snprintf(path, sizeof(path), "%s/manager", f->dir);
        unlink(path);
        if (rmdir(f->dir) < 0)
                r = -1;
        if (f->keeper > 0) { /* the test has failed */
                kill(f->keeper, SIGKILL);
                r = -1;
        }
        while (wait(NULL) > 0)
                r = -1;
        if (count_fds() != f->n_fds)
                r = -1;
        free(f);
        return r;
}

/* ---- what a test says and hears */

void start_keeper(Fixture *f) {
        f->keeper = fork();
        assert_true(f->keeper >= 0);
        if (f->keeper == 0) {
                Notify *notify = NULL;
                Store *store = NULL;
                int fd = memfd_create("listen", MFD_CLOEXEC), r;

                close(f->listener);
                close(f->manager);
                if (keeper_prepare() < 0 || notify_new(&notify) < 0 || store_new(&store) < 0 ||
                    store_put(store, "listen", fd) < 0)
                        _exit(120);
                r = keeper_run(&f->options, notify, store);
                notify_free(notify);
                store_free(store);
                _exit(r < 0 ? 121 : r);
        }
}

const char *hear(Fixture *f) {
        static char line[256];
        ssize_t n = recv(f->forkd, line, sizeof(line) - 1, 0);

        if (n < 0)
                fail_msg("nothing comes from forkd: %s", strerror(errno));
        line[n < 0 ? 0 : n] = '\0';
        return line;
}

void expect(Fixture *f, const char *expected) {
        assert_string_equal(hear(f), expected);
}

/* Waits for the next forkd to come; hears its first line. */
void expect_start(Fixture *f) {
        struct timeval patience = { .tv_sec = 20 };
        int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
                fail_msg("no forkd comes: %s", strerror(errno));
        close_fd(f->forkd); /* only now: a fake ends without it */
        f->forkd = fd;
        setsockopt(f->forkd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        assert_int_equal(sscanf(hear(f), "start %d", &f->forkd_pid), 1);
}

void expect_hello(Fixture *f, int number) {
        int n;

        expect_start(f);
        assert_int_equal(sscanf(hear(f), "hello %d", &n), 1);
        assert_int_equal(n, number);
        assert_int_equal(strncmp(hear(f), "stored listen ", 14), 0);
}

/* A start with nothing special to hand over. */
void expect_begin(Fixture *f, int number) {
        expect_hello(f, number);
        expect(f, "begin");
}

void say(Fixture *f, const char *format, ...) {
        char line[256];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        assert_int_equal(send(f->forkd, line, (size_t)n, MSG_NOSIGNAL), n);
}

pid_t make_sleeper(Fixture *f, const char *kind) {
        int pid = 0;

        say(f, "%s", kind);
        /* the keeper may see it before the fake says so */
        while (sscanf(hear(f), "sleeper %d", &pid) != 1)
                ;
        return pid;
}

/* The next datagram to the service manager that begins with start. */
void expect_notify(Fixture *f, const char *start) {
        char text[512];
        ssize_t n;

        do {
                n = recv(f->manager, text, sizeof(text) - 1, 0);
                if (n < 0)
                        fail_msg("'%s' does not come: %s", start, strerror(errno));
                text[n < 0 ? 0 : n] = '\0';
        } while (strncmp(text, start, strlen(start)) != 0);
}

void expect_end(Fixture *f, int expected) {
        int status;
        pid_t pid = f->keeper;

        f->keeper = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), expected);
}

void end_well(Fixture *f) {
        say(f, "exit 0");
        expect_end(f, 0);
}
