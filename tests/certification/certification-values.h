/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of org.varlink.certification pass on from one method to the next: the server sends
 * these values, and the client must bring them back. Both programs compare with them. */

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#define CERTIFICATION(name)   "org.varlink.certification." name
#define CERTIFICATION_REPLIES 10

/* The replies of Start and of Test01 … Test09, without client_id. */
static const char *const certification_values[] = {
        "{}",
        "{\"bool\":true}",
        "{\"int\":1}",
        "{\"float\":1.0}",
        "{\"string\":\"ping\"}",
        "{\"bool\":false,\"int\":2,\"float\":3.141592653589793,\"string\":\"a lot of string\"}",
        "{\"struct\":{\"bool\":false,\"int\":2,\"float\":3.141592653589793,"
        "\"string\":\"a lot of string\"}}",
        "{\"map\":{\"foo\":\"Foo\",\"bar\":\"Bar\"}}",
        "{\"set\":{\"one\":{},\"two\":{},\"three\":{}}}",
        "{\"mytype\":{"
        "\"object\":{\"method\":\"org.varlink.certification.Test09\","
        "\"parameters\":{\"map\":{\"foo\":\"Foo\",\"bar\":\"Bar\"}}},"
        "\"enum\":\"two\","
        "\"struct\":{\"first\":1,\"second\":\"2\"},"
        "\"array\":[\"one\",\"two\",\"three\"],"
        "\"dictionary\":{\"foo\":\"Foo\",\"bar\":\"Bar\"},"
        "\"stringset\":{\"one\":{},\"two\":{},\"three\":{}},"
        "\"nullable\":null,"
        "\"nullable_array_struct\":null,"
        "\"interface\":{"
        "\"foo\":[null,{\"foo\":\"foo\",\"bar\":\"bar\"},null,{\"one\":\"foo\",\"two\":\"bar\"}],"
        "\"anon\":{\"foo\":true,\"bar\":false}}}}",
};

/* Equal as Varlink has it: 1 and 1.0 are, and so are null and absent. */
static inline bool certification_equal(const json_t *a, const json_t *b) {
        const char *key;
        json_t *value;

        if (!a || !b)
                return (!a || json_is_null(a)) && (!b || json_is_null(b));
        if (json_is_number(a) && json_is_number(b))
                return json_number_value(a) == json_number_value(b);
        if (json_is_array(a) && json_is_array(b)) {
                if (json_array_size(a) != json_array_size(b))
                        return false;
                for (size_t i = 0; i < json_array_size(a); i++)
                        if (!certification_equal(json_array_get(a, i), json_array_get(b, i)))
                                return false;
                return true;
        }
        if (!json_is_object(a) || !json_is_object(b))
                return json_equal(a, b);

        json_object_foreach ((json_t *)a, key, value)
                if (!certification_equal(value, json_object_get(b, key)))
                        return false;
        json_object_foreach ((json_t *)b, key, value)
                if (!certification_equal(json_object_get(a, key), value))
                        return false;
        return true;
}
