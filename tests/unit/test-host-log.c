/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/host-log.h: what hosts write, line by line. */

#include "host-log.h"

#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

typedef struct Pipe {
        sd_event *event;
        HostLines *lines;
        HostLog *log;
        int fd, logged; /* what forkd's log gets */
} Pipe;

static int setup(void **state) {
        static Pipe p;
        int saved = dup(2);

        p.logged = memfd_create("log", MFD_CLOEXEC);
        assert_true(saved >= 0 && p.logged >= 0);
        assert_int_equal(dup2(p.logged, 2), 2);
        log_open("forkd", LOG_INFO);
        assert_int_equal(dup2(saved, 2), 2);
        close(saved);
        assert_true(sd_event_new(&p.event) >= 0);
        assert_int_equal(host_lines_new(&p.lines), 0);
        assert_int_equal(host_log_new(&p.log, p.event, "spell#2", p.lines, &p.fd), 0);
        *state = &p;
        return 0;
}

static int teardown(void **state) {
        Pipe *p = *state;

        close_fd(p->fd);
        host_log_free(p->log);
        host_lines_free(p->lines);
        sd_event_unref(p->event);
        close(p->logged);
        log_close();
        return 0;
}

static void put(Pipe *p, const char *text) {
        assert_int_equal(write(p->fd, text, strlen(text)), (ssize_t)strlen(text));
        while (sd_event_run(p->event, 0) > 0)
                ;
}

static void expect_lines(Pipe *p, const char *json) {
        JsonText t = JSON_TEXT_NULL;

        host_lines_write(p->lines, &t, NULL);
        assert_int_equal(json_text_finish(&t), 0);
        assert_string_equal(t.text, json);
        json_text_done(&t);
}

static char *logged(Pipe *p) {
        static char text[256 * 1024];
        ssize_t n = pread(p->logged, text, sizeof(text) - 1, 0);

        assert_true(n >= 0);
        text[n] = '\0';
        return text;
}

static size_t count(const char *text, const char *what) {
        size_t n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}

static void test_lines(void **state) {
        Pipe *p = *state;

        expect_lines(p, "[]");
        assert_null(host_log_last(p->log));
        put(p, "one\ntw");
        expect_lines(p, "[\"one\"]");
        put(p, "o\r\n\n  \nthree");
        expect_lines(p, "[\"one\",\"two\"]");
        host_log_drain(p->log);
        expect_lines(p, "[\"one\",\"two\",\"three\"]");
        assert_string_equal(host_log_last(p->log), "three");
        assert_non_null(strstr(logged(p), "spell#2: one\n"));
        assert_non_null(strstr(logged(p), "spell#2: three\n"));
        p->fd = close_fd(p->fd);
        assert_true(sd_event_run(p->event, 0) > 0); /* end-of-file, once */
        assert_int_equal(sd_event_run(p->event, 0), 0);
}

static void test_escaped(void **state) {
        Pipe *p = *state;

        put(p,
            "a\tb \x1b[1m \x7f \xff \xc3\xa4 \xc2\x9b \xed\xa0\x80 \xf0\x9f\x98\x80 \xc0\x80 \xe2\x82\n");
        assert_string_equal(host_log_last(p->log),
                            "a\tb \\x1b[1m \\x7f \\xff ä \\xc2\\x9b \\xed\\xa0\\x80 😀 \\xc0\\x80 "
                            "\\xe2\\x82");
}

static void test_long(void **state) {
        char line[HOST_LINE_MAX * 2 + 8];
        Pipe *p = *state;

        memset(line, 'x', sizeof(line));
        line[HOST_LINE_MAX * 2 + 6] = '\n';
        line[HOST_LINE_MAX * 2 + 7] = '\0';
        put(p, line);
        assert_string_equal(host_log_last(p->log), "xxxxxx");
        assert_int_equal(count(logged(p), "spell#2: "), 3);
}

static void test_kept(void **state) {
        Pipe *p = *state;
        char line[16];

        for (int i = 0; i < HOST_LINES + 3; i++) {
                snprintf(line, sizeof(line), "line %d\n", i);
                put(p, line);
        }
        {
                JsonText t = JSON_TEXT_NULL;

                host_lines_write(p->lines, &t, NULL);
                assert_int_equal(json_text_finish(&t), 0);
                assert_int_equal(count(t.text, "line"), HOST_LINES);
                assert_memory_equal(t.text, "[\"line 3\",", 10);
                json_text_done(&t);
        }
}

/* Somebody who writes without end is read, and told of, in measure. */
static void test_flood(void **state) {
        Pipe *p = *state;
        uint64_t begin = now_usec(CLOCK_MONOTONIC);
        char text[1001 * 4] = "";

        for (int i = 0; i < 1000; i++)
                memcpy(text + 4 * i, "abc\n", 5);
        put(p, text);
        assert_int_equal(count(logged(p), "spell#2: abc"), HOST_LINES_RATE);
        while (!strstr(logged(p), "left out")) {
                assert_true(now_usec(CLOCK_MONOTONIC) - begin < 10 * USEC_PER_SEC);
                assert_true(sd_event_run(p->event, USEC_PER_SEC) >= 0);
        }
        assert_non_null(strstr(logged(p), "spell#2: … 900 lines left out\n"));
        put(p, "again\n");
        assert_non_null(strstr(logged(p), "spell#2: again\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
                cmocka_unit_test_setup_teardown(test_escaped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
