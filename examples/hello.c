/* SPDX-License-Identifier: Apache-2.0 */

/* hello: the smallest forkd module. Build it with one line, make a forkserver of it, ask it:
 *
 *     cc -shared -fPIC $(pkg-config --cflags forkd-module) hello.c -o hello.so
 *     forkctl servers start hello --module ./hello.so
 *     forkctl run --server hello hello name=Anna
 *
 * What a program would load at its start, a module loads in `.preload`: once, for all of its jobs.
 */

#include <forkd-module.h>

static int hello(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const char *name = json_string_value(json_object_get(arguments, "name"));

        if (!name)
                return forkd_call_fail(call, "InvalidArgument", "whom? give name=TEXT");
        *ret_value = json_pack("{ss+}", "greeting", "hello ", name);
        return 0;
}

static const ForkdEntry entries[] = { { "hello", hello, "greets", "name=TEXT" }, { 0 } };

const ForkdModule forkd_module = { FORKD_MODULE_ABI, "hello", .entries = entries };
