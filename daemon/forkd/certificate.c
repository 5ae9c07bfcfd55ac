/* SPDX-License-Identifier: Apache-2.0 */

/* Certificates: owned by their job, made when an attempt or the job itself ends; in forkd. */

#include "certificate.h"

#include <inttypes.h>
#include <signal.h>

static const char *const result_names[_RESULT_MAX] = {
        [RESULT_SUCCESS] = "success",
        [RESULT_EXIT] = "exit",
        [RESULT_SIGNAL] = "signal",
        [RESULT_CORE_DUMP] = "core-dump",
        [RESULT_ERROR] = "error",
        [RESULT_TIMEOUT] = "timeout",
        [RESULT_QUEUE_TIMEOUT] = "queue-timeout",
        [RESULT_OOM] = "oom",
        [RESULT_CANCELLED] = "cancelled",
        [RESULT_DEPENDENCY] = "dependency",
        [RESULT_SETUP_FAILED] = "setup-failed",
        [RESULT_SERVER_FAILED] = "server-failed",
        [RESULT_LOST] = "lost",
};

/* Stages of forkd-server(7) in words. */
static const struct {
        const char *stage, *words;
} stage_words[] = {
        { "fork", "forking a worker" },           { "signals", "resetting signals" },
        { "session", "making a session" },        { "cgroup", "entering its cgroup" },
        { "limits", "setting limits" },           { "user", "becoming its user" },
        { "directory", "changing directory" },    { "stdin", "opening standard input" },
        { "stdout", "opening standard output" },  { "stderr", "opening standard error" },
        { "descriptors", "placing descriptors" }, { "privileges", "giving up privileges" },
        { "token", "taking its start token" },    { "exec", "executing" },
        { "entry", "preparing its entry" },       { "plan", "reading its plan" },
        { "output", "making its output files" },
        { "preload", "preloading" },
};

const char *result_to_string(Result result) {
        return result_names[result];
}

Certificate *certificate_new(uint64_t id, unsigned attempt) {
        Certificate *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->id = id;
        c->attempt = attempt;
        c->status = -1;
        return c;
}

Certificate *certificate_free(Certificate *c) {
        if (!c)
                return NULL;
        free(c->stage);
        free(c->text);
        free(c->code);
        free(c->stderr_tail);
        free(c->value);
        free(c->server);
        free(c);
        return NULL;
}

const char *signal_name(int signal, char buffer[static 16]) {
        const char *abbreviation = sigabbrev_np(signal);

        if (abbreviation)
                snprintf(buffer, 16, "SIG%s", abbreviation);
        else if (signal >= SIGRTMIN && signal <= SIGRTMAX)
                snprintf(buffer, 16, "SIGRTMIN+%d", signal - SIGRTMIN);
        else
                snprintf(buffer, 16, "signal %d", signal);
        return buffer;
}

const char *duration_text(uint64_t usec, char buffer[static 32]) {
        uint64_t s = usec / USEC_PER_SEC;

        if (usec < USEC_PER_MSEC)
                snprintf(buffer, 32, "%" PRIu64 " µs", usec);
        else if (usec < USEC_PER_SEC)
                snprintf(buffer, 32, "%" PRIu64 " ms", usec / 1000);
        else if (s < 10)
                snprintf(buffer, 32, "%" PRIu64 ".%" PRIu64 " s", s, usec % USEC_PER_SEC / 100000);
        else if (s < 60)
                snprintf(buffer, 32, "%" PRIu64 " s", s);
        else if (s < 3600)
                snprintf(buffer, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
        else
                snprintf(buffer, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
        return buffer;
}

static const char *stage_in_words(const char *stage) {
        for (size_t i = 0; i < ELEMENTSOF(stage_words); i++)
                if (streq(stage_words[i].stage, stage))
                        return stage_words[i].words;
        return stage;
}

/* How the process itself ended: "exited with status 3", "killed by SIGKILL". */
static void sentence_end(const Certificate *c, char *ret, size_t size) {
        char name[16];

        if (c->signal != 0)
                snprintf(ret, size, "killed by %s", signal_name(c->signal, name));
        else if (c->status >= 0)
                snprintf(ret, size, "exited with status %d", c->status);
        else
                *ret = '\0';
}

static void sentence_head(const Certificate *c, char *ret, size_t size) {
        char run[32], queued[32], name[16], end[64];

        duration_text(c->run_usec, run);
        duration_text(c->queue_usec, queued);
        sentence_end(c, end, sizeof(end));

        switch (c->result) {
        case RESULT_SUCCESS:
                snprintf(ret, size, "succeeded after %s", run);
                break;
        case RESULT_EXIT:
                snprintf(ret, size, "exited with status %d after %s%s", c->status, run,
                         c->entry && !c->answered ? ", without an answer" : "");
                break;
        case RESULT_SIGNAL:
                snprintf(ret, size, "killed by %s after %s", signal_name(c->signal, name), run);
                break;
        case RESULT_CORE_DUMP:
                snprintf(ret, size, "killed by %s after %s, core dumped",
                         signal_name(c->signal, name), run);
                break;
        case RESULT_ERROR:
                snprintf(ret, size, "failed after %s: %s: %s", run, c->code ?: "error",
                         c->text ?: "no text");
                break;
        case RESULT_TIMEOUT:
                snprintf(ret, size, "timed out after %s%s%s", run, *end ? ", " : "", end);
                break;
        case RESULT_QUEUE_TIMEOUT:
                snprintf(ret, size, "never started: still queued after %s", queued);
                break;
        case RESULT_OOM:
                snprintf(ret, size, "killed after %s: out of memory", run);
                break;
        case RESULT_CANCELLED: {
                char by[64] = "";

                if (c->by_pid > 0)
                        snprintf(by, sizeof(by), " by uid %u (pid %d)", c->by_uid, c->by_pid);
                if (*end)
                        snprintf(ret, size, "cancelled%s%s%s after %s, %s", by, c->text ? ": " : "",
                                 c->text ?: "", run, end);
                else if (c->ran)
                        snprintf(ret, size,
                                 "cancelled%s%s%s after %s; nobody could see how it ended", by,
                                 c->text ? ": " : "", c->text ?: "", run);
                else
                        snprintf(ret, size, "cancelled%s%s%s before it ran", by,
                                 c->text ? ": " : "", c->text ?: "");
                break;
        }
        case RESULT_DEPENDENCY:
                snprintf(ret, size, "never started: %s",
                         c->text ?: "a job that it waits for has failed");
                break;
        case RESULT_SETUP_FAILED:
                snprintf(ret, size, "could not start: while %s%s%s%s: %s",
                         stage_in_words(c->stage ?: "starting"),
                         c->text ? (streq(c->stage ?: "", "directory") ? " to '" : " '") : "",
                         c->text ?: "", c->text ? "'" : "", strerror(c->error));
                break;
        case RESULT_SERVER_FAILED:
                snprintf(ret, size, "could not start: %s", c->text ?: "its forkserver has failed");
                break;
        case RESULT_LOST:
                snprintf(ret, size, "lost after %s: %s", run,
                         c->text ?: "nobody could see how it ended");
                break;
        case _RESULT_MAX:
                break;
        }
}

void certificate_sentence(const Certificate *c, char *ret, size_t size) {
        size_t n;

        *ret = '\0';
        sentence_head(c, ret, size);
        n = strlen(ret);
        if (c->left_behind > 0)
                n += (size_t)snprintf(ret + n, size - n,
                                      "; it left %u process%s behind, which %s ended",
                                      c->left_behind, c->left_behind == 1 ? "" : "es",
                                      c->left_behind == 1 ? "was" : "were");
        if (n < size && c->stdout_lost + c->stderr_lost > 0)
                snprintf(ret + n, size - n, "; %" PRIu64 " bytes of its output were given up",
                         c->stdout_lost + c->stderr_lost);
}

void certificate_write(const Certificate *c, JsonText *t, const char *key, int value_descriptor) {
        char sentence[1024];

        certificate_sentence(c, sentence, sizeof(sentence));

        json_text_open(t, key, '{');
        json_text_int(t, "id", (int64_t)c->id);
        json_text_int(t, "attempt", c->attempt);
        json_text_string(t, "result", result_to_string(c->result));
        json_text_string(t, "sentence", sentence);
        if (c->status >= 0)
                json_text_int(t, "status", c->status);
        if (c->signal != 0)
                json_text_int(t, "signal", c->signal);
        json_text_string(t, "stage", c->stage);
        if (c->error != 0)
                json_text_int(t, "errno", c->error);
        json_text_string(t, "code", c->code);
        json_text_string(t, "text", c->text);
        if (c->cancelled) {
                json_text_int(t, "cancelledByUid", c->by_uid);
                json_text_int(t, "cancelledByPid", c->by_pid);
        }
        json_text_int(t, "queueUSec", (int64_t)c->queue_usec);
        json_text_int(t, "runUSec", (int64_t)c->run_usec);
        if (c->has_usage) {
                json_text_int(t, "userUSec", (int64_t)c->user_usec);
                json_text_int(t, "systemUSec", (int64_t)c->system_usec);
        }
        if (c->memory_peak > 0)
                json_text_int(t, "memoryPeak", (int64_t)c->memory_peak);
        if (c->has_stdout) {
                json_text_int(t, "stdoutBytes", (int64_t)c->stdout_bytes);
                json_text_int(t, "stdoutLost", (int64_t)c->stdout_lost);
        }
        if (c->has_stderr) {
                json_text_int(t, "stderrBytes", (int64_t)c->stderr_bytes);
                json_text_int(t, "stderrLost", (int64_t)c->stderr_lost);
        }
        json_text_string(t, "stderrTail", c->stderr_tail);
        if (c->left_behind > 0)
                json_text_int(t, "leftBehind", c->left_behind);
        if (value_descriptor >= 0)
                json_text_int(t, "valueDescriptor", value_descriptor);
        else if (c->value && c->value_length <= CERTIFICATE_VALUE_MAX)
                json_text_raw(t, "value", c->value, c->value_length);
        json_text_string(t, "server", c->server);
        if (c->generation > 0)
                json_text_int(t, "generation", c->generation);
        json_text_close(t, '}');
}
