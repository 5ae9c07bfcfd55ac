/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A table for people: columns as wide as their cells, cut with "…" or left out when the terminal is
 * too narrow. */

#include "basic.h"

typedef struct TableColumn {
        const char *title;
        bool right;     /* aligned to the right */
        size_t shrink;  /* may be cut down to so many columns; 0: never */
        int drop;       /* left out when nothing else helps, highest first; 0: never */
        bool when_used; /* left out when all of its cells are empty */
} TableColumn;

typedef struct Table Table;

#define TABLE_COLUMNS_MAX 12

/* columns are borrowed. */
int table_new(Table **ret, const TableColumn *columns, size_t n_columns);
Table *table_free(Table *t);
static inline void table_freep(Table **t) {
        table_free(*t);
}
/* Copies n_columns texts (NULL: empty), escaped for a terminal. colour is an escape sequence for
 * the second column, or NULL. */
int table_add(Table *t, const char *const *cells, const char *colour);
size_t table_rows(const Table *t);
/* width SIZE_MAX: nothing is cut. What the stream says is for the caller to look at. */
void table_print(const Table *t, FILE *out, size_t width, bool colour);

/* $COLUMNS, else the terminal's width, else SIZE_MAX when fd is no terminal, else 80. */
size_t table_terminal_width(int fd);
