/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/output.h: sizes, tails, and heads that are punched out. */

#include "output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cmocka.h>

#define BLOCK 4096

typedef struct Folder {
        char path[64];
        int fd;
} Folder;

/* Whether the file system of this folder can punch holes. */
static bool can_punch(int dir_fd) {
        int fd = openat(dir_fd, "probe", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        char block[BLOCK] = "";
        bool can = fd >= 0 && write(fd, block, sizeof(block)) == sizeof(block) &&
                   fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, sizeof(block)) == 0;

        close_fd(fd);
        unlinkat(dir_fd, "probe", 0);
        return can;
}

/* The first place whose file system can do what the daemon needs; without one the tests fail. */
static int folder_make(void **state) {
        static const char *const places[] = { "/tmp", "/var/tmp", "/dev/shm", "/run", "." };
        static Folder f;

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                snprintf(f.path, sizeof(f.path), "%s/test-output-XXXXXX", places[i]);
                if (!mkdtemp(f.path))
                        continue;
                f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (f.fd >= 0 && can_punch(f.fd)) {
                        *state = &f;
                        return 0;
                }
                close_fd(f.fd);
                rmdir(f.path);
        }
        print_error("no file system here can punch holes\n");
        return -1;
}

/* Succeeds only when the test has removed its files. */
static int folder_remove(void **state) {
        Folder *f = *state;

        close_fd(f->fd);
        return rmdir(f->path);
}

static void fill(const Output *o, char byte, size_t n) {
        char *bytes = malloc(n);

        memset(bytes, byte, n);
        assert_int_equal(write(o->fd, bytes, n), n);
        free(bytes);
}

static uint64_t bytes_on_disk(const Output *o) {
        struct stat st;

        assert_int_equal(fstat(o->fd, &st), 0);
        return (uint64_t)st.st_blocks * 512;
}

static void done(Folder *f, Output *o) {
        output_close(o);
        assert_int_equal(o->fd, -1);
        output_close(o);
        assert_int_equal(output_unlink(f->fd, 7, "out"), 0);
}

static void test_open(void **state) {
        Folder *f = *state;
        Output o = OUTPUT_NULL;
        struct stat st;

        assert_int_equal(output_size(&o), 0);
        assert_null(output_tail(&o));
        assert_int_equal(output_trim(&o, 0), 0);

        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        assert_int_equal(fcntl(o.fd, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(o.fd, F_GETFL) & O_APPEND);
        assert_int_equal(fstatat(f->fd, "7.out", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        fill(&o, 'a', 5);
        assert_int_equal(lseek(o.fd, 0, SEEK_SET), 0);
        fill(&o, 'b', 5); /* appended, wherever the offset is */
        assert_int_equal(output_size(&o), 10);
        output_close(&o);

        /* the next attempt of the job goes on behind it */
        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        fill(&o, 'c', 5);
        assert_int_equal(output_size(&o), 15);
        done(f, &o);
}

static void test_open_refuses(void **state) {
        Folder *f = *state;
        Output o = OUTPUT_NULL;

        /* somebody has put a link in its place */
        assert_int_equal(symlinkat("/etc/passwd", f->fd, "7.out"), 0);
        assert_int_equal(output_open(&o, f->fd, 7, "out"), -ELOOP);
        assert_int_equal(output_reopen(f->fd, 7, "out"), -ELOOP);
        assert_int_equal(o.fd, -1);
        assert_int_equal(output_unlink(f->fd, 7, "out"), 0);
        assert_int_equal(output_unlink(f->fd, 7, "out"), -ENOENT);
        assert_int_equal(output_reopen(f->fd, 7, "out"), -ENOENT);
}

static void test_reopen(void **state) {
        Folder *f = *state;
        Output o = OUTPUT_NULL;
        char text[8] = "";
        int fd;

        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        fill(&o, 'x', 3);
        fd = output_reopen(f->fd, 7, "out");
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(output_hole(fd), 0);
        assert_int_equal(read(fd, text, sizeof(text)), 3);
        assert_string_equal(text, "xxx");
        fill(&o, 'y', 1);
        assert_int_equal(read(fd, text, sizeof(text)), 1);
        close(fd);
        done(f, &o);
}

/* ---- the head above the limit */

static void test_trim(void **state) {
        Folder *f = *state;
        Output o = OUTPUT_NULL;
        char byte;
        int fd;

        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        fill(&o, 'a', 64 * BLOCK);
        assert_int_equal(output_trim(&o, 64 * BLOCK), 0);
        assert_int_equal(o.lost, 0);
        assert_int_equal(fsync(o.fd), 0);
        assert_int_equal(bytes_on_disk(&o), 64 * BLOCK);

        fill(&o, 'b', 10 * BLOCK);
        assert_int_equal(output_trim(&o, 64 * BLOCK), 0);
        assert_int_equal(o.lost, 10 * BLOCK);
        assert_int_equal(output_size(&o), 74 * BLOCK);
        assert_int_equal(fsync(o.fd), 0);
        assert_int_equal(bytes_on_disk(&o), 64 * BLOCK);

        /* again, from where it was */
        fill(&o, 'c', 100 * BLOCK);
        assert_int_equal(output_trim(&o, 64 * BLOCK), 0);
        assert_int_equal(o.lost, 110 * BLOCK);
        assert_int_equal(output_size(&o), 174 * BLOCK);
        assert_int_equal(fsync(o.fd), 0);
        assert_int_equal(bytes_on_disk(&o), 64 * BLOCK);
        assert_int_equal(pread(o.fd, &byte, 1, 110 * BLOCK - 1), 1);
        assert_int_equal(byte, 0);
        assert_int_equal(pread(o.fd, &byte, 1, 110 * BLOCK), 1);
        assert_int_equal(byte, 'c');

        fd = output_reopen(f->fd, 7, "out");
        assert_int_equal(output_hole(fd), 110 * BLOCK);
        assert_int_equal(lseek(fd, 0, SEEK_CUR),
                         0); /* its reader begins at the head all the same */
        close(fd);
        done(f, &o);
}

/* Holes are made of blocks: less than one block above the limit may stay, and never less than the
 * limit. */
static void test_trim_is_bounded(void **state) {
        static const uint64_t limits[] = { 0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK + 17 };
        Folder *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                Output o = OUTPUT_NULL;

                assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
                for (size_t n = 0; n < 40; n++) {
                        uint64_t stays;

                        fill(&o, 'x', 1 + n * 731);
                        assert_int_equal(output_trim(&o, limits[i]), 0);
                        stays = output_size(&o) - o.lost;
                        assert_true(stays < limits[i] + BLOCK);
                        assert_true(o.lost == 0 || stays >= limits[i]);
                }
                done(f, &o);
        }
}

/* The file system's refusal is passed up and loses nothing of the count. */
static void test_trim_fails(void **state) {
        Folder *f = *state;
        Output o = OUTPUT_NULL, read_only = OUTPUT_NULL;

        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        fill(&o, 'x', 4 * BLOCK);
        read_only.fd = output_reopen(f->fd, 7, "out");
        assert_int_equal(output_trim(&read_only, BLOCK), -EBADF);
        assert_int_equal(read_only.lost, 0);
        output_close(&read_only);
        done(f, &o);
}

/* The worker has the same open file, and may cut it off below what was given up. */
static void test_truncated_by_worker(void **state) {
        static const off_t sizes[] = { 0, 10, 3 * BLOCK };
        Folder *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                Output o = OUTPUT_NULL;

                assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
                fill(&o, 'x', 8 * BLOCK);
                assert_int_equal(output_trim(&o, BLOCK), 0);
                assert_int_equal(o.lost, 7 * BLOCK);
                assert_int_equal(ftruncate(o.fd, sizes[i]), 0);
                assert_null(output_tail(&o)); /* a hole is nothing to show */
                assert_int_equal(output_trim(&o, BLOCK), 0);
                done(f, &o);
        }
}

/* ---- the last lines */

static void check_tail(Folder *f, const char *text, size_t n, const char *expected) {
        Output o = OUTPUT_NULL;
        char *tail;

        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        assert_int_equal(write(o.fd, text, n), n);
        tail = output_tail(&o);
        if (expected) {
                assert_non_null(tail);
                assert_string_equal(tail, expected);
        } else
                assert_null(tail);
        free(tail);
        done(f, &o);
}

static void test_tail(void **state) {
        static const struct {
                const char *text, *tail;
        } cases[] = {
                { "", NULL },
                { "\n", NULL },
                { "\n\n\n\n\n\n\n\n\n\n\n\n\n\n", NULL },
                { "a", "a" },
                { "a\n", "a" },
                { "a\n\n\n", "a" },
                { "a\n\nb", "a\n\nb" },
                { "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10" },
                { "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10" },
                { "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check_tail(*state, cases[i].text, strlen(cases[i].text), cases[i].tail);
        check_tail(*state, "a\0b\0\n", 5, "a?b?");
}

/* At most 2 KiB, of whole lines; of one long line its end. */
static void test_tail_of_long_lines(void **state) {
        char text[5000], expected[2100];

        memset(text, 'x', sizeof(text));
        memset(expected, 'x', sizeof(expected));
        expected[2048] = '\0';
        check_tail(*state, text, sizeof(text), expected);
        expected[2047] = '\0';
        text[4999] = '\n';
        check_tail(*state, text, sizeof(text), expected);

        text[3999] = '\n';
        expected[999] = '\0';
        check_tail(*state, text, sizeof(text), expected);

        /* ten lines of 200 bytes fit, of 300 bytes six do */
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = i % 200 == 199 ? '\n' : 'x';
        for (size_t i = 0; i < 2000; i++)
                expected[i] = i % 200 == 199 ? '\n' : 'x';
        expected[1999] = '\0';
        check_tail(*state, text, 4000, expected);
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = i % 300 == 299 ? '\n' : 'x';
        for (size_t i = 0; i < 1800; i++)
                expected[i] = i % 300 == 299 ? '\n' : 'x';
        expected[1799] = '\0';
        check_tail(*state, text, 4800, expected);
}

/* What was given up is no part of the tail. */
static void test_tail_after_trim(void **state) {
        Folder *f = *state;
        Output o = OUTPUT_NULL;
        char *tail;

        assert_int_equal(output_open(&o, f->fd, 7, "out"), 0);
        fill(&o, 'a', 2 * BLOCK);
        fill(&o, 'b', 100);
        assert_int_equal(output_trim(&o, 100), 0);
        assert_int_equal(o.lost, 2 * BLOCK);
        tail = output_tail(&o);
        assert_non_null(tail);
        assert_int_equal(strlen(tail), 100);
        assert_int_equal(strspn(tail, "b"), 100);
        free(tail);
        done(f, &o);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_open, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_open_refuses, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_reopen, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_trim, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_trim_is_bounded, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_trim_fails, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_truncated_by_worker, folder_make,
                                                folder_remove),
                cmocka_unit_test_setup_teardown(test_tail, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_tail_of_long_lines, folder_make,
                                                folder_remove),
                cmocka_unit_test_setup_teardown(test_tail_after_trim, folder_make, folder_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
