/* SPDX-License-Identifier: Apache-2.0 */

/* Log lines, one write() each, so that lines of several processes do not mix. The state below is
 * the only mutable global of forkd's processes. */

#include "log.h"

#include <stdarg.h>
#include <sys/stat.h>

static int the_fd = -1;
static int the_level = LOG_INFO;
static bool the_journal;
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

void log_line(int priority, int error, const char *format, ...) {
        char text[2048];
        size_t room = sizeof(text) - 2, n = 0; /* a newline always fits */
        int saved = errno, k;
        va_list ap;

        if (priority > the_level)
                return;

        k = the_journal ? snprintf(text, room, "<%d>", priority)
                        : snprintf(text, room, "%s[%d]: ", the_name, (int)getpid());
        n = (size_t)k;

        va_start(ap, format);
        k = vsnprintf(text + n, room - n, format, ap);
        va_end(ap);
        n += k < 0 ? 0 : (size_t)k;
        if (n >= room)
                n = room - 1;

        if (error != 0) {
                k = snprintf(text + n, room - n, ": %s", strerror(error < 0 ? -error : error));
                n += k < 0 ? 0 : (size_t)k;
                if (n >= room)
                        n = room - 1;
        }

        /* one line is one line: text from elsewhere brings no line breaks into the log */
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
                        text[i] = ' ';

        text[n++] = '\n';
        if (write(the_fd >= 0 ? the_fd : STDERR_FILENO, text, n) < 0) {
                /* nowhere left to complain to */
        }
        errno = saved;
}
