/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzzer's function over every file of the folders and files named, for builds without
 * libFuzzer. Fails when there is nothing to run. */

#include "basic.h"

#include <dirent.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_(freep) uint8_t *data = NULL;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;

        data = malloc((size_t)st.st_size + 1);
        if (!data)
                return -ENOMEM;
        if (read(fd, data, (size_t)st.st_size) != st.st_size)
                return -EIO;

        LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
        return 0;
}

static int replay_folder(const char *path) {
        DIR *d = opendir(path);
        struct dirent *e;
        int n = 0;

        if (!d)
                return -errno;
        while ((e = readdir(d))) {
                _cleanup_(freep) char *file = NULL;

                if (e->d_name[0] == '.')
                        continue;
                if (asprintf(&file, "%s/%s", path, e->d_name) < 0 || replay_file(file) < 0) {
                        fprintf(stderr, "cannot replay %s/%s\n", path, e->d_name);
                        exit(1);
                }
                n++;
        }
        closedir(d);
        return n;
}

int main(int argc, char **argv) {
        int total = 0;

        for (int i = 1; i < argc; i++) {
                int n = replay_folder(argv[i]);

                if (n == -ENOTDIR)
                        n = replay_file(argv[i]) < 0 ? -EIO : 1;
                if (n < 0) {
                        fprintf(stderr, "cannot replay %s: %s\n", argv[i], strerror(-n));
                        return 1;
                }
                total += n;
        }

        printf("%d inputs\n", total);
        return total > 0 ? 0 : 1;
}
