/* SPDX-License-Identifier: Apache-2.0 */

/* proto/job-spec.h as a property: whatever is read and dumped is read back as the same, and is
 * dumped as the same. Random specifications; a failure prints the seed. */

#include "job-spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

static unsigned random_below(unsigned *seed, unsigned n) {
        *seed = *seed * 1103515245U + 12345U;
        return (*seed >> 8) % n;
}

static json_t *random_text(unsigned *seed, const char *alphabet, unsigned min, unsigned max) {
        char text[64];
        unsigned n = min + random_below(seed, max - min + 1);

        for (unsigned i = 0; i < n; i++)
                text[i] = alphabet[random_below(seed, (unsigned)strlen(alphabet))];
        text[n] = '\0';
        return json_string(text);
}

static json_t *random_stdio(unsigned *seed, int number) {
        switch (random_below(seed, 6)) {
        case 0:
                return json_string("null");
        case 1:
                return number > 0 ? json_string("file") : json_pack("{s:s}", "path", "in");
        case 2:
                return number == 2 ? json_string("stdout") : json_pack("{s:i}", "descriptor", 1);
        case 3:
                return json_pack("{s:s,s:b}", "path", "/tmp/x y", "append",
                                 number > 0 && random_below(seed, 2));
        case 4:
                return json_pack("{s:i}", "descriptor", (int)random_below(seed, 4));
        }
        return json_null();
}

static void random_policy(unsigned *seed, json_t *o) {
        static const char *const results[] = { "exit", "signal",        "timeout",
                                               "oom",  "server-failed", "lost" };
        json_t *limits = json_object(), *list = json_array();

        for (unsigned i = random_below(seed, 4); i > 0; i--) {
                uint64_t soft = random_below(seed, 1000), hard = soft + random_below(seed, 2) * 7;
                const char *name = job_limit_to_string((int)random_below(seed, RLIM_NLIMITS));
                char text[64];

                snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)soft,
                         (unsigned long long)hard);
                json_object_set_new(limits, name,
                                    random_below(seed, 2)
                                            ? json_string(text)
                                            : json_pack("{s:I,s:s}", "soft", (json_int_t)soft,
                                                        "hard", "infinity"));
        }
        json_object_set_new(o, "limits", limits);
        for (unsigned i = random_below(seed, 4); i > 0; i--)
                json_array_append_new(list,
                                      json_pack("{s:i,s:s?}", "id", 1 + (int)random_below(seed, 99),
                                                "on", random_below(seed, 2) ? "finished" : NULL));
        json_object_set_new(o, "after", list);
        if (random_below(seed, 2)) {
                list = json_array();
                for (unsigned i = 1 + random_below(seed, 3); i > 0; i--)
                        json_array_append_new(list, json_string(results[random_below(seed, 6)]));
                json_object_set_new(o, "retries",
                                    json_pack("{s:i,s:o,s:i}", "max", (int)random_below(seed, 9),
                                              "on", list, "delayUSec", (int)random_below(seed, 9)));
        }
        if (random_below(seed, 2))
                json_object_set_new(o, "affinity",
                                    json_pack("[i,i]", (int)random_below(seed, 1024), 3));
}

static json_t *random_job(unsigned *seed) {
        static const char letters[] = "abcXYZ019_.-";
        json_t *o = json_object(), *environment = json_object();

        if (random_below(seed, 2)) {
                json_t *command = json_array();

                for (unsigned i = 1 + random_below(seed, 5); i > 0; i--)
                        json_array_append_new(command, random_text(seed, "a b\"\\\n/$", 1, 20));
                json_object_set_new(o, "command", command);
        } else {
                json_object_set_new(o, "entry", random_text(seed, letters, 1, 20));
                if (random_below(seed, 2))
                        json_object_set_new(o, "server", random_text(seed, letters, 1, 20));
                if (random_below(seed, 2))
                        json_object_set_new(o, "arguments",
                                            json_pack("{s:[i,f,s,n]}", "x",
                                                      (int)random_below(seed, 9), 0.1, "\"", NULL));
                else
                        json_object_set_new(o, "argumentsDescriptor",
                                            json_integer(random_below(seed, 4)));
        }
        json_object_set_new(o, "key", random_text(seed, letters, 1, 20));
        json_object_set_new(o, "queue", random_text(seed, letters, 1, 20));
        json_object_set_new(o, "name", random_text(seed, "a b\n", 1, 20));
        json_object_set_new(o, "user", random_text(seed, letters, 1, 20));
        json_object_set_new(o, "priority", json_integer((int)random_below(seed, 40) - 20));
        json_object_set_new(o, "nice", json_integer((int)random_below(seed, 40) - 20));
        json_object_set_new(o, "umask", json_integer(random_below(seed, 512)));
        json_object_set_new(o, "startAtUSec", json_integer(random_below(seed, 3)));
        json_object_set_new(o, "timeoutUSec", json_integer(1 + random_below(seed, 1000000)));
        json_object_set_new(o, "queueTimeoutUSec", json_integer(1 + random_below(seed, 1000000)));
        json_object_set_new(o, "graceUSec", json_integer(random_below(seed, 3) * 5000000));
        json_object_set_new(o, "directory", json_string("/a b"));
        json_object_set_new(o, "stdin", random_stdio(seed, 0));
        json_object_set_new(o, "stdout", random_stdio(seed, 1));
        json_object_set_new(o, "stderr", random_stdio(seed, 2));
        for (unsigned i = random_below(seed, 4); i > 0; i--) {
                char name[16];

                snprintf(name, sizeof(name), "N%u", i);
                json_object_set_new(environment, name, random_text(seed, "a=b ", 0, 9));
        }
        json_object_set_new(o, "environment", environment);
        random_policy(seed, o);

        /* some of it only */
        for (unsigned i = random_below(seed, 20); i > 0; i--) {
                unsigned skip = random_below(seed, (unsigned)json_object_size(o));
                void *at = json_object_iter(o);

                while (skip-- > 0)
                        at = json_object_iter_next(o, at);
                if (!streq(json_object_iter_key(at), "command") &&
                    !streq(json_object_iter_key(at), "entry"))
                        json_object_del(o, json_object_iter_key(at));
        }
        return o;
}

static bool same_strings(char *const *a, char *const *b) {
        if (!a || !b)
                return a == b;
        for (; *a && *b; a++, b++)
                if (!streq(*a, *b))
                        return false;
        return !*a && !*b;
}

/* By the structs, so that what a writer forgets is noticed. */
static bool same_struct(const JobSpec *a, const JobSpec *b) {
        bool same =
                a->start_method == b->start_method && same_strings(a->command, b->command) &&
                streq_null(a->entry, b->entry) && streq_null(a->server, b->server) &&
                streq_null(a->arguments, b->arguments) &&
                a->arguments_length == b->arguments_length &&
                a->arguments_descriptor == b->arguments_descriptor && streq_null(a->key, b->key) &&
                streq_null(a->name, b->name) && streq_null(a->queue, b->queue) &&
                streq_null(a->user, b->user) && a->priority == b->priority &&
                a->n_after == b->n_after && a->start_at_usec == b->start_at_usec &&
                same_strings(a->environment, b->environment) &&
                streq_null(a->directory, b->directory) && a->umask == b->umask &&
                a->n_limits == b->n_limits && a->nice == b->nice &&
                a->n_affinity == b->n_affinity && a->timeout_usec == b->timeout_usec &&
                a->queue_timeout_usec == b->queue_timeout_usec && a->grace_usec == b->grace_usec &&
                a->retries_max == b->retries_max && a->retries_on == b->retries_on &&
                a->retries_delay_usec == b->retries_delay_usec;

        for (size_t i = 0; same && i < a->n_after; i++)
                same = a->after[i].id == b->after[i].id && a->after[i].on == b->after[i].on;
        for (size_t i = 0; same && i < a->n_limits; i++)
                same = a->limits[i].resource == b->limits[i].resource &&
                       a->limits[i].soft == b->limits[i].soft &&
                       a->limits[i].hard == b->limits[i].hard;
        for (size_t i = 0; same && i < a->n_affinity; i++)
                same = a->affinity[i] == b->affinity[i];
        for (size_t i = 0; same && i < 3; i++)
                same = a->stdio[i].kind == b->stdio[i].kind &&
                       a->stdio[i].append == b->stdio[i].append &&
                       streq_null(a->stdio[i].path, b->stdio[i].path) &&
                       a->stdio[i].descriptor == b->stdio[i].descriptor;
        return same;
}

static void test_round_trip(void **state) {
        unsigned seed = (unsigned)now_usec(CLOCK_REALTIME), first = seed;

        (void)state;
        for (int i = 0; i < 3000; i++) {
                json_t *object = random_job(&seed), *dump, *again;
                JobSpec *a = NULL, *b = NULL;
                JobSpecError error = { 0 };

                if (job_spec_parse(object, NULL, 0, 4, &a, &error) != 0)
                        fail_msg("seed %u: %s: %s", first, error.field, error.sentence);
                dump = job_spec_dump(a, true);
                assert_non_null(dump);
                if (job_spec_parse(dump, NULL, 0, 4, &b, &error) != 0)
                        fail_msg("seed %u: dump: %s: %s", first, error.field, error.sentence);
                again = job_spec_dump(b, true);
                if (!json_equal(dump, again) || !job_spec_equal(a, b) || !same_struct(a, b))
                        fail_msg("seed %u: round trip differs", first);
                assert_ptr_equal(json_object_get(dump, "environment") ? dump : NULL,
                                 a->environment ? dump : NULL);
                json_decref(again);
                again = job_spec_dump(b, false);
                assert_null(json_object_get(again, "environment"));

                job_spec_free(a);
                job_spec_free(b);
                json_decref(object);
                json_decref(dump);
                json_decref(again);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
