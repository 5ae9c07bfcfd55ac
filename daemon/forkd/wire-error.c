/* SPDX-License-Identifier: Apache-2.0 */

/* Errors and unusual replies on the wire; stateless, in forkd. */

#include "wire-error.h"

#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/mman.h>

static const char *const names[_WIRE_ERROR_MAX] = {
        [WIRE_NO_SUCH_JOB] = "org.forkd.jobs.NoSuchJob",
        [WIRE_NO_SUCH_SERVER] = "org.forkd.jobs.NoSuchServer",
        [WIRE_NO_SUCH_ENTRY] = "org.forkd.jobs.NoSuchEntry",
        [WIRE_WRONG_STATE] = "org.forkd.jobs.WrongState",
        [WIRE_QUEUE_FULL] = "org.forkd.jobs.QueueFull",
        [WIRE_LIMIT_REACHED] = "org.forkd.jobs.LimitReached",
        [WIRE_STORAGE_FULL] = "org.forkd.jobs.StorageFull",
        [WIRE_KEY_CONFLICT] = "org.forkd.jobs.KeyConflict",
        [WIRE_SERVER_FAILED] = "org.forkd.jobs.ServerFailed",
        [WIRE_JOB_FAILED] = "org.forkd.jobs.JobFailed",
        [WIRE_TIMED_OUT] = "org.forkd.jobs.TimedOut",
        [WIRE_DRAINING] = "org.forkd.jobs.Draining",
        [WIRE_MANAGER_DRAINING] = "org.forkd.manager.Draining",
        [WIRE_RELOAD_FAILED] = "org.forkd.manager.ReloadFailed",
        [WIRE_SERVERS_NO_SUCH_SERVER] = "org.forkd.servers.NoSuchServer",
        [WIRE_SERVERS_NAME_TAKEN] = "org.forkd.servers.NameTaken",
        [WIRE_SERVERS_SERVER_FAILED] = "org.forkd.servers.ServerFailed",
        [WIRE_SERVERS_LIMIT_REACHED] = "org.forkd.servers.LimitReached",
        [WIRE_SERVERS_WRONG_STATE] = "org.forkd.servers.WrongState",
        [WIRE_SERVERS_DRAINING] = "org.forkd.servers.Draining",
};

const char *wire_error_name(WireError error) {
        return names[error];
}

int wire_error(Call *call, WireError error, json_t *details, const char *sentence, ...) {
        json_t *parameters = details ?: json_object();
        char text[1024];
        va_list ap;
        int r;

        va_start(ap, sentence);
        text_formatv(text, sizeof(text), sentence, ap);
        va_end(ap);

        json_object_set_new(parameters, "sentence", json_string(text));
        r = call_error(call, names[error], parameters);
        json_decref(parameters);
        return r;
}

int wire_error_text(Call *call, WireError error, const char *parameters) {
        json_t *object = json_loads(parameters, 0, NULL);
        int r = call_error(call, names[error], object);

        json_decref(object);
        return r;
}

int wire_no_such_job(Call *call, uint64_t id) {
        return wire_error(call, WIRE_NO_SUCH_JOB, json_pack("{s:I}", "id", (json_int_t)id),
                          "there is no job %" PRIu64 ", or it is not yours", id);
}

int wire_wrong_state(Call *call, const Job *job, const char *what) {
        const char *state = job_state_to_string(job->state);

        return wire_error(call, WIRE_WRONG_STATE,
                          json_pack("{s:I,s:s}", "id", (json_int_t)job->id, "state", state),
                          "job %" PRIu64 " is %s and cannot be %s", job->id, state, what);
}

int wire_value_fd(const char *value, size_t length) {
        _cleanup_(close_fdp) int fd = memfd_create("forkd-value", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < length;) {
                ssize_t n = write(fd, value + done, length - done);

                if (n < 0)
                        return -errno;
                done += (size_t)n;
        }
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0 ||
            lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        return steal_fd(&fd);
}

int wire_reply_with_value(Call *call, const Job *job) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        _cleanup_(close_fdp) int fd = -1;
        json_t *parameters;
        int r;

        fd = wire_value_fd(job->certificate->value, job->certificate->value_length);
        if (fd < 0)
                return wire_error(call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "memory"),
                                  "the value of job %" PRIu64 " could not be passed on: %s",
                                  job->id, strerror(-fd));

        json_text_open(&t, NULL, '{');
        json_text_int(&t, "id", (int64_t)job->id);
        json_text_string(&t, "state", "finished");
        certificate_write(job->certificate, &t, "certificate", 0);
        json_text_close(&t, '}');
        parameters = json_text_finish(&t) < 0 ? NULL : json_loads(t.text, 0, NULL);
        if (!parameters)
                return -ENOMEM;

        r = call_reply_fds(call, parameters, &fd, 1);
        json_decref(parameters);
        return r;
}
