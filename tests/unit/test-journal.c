/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/journal.h and log.h, against a journal of the test's own: fields, streams, and a
 * journal that does not read. */

#include "journal.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#define TEXT_MAX 4096

/* A folder with the two sockets that clients of the journal know, and descriptor 2 as its stream.
 */
typedef struct Journal {
        char dir[64];
        int entries, streams, read_end, saved;
} Journal;

static int bind_in(const char *dir, const char *name, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static int journal_make(void **state) {
        static Journal j;
        char stream[64];
        struct stat st;
        int pair[2];

        snprintf(j.dir, sizeof(j.dir), "/tmp/test-journal-XXXXXX");
        assert_non_null(mkdtemp(j.dir));
        setenv("FORKD_JOURNAL", j.dir, 1);
        j.entries = bind_in(j.dir, "socket", SOCK_DGRAM);
        j.streams = bind_in(j.dir, "stdout", SOCK_STREAM);
        assert_int_equal(listen(j.streams, 1), 0);

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        j.saved = dup(STDERR_FILENO);
        dup2(pair[1], STDERR_FILENO);
        close(pair[1]);
        j.read_end = pair[0];
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_open("forkd", LOG_INFO);
        *state = &j;
        return 0;
}

static void remove_in(const char *dir, const char *name) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        unlink(path);
}

static int journal_remove(void **state) {
        Journal *j = *state;

        log_close();
        dup2(j->saved, STDERR_FILENO);
        close(j->saved);
        close(j->read_end);
        close_fd(j->entries);
        close_fd(j->streams);
        remove_in(j->dir, "socket");
        remove_in(j->dir, "stdout");
        return rmdir(j->dir);
}

/* The next entry, or NULL. */
static const char *take_entry(const Journal *j) {
        static char text[TEXT_MAX];
        ssize_t n = recv(j->entries, text, sizeof(text) - 1, MSG_DONTWAIT);

        if (n < 0)
                return NULL;
        text[n] = '\0';
        return text;
}

/* Whole lines: a field that stands inside another is none. */
static bool has_field(const char *entry, const char *field) {
        const char *found = entry ? strstr(entry, field) : NULL;

        return found && (found == entry || found[-1] == '\n') && found[strlen(field)] == '\n';
}

static void test_fields(void **state) {
        const char *entry;

        log_about(LOG_WARNING, -ENOENT,
                  (LogAbout){ .job = 17, .server = "spell#2", .event = LOG_EVENT_SERVER_GONE },
                  "job %d: %s", 17, "two\nFORKD_JOB=18");
        entry = take_entry(*state);
        assert_true(has_field(entry, "PRIORITY=4"));
        assert_true(has_field(entry, "SYSLOG_IDENTIFIER=forkd"));
        assert_true(
                has_field(entry, "MESSAGE=job 17: two FORKD_JOB=18: No such file or directory"));
        assert_true(has_field(entry, "ERRNO=2"));
        assert_true(has_field(entry, "MESSAGE_ID=" LOG_EVENT_SERVER_GONE));
        assert_true(has_field(entry, "FORKD_JOB=17"));
        assert_true(has_field(entry, "FORKD_SERVER=spell"));
        assert_true(has_field(entry, "FORKD_GENERATION=2"));
        assert_null(take_entry(*state));
}

static void test_no_fields_that_were_not_given(void **state) {
        const char *entry;

        log_info("hello");
        entry = take_entry(*state);
        assert_true(has_field(entry, "MESSAGE=hello"));
        assert_true(has_field(entry, "PRIORITY=6"));
        assert_null(strstr(entry, "FORKD_"));
        assert_null(strstr(entry, "MESSAGE_ID"));
        assert_null(strstr(entry, "ERRNO"));
        log_debug("below the level");
        assert_null(take_entry(*state));
}

static void test_a_long_line(void **state) {
        char text[TEXT_MAX];
        const char *entry;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        log_about(LOG_INFO, 0, LOG_JOB(17), "%s", text);
        entry = take_entry(*state);
        assert_true(has_field(entry, "FORKD_JOB=17"));
        assert_non_null(strstr(entry, "\nMESSAGE=xxxx"));
}

static void test_without_the_socket_it_is_the_stream(void **state) {
        Journal *j = *state;
        char text[256];
        ssize_t n;

        remove_in(j->dir, "socket");
        errno = EXDEV;
        log_about(LOG_ERR, 0, LOG_JOB(17), "hello");
        assert_int_equal(errno, EXDEV);
        n = recv(j->read_end, text, sizeof(text) - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        text[n] = '\0';
        assert_string_equal(text, "<3>hello\n");
}

/* Neither the entries nor the stream are read: nothing waits, and what was lost is told later. */
static void test_a_journal_that_does_not_read(void **state) {
        Journal *j = *state;
        char text[TEXT_MAX];
        bool told = false;
        const char *entry;

        for (int i = 0; i < 20000; i++)
                log_info("line %d", i);
        while (take_entry(j))
                ;
        while (recv(j->read_end, text, sizeof(text), MSG_DONTWAIT) > 0)
                ;
        log_info("it reads again");
        while ((entry = take_entry(j)))
                told = told || strstr(entry, " lines were lost: the journal did not take them\n");
        assert_true(told);
}

static void test_stream(void **state) {
        static const char expected[] = "forkd-17\n\n6\n1\n0\n0\n0\nhello\n";
        Journal *j = *state;
        char text[TEXT_MAX];
        int fd = journal_stream("forkd-17"), peer;
        ssize_t n;

        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(write(fd, "hello\n", 6), 6);
        peer = accept(j->streams, NULL, NULL);
        assert_true(peer >= 0);
        n = recv(peer, text, sizeof(text) - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        assert_string_equal(text, expected);
        close(peer);
        close(fd);
}

/* Its backlog is full, or it is not there. */
static void test_no_stream(void **state) {
        Journal *j = *state;
        int fds[8], r = 0;
        size_t n = 0;

        while (n < ELEMENTSOF(fds) && (r = journal_stream("forkd-1")) >= 0)
                fds[n++] = r;
        assert_int_equal(r, -EAGAIN);
        while (n > 0)
                close(fds[--n]);
        remove_in(j->dir, "stdout");
        assert_int_equal(journal_stream("forkd-1"), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_fields, journal_make, journal_remove),
                cmocka_unit_test_setup_teardown(test_no_fields_that_were_not_given, journal_make,
                                                journal_remove),
                cmocka_unit_test_setup_teardown(test_a_long_line, journal_make, journal_remove),
                cmocka_unit_test_setup_teardown(test_without_the_socket_it_is_the_stream,
                                                journal_make, journal_remove),
                cmocka_unit_test_setup_teardown(test_a_journal_that_does_not_read, journal_make,
                                                journal_remove),
                cmocka_unit_test_setup_teardown(test_stream, journal_make, journal_remove),
                cmocka_unit_test_setup_teardown(test_no_stream, journal_make, journal_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
