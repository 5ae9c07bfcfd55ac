/* SPDX-License-Identifier: Apache-2.0 */

/* Fields of a job specification that say when, where and how often it runs: after, affinity and
 * retries. See job-field.h. */

#include "job-field.h"
#include "text.h"

#define AFFINITY_MAX 1024
#define RETRIES_MAX  1000000

/* In the order of the bits RETRY_*. */
static const char *const retry_names[] = {
        "exit", "signal", "timeout", "oom", "server-failed", "lost", NULL,
};

static const char *const after_on_names[] = {
        [AFTER_SUCCESS] = "success",
        [AFTER_FINISHED] = "finished",
};

static int parse_after_element(FieldParse *p, size_t i, const json_t *element) {
        static const char *const members[] = { "id", "on", NULL };
        const json_t *on = field_get(element, "on");
        JobAfter *after = &p->spec->after[i];
        char name[32], path[48];
        int64_t id;
        int r;

        snprintf(name, sizeof(name), "after[%zu]", i);
        if (!json_is_object(element))
                return field_invalid(p, name, "%s must be an object {\"id\", \"on\"}", name);
        r = field_check_members(p, name, element, members);
        if (r != 0)
                return r;

        snprintf(path, sizeof(path), "%s.id", name);
        if (!field_get(element, "id"))
                return field_invalid(p, path, "%s has no 'id'; it names the job to wait for", name);
        r = field_read_integer(p, path, field_get(element, "id"), 1, INT64_MAX, &id);
        if (r != 0)
                return r;
        after->id = (uint64_t)id;

        after->on = AFTER_SUCCESS;
        if (!on)
                return 0;
        for (size_t k = 0; k < ELEMENTSOF(after_on_names); k++)
                if (json_is_string(on) && streq(json_string_value(on), after_on_names[k])) {
                        after->on = (AfterOn)k;
                        return 0;
                }
        snprintf(path, sizeof(path), "%s.on", name);
        return field_invalid(p, path, "%s must be 'success' or 'finished'", path);
}

int field_parse_after(FieldParse *p, const Field *field, const json_t *value) {
        size_t n = json_array_size(value);
        int r;

        if (!json_is_array(value))
                return field_invalid(p, field->name, "after must be an array of {\"id\", \"on\"}");
        if (n > JOB_AFTER_MAX)
                return field_invalid(p, field->name,
                                     "after names %zu jobs, and may name at most %d", n,
                                     JOB_AFTER_MAX);
        p->spec->after = calloc(n + 1, sizeof(JobAfter));
        if (!p->spec->after)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = parse_after_element(p, i, json_array_get(value, i));
                if (r != 0)
                        return r;
        }
        p->spec->n_after = n;
        return 0;
}

int field_dump_after(const JobSpec *spec, const Field *field, json_t *object) {
        json_t *array;

        if (spec->n_after == 0)
                return 0;
        array = json_array();
        for (size_t i = 0; i < spec->n_after; i++)
                if (json_array_append_new(
                            array, json_pack("{s:I,s:s}", "id", (json_int_t)spec->after[i].id, "on",
                                             after_on_names[spec->after[i].on])) < 0) {
                        json_decref(array);
                        return -ENOMEM;
                }
        return field_set_new(object, field->name, array);
}

int field_parse_affinity(FieldParse *p, const Field *field, const json_t *value) {
        size_t n = json_array_size(value);
        int r;

        if (!json_is_array(value))
                return field_invalid(p, field->name, "affinity must be an array of CPU numbers");
        if (n == 0)
                return field_invalid(p, field->name,
                                     "affinity is empty; leave it out for all CPUs");
        if (n > AFFINITY_MAX)
                return field_invalid(p, field->name,
                                     "affinity has %zu CPUs, and may have at most %d", n,
                                     AFFINITY_MAX);

        p->spec->affinity = calloc(n, sizeof(int));
        if (!p->spec->affinity)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char name[32];
                int64_t v;

                snprintf(name, sizeof(name), "affinity[%zu]", i);
                r = field_read_integer(p, name, json_array_get(value, i), 0, AFFINITY_MAX - 1, &v);
                if (r != 0)
                        return r;
                p->spec->affinity[i] = (int)v;
        }
        p->spec->n_affinity = n;
        return 0;
}

int field_dump_affinity(const JobSpec *spec, const Field *field, json_t *object) {
        json_t *array;

        if (spec->n_affinity == 0)
                return 0;
        array = json_array();
        for (size_t i = 0; i < spec->n_affinity; i++)
                if (json_array_append_new(array, json_integer(spec->affinity[i])) < 0) {
                        json_decref(array);
                        return -ENOMEM;
                }
        return field_set_new(object, field->name, array);
}

static int parse_retries_on(FieldParse *p, const json_t *on, unsigned *ret) {
        unsigned bits = 0;

        if (!json_is_array(on) || json_array_size(on) == 0)
                return field_invalid(p, "retries.on",
                                     "retries.on must be an array of results that are tried again; "
                                     "leave it out for all of them");
        for (size_t i = 0; i < json_array_size(on); i++) {
                const char *s = json_string_value(json_array_get(on, i));
                size_t k = 0;

                while (s && retry_names[k] && !streq(s, retry_names[k]))
                        k++;
                if (!s || !retry_names[k])
                        return field_invalid(
                                p, "retries.on",
                                "retries.on has '%s'; it may have exit, signal, timeout, "
                                "oom, server-failed and lost",
                                s ? s : "something that is no string");
                bits |= 1U << k;
        }
        *ret = bits;
        return 0;
}

int field_parse_retries(FieldParse *p, const Field *field, const json_t *value) {
        static const char *const members[] = { "max", "on", "delayUSec", NULL };
        const json_t *on, *delay;
        int64_t v;
        int r;

        if (!json_is_object(value))
                return field_invalid(p, field->name,
                                     "retries must be an object {\"max\", \"on\", \"delayUSec\"}");
        r = field_check_members(p, field->name, value, members);
        if (r != 0)
                return r;
        if (!field_get(value, "max"))
                return field_invalid(p, "retries.max",
                                     "retries has no 'max'; it says how often at most");
        r = field_read_integer(p, "retries.max", field_get(value, "max"), 0, RETRIES_MAX, &v);
        if (r != 0)
                return r;
        p->spec->retries_max = (unsigned)v;

        on = field_get(value, "on");
        if (on) {
                r = parse_retries_on(p, on, &p->spec->retries_on);
                if (r != 0)
                        return r;
        }
        delay = field_get(value, "delayUSec");
        if (delay) {
                r = field_read_integer(p, "retries.delayUSec", delay, 0, INT64_MAX, &v);
                if (r != 0)
                        return r;
                p->spec->retries_delay_usec = (uint64_t)v;
        }
        return 0;
}

int field_dump_retries(const JobSpec *spec, const Field *field, json_t *object) {
        json_t *retries;
        int r;

        if (spec->retries_max == 0 && spec->retries_on == RETRY_ALL &&
            spec->retries_delay_usec == RETRY_DELAY_DEFAULT_USEC)
                return 0;

        retries = json_object();
        r = field_set_new(retries, "max", json_integer(spec->retries_max));
        if (r == 0 && spec->retries_on != RETRY_ALL) {
                json_t *on = json_array();

                for (size_t k = 0; retry_names[k] && r == 0; k++)
                        if (spec->retries_on & (1U << k) &&
                            json_array_append_new(on, json_string(retry_names[k])) < 0)
                                r = -ENOMEM;
                if (r == 0)
                        r = field_set_new(retries, "on", on);
                else
                        json_decref(on);
        }
        if (r == 0 && spec->retries_delay_usec != RETRY_DELAY_DEFAULT_USEC)
                r = field_set_new(retries, "delayUSec",
                                  json_integer((json_int_t)spec->retries_delay_usec));
        if (r < 0) {
                json_decref(retries);
                return r;
        }
        return field_set_new(object, field->name, retries);
}
