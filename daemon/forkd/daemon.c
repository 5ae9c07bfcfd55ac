/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon: built by main() from its options, one per process. Here are its parts' order of birth
 * and death, signals, reload and the tidying that waits for a quiet moment; drain.c has how it
 * ends. */

#include "daemon.h"

#include "drain.h"
#include "leftover.h"
#include "listener.h"
#include "log.h"
#include "methods.h"

#include <signal.h>
#include <utlist.h>

#define TIDY_READY 8                   /* cgroups kept ready */
#define TIDY_USEC  (2 * USEC_PER_MSEC) /* after the last end of an attempt */
#define LOOK_USEC  USEC_PER_SEC        /* at sizes of output */
/* All that a reload can allow, and 1024 attempts whose jobs have ended: what is not used takes no
 * memory. */
#define TABLE_SLOTS (CONFIG_RUNNING_MAX + CONFIG_ATTACHED_MAX + 1024)

static const ServiceInfo info = {
        .vendor = "forkd",
        .product = "forkd",
        .version = FORKD_VERSION,
        .url = "https://forkd.org/",
};

static const Interface *const interfaces[] = { &interface_jobs, &interface_servers,
                                               &interface_manager, NULL };

/* ---- what waits for a quiet moment */

static int on_tidy(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *d = userdata;

        (void)usec;
        if (d->cgroups && cgroup_base_tidy(d->cgroups, TIDY_READY)) {
                (void)sd_event_source_set_time_relative(source, TIDY_USEC);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

void daemon_want_tidy(Daemon *d) {
        int enabled = SD_EVENT_OFF;

        if (!d->tidy || sd_event_source_get_enabled(d->tidy, &enabled) < 0 ||
            enabled != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(d->tidy, TIDY_USEC);
        (void)sd_event_source_set_enabled(d->tidy, SD_EVENT_ONESHOT);
}

/* Once a second, while durable jobs run: output beyond OutputMax= loses its head. */
static int on_second(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *d = userdata;
        Job *job, *next;

        (void)usec;
        HASH_ITER (hh, d->jobs, job, next)
                if (job->running)
                        for (size_t i = 0; i < ELEMENTSOF(job->outputs); i++)
                                (void)output_trim(&job->outputs[i], d->config->output_max);
        if (d->n_durable_attempts > 0) {
                (void)sd_event_source_set_time_relative(source, LOOK_USEC);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

void daemon_watch_output(Daemon *d) {
        int enabled;

        if (sd_event_source_get_enabled(d->second_timer, &enabled) < 0 || enabled != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(d->second_timer, LOOK_USEC);
        (void)sd_event_source_set_enabled(d->second_timer, SD_EVENT_ONESHOT);
}

void daemon_forget(Daemon *d, Job *job) {
        static const char *const suffixes[] = { "out", "err" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                (void)output_unlink(state_dir_output_fd(d->state), job->id, suffixes[i]);
        job_free(job);
}

void daemon_trim_finished(Daemon *d) {
        while (d->n_states[JOB_FINISHED] > d->config->keep_finished && d->finished)
                daemon_forget(d, d->finished);
}

/* ---- signals */

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Daemon *d = userdata;

        (void)source;
        if (si->ssi_signo == SIGHUP)
                (void)daemon_reload(d);
        else
                daemon_stop(d);
        return 0;
}

static int add_signals(Daemon *d) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                sd_event_source *source;
                int r = sd_event_add_signal(d->event, &source, signals[i], on_signal, d);

                if (r < 0)
                        return r;
                (void)sd_event_source_set_priority(source, PRIORITY_SIGNAL);
                (void)sd_event_source_set_floating(source, true);
                sd_event_source_unref(source);
        }
        return 0;
}

/* ---- reload */

static bool same_modules(const Config *a, const Config *b) {
        char **x = a->modules, **y = b->modules;

        while (x && y && *x && *y && streq(*x, *y)) {
                x++;
                y++;
        }
        return (!x || !*x) && (!y || !*y);
}

int daemon_reload(Daemon *d) {
        char reloading[96];
        Config *config;
        int r;

        if (d->stopping) {
                log_notice("ignoring a reload: forkd is stopping");
                return -ESHUTDOWN;
        }
        keeper_link_reloading(d->keeper);
        snprintf(reloading, sizeof(reloading), "RELOADING=1\nMONOTONIC_USEC=%llu",
                 (unsigned long long)now_usec(CLOCK_MONOTONIC));
        notify_link_send(d->notify, reloading);

        r = config_load(&config, d->paths->config);
        if (r < 0)
                log_about(LOG_ERR, r, LOG_EVENT(RELOAD_FAILED),
                          "cannot read the configuration, which stays as it was");
        else {
                if (!same_modules(config, d->config)) {
                        log_warning("ignoring the change of Module= until forkd is restarted");
                        (void)strings_append(
                                &config->warnings,
                                "the change of Module= takes effect when forkd is restarted");
                }
                config_free(d->config);
                d->config = config;
                named_set_reload(d->named);
                queue_wake(d->queue);
                log_about(LOG_INFO, 0, LOG_EVENT(RELOADED), "the configuration was read again");
                watch_event(d->watch, "reloaded", NULL, "the configuration was read again");
        }

        keeper_link_ready(d->keeper, r < 0 ? "reload failed" : "ready");
        notify_link_send(d->notify, "READY=1");
        return r;
}

/* ---- birth and death */

static int daemon_open_cgroups(Daemon *d) {
        unsigned ended = 0;
        int r = cgroup_base_new(&d->cgroups, state_dir_instance(d->state), &ended);

        if (r < 0)
                return log_error_errno(r, "cannot use cgroups");
        if (r > 0) {
                d->cgroup_error = r;
                log_notice("no cgroups (%s): jobs are ended as far as their session reaches",
                           cgroup_error_string(r));
        }
        if (ended > 0)
                log_warning("ended %u process%s that the last forkd left running", ended,
                            ended == 1 ? "" : "es");
        return 0;
}

/* Started for one connection, as by a super-server: there is nothing to do without it. */
static void on_connection_gone(Connection *connection, void *userdata) {
        Daemon *d = userdata;

        (void)connection;
        if (!d->listening && service_n_connections(d->service) == 0 && !d->stopping)
                daemon_stop(d);
}

static int daemon_open(Daemon *d, DaemonOptions *options) {
        ServiceLimits limits = SERVICE_LIMITS_DEFAULT;
        Server *twin = steal(options->twin);
        int r;

        r = sd_event_new(&d->event);
        if (r < 0) {
                server_free(twin);
                return log_error_errno(r, "cannot make an event loop");
        }
        if (options->keeper_fd >= 0) {
                r = keeper_link_new(&d->keeper, options->keeper_fd);
                if (r < 0) {
                        server_free(twin);
                        return log_error_errno(r, "cannot speak to the keeper");
                }
                options->keeper_fd = -1;
        }
        if (!d->keeper) {
                r = notify_link_new(&d->notify, d->event);
                if (r < 0)
                        log_warning_errno(
                                r, "ignoring the service manager, which cannot be spoken to");
        }
        leftover_end_all(d);
        r = daemon_open_cgroups(d);
        if (r >= 0)
                r = running_table_new(&d->table, TABLE_SLOTS);
        if (r >= 0)
                r = queue_new(&d->queue, d);
        if (r >= 0)
                r = watch_new(&d->watch, d);
        if (r < 0) {
                server_free(twin);
                return log_error_errno(r, "cannot start");
        }
        if (d->keeper)
                keeper_link_store(d->keeper, "running-table", running_table_fd(d->table));

        r = server_set_new(&d->servers, d, twin);
        if (r < 0)
                return r;
        r = named_set_new(&d->named, d);
        if (r < 0)
                return log_error_errno(r, "cannot read the configuration of forkservers");
        r = service_new(&d->service, d->event, &info, interfaces, &limits, d);
        if (r >= 0)
                r = add_signals(d);
        if (r >= 0)
                r = sd_event_add_time(d->event, &d->tidy, CLOCK_MONOTONIC, 0, 0, on_tidy, d);
        if (r >= 0)
                r = sd_event_source_set_priority(d->tidy, PRIORITY_TIDY);
        if (r >= 0)
                r = sd_event_add_time_relative(d->event, &d->second_timer, CLOCK_MONOTONIC,
                                               LOOK_USEC, 100000, on_second, d);
        if (r >= 0 && d->keeper)
                r = keeper_link_attach(d->keeper, d);
        if (r < 0)
                return log_error_errno(r, "cannot start");
        service_set_connection_gone(d->service, on_connection_gone);
        server_set_wait_twin(d->servers);
        return listener_open(d);
}

int daemon_new(Daemon **ret, DaemonOptions *options) {
        _cleanup_(daemon_freep) Daemon *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->paths = steal(options->paths);
        d->config = steal(options->config);
        d->state = steal(options->state);
        d->descriptors = options->descriptors;
        d->descriptors_max = (int)sysconf(_SC_OPEN_MAX);
        d->started_at = now_usec(CLOCK_REALTIME);

        r = daemon_open(d, options);
        if (r < 0)
                return r;

        *ret = steal(d);
        return 0;
}

int daemon_run(Daemon *d) {
        int r;

        keeper_link_ready(d->keeper, "ready");
        notify_link_send(d->notify, "READY=1\nSTATUS=ready");
        log_about(LOG_INFO, 0, LOG_EVENT(READY), "forkd %s is ready", FORKD_VERSION);
        watch_event(d->watch, "ready", NULL, "forkd is ready");

        r = sd_event_loop(d->event);
        if (r < 0)
                return log_error_errno(r, "the event loop failed");
        return d->exit_status;
}

Daemon *daemon_free(Daemon *d) {
        Job *job, *next;

        if (!d)
                return NULL;
        if (d->service)
                listener_close(d);
        for (size_t i = 0; i < d->n_drain_calls; i++)
                call_set_gone(d->drain_calls[i], NULL, NULL);
        free(d->drain_calls);
        HASH_ITER (hh, d->jobs, job, next)
                job_free(job);
        if (d->servers)
                server_set_kill_hosts(d->servers);
        drain_free_attempts(d);
        watch_free(d->watch);
        d->watch = NULL;
        service_free(d->service);
        server_set_free(d->servers);
        named_set_free(d->named);
        queue_free(d->queue);
        running_table_free(d->table);
        sd_event_source_disable_unref(d->tidy);
        sd_event_source_disable_unref(d->second_timer);
        sd_event_source_disable_unref(d->drain_timer);
        if (d->cgroups)
                while (cgroup_base_tidy(d->cgroups, 0))
                        ;
        cgroup_base_free(d->cgroups);
        keeper_link_free(d->keeper);
        notify_link_free(d->notify);
        state_dir_free(d->state);
        config_free(d->config);
        paths_free(d->paths);
        sd_event_unref(d->event);
        environment_cache_done(&d->environment);
        free(d);
        return NULL;
}
