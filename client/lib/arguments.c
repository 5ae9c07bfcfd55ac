/* SPDX-License-Identifier: Apache-2.0 */

/* Large values travel beside the message in a memfd: the arguments of a job on their way there, the
 * value of a certificate on its way back. Lives in clients. */

#include "connection.h"

#include <sys/mman.h>
#include <sys/stat.h>

static int write_all(const char *bytes, size_t n, void *userdata) {
        const int fd = *(int *)userdata;

        while (n > 0) {
                ssize_t k = write(fd, bytes, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -1;
                bytes += k;
                n -= (size_t)k;
        }
        return 0;
}

static int memfd_from_json(const json_t *json) {
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(freep) char *text = NULL;

        fd = memfd_create("forkd-arguments", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        text = json_dumps(json, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        if (strlen(text) > ARGUMENTS_MAX)
                return -EMSGSIZE;
        if (write_all(text, strlen(text), &fd) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        return steal_fd(&fd);
}

int job_move_arguments(json_t *job, size_t index, size_t above, json_t **ret_job, int *ret_fd) {
        json_t *arguments = json_object_get(job, "arguments"), *copy;
        _cleanup_(close_fdp) int fd = -1;

        if (!json_is_object(arguments) || json_dumpb(arguments, NULL, 0, JSON_COMPACT) <= above) {
                *ret_job = json_incref(job);
                *ret_fd = -1;
                return 0;
        }

        fd = memfd_from_json(arguments);
        if (fd < 0)
                return fd;
        copy = json_copy(job);
        if (!copy || json_object_del(copy, "arguments") < 0 ||
            json_object_set_new(copy, "argumentsDescriptor", json_integer((json_int_t)index)) < 0) {
                json_decref(copy);
                return -ENOMEM;
        }
        *ret_job = copy;
        *ret_fd = steal_fd(&fd);
        return 0;
}

int certificate_fetch_value(json_t *certificate, ForkdReply *reply) {
        const json_t *index = json_object_get(certificate, "valueDescriptor");
        json_int_t i = json_integer_value(index);
        struct stat st;
        json_t *value;
        char *text;

        if (!index || json_is_null(index))
                return 0;
        if (!json_is_integer(index) || i < 0 || (size_t)i >= reply->n_fds)
                return -EBADMSG;
        if (fstat(reply->fds[i], &st) < 0)
                return -errno;
        if (st.st_size <= 0 || (size_t)st.st_size > ARGUMENTS_MAX)
                return -EBADMSG;

        text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, reply->fds[i], 0);
        if (text == MAP_FAILED)
                return -errno;
        value = json_loadb(text, (size_t)st.st_size, 0, NULL);
        munmap(text, (size_t)st.st_size);
        if (!value)
                return -EBADMSG;
        if (json_object_set_new(certificate, "value", value) < 0)
                return -ENOMEM;
        (void)json_object_del(certificate, "valueDescriptor");
        return 0;
}
