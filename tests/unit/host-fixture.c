/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a host's program in a child of the test. Owns the channel's other end and the pipes. */

#include "host-fixture.h"

#include "server-fixture.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void host_child(const HostStart *start, int channel, int output, int log) {
        const char *environment[16] = { "PATH=/usr/bin:/bin" };
        char *argv[ELEMENTSOF(start->argv)];
        size_t n = 1;
        int input[2] = { -1, -1 };

        if (!start->by_hand) {
                environment[n++] = start->one_shot ? "FORKD_WORKER=3" : "FORKD_CHANNEL=3";
                environment[n++] = "FORKD_SERVER=test#1";
        }
        for (size_t i = 0; start->environment[i]; i++)
                environment[n++] = start->environment[i];
        for (size_t i = 0; i < ELEMENTSOF(argv); i++)
                argv[i] = (char *)start->argv[i];

        if (start->input) {
                size_t length = strlen(start->input);

                if (pipe(input) < 0 || write(input[1], start->input, length) != (ssize_t)length)
                        _exit(126);
        } else
                input[0] = open("/dev/null", O_RDWR);
        if (dup2(input[0], 0) < 0 || dup2(output, 1) < 0 || dup2(log, 2) < 0 ||
            (channel != 3 && dup2(channel, 3) < 0) || fcntl(3, F_SETFD, 0) < 0 ||
            close_range(start->by_hand ? 3 : 4, ~0U, 0) < 0)
                _exit(126);
        execve(argv[0], argv, (char **)environment);
        fprintf(stderr, "%s: %m\n", argv[0]);
        _exit(126);
}

void host_start(Host *h, const HostStart *start) {
        int pair[2], output[2], log[2];

        h->n_fds = count_fds();
        assert_int_equal(socketpair(AF_UNIX,
                                    (start->stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC,
                                    0, pair),
                         0);
        assert_int_equal(pipe2(output, O_CLOEXEC), 0);
        assert_int_equal(pipe2(log, O_CLOEXEC), 0);
        h->pid = fork();
        assert_true(h->pid >= 0);
        if (h->pid == 0) {
                /* not where host_child() is going to put one of the others */
                int numbers[] = { fcntl(pair[1], F_DUPFD, 10), fcntl(output[1], F_DUPFD, 10),
                                  fcntl(log[1], F_DUPFD, 10) };

                host_child(start, numbers[0], numbers[1], numbers[2]);
        }
        close(pair[1]);
        close(output[1]);
        close(log[1]);
        h->channel = pair[0];
        h->output = output[0];
        h->log = log[0];
}

/* Until it is closed. */
static char *read_all(int fd) {
        char *text = calloc(1, 65536);
        size_t length = 0;

        assert_non_null(text);
        for (;;) {
                ssize_t n;

                wait_readable(fd);
                n = read(fd, text + length, 65535 - length);
                assert_true(n >= 0);
                if (n == 0)
                        return text;
                length += (size_t)n;
        }
}

static int status_of(int status) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int host_end(Host *h, char **ret_output, char **ret_log) {
        char *output, *log;
        int status;

        close(h->channel);
        output = read_all(h->output);
        log = read_all(h->log);
        close(h->output);
        close(h->log);
        assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
        assert_int_equal(count_fds(), h->n_fds);
        if (ret_output)
                *ret_output = output;
        else
                free(output);
        if (ret_log)
                *ret_log = log;
        else
                free(log);
        return status_of(status);
}

json_t *host_expect(int channel, const char *method) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;

        wait_readable(channel);
        assert_int_equal(packet_receive(channel, &packet), 0);
        if (!streq(packet.method, method))
                print_message("%s\n", packet.text);
        assert_string_equal(packet.method, method);
        if (packet.captured) /* it stands apart, untouched */
                json_object_set_new(packet.parameters, "value",
                                    json_loadb(packet.captured, packet.captured_length, 0, NULL));
        return json_incref(packet.parameters);
}

void host_expect_end(int channel) {
        Packet packet = PACKET_NULL;

        wait_readable(channel);
        assert_int_equal(packet_receive(channel, &packet), PACKET_E_CLOSED);
}

void host_expect_log(Host *h, const char *text) {
        char seen[4096] = "";
        size_t n = 0;

        while (!strstr(seen, text)) {
                ssize_t r;

                wait_readable(h->log);
                r = read(h->log, seen + n, sizeof(seen) - 1 - n);
                assert_true(r > 0);
                n += (size_t)r;
        }
}

static void send_to(int channel, const char *method, json_t *parameters, const int *fds,
                    size_t n_fds) {
        assert_non_null(parameters);
        assert_int_equal(packet_send(channel, method, parameters, fds, n_fds), 0);
        json_decref(parameters);
}

int host_call(Host *h, unsigned id, const char *entry, json_t *arguments, int output) {
        int token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), fds[] = { token, output }, ours, theirs;
        json_t *stdio = output < 0 ? json_pack("[nnn]") : json_pack("[n,i,n]", 1);

        assert_int_equal(packet_pair(&ours, &theirs), 0);
        send_to(h->channel, "Fork",
                json_pack("{si,si,si,sb}", "id", (int)id, "attempt", 1, "channel", 0, "tell", 1),
                &theirs, 1);
        close(theirs);
        send_to(ours, "Adopt",
                json_pack("{si,si,si,ss,s{s[s],ss,si,so}}", "id", (int)id, "attempt", 1, "token", 0,
                          "title", "forkd: test#1 job", "plan", "environment", "LANG=C",
                          "directory", "/", "umask", 022, "stdio", stdio),
                fds, output < 0 ? 1 : 2);
        send_to(ours, "Call", json_pack("{ss,so}", "entry", entry, "arguments", arguments), NULL,
                0);
        close(token);
        return ours;
}

int host_answer(Host *h, unsigned id, int channel, const char *method, json_t **ret_parameters) {
        json_t *answer = NULL, *end;
        int status;

        if (method)
                answer = host_expect(channel, method);
        host_expect_end(channel);
        close(channel);
        json_decref(host_expect(h->channel, "Started"));
        end = host_expect(h->channel, "Exited");
        assert_int_equal(json_integer_value(json_object_get(end, "id")), id);
        status = (int)json_integer_value(json_object_get(end, "status"));
        if (!streq(json_string_value(json_object_get(end, "code")), "exited"))
                status += 128;
        json_decref(end);
        send_to(h->channel, "Acknowledge", json_pack("{si,si}", "id", (int)id, "attempt", 1), NULL,
                0);
        if (ret_parameters)
                *ret_parameters = answer;
        else
                json_decref(answer);
        return status;
}

int host_run_main(Host *h, unsigned id, const char *argument, char **ret_output) {
        json_t *argv = argument ? json_pack("[s]", argument) : json_array(), *answer;
        int output[2], channel, status;
        Packet packet = PACKET_NULL;

        assert_int_equal(pipe2(output, O_CLOEXEC), 0);
        channel = host_call(h, id, "main", json_pack("{so}", "argv", argv), output[1]);
        close(output[1]);
        *ret_output = read_all(output[0]);
        close(output[0]);

        /* {} is the answer of a program that succeeds; one that does not has none */
        wait_readable(channel);
        if (packet_receive(channel, &packet) == PACKET_E_CLOSED)
                return host_answer(h, id, channel, NULL, NULL);
        assert_string_equal(packet.method, "Returned");
        packet_done(&packet);
        status = host_answer(h, id, channel, NULL, &answer);
        assert_int_equal(status, 0);
        return status;
}
