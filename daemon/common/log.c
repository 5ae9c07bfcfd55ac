/* SPDX-License-Identifier: Apache-2.0 */

/* Log lines, one write() or one entry of the journal each, so that lines of several processes do
 * not mix. The state below is the only mutable global of forkd's processes. */

#include "log.h"

#include "journal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES  2048
#define ENTRY_MAX_BYTES (LINE_MAX_BYTES + 1024) /* with its fields */

static int the_fd = -1;
static int the_level = LOG_INFO;
static bool the_journal;
static unsigned the_lost; /* lines that nobody took */
static const char *the_name = "forkd";

/* The variable is inherited by whatever a service starts, terminals too: what counts is whether it
 * names our own standard error. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *name, int level) {
        the_name = name;
        the_level = level;
        the_journal = stderr_is_journal();
        if (the_fd < 0)
                the_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

void log_set_level(int level) {
        the_level = level;
}

int log_fd(void) {
        return the_fd;
}

void log_close(void) {
        close_fdp(&the_fd);
}

/* One line is one line: text from elsewhere brings no line breaks into the log, and no fields. */
static size_t make_plain(char *text, int n, size_t room) {
        size_t length = n < 0 ? 0 : (size_t)n;

        if (length >= room)
                length = room - 1;
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
                        text[i] = ' ';
        return length;
}

_printf_(3, 4) static size_t
        append(char text[static LINE_MAX_BYTES], size_t n, const char *format, ...) {
        size_t room = LINE_MAX_BYTES - 1 - n; /* a newline always fits */
        va_list ap;
        int k;

        va_start(ap, format);
        k = vsnprintf(text + n, room, format, ap);
        va_end(ap);
        return n + make_plain(text + n, k, room);
}

/* One field, unless it does not fit: half a field says something else. */
_printf_(3, 4) static size_t
        add_field(char text[static ENTRY_MAX_BYTES], size_t n, const char *format, ...) {
        size_t room = ENTRY_MAX_BYTES - n;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vsnprintf(text + n, room, format, ap);
        va_end(ap);
        if (k < 0 || (size_t)k + 1 >= room)
                return n;
        n += make_plain(text + n, k, room);
        text[n++] = '\n';
        return n;
}

static int send_entry(int priority, int error, const LogAbout *about, const char *message) {
        const char *generation = about->server ? strchr(about->server, '#') : NULL;
        char text[ENTRY_MAX_BYTES];
        size_t n = 0;

        n = add_field(text, n, "PRIORITY=%d", priority);
        n = add_field(text, n, "SYSLOG_FACILITY=%d", LOG_FAC(LOG_DAEMON));
        n = add_field(text, n, "SYSLOG_IDENTIFIER=%s", the_name);
        n = add_field(text, n, "MESSAGE=%s", message);
        if (error != 0)
                n = add_field(text, n, "ERRNO=%d", error < 0 ? -error : error);
        if (about->event)
                n = add_field(text, n, "MESSAGE_ID=%s", about->event);
        if (about->job != 0)
                n = add_field(text, n, "FORKD_JOB=%" PRIu64, about->job);
        if (generation)
                n = add_field(text, n, "FORKD_GENERATION=%s", generation + 1);
        if (about->server)
                n = add_field(text, n, "FORKD_SERVER=%.*s", (int)strcspn(about->server, "#"),
                              about->server);
        return journal_send(text, n);
}

/* The journal's stream, too, may be full. */
static bool write_line(const char *text, size_t n) {
        int fd = the_fd >= 0 ? the_fd : STDERR_FILENO;
        ssize_t k = the_journal ? send(fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;

        if (k < 0 && (!the_journal || errno == ENOTSOCK))
                k = write(fd, text, n);
        return k >= 0 || errno != EAGAIN;
}

static void say_lost(void) {
        unsigned n = the_lost;

        the_lost = 0;
        if (n > 0)
                log_line(LOG_WARNING, 0, "%u lines were lost: the journal did not take them", n);
}

static void log_linev(int priority, int error, const LogAbout *about, const char *format,
                      va_list ap) {
        char text[LINE_MAX_BYTES];
        int saved = errno, k;
        size_t n, prefix;

        if (priority > the_level)
                return;

        prefix = the_journal ? append(text, 0, "<%d>", priority)
                             : append(text, 0, "%s[%d]: ", the_name, (int)getpid());
        k = vsnprintf(text + prefix, sizeof(text) - 1 - prefix, format, ap);
        n = prefix + make_plain(text + prefix, k, sizeof(text) - 1 - prefix);
        if (error != 0)
                n = append(text, n, ": %s", strerror(error < 0 ? -error : error));
        text[n] = '\0';

        if (the_journal && send_entry(priority, error, about, text + prefix) == 0)
                say_lost();
        else {
                text[n++] = '\n';
                if (!write_line(text, n))
                        the_lost++;
        }
        errno = saved;
}

void log_line(int priority, int error, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_linev(priority, error, &(LogAbout){ 0 }, format, ap);
        va_end(ap);
}

void log_about(int priority, int error, LogAbout about, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_linev(priority, error, &about, format, ap);
        va_end(ap);
}
