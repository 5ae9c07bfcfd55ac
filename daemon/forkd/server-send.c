/* SPDX-License-Identifier: Apache-2.0 */

/* What forkd sends to a forkserver: in order and never lost; what its channel does not take now is
 * kept by the server. In forkd. */

#include "packet.h"
#include "server-private.h"

#include <inttypes.h>
#include <utlist.h>

struct ServerOutput {
        char *text;
        size_t length;
        int fds[PACKET_DESCRIPTORS_MAX];
        size_t n_fds;
        ServerOutput *prev, *next;
};

static void output_free(ServerOutput *o) {
        for (size_t i = 0; i < o->n_fds; i++)
                close_fd(o->fds[i]);
        free(o->text);
        free(o);
}

void server_drop_output(Server *s) {
        while (s->output) {
                ServerOutput *o = s->output;

                DL_DELETE(s->output, o);
                output_free(o);
        }
}

static int output_keep(Server *s, const char *text, size_t length, const int *fds, size_t n_fds) {
        ServerOutput *o = calloc(1, sizeof(*o));

        if (!o)
                return -ENOMEM;
        o->text = strndup(text, length);
        o->length = length;
        while (o->text && o->n_fds < n_fds) {
                int fd = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 3);

                if (fd < 0)
                        break;
                o->fds[o->n_fds++] = fd;
        }
        if (!o->text || o->n_fds < n_fds) {
                output_free(o);
                return -ENOMEM;
        }

        DL_APPEND(s->output, o);
        return sd_event_source_set_io_events(s->channel_source, EPOLLIN | EPOLLOUT);
}

void server_flush(Server *s) {
        while (s->output) {
                ServerOutput *o = s->output;
                int r = packet_send_text(s->channel, o->text, o->length, o->fds, o->n_fds);

                if (r == PACKET_E_AGAIN)
                        return;
                /* what a dead forkserver does not take any more is told by its end-of-file */
                DL_DELETE(s->output, o);
                output_free(o);
        }
        (void)sd_event_source_set_io_events(s->channel_source, EPOLLIN);
}

int server_send(Server *s, const char *text, size_t length, const int *fds, size_t n_fds) {
        int r;

        if (s->channel < 0)
                return -ENOTCONN;
        if (s->output)
                return output_keep(s, text, length, fds, n_fds);

        r = packet_send_text(s->channel, text, length, fds, n_fds);
        if (r == PACKET_E_AGAIN)
                return output_keep(s, text, length, fds, n_fds);
        if (r == PACKET_E_CLOSED)
                return 0; /* end-of-file follows, and with it whatever was ordered */
        return r;
}

void server_acknowledge(Server *s, const Attempt *a) {
        char text[128];
        int n = snprintf(text, sizeof(text),
                         "{\"method\":\"Acknowledge\",\"parameters\":{\"id\":%" PRIu64
                         ",\"attempt\":%u}}",
                         a->key_id, a->key_number);

        (void)server_send(s, text, (size_t)n, NULL, 0);
}

int server_send_hello(Server *s) {
        char text[96];
        int n = snprintf(text, sizeof(text), "{\"method\":\"Hello\",\"parameters\":{\"epoch\":%u}}",
                         s->epoch);

        return server_send(s, text, (size_t)n, NULL, 0);
}
