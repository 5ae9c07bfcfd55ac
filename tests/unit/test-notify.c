/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/notify.h: what arrives at the service manager, whatever state its socket is in. */

#include "notify.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

static int receiver(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        size_t n = strlen(path);

        memcpy(address.sun_path, path, n);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        assert_int_equal(bind(fd, (struct sockaddr *)&address,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
                         0);
        return fd;
}

static const char *hear(int fd) {
        static char text[512];
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

        if (n < 0)
                return NULL;
        text[n] = '\0';
        return text;
}

static Notify *connect_to(const char *path) {
        Notify *n = NULL;

        setenv("NOTIFY_SOCKET", path, 1);
        assert_int_equal(notify_new(&n), 0);
        assert_null(getenv("NOTIFY_SOCKET"));
        return n;
}

static void test_nobody_listens(void **state) {
        Notify *n = NULL;

        (void)state;
        unsetenv("NOTIFY_SOCKET");
        assert_int_equal(notify_new(&n), 0);
        assert_int_equal(notify_fd(n), -1);
        notify_send(n, "READY=1");
        notify_status(n, "", "x");
        assert_false(notify_pending(n));
        assert_null(notify_free(n));
}

static void test_bad_addresses(void **state) {
        static const char *const addresses[] = { "relative", "/", "@", "vsock:1" };
        char longest[200] = "/";
        Notify *n = NULL;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(addresses); i++) {
                setenv("NOTIFY_SOCKET", addresses[i], 1);
                assert_int_equal(notify_new(&n), -EINVAL);
        }
        memset(longest + 1, 'x', sizeof(longest) - 2);
        setenv("NOTIFY_SOCKET", longest, 1);
        assert_int_equal(notify_new(&n), -EINVAL);
        assert_null(n);
}

static void check_lines(const char *path) {
        int fd = receiver(path);
        Notify *n = connect_to(path);

        notify_send(n, "READY=%d", 1);
        assert_string_equal(hear(fd), "READY=1");
        notify_status(n, "STOPPING=1\n", "two\nlines\r");
        assert_string_equal(hear(fd), "STOPPING=1\nSTATUS=two lines ");
        assert_null(hear(fd));
        notify_free(n);
        close(fd);
}

static void test_path_and_abstract(void **state) {
        char path[64];

        (void)state;
        snprintf(path, sizeof(path), "/tmp/test-notify-%d", (int)getpid());
        check_lines(path);
        unlink(path);
        snprintf(path, sizeof(path), "@test-notify-%d", (int)getpid());
        check_lines(path);
}

/* A receiver that does not read holds nobody up; what waits comes later, in order. */
static void test_full_receiver(void **state) {
        struct pollfd p;
        char path[64], expected[64];
        Notify *n;
        int fd, sent = 0, heard = 0;

        (void)state;
        snprintf(path, sizeof(path), "@test-notify-%d", (int)getpid());
        fd = receiver(path);
        n = connect_to(path);
        while (!notify_pending(n)) {
                notify_send(n, "STATUS=%d", sent++);
                assert_true(sent < 10000);
        }
        snprintf(expected, sizeof(expected), "STATUS=%d", heard++);
        assert_string_equal(hear(fd), expected); /* room for one, which is not for the newest */
        notify_send(n, "WATCHDOG=1");
        notify_send(n, "WATCHDOG=1"); /* as good as one */
        notify_send(n, "READY=1");

        p = (struct pollfd){ .fd = notify_fd(n), .events = POLLOUT };
        while (heard < sent) {
                const char *text = hear(fd);

                if (!text) {
                        assert_int_equal(poll(&p, 1, 10000), 1);
                        notify_flush(n);
                        continue;
                }
                snprintf(expected, sizeof(expected), "STATUS=%d", heard++);
                assert_string_equal(text, expected);
        }
        notify_flush(n);
        assert_false(notify_pending(n));
        assert_string_equal(hear(fd), "WATCHDOG=1");
        assert_string_equal(hear(fd), "READY=1");
        assert_null(hear(fd));
        notify_free(n);
        close(fd);
}

static void test_memory_is_bounded(void **state) {
        char path[64], last[64] = "";
        const char *text;
        Notify *n;
        int fd;

        (void)state;
        snprintf(path, sizeof(path), "@test-notify-%d", (int)getpid());
        fd = receiver(path);
        n = connect_to(path);
        for (int i = 0; i < 5000; i++)
                notify_send(n, "STATUS=%d", i);
        for (int i = 0; i < 100; i++) {
                while ((text = hear(fd)))
                        snprintf(last, sizeof(last), "%.60s", text);
                notify_flush(n);
        }
        assert_string_equal(last, "STATUS=4999"); /* the newest is kept */
        notify_free(n);
        close(fd);
}

static void test_receiver_comes_back(void **state) {
        char path[64];
        Notify *n;
        int fd;

        (void)state;
        snprintf(path, sizeof(path), "@test-notify-%d", (int)getpid());
        fd = receiver(path);
        n = connect_to(path);
        notify_send(n, "A=1");
        assert_string_equal(hear(fd), "A=1");
        close(fd);
        notify_send(n, "B=1"); /* nobody there: no error, no memory */
        assert_false(notify_pending(n));
        fd = receiver(path);
        notify_send(n, "C=1");
        assert_string_equal(hear(fd), "C=1");
        notify_free(n);
        close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_listens),
                cmocka_unit_test(test_bad_addresses),
                cmocka_unit_test(test_path_and_abstract),
                cmocka_unit_test(test_full_receiver),
                cmocka_unit_test(test_memory_is_bounded),
                cmocka_unit_test(test_receiver_comes_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
