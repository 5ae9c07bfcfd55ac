/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl logs`: what a submitted job has written. The daemon opens the files and is not in the
 * way of the data; following means to wait for the file to change and, on a second connection, for
 * the job to end. Lives in forkctl. */

#include "verb.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>

#define FALLBACK_MSEC 250 /* where a file cannot be watched */

/* One stream of a job's output, and where it goes. */
typedef struct Log {
        const char *stream;
        int fd, to;
        uint64_t lost; /* bytes at the head, given up before we came */
        off_t position;
        char *collected; /* for --json */
        size_t n_collected;
} Log;

typedef struct LogsVerb {
        Ctl *ctl;
        uint64_t id;
        Log logs[2];
        size_t n_logs;
        Forkd *watcher;
        int inotify;
        bool finished;
        int watch_error;
} LogsVerb;

static int write_all(int fd, const char *bytes, size_t n) {
        while (n > 0) {
                ssize_t k = write(fd, bytes, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && errno == EAGAIN) { /* somebody made our terminal or pipe nonblocking */
                        struct pollfd p = { .fd = fd, .events = POLLOUT };

                        (void)poll(&p, 1, -1);
                        continue;
                }
                if (k < 0)
                        return -errno;
                bytes += k;
                n -= (size_t)k;
        }
        return 0;
}

static int log_put(Log *l, const char *bytes, size_t n) {
        char *grown;

        if (l->to >= 0)
                return write_all(l->to, bytes, n);
        grown = realloc(l->collected, l->n_collected + n + 1);
        if (!grown)
                return -ENOMEM;
        memcpy(grown + l->n_collected, bytes, n);
        l->collected = grown;
        l->n_collected += n;
        return 0;
}

/* Over the hole that is left where the head was given up. */
static bool log_seek(const LogsVerb *v, Log *l) {
        off_t data = lseek(l->fd, l->position, SEEK_DATA);

        if (data < 0)
                return errno !=
                       ENXIO; /* no data behind this place; or a file system that knows no holes */
        if (data > l->position) {
                ctl_note(v->ctl, "%s: %lld more bytes were given up", l->stream,
                         (long long)(data - l->position));
                l->position = data;
        }
        return true;
}

static int log_copy(const LogsVerb *v, Log *l) {
        char buffer[64 * 1024];
        ssize_t n;
        int r;

        for (;;) {
                if (!log_seek(v, l))
                        return 0;
                n = pread(l->fd, buffer, sizeof(buffer), l->position);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return ctl_error("cannot read the %s of job %" PRIu64 ": %s", l->stream,
                                         v->id, strerror(errno));
                if (n == 0)
                        return 0;
                r = log_put(l, buffer, (size_t)n);
                if (r < 0)
                        return ctl_errno(r, "cannot write the output");
                l->position += n;
        }
}

static int logs_copy(LogsVerb *v) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < v->n_logs; i++)
                r = log_copy(v, &v->logs[i]);
        return r;
}

static int on_begun(const ForkdChange *change, void *userdata _unused_) {
        return change->id != 0 && change->state && !streq(change->state, "queued") &&
               !streq(change->state, "parked");
}

/* Whoever follows does not care whether the job has started yet. */
static int logs_wait_begun(LogsVerb *v) {
        Forkd *watcher = NULL;
        int r = ctl_connect(v->ctl, &watcher);

        if (r != 0)
                return r;
        r = forkd_watch(watcher, &v->id, 1, -1, on_begun, NULL);
        if (r != 0)
                r = ctl_fault(watcher, r);
        forkd_free(watcher);
        return r;
}

/* With both streams wanted, one of them is enough: the other may have gone elsewhere. */
static int logs_open(LogsVerb *v) {
        const Options *o = &v->ctl->options;
        const bool out = options_has(o, OPTION_ONLY_STDOUT),
                   err = options_has(o, OPTION_ONLY_STDERR);
        const bool both = out == err;
        int r;

        for (int i = 0; i < 2; i++) {
                Log *l = &v->logs[v->n_logs];

                if (!both && (i == 0) != out)
                        continue;
                *l = (Log){ .stream = i == 0 ? "stdout" : "stderr", .fd = -1 };
                l->to = v->ctl->json ? -1 : both && i == 1 ? STDERR_FILENO : STDOUT_FILENO;
                r = forkd_open_output(v->ctl->forkd, v->id, l->stream, &l->fd, &l->lost);
                if (r < 0 || (r > 0 && (!both || (i == 1 && v->n_logs == 0))))
                        return ctl_fault(v->ctl->forkd, r);
                if (r > 0)
                        continue;
                l->position = (off_t)l->lost;
                if (l->lost > 0)
                        ctl_note(v->ctl, "%s: the first %" PRIu64 " bytes were given up", l->stream,
                                 l->lost);
                v->n_logs++;
        }
        return 0;
}

static void on_watch(Forkd *f _unused_, ForkdReply *reply, void *userdata) {
        LogsVerb *v = userdata;
        const char *state = json_string_value(json_object_get(reply->parameters, "state"));

        if (reply->outcome != 0)
                v->watch_error = reply->outcome;
        if ((state && streq(state, "finished")) || !reply->continues)
                v->finished = true;
}

static int logs_watch(LogsVerb *v) {
        const ForkdRequest request = {
                .method = "org.forkd.jobs.Watch",
                .parameters = json_pack("{s:[I]}", "ids", (json_int_t)v->id),
                .flags = FORKD_CALL_MORE,
        };
        int r;

        r = ctl_connect(v->ctl, &v->watcher);
        if (r == 0) {
                r = forkd_start(v->watcher, &request, on_watch, v);
                if (r < 0)
                        r = ctl_fault(v->watcher, r);
        }
        json_decref(request.parameters);
        if (r != 0)
                return r;

        v->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        for (size_t i = 0; v->inotify >= 0 && i < v->n_logs; i++) {
                char path[64];

                snprintf(path, sizeof(path), "/proc/self/fd/%d", v->logs[i].fd);
                if (inotify_add_watch(v->inotify, path, IN_MODIFY) < 0)
                        v->inotify = close_fd(
                                v->inotify); /* the file of another user: look now and then */
        }
        return 0;
}

static int logs_follow(LogsVerb *v) {
        int r = logs_watch(v);

        while (r == 0) {
                struct pollfd polls[] = {
                        { .fd = forkd_fd(v->watcher), .events = forkd_events(v->watcher) },
                        { .fd = v->inotify, .events = POLLIN },
                        /* whoever reads us is gone, although the job says nothing: POLLERR comes
                           unasked */
                        { .fd = v->logs[0].to },
                };
                const bool finished = v->finished;
                char events[4096];

                r = logs_copy(v);
                if (r != 0 || finished)
                        break;
                if (poll(polls, ELEMENTSOF(polls), v->inotify < 0 ? FALLBACK_MSEC : -1) < 0 &&
                    errno != EINTR)
                        return ctl_errno(-errno, "cannot wait for output");
                if (polls[2].revents & POLLERR) {
                        (void)raise(SIGPIPE);
                        break;
                }
                while (v->inotify >= 0 && read(v->inotify, events, sizeof(events)) > 0)
                        ;
                if (forkd_process(v->watcher) < 0 && !v->finished)
                        v->finished = true;
        }
        if (r == 0 && v->watch_error != 0)
                return ctl_fault(v->watcher, v->watch_error);
        return r;
}

/* What is no UTF-8 becomes U+FFFD: JSON has nothing else. */
static json_t *text_to_json(const char *bytes, size_t n) {
        _cleanup_(freep) char *text = malloc(n * 3 + 1);
        size_t k = 0;

        if (!text)
                return NULL;
        for (size_t i = 0; i < n;) {
                size_t length = 1;
                json_t *one = NULL;

                for (; length <= 4 && i + length <= n; length++) {
                        one = bytes[i] ? json_stringn(bytes + i, length) : NULL;
                        if (one)
                                break;
                }
                if (one)
                        k = (size_t)((char *)mempcpy(text + k, bytes + i, length) - text);
                else
                        k = (size_t)(stpcpy(text + k, "\xef\xbf\xbd") - text);
                i += one ? length : 1;
                json_decref(one);
        }
        return json_stringn(text, k);
}

static void logs_print_json(LogsVerb *v) {
        json_t *out = json_pack("{s:I}", "id", (json_int_t)v->id);

        for (size_t i = 0; i < v->n_logs; i++) {
                Log *l = &v->logs[i];

                json_object_set_new(out, l->stream,
                                    json_pack("{s:I, s:o}", "lost", (json_int_t)l->lost, "text",
                                              text_to_json(l->collected ?: "", l->n_collected)));
        }
        ctl_print_json(v->ctl, out);
        json_decref(out);
}

int verb_logs(Ctl *ctl) {
        _cleanup_(freep) uint64_t *ids = NULL;
        LogsVerb v = { .ctl = ctl, .inotify = -1 };
        int r;

        r = ctl_ids(ctl, &ids);
        if (r != 0)
                return r;
        v.id = ids[0];

        if (options_has(&ctl->options, OPTION_FOLLOW))
                r = logs_wait_begun(&v);
        if (r == 0)
                r = logs_open(&v);
        if (r == 0)
                r = options_has(&ctl->options, OPTION_FOLLOW) ? logs_follow(&v) : logs_copy(&v);
        if (r == 0 && ctl->json)
                logs_print_json(&v);

        for (size_t i = 0; i < v.n_logs; i++) {
                close_fd(v.logs[i].fd);
                free(v.logs[i].collected);
        }
        close_fd(v.inotify);
        forkd_free(v.watcher);
        return r;
}
