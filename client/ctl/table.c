/* SPDX-License-Identifier: Apache-2.0 */

/* Tables: rows are collected, then widths are found, then all is printed. Owned by a verb. Lives in
 * forkctl. */

#include "table.h"

#include "display.h"

#include <sys/ioctl.h>

#define GAP 2

typedef struct TableRow {
        char *cells[TABLE_COLUMNS_MAX];
        const char *colour;
} TableRow;

struct Table {
        const TableColumn *columns;
        size_t n_columns;
        TableRow *rows;
        size_t n_rows, allocated;
        size_t natural[TABLE_COLUMNS_MAX]; /* the widest cell or title */
        bool used[TABLE_COLUMNS_MAX];
};

int table_new(Table **ret, const TableColumn *columns, size_t n_columns) {
        Table *t;

        if (n_columns > TABLE_COLUMNS_MAX)
                return -EINVAL;
        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->columns = columns;
        t->n_columns = n_columns;
        for (size_t i = 0; i < n_columns; i++)
                t->natural[i] = display_width(columns[i].title);
        *ret = t;
        return 0;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_rows; i++)
                for (size_t k = 0; k < t->n_columns; k++)
                        free(t->rows[i].cells[k]);
        free(t->rows);
        free(t);
        return NULL;
}

int table_add(Table *t, const char *const *cells, const char *colour) {
        TableRow *row;

        if (t->n_rows == t->allocated) {
                size_t n = t->allocated ? t->allocated * 2 : 64;
                TableRow *rows = reallocarray(t->rows, n, sizeof(*rows));

                if (!rows)
                        return -ENOMEM;
                t->rows = rows;
                t->allocated = n;
        }

        row = &t->rows[t->n_rows];
        *row = (TableRow){ .colour = colour };
        for (size_t i = 0; i < t->n_columns; i++) {
                size_t width;

                row->cells[i] = display_escape(cells[i] ?: "");
                if (!row->cells[i]) {
                        while (i-- > 0)
                                free(row->cells[i]);
                        return -ENOMEM;
                }
                width = display_width(row->cells[i]);
                if (width > 0)
                        t->used[i] = true;
                if (width > t->natural[i])
                        t->natural[i] = width;
        }
        t->n_rows++;
        return 0;
}

size_t table_rows(const Table *t) {
        return t->n_rows;
}

static size_t total_width(const Table *t, const size_t *widths, const bool *shown) {
        size_t total = 0;

        for (size_t i = 0; i < t->n_columns; i++)
                if (shown[i])
                        total += widths[i] + (total > 0 ? GAP : 0);
        return total;
}

/* Takes columns off the widest cell that may still give some, until it fits. */
static bool table_shrink(const Table *t, size_t width, size_t *widths, const bool *shown) {
        while (total_width(t, widths, shown) > width) {
                size_t widest = SIZE_MAX;

                for (size_t i = 0; i < t->n_columns; i++) {
                        if (!shown[i] || t->columns[i].shrink == 0 ||
                            widths[i] <= t->columns[i].shrink)
                                continue;
                        if (widest == SIZE_MAX || widths[i] >= widths[widest])
                                widest = i;
                }
                if (widest == SIZE_MAX)
                        return false;
                widths[widest]--;
        }
        return true;
}

static bool table_drop(const Table *t, bool *shown) {
        size_t first = SIZE_MAX;

        for (size_t i = 0; i < t->n_columns; i++)
                if (shown[i] && t->columns[i].drop > 0 &&
                    (first == SIZE_MAX || t->columns[i].drop > t->columns[first].drop))
                        first = i;
        if (first == SIZE_MAX)
                return false;
        shown[first] = false;
        return true;
}

static void table_layout(const Table *t, size_t width, size_t *widths, bool *shown) {
        for (size_t i = 0; i < t->n_columns; i++)
                shown[i] = t->used[i] || !t->columns[i].when_used;

        do
                memcpy(widths, t->natural, t->n_columns * sizeof(*widths));
        while (width != SIZE_MAX && !table_shrink(t, width, widths, shown) && table_drop(t, shown));
}

/* Prints a cell behind `pad` columns of nothing; returns how much is to be padded behind it. */
static size_t print_cell(FILE *out, const char *text, size_t width, bool right, size_t pad) {
        const char *ellipsis = "";
        size_t taken, bytes, rest;

        bytes = display_fit(text, width, &taken);
        if (text[bytes] != '\0') {
                ellipsis = display_ellipsis();
                rest = display_width(ellipsis);
                bytes = display_fit(text, width > rest ? width - rest : 0, &taken);
                taken += rest;
        } else if (right) {
                pad += width - taken;
                taken = width;
        }
        if (bytes == 0 && *ellipsis == '\0')
                return pad + (width > taken ? width - taken : 0);
        fprintf(out, "%*s%.*s%s", (int)pad, "", (int)bytes, text, ellipsis);
        return width > taken ? width - taken : 0;
}

static void print_row(const Table *t, FILE *out, const size_t *widths, const bool *shown,
                      const TableRow *row) {
        size_t pad = 0;
        bool first = true;

        for (size_t i = 0; i < t->n_columns; i++) {
                const char *colour = row && i == 1 ? row->colour : NULL;
                const char *text = row ? row->cells[i] : t->columns[i].title;

                if (!shown[i])
                        continue;
                if (!first)
                        pad += GAP;
                first = false;
                if (colour) {
                        fprintf(out, "%*s%s", (int)pad, "", colour);
                        pad = 0;
                }
                pad = print_cell(out, text, widths[i], t->columns[i].right, pad);
                if (colour)
                        fputs("\033[0m", out);
        }
        fputc('\n', out);
}

void table_print(const Table *t, FILE *out, size_t width, bool colour) {
        size_t widths[TABLE_COLUMNS_MAX];
        bool shown[TABLE_COLUMNS_MAX];

        table_layout(t, width, widths, shown);
        if (colour)
                fputs("\033[1m", out);
        print_row(t, out, widths, shown, NULL);
        if (colour)
                fputs("\033[0m", out);
        for (size_t i = 0; i < t->n_rows; i++) {
                TableRow row = t->rows[i];

                if (!colour)
                        row.colour = NULL;
                print_row(t, out, widths, shown, &row);
        }
}

size_t table_terminal_width(int fd) {
        const char *columns = getenv("COLUMNS");
        struct winsize size;

        if (columns) {
                char *end;
                unsigned long n = strtoul(columns, &end, 10);

                if (end != columns && *end == '\0' && n >= 1 && n <= 100000)
                        return n;
        }
        if (ioctl(fd, TIOCGWINSZ, &size) < 0)
                return SIZE_MAX;
        return size.ws_col > 0 ? size.ws_col : 80;
}
