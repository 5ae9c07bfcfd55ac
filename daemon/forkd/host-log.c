/* SPDX-License-Identifier: Apache-2.0 */

/* Output of hosts: the pipe is its generation's (server.c), the kept lines are the forkserver's
 * (named.c); in forkd. What comes is anybody's bytes, at any rate: it is read when nothing else is
 * to do, printed with a bound, and never makes its writer wait for long. */

#include "host-log.h"

#include "log.h"
#include "priorities.h"

#define READ_SIZE   ((size_t)16 * 1024)  /* in one turn of the loop */
#define DRAIN_SIZE  ((size_t)256 * 1024) /* a pipe holds 64 KiB; somebody may go on writing */
#define ESCAPED_MAX ((size_t)4 * HOST_LINE_MAX + 1)

struct HostLines {
        char *lines[HOST_LINES]; /* owned; a ring */
        size_t next;             /* where the next one goes */
};

struct HostLog {
        sd_event *event;  /* borrowed */
        char *label;      /* owned */
        HostLines *lines; /* borrowed; NULL: not kept */
        int fd;           /* -1: end-of-file */
        sd_event_source *source, *rate_timer;
        char line[HOST_LINE_MAX]; /* has not ended yet */
        size_t length;
        char *last;            /* owned */
        uint64_t window_begin; /* CLOCK_MONOTONIC: of the second that is being counted */
        unsigned n_window, n_left_out;
};

/* ---- lines */

int host_lines_new(HostLines **ret) {
        *ret = calloc(1, sizeof(HostLines));
        return *ret ? 0 : -ENOMEM;
}

void host_lines_clear(HostLines *lines) {
        for (size_t i = 0; i < HOST_LINES; i++)
                free(steal(lines->lines[i]));
}

HostLines *host_lines_free(HostLines *lines) {
        if (!lines)
                return NULL;
        host_lines_clear(lines);
        free(lines);
        return NULL;
}

static void lines_add(HostLines *lines, const char *line) {
        free(lines->lines[lines->next]);
        lines->lines[lines->next] = strdup(line);
        lines->next = (lines->next + 1) % HOST_LINES;
}

void host_lines_write(const HostLines *lines, JsonText *t, const char *key) {
        json_text_open(t, key, '[');
        for (size_t i = 0; lines && i < HOST_LINES; i++)
                json_text_string(t, NULL, lines->lines[(lines->next + i) % HOST_LINES]);
        json_text_close(t, ']');
}

/* The length of the character at s, 0 when it is not valid UTF-8 or is a control character. */
static size_t printable(const unsigned char *s, size_t left) {
        static const struct {
                unsigned char mask, bits;
                uint32_t min;
        } heads[] = { { 0x80, 0, 0x20 },
                      { 0xe0, 0xc0, 0xa0 },
                      { 0xf0, 0xe0, 0x800 },
                      { 0xf8, 0xf0, 0x10000 } };

        for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
                uint32_t c = s[0] & (unsigned char)~heads[i].mask;

                if ((s[0] & heads[i].mask) != heads[i].bits)
                        continue;
                if (i >= left)
                        return 0;
                for (size_t k = 1; k <= i; k++) {
                        if ((s[k] & 0xc0) != 0x80)
                                return 0;
                        c = c << 6 | (s[k] & 0x3f);
                }
                return c < heads[i].min || c == 0x7f || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)
                               ? 0
                               : i + 1;
        }
        return 0;
}

/* Other bytes become \xNN: they could change what a terminal or a log shows. */
static void escape(const char *line, size_t length, char ret[static ESCAPED_MAX]) {
        const unsigned char *s = (const unsigned char *)line;
        size_t n = 0;

        for (size_t i = 0; i < length;) {
                size_t width = printable(s + i, length - i);

                if (width == 0 && s[i] != '\t')
                        n += (size_t)snprintf(ret + n, ESCAPED_MAX - n, "\\x%02x", s[i++]);
                else
                        for (width = width ?: 1; width > 0; width--)
                                ret[n++] = line[i++];
        }
        ret[n] = '\0';
}

/* ---- the pipe */

static void log_say_left_out(HostLog *log) {
        if (log->n_left_out == 0)
                return;
        log_about(LOG_INFO, 0, LOG_SERVER(log->label), "%s: … %u lines left out", log->label,
                  log->n_left_out);
        log->n_left_out = 0;
}

static int on_rate(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        log_say_left_out(userdata);
        return 0;
}

/* Whether one more may be printed in this second. */
static bool log_may_print(HostLog *log) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (now - log->window_begin >= USEC_PER_SEC) {
                log_say_left_out(log);
                log->window_begin = now;
                log->n_window = 0;
        }
        if (log->n_window < HOST_LINES_RATE) {
                log->n_window++;
                return true;
        }
        if (log->n_left_out++ == 0) {
                log->rate_timer = sd_event_source_disable_unref(log->rate_timer);
                (void)sd_event_add_time(log->event, &log->rate_timer, CLOCK_MONOTONIC,
                                        log->window_begin + USEC_PER_SEC, 0, on_rate, log);
        }
        return false;
}

static void log_end_line(HostLog *log) {
        char text[ESCAPED_MAX];

        while (log->length > 0 && log->line[log->length - 1] == '\r')
                log->length--;
        escape(log->line, log->length, text);
        log->length = 0;
        if (text[strspn(text, " \t")] == '\0')
                return;

        free(log->last);
        log->last = strdup(text);
        if (log->lines)
                lines_add(log->lines, text);
        if (log_may_print(log))
                log_about(LOG_INFO, 0, LOG_SERVER(log->label), "%s: %s", log->label, text);
}

static void log_take(HostLog *log, const char *bytes, size_t n) {
        for (size_t i = 0; i < n; i++) {
                if (bytes[i] == '\n') {
                        log_end_line(log);
                        continue;
                }
                if (log->length == HOST_LINE_MAX)
                        log_end_line(log);
                log->line[log->length++] = bytes[i];
        }
}

/* False when there is no more now. */
static bool log_read(HostLog *log) {
        char bytes[READ_SIZE];
        ssize_t n;

        if (log->fd < 0)
                return false;
        n = read(log->fd, bytes, sizeof(bytes));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                log->source = sd_event_source_disable_unref(log->source);
                close_fdp(&log->fd);
                log_end_line(log);
                return false;
        }
        log_take(log, bytes, (size_t)n);
        return true;
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void)source;
        (void)fd;
        (void)events;
        (void)log_read(userdata);
        return 0;
}

void host_log_drain(HostLog *log) {
        for (size_t n = 0; n < DRAIN_SIZE && log_read(log); n += READ_SIZE)
                ;
        log_end_line(log);
}

void host_log_detach(HostLog *log) {
        log->lines = NULL;
}

const char *host_log_last(const HostLog *log) {
        return log->last;
}

int host_log_new(HostLog **ret, sd_event *event, const char *label, HostLines *lines,
                 int *ret_write_end) {
        _cleanup_(close_fdp) int write_end = -1;
        HostLog *log = calloc(1, sizeof(*log));
        int fds[2], r;

        if (!log)
                return -ENOMEM;
        log->event = event;
        log->lines = lines;
        log->fd = -1;
        log->label = strdup(label);
        r = log->label ? 0 : -ENOMEM;
        if (r >= 0 && pipe2(fds, O_CLOEXEC) < 0)
                r = -errno;
        if (r >= 0) {
                log->fd = fds[0];
                write_end = fds[1];
                /* only our end: programs do not expect EAGAIN from standard output */
                r = fcntl(log->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
        }
        if (r >= 0)
                r = sd_event_add_io(event, &log->source, log->fd, EPOLLIN, on_output, log);
        if (r < 0) {
                host_log_free(log);
                return r;
        }
        (void)sd_event_source_set_priority(log->source, PRIORITY_TIDY);

        *ret = log;
        *ret_write_end = steal_fd(&write_end);
        return 0;
}

HostLog *host_log_free(HostLog *log) {
        if (!log)
                return NULL;
        log_say_left_out(log);
        sd_event_source_disable_unref(log->source);
        sd_event_source_disable_unref(log->rate_timer);
        close_fd(log->fd);
        free(log->label);
        free(log->last);
        free(log);
        return NULL;
}
