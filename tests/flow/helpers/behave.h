/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a job of the flow suite can be told to do to itself: the same words for a command (work.c)
 * and for an entry (flow.c). argv[0] is the word. Returns an exit status: 0 when done, 2 for a word
 * it does not know, 99 when it lived through what should have ended it. */
int behave(int argc, char **argv);
