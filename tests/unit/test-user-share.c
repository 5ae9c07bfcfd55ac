/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/user-share.h: what one user may take, and what is left for others. */

#include "daemon-fixture.h"

/* Runs until it is told to end. */
#define HOLD "{'command':['sleep','1000']"

static int setup(void **state) {
        return fixture_setup(state, "MaxRunning=1");
}

static int setup_small(void **state) {
        return fixture_setup(state, "MaxRunning=1\nQueueMax=5");
}

#define STRANGER 4711
#define LATER    "{'command':['true'],'startAtUSec':9000000000000000000}"

static void test_share_of_the_queue(void **state) {
        DaemonFixture *f = *state;
        char *sentence;
        json_t *reply;
        json_int_t id;
        Client root, stranger;

        if (geteuid() != 0)
                skip();
        client_open(f, &root);
        client_open_as(f, &stranger, STRANGER);
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "," LATER "]}");
        json_decref(client_receive(f, &stranger));
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "," LATER "]}");
        sentence = client_expect_error(f, &stranger, "forkd.jobs.QueueFull");
        assert_non_null(strstr(sentence, "half"));
        free(sentence);
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "]}");
        reply = client_receive(f, &stranger);
        id = json_integer_value(json_array_get(reply_member(reply, "ids"), 0));
        json_decref(reply);
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "]}");
        free(client_expect_error(f, &stranger, "forkd.jobs.QueueFull"));

        /* the rest is there for others, and what has ended counts no more */
        client_send(&root, "jobs.Submit", false, "{'jobs':[" LATER "," LATER "]}");
        json_decref(client_receive(f, &root));
        client_send(&stranger, "jobs.Cancel", false, "{'ids':[%d]}", (int)id);
        json_decref(client_receive(f, &stranger));
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "]}");
        reply = client_receive(f, &stranger);
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);
        client_close(f, &stranger);
        client_close(f, &root);
}

static void test_share_of_attached(void **state) {
        DaemonFixture *f = *state;
        Client clients[4];
        char *sentence;

        if (geteuid() != 0)
                skip();
        f->daemon->config->max_attached = 3;
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                if (i < 3)
                        client_open_as(f, &clients[i], STRANGER);
                else
                        client_open(f, &clients[i]);
        for (size_t i = 0; i < 2; i++) {
                client_send(&clients[i], "jobs.Run", false, "{'job':" HOLD "}}");
                fixture_until(f, f->daemon->n_attached == i + 1);
        }
        client_send(&clients[2], "jobs.Run", false, "{'job':" HOLD "}}");
        sentence = client_expect_error(f, &clients[2], "forkd.jobs.LimitReached");
        assert_non_null(strstr(sentence, "half"));
        free(sentence);
        client_send(&clients[3], "jobs.Run", false, "{'job':" HOLD "}}");
        fixture_until(f, f->daemon->n_attached == 3);

        client_close(f, &clients[0]);
        fixture_until(f, f->daemon->n_attached == 2);
        client_send(&clients[2], "jobs.Run", false, "{'job':" HOLD "}}");
        fixture_until(f, f->daemon->n_attached == 3);
        for (size_t i = 1; i < ELEMENTSOF(clients); i++)
                client_close(f, &clients[i]);
        fixture_until(f, f->daemon->n_attached == 0);
}

static void test_priority_of_a_stranger(void **state) {
        DaemonFixture *f = *state;
        char *sentence;
        Client c;

        if (geteuid() != 0)
                skip();
        client_open_as(f, &c, STRANGER);
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true'],'priority':-1}]}");
        sentence = client_expect_error(f, &c, "varlink.service.PermissionDenied");
        assert_non_null(strstr(sentence, "priority"));
        free(sentence);
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true'],'priority':0}]}");
        json_decref(client_receive(f, &c));
        fixture_until(f, f->daemon->n_states[JOB_FINISHED] == 1);
        client_close(f, &c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_share_of_the_queue, setup_small,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_share_of_attached, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_priority_of_a_stranger, setup,
                                                fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
