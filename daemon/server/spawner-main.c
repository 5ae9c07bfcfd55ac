/* SPDX-License-Identifier: Apache-2.0 */

/* forkd-spawner: the forkserver that has preloaded nothing. forkd starts it with its channel in
 * FORKD_CHANNEL; it ends with the channel. */

#include "serve.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* The channel's number, or -1 with a sentence said. */
static int channel_from_environment(void) {
        const char *text = getenv("FORKD_CHANNEL");
        int type = 0, fd;
        socklen_t size = sizeof(type);
        char *end;

        if (!text) {
                fprintf(stderr,
                        "forkd-spawner: FORKD_CHANNEL is not set: forkd starts this program, people do not\n");
                return -1;
        }
        errno = 0;
        fd = (int)strtol(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || fd <= STDERR_FILENO) {
                fprintf(stderr,
                        "forkd-spawner: FORKD_CHANNEL is '%s', no number of a descriptor above 2\n",
                        text);
                return -1;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
                fprintf(stderr,
                        "forkd-spawner: descriptor %d of FORKD_CHANNEL is no socket of type SOCK_SEQPACKET\n",
                        fd);
                return -1;
        }
        return fd;
}

/* Ignored signals survive exec, and jobs are to find the default. */
static void reset_signals(void) {
        /* the kernel's call and its struct sigaction, all 0: glibc hides two signals of its own,
         * which posix_spawn() leaves ignored */
        static const unsigned long action[4] = { 0 };

        for (int i = 1; i < NSIG; i++)
                (void)syscall(SYS_rt_sigaction, i, action, NULL, 8); /* KILL and STOP refuse */
}

/* Received descriptors must never be 0, 1 or 2. */
static int fill_standard_streams(void) {
        int fd;

        do {
                fd = open("/dev/null", O_RDWR);
                if (fd < 0)
                        return -errno;
        } while (fd <= STDERR_FILENO);
        close_fd(fd);
        return 0;
}

int main(void) {
        ServeOptions options = { .name = "spawner", .log_fd = STDERR_FILENO };
        int r;

        options.channel = channel_from_environment();
        if (options.channel < 0)
                return EXIT_FAILURE;
        unsetenv("FORKD_CHANNEL");

        reset_signals();
        r = fill_standard_streams();
        if (r < 0) {
                fprintf(stderr, "forkd-spawner: cannot open /dev/null: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        return serve(&options, NULL);
}
