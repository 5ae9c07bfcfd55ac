/* SPDX-License-Identifier: Apache-2.0 */

/* nomodule: a shared object that is no module. */

extern int nothing_here;
int nothing_here;
