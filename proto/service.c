/* SPDX-License-Identifier: Apache-2.0 */

/* The service: what is offered, the sockets that it is offered on, and the bounds that all
 * connections share. The daemon owns one; it owns its listeners and its connections. It runs on the
 * daemon's loop and has one source for each of them, one that runs what is due outside of any other
 * function, and two timers. */

#include "service-private.h"

#include "log.h"

#include <assert.h>

#define ACCEPT_BATCH      16
#define ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)
/* The deadline timer does not fire more often than this: what is watched is looked at as a whole.
 */
#define DEADLINE_GRAIN_USEC (20 * USEC_PER_MSEC)

/* ---- what is offered */

const Interface *service_find_interface(const Service *service, const char *name, size_t length) {
        if (strlen(service_interface.name) == length &&
            !memcmp(service_interface.name, name, length))
                return &service_interface;
        for (size_t i = 0; service->interfaces[i]; i++) {
                const Interface *interface = service->interfaces[i];

                if (strlen(interface->name) == length && !memcmp(interface->name, name, length))
                        return interface;
        }
        return NULL;
}

const Method *interface_find_method(const Interface *interface, const char *name) {
        for (const Method *m = interface->methods; m->name; m++)
                if (streq(m->name, name))
                        return m;
        return NULL;
}

bool interface_describes_method(const Interface *interface, const char *name) {
        const char *line = interface->description;
        size_t length = strlen(name);

        while (line) {
                const char *end = strchr(line, '\n');

                line += strspn(line, " \t");
                if (strncmp(line, "method", 6) == 0 && strspn(line + 6, " \t") > 0) {
                        const char *p = line + 6 + strspn(line + 6, " \t");

                        if (length > 0 && strncmp(p, name, length) == 0 &&
                            (p[length] == '(' || p[length] == ' ' || p[length] == '\t'))
                                return true;
                }
                line = end ? end + 1 : NULL;
        }
        return false;
}

/* ---- users */

int service_user_get(Service *service, uid_t uid, ServiceUser **ret) {
        ServiceUser *user;

        for (user = service->users; user; user = user->next)
                if (user->uid == uid)
                        break;
        if (!user) {
                user = calloc(1, sizeof(*user));
                if (!user)
                        return -ENOMEM;
                user->uid = uid;
                user->next = service->users;
                service->users = user;
        }
        user->n_connections++;
        *ret = user;
        return 0;
}

void service_user_put(Service *service, ServiceUser *user) {
        ServiceUser **p = &service->users;

        assert(user->n_connections > 0);
        if (--user->n_connections > 0)
                return;
        assert(user->n_bytes == 0);
        while (*p != user)
                p = &(*p)->next;
        *p = user->next;
        free(user);
}

/* ---- what is run from the loop, with nothing of ours below it on the stack */

static int on_service_queue(sd_event_source *source, void *userdata) {
        Service *service = userdata;
        Connection *queue = steal(service->queue);

        (void)source;
        service->queue_last = NULL;
        while (queue) {
                Connection *c = queue;

                queue = c->queue_next;
                c->queue_next = NULL;
                c->queued = false;
                if (c->ended)
                        connection_close(c);
                else
                        connection_process(c);
                connection_unref(c);
        }
        return 0;
}

void service_queue(Service *service, Connection *connection) {
        if (connection->queued)
                return;
        connection->queued = true;
        connection_ref(connection);

        if (service->queue)
                service->queue_last->queue_next = connection;
        else
                service->queue = connection;
        service->queue_last = connection;
        (void)sd_event_source_set_enabled(service->queue_source, SD_EVENT_ONESHOT);
}

/* ---- deadlines */

void service_watch_deadline(Service *service, uint64_t deadline) {
        if (deadline >= service->deadline_armed)
                return;
        service->deadline_armed = deadline;
        (void)sd_event_source_set_time(service->deadline_timer, deadline);
        (void)sd_event_source_set_enabled(service->deadline_timer, SD_EVENT_ONESHOT);
}

static int on_service_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *service = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC), next = USEC_INFINITY;

        (void)source;
        (void)usec;
        service->deadline_armed = USEC_INFINITY;
        for (Connection *c = service->connections; c; c = c->next) {
                const char *why;
                uint64_t deadline = connection_deadline(c, &why);

                if (deadline <= now)
                        connection_end(c, why);
                else if (deadline < next)
                        next = deadline;
        }

        if (next < USEC_INFINITY)
                service_watch_deadline(service, next > now + DEADLINE_GRAIN_USEC
                                                        ? next
                                                        : now + DEADLINE_GRAIN_USEC);
        return 0;
}

/* ---- accepting */

static bool service_is_full(const Service *service) {
        return service->n_connections >= service->limits.connections_max;
}

static void service_update_accept(Service *service) {
        bool on = !service->accept_paused && !service_is_full(service);

        for (Listener *l = service->listeners; l; l = l->next)
                (void)sd_event_source_set_enabled(l->source, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

void service_connection_left(Service *service) {
        if (service->n_connections + 1 == service->limits.connections_max)
                service_update_accept(service);
}

static int on_service_accept_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *service = userdata;

        (void)source;
        (void)usec;
        service->accept_paused = false;
        if (service->reserve_fd < 0)
                service->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        service_update_accept(service);
        return 0;
}

/* Whoever waits first is turned away rather than left hanging; then a pause, for the listener stays
 * readable and the loop would spin. */
static void service_out_of_descriptors(Service *service, int listener, int error) {
        if (service->reserve_fd >= 0 && (error == EMFILE || error == ENFILE)) {
                service->reserve_fd = close_fd(service->reserve_fd);
                (void)close_fd(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
                service->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        if (!service->accept_failed)
                log_warning_errno(error, "cannot accept connections, trying again");
        service->accept_failed = true;

        service->accept_paused = true;
        service_update_accept(service);
        (void)sd_event_source_set_time_relative(service->accept_timer, ACCEPT_PAUSE_USEC);
        (void)sd_event_source_set_enabled(service->accept_timer, SD_EVENT_ONESHOT);
}

static int on_listener_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Listener *listener = userdata;
        Service *service = listener->service;

        (void)source;
        (void)revents;
        for (int i = 0; i < ACCEPT_BATCH && !service_is_full(service); i++) {
                int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

                if (peer < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (peer < 0) {
                        if (errno != EAGAIN)
                                service_out_of_descriptors(service, fd, errno);
                        break;
                }
                service->accept_failed = false;
                r = service_add_connection(service, peer, NULL);
                if (r < 0)
                        log_debug_errno(r, "connection turned away");
        }
        return 0;
}

static Listener *listener_free(Listener *listener) {
        if (!listener)
                return NULL;
        sd_event_source_disable_unref(listener->source);
        close_fd(listener->fd);
        free(listener);
        return NULL;
}

static void listener_freep(Listener **l) {
        listener_free(*l);
}

int service_listen(Service *service, int fd) {
        _cleanup_(listener_freep) Listener *l = calloc(1, sizeof(*l));
        int flags, r;

        if (!l) {
                close_fd(fd);
                return -ENOMEM;
        }
        l->fd = fd;
        l->service = service;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        r = sd_event_add_io(service->event, &l->source, fd, EPOLLIN, on_listener_io, l);
        if (r < 0)
                return r;

        l->next = service->listeners;
        service->listeners = steal(l);
        service_update_accept(service);
        return 0;
}

void service_stop_listening(Service *service) {
        while (service->listeners) {
                Listener *l = service->listeners;

                service->listeners = l->next;
                listener_free(l);
        }
}

int service_add_connection(Service *service, int fd, Connection **ret) {
        Connection *connection;
        int r;

        if (service_is_full(service)) {
                close_fd(fd);
                return -EUSERS;
        }
        r = connection_new(&connection, service, fd);
        if (r < 0)
                return r;

        connection->next = service->connections;
        if (connection->next)
                connection->next->previous = connection;
        service->connections = connection;
        service->n_connections++;
        if (service_is_full(service))
                service_update_accept(service);

        if (ret)
                *ret = connection;
        return 0;
}

size_t service_n_connections(const Service *service) {
        return service->n_connections;
}

void service_set_connection_gone(Service *service, ConnectionGone gone) {
        service->gone = gone;
}

/* ---- its life */

Service *service_free(Service *service) {
        if (!service)
                return NULL;

        service_stop_listening(service);
        while (service->connections)
                connection_close(service->connections);
        while (service->queue) {
                Connection *c = service->queue;

                service->queue = c->queue_next;
                connection_unref(c);
        }
        assert(!service->users);

        sd_event_source_disable_unref(service->accept_timer);
        sd_event_source_disable_unref(service->deadline_timer);
        sd_event_source_disable_unref(service->queue_source);
        sd_event_unref(service->event);
        close_fd(service->reserve_fd);
        free(service);
        return NULL;
}

static int service_add_sources(Service *s) {
        int r;

        r = sd_event_add_defer(s->event, &s->queue_source, on_service_queue, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->queue_source, SD_EVENT_OFF);
        if (r < 0)
                return r;

        r = sd_event_add_time(s->event, &s->deadline_timer, CLOCK_MONOTONIC, 0, DEADLINE_GRAIN_USEC,
                              on_service_deadline, s);
        if (r < 0)
                return r;
        /* what the loop was late to read is read first */
        r = sd_event_source_set_priority(s->deadline_timer, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->deadline_timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        r = sd_event_add_time(s->event, &s->accept_timer, CLOCK_MONOTONIC, 0, 0,
                              on_service_accept_again, s);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s->accept_timer, SD_EVENT_OFF);
}

int service_new(Service **ret, sd_event *event, const ServiceInfo *info,
                const Interface *const *interfaces, const ServiceLimits *limits, void *userdata) {
        _cleanup_(service_freep) Service *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        s->info = info;
        s->interfaces = interfaces;
        s->limits = *limits;
        s->userdata = userdata;
        s->deadline_armed = USEC_INFINITY;
        for (size_t i = 0; interfaces[i]; i++)
                for (const Method *m = interfaces[i]->methods; m->name; m++)
                        s->takes_descriptors |= (m->flags & METHOD_DESCRIPTORS) != 0;

        s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (s->reserve_fd < 0)
                return -errno;
        r = service_add_sources(s);
        if (r < 0)
                return r;

        *ret = steal(s);
        return 0;
}
