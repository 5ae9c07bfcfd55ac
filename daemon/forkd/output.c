/* SPDX-License-Identifier: Apache-2.0 */

/* Output files of durable jobs: owned by their job, in forkd. Workers write them; forkd is never in
 * the data path. */

#include "output.h"

#include "journal.h"

#include <inttypes.h>
#include <sys/stat.h>

#define OUTPUT_TAIL_BYTES 2048
#define OUTPUT_TAIL_LINES 10

static void output_name(char ret[static 32], uint64_t job, const char *suffix) {
        snprintf(ret, 32, "%" PRIu64 ".%s", job, suffix);
}

int output_open(Output *o, int directory_fd, uint64_t job, const char *suffix) {
        char name[32];
        int fd;

        output_name(name, job, suffix);
        fd = openat(directory_fd, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;

        *o = (Output){ .fd = fd };
        return 0;
}

int output_open_journal(Output *o, uint64_t job) {
        char identifier[32];
        int fd;

        snprintf(identifier, sizeof(identifier), "forkd-%" PRIu64, job);
        fd = journal_stream(identifier);
        if (fd < 0)
                return fd;

        *o = (Output){ .fd = fd, .journal = true };
        return 0;
}

void output_close(Output *o) {
        close_fdp(&o->fd);
}

uint64_t output_size(const Output *o) {
        struct stat st;

        if (o->fd < 0 || o->journal || fstat(o->fd, &st) < 0)
                return 0;
        return (uint64_t)st.st_size;
}

int output_trim(Output *o, uint64_t max) {
        uint64_t size = output_size(o), lost;

        if (o->fd < 0 || size <= o->lost || size - o->lost <= max)
                return 0;

        /* whole blocks only, as holes are made of blocks */
        lost = (size - max) & ~(uint64_t)4095;
        if (lost <= o->lost)
                return 0;
        if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)o->lost,
                      (off_t)(lost - o->lost)) < 0)
                return -errno;

        o->lost = lost;
        return 0;
}

char *output_tail(const Output *o) {
        uint64_t size = output_size(o),
                 kept = size > o->lost ? size - o->lost : 0; /* workers may truncate it */
        size_t want = kept > OUTPUT_TAIL_BYTES ? OUTPUT_TAIL_BYTES : (size_t)kept;
        _cleanup_(freep) char *tail = NULL;
        size_t n, start, lines = 0;
        ssize_t k;

        if (o->fd < 0 || want == 0)
                return NULL;
        tail = malloc(want + 1);
        if (!tail)
                return NULL;

        k = pread(o->fd, tail, want, (off_t)(size - want));
        if (k <= 0)
                return NULL;
        n = (size_t)k;

        while (n > 0 && tail[n - 1] == '\n')
                n--;
        for (size_t i = 0; i < n; i++)
                if (tail[i] == '\0')
                        tail[i] = '?';
        tail[n] = '\0';

        /* at most so many lines, and none that has lost its head to the limit of bytes */
        for (start = n; start > 0; start--)
                if (tail[start - 1] == '\n' && ++lines == OUTPUT_TAIL_LINES)
                        break;
        if (start == 0 && size > want) {
                const char *newline = strchr(tail, '\n');

                if (newline)
                        start = (size_t)(newline + 1 - tail);
        }

        return n > start ? strdup(tail + start) : NULL;
}

int output_unlink(int directory_fd, uint64_t job, const char *suffix) {
        char name[32];

        output_name(name, job, suffix);
        return unlinkat(directory_fd, name, 0) < 0 ? -errno : 0;
}

int output_reopen(int directory_fd, uint64_t job, const char *suffix) {
        char name[32];
        int fd;

        output_name(name, job, suffix);
        fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

uint64_t output_hole(int fd) {
        off_t data = lseek(fd, 0, SEEK_DATA);
        uint64_t hole = data < 0 ? 0 : (uint64_t)data;

        lseek(fd, 0, SEEK_SET);
        return hole;
}
