/* SPDX-License-Identifier: Apache-2.0 */

/* The state directory of one daemon, owned by it. STATE/lock is held by flock() for the daemon's
 * life; STATE/ids holds the first id that nobody has reserved yet, replaced as a whole. */

#include "state-dir.h"

#include "paths.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ID_BLOCK 1000

struct StateDir {
        char *path;
        int fd, lock_fd, output_fd;
        uint64_t next_id, reserved; /* reserved: the first id beyond our block */
        char instance[64];
};

static int ids_read(StateDir *s) {
        _cleanup_(close_fdp) int fd = openat(s->fd, "ids", O_RDONLY | O_CLOEXEC);
        char text[32], *end;
        ssize_t n;

        if (fd < 0) {
                if (errno != ENOENT)
                        return -errno;
                s->next_id = s->reserved = 1;
                return 0;
        }

        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        errno = 0;
        s->next_id = s->reserved = strtoull(text, &end, 10);
        if (errno != 0 || end == text || *end != '\n' || end + 1 != text + n || s->next_id == 0 ||
            s->next_id > INT64_MAX / 2)
                return STATE_DIR_E_DAMAGED;
        return 0;
}

static int ids_reserve(StateDir *s) {
        _cleanup_(close_fdp) int fd =
                openat(s->fd, "ids.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint64_t reserved = s->reserved + ID_BLOCK;
        char text[32];
        int n;

        if (fd < 0)
                return -errno;
        n = snprintf(text, sizeof(text), "%" PRIu64 "\n", reserved);
        if (write(fd, text, (size_t)n) != n)
                return errno > 0 ? -errno : -EIO;
        if (fdatasync(fd) < 0 || renameat(s->fd, "ids.new", s->fd, "ids") < 0 || fsync(s->fd) < 0)
                return -errno;

        s->reserved = reserved;
        return 0;
}

int state_dir_open(StateDir **ret, const char *path) {
        StateDir *s = calloc(1, sizeof(*s));
        struct stat st;
        int r;

        if (!s)
                return -ENOMEM;
        s->fd = s->lock_fd = s->output_fd = -1;

        r = -ENOMEM;
        s->path = strdup(path);
        if (!s->path)
                goto fail;

        r = paths_make_directory(path, 0700);
        if (r < 0)
                goto fail;
        s->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->fd < 0 || fstat(s->fd, &st) < 0)
                goto fail_errno;
        snprintf(s->instance, sizeof(s->instance), "forkd-%u-%" PRIu64,
                 (unsigned)(major(st.st_dev) << 20 | minor(st.st_dev)), (uint64_t)st.st_ino);

        s->lock_fd = openat(s->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (s->lock_fd < 0)
                goto fail_errno;
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        goto fail_errno;
                state_dir_free(s);
                return STATE_DIR_E_LOCKED;
        }

        if (mkdirat(s->fd, "output", 0700) < 0 && errno != EEXIST)
                goto fail_errno;
        s->output_fd = openat(s->fd, "output", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (s->output_fd < 0)
                goto fail_errno;

        r = ids_read(s);
        if (r != 0)
                goto fail;

        *ret = s;
        return 0;

fail_errno:
        r = -errno;
fail:
        state_dir_free(s);
        return r;
}

StateDir *state_dir_free(StateDir *s) {
        if (!s)
                return NULL;
        close_fd(s->output_fd);
        close_fd(s->lock_fd);
        close_fd(s->fd);
        free(s->path);
        free(s);
        return NULL;
}

const char *state_dir_path(const StateDir *s) {
        return s->path;
}

int state_dir_output_fd(const StateDir *s) {
        return s->output_fd;
}

size_t state_dir_fds(const StateDir *s, int *ret) {
        ret[0] = s->fd;
        ret[1] = s->lock_fd;
        ret[2] = s->output_fd;
        return 3;
}

const char *state_dir_instance(const StateDir *s) {
        return s->instance;
}

int state_dir_next_id(StateDir *s, uint64_t *ret) {
        if (s->next_id >= s->reserved) {
                int r = ids_reserve(s);

                if (r < 0)
                        return r;
        }
        *ret = s->next_id++;
        return 0;
}

unsigned state_dir_clear_output(StateDir *s) {
        int fd = openat(s->output_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;
        unsigned n = 0;

        if (!d) {
                close_fd(fd);
                return 0;
        }
        while ((e = readdir(d)))
                if (e->d_name[0] != '.' && unlinkat(s->output_fd, e->d_name, 0) == 0)
                        n++;
        closedir(d);
        return n;
}
