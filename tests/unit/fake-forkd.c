/* SPDX-License-Identifier: Apache-2.0 */

/* The fake forkd of test-keeper: one poll() loop over the test's socket, the keeper's channel and
 * its signals. Lives in the process that the keeper starts. */

#include "fake-forkd.h"
#include "keeper-channel.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct Fake {
        int control;
        int channel;
        int signals;
        bool deaf; /* does not read the channel */
        int hold;  /* orphans live until the last copy of this is closed */
} Fake;

_printf_(2, 3) static void say(const Fake *f, const char *format, ...) {
        char line[128];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        if (send(f->control, line, (size_t)n, MSG_NOSIGNAL) < 0)
                _exit(100);
}

static void tell(const Fake *f, KeeperRecord *record, KeeperType type, int fd) {
        struct pollfd p = { .fd = f->channel, .events = POLLOUT };
        int r;

        record->type = type;
        while ((r = keeper_record_send(f->channel, record, fd)) == KEEPER_E_AGAIN)
                poll(&p, 1, -1);
        if (r != 0)
                _exit(101);
}

static long inode(int fd) {
        struct stat st;

        return fstat(fd, &st) < 0 ? -1 : (long)st.st_ino;
}

static void on_record(Fake *f) {
        KeeperRecord record;
        int fd = -1, r;

        r = keeper_record_receive(f->channel, &record, &fd);
        if (r == KEEPER_E_AGAIN)
                return;
        if (r != 0)
                _exit(102);
        if (record.type == KEEPER_HELLO)
                say(f, "hello %d %llu", record.value, (unsigned long long)record.usec);
        else if (record.type == KEEPER_STORED)
                say(f, "stored %s %ld", record.name, inode(fd));
        else if (record.type == KEEPER_ORPHAN)
                say(f, "orphan %d", record.pid);
        else if (record.type == KEEPER_ENDED)
                say(f, "ended %d %d %d", record.pid, record.code, record.status);
        else if (record.type == KEEPER_BEGIN)
                say(f, "begin");
        else
                say(f, "unknown %u", record.type);
        close_fd(fd);
}

static void store(const Fake *f, const char *name) {
        KeeperRecord record = { 0 };
        int fd = memfd_create("kept", MFD_CLOEXEC);

        snprintf(record.name, sizeof(record.name), "%.60s", name);
        tell(f, &record, KEEPER_STORE, fd);
        say(f, "inode %ld", inode(fd));
        close(fd);
}

/* n processes whose parent is killed; they exit with 0, 1, 2 … when `hold` is let go. */
static void make_orphans(Fake *f, int n) {
        int hold[2], ready[2];
        pid_t parent;
        char byte;

        if (pipe2(hold, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
                _exit(103);
        parent = fork();
        if (parent == 0) {
                close(hold[1]);
                for (int i = 0; i < n; i++)
                        if (fork() == 0)
                                _exit(read(hold[0], &byte, 1) == 0 ? i % 256 : 255);
                if (write(ready[1], "x", 1) < 0)
                        _exit(1);
                for (;;)
                        pause();
        }
        close(hold[0]);
        close(ready[1]);
        if (read(ready[0], &byte, 1) != 1)
                _exit(104);
        close(ready[0]);
        kill(parent, SIGKILL);
        waitpid(parent, NULL, 0);
        f->hold = hold[1];
        say(f, "made");
}

/* One orphan that lives until it is killed; it ignores TERM when told. */
static void make_sleeper(const Fake *f, bool stubborn) {
        int ready[2];
        pid_t pid = -1;
        sigset_t set;

        if (pipe2(ready, O_CLOEXEC) < 0)
                _exit(105);
        if (fork() == 0) {
                pid = fork();
                if (pid == 0) {
                        sigemptyset(&set);
                        sigprocmask(SIG_SETMASK, &set, NULL);
                        if (stubborn)
                                signal(SIGTERM, SIG_IGN);
                        pid = getpid();
                        if (write(ready[1], &pid, sizeof(pid)) < 0)
                                _exit(1);
                        for (;;)
                                pause();
                }
                _exit(0);
        }
        wait(NULL);
        if (read(ready[0], &pid, sizeof(pid)) != sizeof(pid))
                _exit(106);
        close(ready[0]);
        close(ready[1]);
        say(f, "sleeper %d", (int)pid);
}

static void die(int signal) {
        sigset_t set;

        sigemptyset(&set);
        sigprocmask(SIG_SETMASK, &set, NULL);
        kill(getpid(), signal);
        pause();
}

static bool after(const char **line, const char *word) {
        size_t n = strlen(word);

        if (strncmp(*line, word, n) != 0)
                return false;
        *line += n;
        return true;
}

static void obey_record(const Fake *f, const char *line) {
        KeeperRecord record = { 0 };

        if (after(&line, "ready "))
                record.type = KEEPER_READY;
        else if (after(&line, "status "))
                record.type = KEEPER_STATUS;
        else if (after(&line, "stopping "))
                record.type = KEEPER_STOPPING;
        else if (after(&line, "reloading "))
                record.type = KEEPER_RELOADING;
        else if (after(&line, "alive"))
                record.type = KEEPER_ALIVE;
        else if (after(&line, "drop ")) {
                record.type = KEEPER_DROP;
                snprintf(record.name, sizeof(record.name), "%.60s", line);
        } else if (after(&line, "ack ")) {
                record.type = KEEPER_ACKNOWLEDGE;
                record.pid = atoi(line);
        } else if (after(&line, "disown ")) {
                record.type = KEEPER_NOT_OURS;
                record.pid = atoi(line);
        } else
                _exit(107);
        snprintf(record.text, sizeof(record.text), "%s", line);
        tell(f, &record, (KeeperType)record.type, -1);
}

static void obey(Fake *f, const char *line) {
        if (after(&line, "exit "))
                exit(atoi(line)); /* not _exit(): so that leaks are looked for */
        else if (after(&line, "die "))
                die(atoi(line));
        else if (after(&line, "store "))
                store(f, line);
        else if (after(&line, "orphans "))
                make_orphans(f, atoi(line));
        else if (after(&line, "let go"))
                f->hold = close_fd(f->hold);
        else if (after(&line, "sleeper"))
                make_sleeper(f, false);
        else if (after(&line, "stubborn"))
                make_sleeper(f, true);
        else if (after(&line, "kill "))
                kill(atoi(line), SIGKILL);
        else if (after(&line, "ignore "))
                signal(atoi(line), SIG_IGN);
        else if (after(&line, "deaf"))
                f->deaf = true;
        else if (after(&line, "hear"))
                f->deaf = false;
        else if (after(&line, "garbage")) {
                if (send(f->channel, line, 1, 0) < 0)
                        _exit(108);
        } else if (after(&line, "environment "))
                say(f, "%s", getenv(line) ? getenv(line) : "(none)");
        else if (after(&line, "echo"))
                say(f, "echo");
        else
                obey_record(f, line);
}

static int control_connect(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : fd;
}

int fake_forkd_main(void) {
        const char *keeper = getenv("FORKD_KEEPER"), *path = getenv("FAKE_FORKD");
        Fake f = { .hold = -1 };
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigprocmask(SIG_BLOCK, &set, NULL);
        f.channel = keeper ? atoi(keeper) : -1;
        f.control = path ? control_connect(path) : -1;
        f.signals = signalfd(-1, &set, SFD_CLOEXEC);
        if (f.channel < 3 || f.control < 0)
                return 99;
        fcntl(f.channel, F_SETFD, FD_CLOEXEC);
        say(&f, "start %d", (int)getpid());

        for (;;) {
                struct pollfd p[] = {
                        { .fd = f.control, .events = POLLIN },
                        { .fd = f.signals, .events = POLLIN },
                        { .fd = f.deaf ? -1 : f.channel, .events = POLLIN },
                };
                struct signalfd_siginfo si;
                char line[256];
                ssize_t n;

                if (poll(p, ELEMENTSOF(p), -1) < 0 && errno != EINTR)
                        return 98;
                if (p[2].revents)
                        on_record(&f);
                if (p[1].revents && read(f.signals, &si, sizeof(si)) == sizeof(si))
                        say(&f, "signal %u", si.ssi_signo);
                if (p[0].revents) {
                        n = recv(f.control, line, sizeof(line) - 1, 0);
                        if (n <= 0)
                                return 97; /* the test is gone */
                        line[n] = '\0';
                        obey(&f, line);
                }
        }
}
