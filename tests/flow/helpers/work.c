/* SPDX-License-Identifier: Apache-2.0 */

/* The command of the flow suite: `work WORD ARGUMENT…` does what behave() knows. Runs as a job of
 * method spawn. Linked statically, so that thousands of starts cost little. */

#include "behave.h"

#include <stdio.h>

int main(int argc, char **argv) {
        if (argc < 2) {
                fprintf(stderr, "work: a word is missing, see behave.c\n");
                return 2;
        }
        return behave(argc - 1, argv + 1);
}
