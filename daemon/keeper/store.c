/* SPDX-License-Identifier: Apache-2.0 */

/* The descriptors that outlive forkd: listening sockets, forkservers' channels, the running table.
 * The keeper owns it and looks into none of them. A small list: only what scales with forkservers
 * is stored. */

#include "store.h"
#include "keeper-channel.h"

typedef struct StoreEntry StoreEntry;

struct StoreEntry {
        StoreEntry *next;
        int fd;
        bool to_hand_over; /* not yet seen by this start of forkd */
        char name[KEEPER_NAME_MAX];
};

struct Store {
        StoreEntry *first; /* in the order in which they came */
        size_t n;
};

int store_new(Store **ret) {
        Store *store = calloc(1, sizeof(*store));

        if (!store)
                return -ENOMEM;
        *ret = store;
        return 0;
}

static void store_remove(Store *store, StoreEntry **at) {
        StoreEntry *e = *at;

        *at = e->next;
        close_fd(e->fd);
        free(e);
        store->n--;
}

void store_drop_all(Store *store) {
        while (store->first)
                store_remove(store, &store->first);
}

Store *store_free(Store *store) {
        if (store) {
                store_drop_all(store);
                free(store);
        }
        return NULL;
}

/* Where the entry of that name is linked, or the end of the list. */
static StoreEntry **store_find(Store *store, const char *name) {
        StoreEntry **at = &store->first;

        while (*at && !streq((*at)->name, name))
                at = &(*at)->next;
        return at;
}

int store_put(Store *store, const char *name, int fd) {
        _cleanup_(close_fdp) int owned = fd;
        StoreEntry **at = store_find(store, name);

        if (name[0] == '\0' || strlen(name) >= KEEPER_NAME_MAX)
                return -EINVAL;
        if (!*at) {
                if (store->n >= STORE_MAX)
                        return -ENOSPC;
                *at = calloc(1, sizeof(StoreEntry));
                if (!*at)
                        return -ENOMEM;
                snprintf((*at)->name, sizeof((*at)->name), "%s", name);
                (*at)->fd = -1;
                store->n++;
        }
        close_fd((*at)->fd);
        (*at)->fd = steal_fd(&owned);
        (*at)->to_hand_over = false;
        return 0;
}

int store_drop(Store *store, const char *name) {
        StoreEntry **at = store_find(store, name);

        if (!*at)
                return -ENOENT;
        store_remove(store, at);
        return 0;
}

size_t store_count(const Store *store) {
        return store->n;
}

void store_rewind(Store *store) {
        for (StoreEntry *e = store->first; e; e = e->next)
                e->to_hand_over = true;
}

static StoreEntry *store_first_unseen(Store *store) {
        for (StoreEntry *e = store->first; e; e = e->next)
                if (e->to_hand_over)
                        return e;
        return NULL;
}

bool store_next(Store *store, const char **ret_name, int *ret_fd) {
        StoreEntry *e = store_first_unseen(store);

        if (!e)
                return false;
        *ret_name = e->name;
        *ret_fd = e->fd;
        return true;
}

void store_mark(Store *store) {
        StoreEntry *e = store_first_unseen(store);

        if (e)
                e->to_hand_over = false;
}
