/* SPDX-License-Identifier: Apache-2.0 */

/* The ceilings of a service, each hit once: bytes that wait, bytes of a user, connections,
 * descriptors. */

#include "wire-fixture.h"

#include <sys/resource.h>

#define OK_REPLY "{\"parameters\":{}}"

static Fixture *fixture_with(void **state, const ServiceLimits *limits) {
        *state = fixture_new(limits);
        return *state;
}

/* ---- bounds */

static int setup_small(void **state) {
        ServiceLimits limits = SERVICE_LIMITS_DEFAULT;

        limits.output_max = 400 * 1024;
        limits.buffered_per_uid_max = 1024 * 1024;
        limits.connections_max = 8;
        limits.connections_per_uid_max = 6;
        fixture_with(state, &limits);
        return 0;
}

/* A stream to somebody who does not read is cut off; others are not. */
static void test_output_max(void **state) {
        static char value[20000];
        Fixture *f = *state;
        int fd = client_new(f), other = client_new(f);
        size_t n;

        client_send(fd, "{\"method\":\"org.test.wire.More\",\"more\":true}");
        settle(f);
        n = (size_t)sprintf(value, "{\"x\":\"");
        memset(value + n, 'x', 19000);
        strcpy(value + n + 19000, "\"}");
        for (int i = 0; i < 100; i++)
                assert_int_equal(call_reply_text(f->kept[0], value, strlen(value), true), 0);
        settle(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(f->n_connections_gone, 1);
        client_send(other, CALL("Echo"));
        client_expect(f, other, OK_REPLY);
        close_fd(fd);
        client_close(f, other);
}

/* Asking without reading: answers stop at half of what may wait, and go on when it reads. */
static void test_backed_up(void **state) {
        static const char call[] = CALL_WITH("Large", "{\"bytes\":50000}");
        static char text[64 * 1024];
        Fixture *f = *state;
        int fd = client_new(f);
        size_t n_fds;

        for (int i = 0; i < 60; i++)
                client_send(fd, call);
        settle(f);
        assert_int_equal(f->n_connections_gone, 0);
        for (int i = 0; i < 60; i++)
                assert_int_equal(client_receive_fds(f, fd, text, sizeof(text), &n_fds),
                                 50000 + strlen("{\"parameters\":{\"x\":\"\"}}") + 1);
        client_send(fd, CALL("Echo"));
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

static void test_buffered_per_uid(void **state) {
        static char half[400 * 1024];
        Fixture *f = *state;
        int fds[4];

        memset(half, ' ', sizeof(half));
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                size_t sent = 0;

                fds[i] = client_new(f);
                while (sent < sizeof(half) && f->n_connections_gone == 0) {
                        ssize_t n = send(fds[i], half + sent, sizeof(half) - sent,
                                         MSG_DONTWAIT | MSG_NOSIGNAL);

                        sent += n > 0 ? (size_t)n : 0;
                        turn(f);
                }
                settle(f);
                assert_int_equal(f->n_connections_gone, i < 2 ? 0 : 1);
                if (i == 2)
                        break;
        }
        /* what it held is given back */
        fds[3] = client_new(f);
        client_send(fds[3], CALL("Echo"));
        client_expect(f, fds[3], OK_REPLY);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
}

static void test_connections_per_uid(void **state) {
        Fixture *f = *state;
        int fds[6], pair[2];
        size_t before;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = client_new(f);
        before = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(service_add_connection(f->service, pair[1], NULL), -EUSERS);
        assert_int_equal(count_fds(), before + 1);
        close_fd(pair[0]);

        client_close(f, fds[0]);
        fds[0] = client_new(f);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

/* ---- listeners */

static int listener_new(Fixture *f, struct sockaddr_un *ret) {
        socklen_t size = sizeof(*ret);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* autobind: a name that nobody else has, and no file */
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(sa_family_t)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
        assert_int_equal(listen(fd, 64), 0);
        assert_int_equal(service_listen(f->service, fd), 0);
        return (int)size;
}

static int client_connect(const struct sockaddr_un *address, int size) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (const struct sockaddr *)address, (socklen_t)size), 0);
        return fd;
}

static void test_listen(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address;
        int size = listener_new(f, &address), fds[40];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = client_connect(&address, size);
                client_send(fds[i], CALL("Echo"));
        }
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                client_expect(f, fds[i], OK_REPLY);
        assert_int_equal(service_n_connections(f->service), ELEMENTSOF(fds));

        service_stop_listening(f->service);
        assert_int_equal(connect(fds[0], (struct sockaddr *)&address, (socklen_t)size), -1);
        client_send(fds[0], CALL("Echo"));
        client_expect(f, fds[0], OK_REPLY);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

static int setup_few(void **state) {
        ServiceLimits limits = SERVICE_LIMITS_DEFAULT;

        limits.connections_max = 3;
        fixture_with(state, &limits);
        return 0;
}

/* Above the limit accept waits, until one goes. */
static void test_connections_max(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address;
        int size = listener_new(f, &address), fds[5], pair[2];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = client_connect(&address, size);
                client_send(fds[i], CALL("Echo"));
        }
        for (size_t i = 0; i < 3; i++)
                client_expect(f, fds[i], OK_REPLY);
        settle(f); /* ends: it does not spin */
        assert_int_equal(service_n_connections(f->service), 3);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(service_add_connection(f->service, pair[1], NULL), -EUSERS);
        close_fd(pair[0]);

        client_close(f, fds[0]);
        client_expect(f, fds[3], OK_REPLY);
        assert_int_equal(service_n_connections(f->service), 3);
        client_close(f, fds[1]);
        client_expect(f, fds[4], OK_REPLY);
        for (size_t i = 2; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

/* No descriptor is left to accept with: one is turned away, the loop rests, then all goes on. */
static void test_accept_emfile(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address;
        struct rlimit limit, tight;
        int size = listener_new(f, &address), fds[3];
        uint64_t start;
        size_t turns = 0;
        char byte;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = client_connect(&address, size);
                client_send(fds[i], CALL("Echo"));
        }
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        tight = limit;
        tight.rlim_cur = (rlim_t)dup(0);
        close_fd((int)tight.rlim_cur);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);

        start = now_usec(CLOCK_MONOTONIC);
        while (now_usec(CLOCK_MONOTONIC) < start + 50 * USEC_PER_MSEC) {
                int r = sd_event_run(f->event, 10 * USEC_PER_MSEC);

                assert_true(r >= 0);
                turns += r > 0;
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_true(turns < 5);
        assert_int_equal(service_n_connections(f->service), 0);
        /* the first was told; with its call unread, by a reset */
        assert_true(recv(fds[0], &byte, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN);

        for (size_t i = 1; i < ELEMENTSOF(fds); i++)
                client_expect(f, fds[i], OK_REPLY);
        close_fd(fds[0]);
        for (size_t i = 1; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

#define TEST(name)                cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, setup_as) cmocka_unit_test_setup_teardown(name, setup_as, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST_WITH(test_output_max, setup_small),
                TEST_WITH(test_backed_up, setup_small),
                TEST_WITH(test_buffered_per_uid, setup_small),
                TEST_WITH(test_connections_per_uid, setup_small),
                TEST(test_listen),
                TEST_WITH(test_connections_max, setup_few),
                TEST(test_accept_emfile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
