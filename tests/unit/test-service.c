/* SPDX-License-Identifier: Apache-2.0 */

/* proto/service.c and its parts: what is answered, with what, and in which order. How connections
 * come to their end is in test-connection.c. */

#include "wire-fixture.h"

#define SERVICE(name) "org.varlink.service." name
#define OK_REPLY      "{\"parameters\":{}}"

/* ---- introspection */

static void test_get_info(void **state) {
        static const char expected[] =
                "{\"parameters\":{\"vendor\":\"vendor\",\"product\":\"product\",\"version\":\"1\","
                "\"url\":\"https://example.org\","
                "\"interfaces\":[\"org.varlink.service\",\"org.test.wire\"]}}";
        Fixture *f = *state;
        int fd = client_new(f);

        /* absent, null and {} are equal */
        client_send(fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
        client_expect(f, fd, expected);
        client_send(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":null}");
        client_expect(f, fd, expected);
        client_send(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
        client_expect(f, fd, expected);
        client_send(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{\"x\":1}}");
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "x");
        client_close(f, fd);
}

static void test_get_interface_description(void **state) {
#define DESCRIBE(p)                                                                                \
        "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":" p "}"
        Fixture *f = *state;
        int fd = client_new(f);
        char text[8192];
        json_t *reply;
        const char *described;

        client_send(fd, DESCRIBE("{\"interface\":\"org.test.wire\"}"));
        assert_true(client_receive(f, fd, text, sizeof(text)) > 0);
        reply = json_loads(text, 0, NULL);
        described = json_string_value(
                json_object_get(json_object_get(reply, "parameters"), "description"));
        assert_string_equal(described, wire_interface.description);
        json_decref(reply);

        client_send(fd, DESCRIBE("{\"interface\":\"org.varlink.service\"}"));
        assert_true(client_receive(f, fd, text, sizeof(text)) > 0);
        assert_non_null(strstr(text, "interface org.varlink.service\\n"));
        assert_non_null(strstr(text, "error ExpectedMore ()"));

        client_send(fd, DESCRIBE("{\"interface\":\"org.example.none\"}"));
        client_expect_error(f, fd, SERVICE("InterfaceNotFound"), "interface", "org.example.none");
        client_send(fd, DESCRIBE("{\"interface\":\"org.test.wir\"}"));
        client_expect_error(f, fd, SERVICE("InterfaceNotFound"), "interface", "org.test.wir");
        client_send(fd, DESCRIBE("{\"interface\":7}"));
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "interface");
        client_send(fd, DESCRIBE("null"));
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "interface");
        client_send(fd, DESCRIBE("{\"interface\":\"org.test.wire\",\"other\":1}"));
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "other");
        client_close(f, fd);
}

/* ---- routing */

static void test_not_found(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.example.none.Method\"}");
        client_expect_error(f, fd, SERVICE("InterfaceNotFound"), "interface", "org.example.none");
        client_send(fd, "{\"method\":\".Method\"}");
        client_expect_error(f, fd, SERVICE("InterfaceNotFound"), "interface", "");
        client_send(fd, CALL("None"));
        client_expect_error(f, fd, SERVICE("MethodNotFound"), "method", "org.test.wire.None");
        client_send(fd, CALL("echo"));
        client_expect_error(f, fd, SERVICE("MethodNotFound"), "method", "org.test.wire.echo");
        client_send(fd, CALL("Comment"));
        client_expect_error(f, fd, SERVICE("MethodNotFound"), "method", "org.test.wire.Comment");
        client_send(fd, CALL("Abs"));
        client_expect_error(f, fd, SERVICE("MethodNotFound"), "method", "org.test.wire.Abs");
        client_send(fd, CALL(""));
        client_expect_error(f, fd, SERVICE("MethodNotFound"), "method", "org.test.wire.");
        client_send(fd, CALL("Absent"));
        client_expect_error(f, fd, SERVICE("MethodNotImplemented"), "method",
                            "org.test.wire.Absent");
        client_send(fd, CALL("AbsentToo"));
        client_expect_error(f, fd, SERVICE("MethodNotImplemented"), "method",
                            "org.test.wire.AbsentToo");
        client_send(fd, "{\"method\":\"Echo\"}");
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "method");
        client_send(fd, "{\"method\":\"org.varlink.service.None\"}");
        client_expect_error(f, fd, SERVICE("MethodNotFound"), "method", "org.varlink.service.None");
        client_send(fd, CALL("Echo"));
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

static void test_upgrade(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.Echo\",\"upgrade\":true}");
        client_expect_error(f, fd, SERVICE("MethodNotImplemented"), "method", "org.test.wire.Echo");
        client_send(fd, "{\"method\":\"org.test.wire.Echo\",\"upgrade\":false}");
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

static void test_expected_more(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL_WITH("Count", "{\"n\":2}"));
        client_expect(f, fd, "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
        client_send(fd,
                    "{\"method\":\"org.test.wire.Count\",\"more\":true,\"parameters\":{\"n\":2}}");
        client_expect(f, fd, "{\"parameters\":{\"i\":0},\"continues\":true}");
        client_expect(f, fd, "{\"parameters\":{\"i\":1},\"continues\":true}");
        client_expect(f, fd, "{\"parameters\":{\"i\":2}}");
        /* more is no obligation */
        client_send(fd,
                    "{\"method\":\"org.test.wire.Echo\",\"more\":true,\"parameters\":{\"a\":1}}");
        client_expect(f, fd, "{\"parameters\":{\"a\":1}}");
        client_close(f, fd);
}

static void test_oneway(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.Echo\",\"oneway\":true}");
        client_send(fd, "{\"method\":\"org.test.wire.None\",\"oneway\":true}");
        client_send(fd, "{\"method\":\"org.example.none.None\",\"oneway\":true}");
        client_send(fd, "{\"method\":\"org.test.wire.Count\",\"oneway\":true}");
        client_send(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"oneway\":true}");
        client_send(fd, "{\"method\":\"org.test.wire.Later\",\"oneway\":true}");
        client_send(fd, CALL_WITH("Echo", "{\"last\":true}"));
        settle(f);
        /* the one that is not answered holds up the next, without an answer of its own */
        assert_int_equal(f->n_kept, 1);
        assert_true(call_is_oneway(f->kept[0]));
        assert_int_equal(call_error(f->kept[0], "org.test.wire.Bad", NULL), 0);
        client_expect(f, fd, "{\"parameters\":{\"last\":true}}");
        client_close(f, fd);
        assert_int_equal(f->n_gone, 0);
}

/* A oneway call that is all that a client came for is not lost, though it left at once. */
static void test_oneway_and_gone(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.Later\",\"oneway\":true}");
        client_close(f, fd);
        assert_int_equal(f->n_kept, 1);
        assert_int_equal(f->n_gone, 1);
}

/* ---- order */

static void test_in_order(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL_WITH("Echo", "{\"n\":1}"));
        client_send(fd, CALL("Later"));
        client_send(fd, CALL("Later"));
        client_send(fd, CALL_WITH("Echo", "{\"n\":2}"));
        settle(f);
        assert_int_equal(f->n_kept, 1);
        client_expect(f, fd, "{\"parameters\":{\"n\":1}}");

        assert_int_equal(call_reply(f->kept[0], NULL, false), 0);
        assert_int_equal(f->n_kept, 1); /* not from within the reply */
        settle(f);
        assert_int_equal(f->n_kept, 2);
        assert_int_equal(call_error(f->kept[1], "org.test.wire.Bad", NULL), 0);
        client_expect(f, fd, OK_REPLY);
        client_expect(f, fd, "{\"error\":\"org.test.wire.Bad\",\"parameters\":{}}");
        client_expect(f, fd, "{\"parameters\":{\"n\":2}}");
        client_close(f, fd);
}

/* What comes while a call is pending is read once it is answered. */
static void test_later_input(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        for (size_t i = 0; i < 3; i++) {
                client_send(fd, CALL("Later"));
                settle(f);
                client_send(fd, CALL_WITH("Echo", "{\"n\":2}"));
                settle(f);
                client_send(fd, CALL_WITH("Echo", "{\"n\":3}"));
                settle(f);
                assert_int_equal(f->n_kept, i + 1);
                assert_int_equal(call_reply(f->kept[i], NULL, false), 0);
                client_expect(f, fd, OK_REPLY);
                client_expect(f, fd, "{\"parameters\":{\"n\":2}}");
                client_expect(f, fd, "{\"parameters\":{\"n\":3}}");
        }
        client_close(f, fd);
}

static void test_more_holds(void **state) {
        Fixture *f = *state;
        int fd = client_new(f), other = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.More\",\"more\":true}");
        client_send(fd, CALL("Echo"));
        client_send(other, CALL("Echo"));
        client_expect(f, other, OK_REPLY);
        settle(f);
        assert_int_equal(f->n_kept, 1);
        assert_true(call_wants_more(f->kept[0]));
        assert_string_equal(call_method(f->kept[0]), "org.test.wire.More");

        for (int i = 0; i < 3; i++) {
                assert_int_equal(call_reply(f->kept[0], NULL, true), 0);
                client_expect(f, fd, "{\"parameters\":{},\"continues\":true}");
        }
        assert_int_equal(call_reply_text(f->kept[0], "{\"z\":[1]}", 9, false), 0);
        client_expect(f, fd, "{\"parameters\":{\"z\":[1]}}");
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
        client_close(f, other);
}

static void test_split_and_merged(void **state) {
        static const char calls[] =
                CALL_WITH("Echo", "{\"n\":1}") "\0" CALL_WITH("Echo", "{\"n\":2}");
        Fixture *f = *state;
        int fd = client_new(f);

        client_send_bytes(fd, calls, sizeof(calls));
        client_expect(f, fd, "{\"parameters\":{\"n\":1}}");
        client_expect(f, fd, "{\"parameters\":{\"n\":2}}");

        for (size_t i = 0; i < sizeof(calls); i++) {
                client_send_bytes(fd, calls + i, 1);
                turn(f);
        }
        client_expect(f, fd, "{\"parameters\":{\"n\":1}}");
        client_expect(f, fd, "{\"parameters\":{\"n\":2}}");
        client_close(f, fd);
}

/* ---- captures, parameters, sentences */

static void test_captures(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL_WITH("Captures", "{\"arguments\":{\"a\": 1},\"b\":2}"));
        client_expect(f, fd,
                      "{\"parameters\":{\"captured\":[\"{\\\"a\\\": 1}\"],"
                      "\"rest\":{\"arguments\":0,\"b\":2}}}");
        client_send(fd, CALL_WITH("Captures",
                                  "{\"jobs\":[{\"arguments\":{}},{\"arguments\":{\"x\":{}}}]}"));
        client_expect(f, fd,
                      "{\"parameters\":{\"captured\":[\"{}\",\"{\\\"x\\\":{}}\"],"
                      "\"rest\":{\"jobs\":[{\"arguments\":0},{\"arguments\":0}]}}}");
        client_send(fd, CALL_WITH("Echo", "{\"arguments\":{\"a\":1}}"));
        client_expect(f, fd, "{\"parameters\":{\"arguments\":{\"a\":1}}}");
        client_send(fd, CALL("Captures"));
        client_expect(f, fd, "{\"parameters\":{\"captured\":[],\"rest\":{}}}");
        client_close(f, fd);
}

static void test_use_after(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL_WITH("UseAfter", "{\"a\":1}"));
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

/* Sentences quote what others wrote: no bytes of theirs break the reply. */
static void test_sentences(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL_WITH("Denied", "{\"text\":\"no\"}"));
        client_expect_error(f, fd, SERVICE("PermissionDenied"), "sentence", "uid 7 may not: no?");
        client_send(fd, CALL_WITH("Descriptors", "{\"index\":3}"));
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "sentence",
                            "there is no descriptor 3");
        client_close(f, fd);
}

static void test_large_reply(void **state) {
        static char text[1100 * 1024];
        Fixture *f = *state;
        int fd = client_new(f);
        size_t n, n_fds;

        client_send(fd, CALL_WITH("Large", "{\"bytes\":1000000}"));
        n = client_receive_fds(f, fd, text, sizeof(text), &n_fds);
        assert_int_equal(n, 1000000 + strlen("{\"parameters\":{\"x\":\"\"}}") + 1);
        client_send(fd, CALL_WITH("Large", "{\"bytes\":1048576}"));
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "bytes");
        client_close(f, fd);
}

/* ---- descriptors */

static void test_descriptors(void **state) {
        static const char call[] = CALL_WITH("Descriptors", "{\"index\":1}");
        Fixture *f = *state;
        int fd = client_new(f);
        char text[256];
        size_t n_fds;

        client_send_fds(fd, call, sizeof(call), 3);
        assert_true(client_receive_fds(f, fd, text, sizeof(text), &n_fds) > 0);
        assert_string_equal(text, "{\"parameters\":{\"n\":3}}");
        assert_int_equal(n_fds, 1);
        client_close(f, fd);
}

static void test_descriptors_index(void **state) {
        static const char *const indices[] = { "{\"index\":2}", "{\"index\":-1}",
                                               "{\"index\":99999}" };
        Fixture *f = *state;
        int fd = client_new(f);

        for (size_t i = 0; i < ELEMENTSOF(indices); i++) {
                char call[128];
                int n = snprintf(call, sizeof(call), CALL_WITH("Descriptors", "%s"), indices[i]);

                client_send_fds(fd, call, (size_t)n + 1, 2);
                client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "index");
        }
        client_send(fd, CALL_WITH("Descriptors", "{\"index\":0}"));
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "parameter", "index");
        client_close(f, fd);
}

static void test_descriptors_refused(void **state) {
        static const char call[] = CALL("Echo"),
                          info[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
        Fixture *f = *state;
        int fd = client_new(f);
        size_t before = count_fds();

        client_send_fds(fd, call, sizeof(call), 10);
        client_expect_error(f, fd, SERVICE("InvalidParameter"), "sentence",
                            "org.test.wire.Echo takes no descriptors");
        client_send_fds(fd, info, sizeof(info), 1);
        client_expect_error(f, fd, SERVICE("InvalidParameter"), NULL, NULL);
        assert_int_equal(count_fds(), before);
        client_close(f, fd);
}

/* ---- peers */

static void test_peer(void **state) {
        Fixture *f = *state;
        Connection *connection;
        const Peer *peer;
        gid_t groups[64];
        int pair[2], n;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(service_add_connection(f->service, pair[1], &connection), 0);
        peer = connection_peer(connection);
        assert_int_equal(peer->uid, geteuid());
        assert_int_equal(peer->gid, getegid());
        assert_int_equal(peer->pid, getpid());
        n = getgroups(64, groups);
        assert_int_equal(peer->n_groups, n);
        for (int i = 0; i < n; i++)
                assert_int_equal(peer->groups[i], groups[i]);

        connection_set_userdata(connection, f);
        assert_ptr_equal(connection_userdata(connection), f);
        client_send(pair[0], CALL("Later"));
        settle(f);
        assert_ptr_equal(call_connection(f->kept[0]), connection);
        client_close(f, pair[0]);
        assert_int_equal(f->n_gone, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_get_info),
                TEST(test_get_interface_description),
                TEST(test_not_found),
                TEST(test_upgrade),
                TEST(test_expected_more),
                TEST(test_oneway),
                TEST(test_oneway_and_gone),
                TEST(test_in_order),
                TEST(test_later_input),
                TEST(test_more_holds),
                TEST(test_split_and_merged),
                TEST(test_captures),
                TEST(test_use_after),
                TEST(test_sentences),
                TEST(test_large_reply),
                TEST(test_descriptors),
                TEST(test_descriptors_index),
                TEST(test_descriptors_refused),
                TEST(test_peer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
