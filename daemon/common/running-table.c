/* SPDX-License-Identifier: Apache-2.0 */

/* The running table: a shared mapping of a memfd with a head and fixed slots. forkd owns and writes
 * it; the keeper only holds the descriptor. A slot's content is written before its seal, and the
 * seal is taken away before the content changes, so that a writer killed at any instruction leaves
 * either the old slot, an empty one, or the new one. */

#include "running-table.h"
#include "process-id.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define TABLE_MAGIC     UINT64_C(0x31656c6261546b66) /* "fkTable1" */
#define TABLE_SLOTS_MAX ((size_t)1 << 20)

typedef struct TableHead {
        uint64_t magic;
        uint64_t slot_size;
        uint64_t n_slots;
        char boot[40];
        uint64_t reserved;
} TableHead;

struct RunningTable {
        int fd;
        TableHead *head; /* the mapping */
        size_t size;
        RunningSlot *slots; /* in the mapping */
        size_t n_slots;
        uint32_t *unused; /* numbers of empty slots, as a stack */
        size_t n_unused;
};

static inline void table_freep(RunningTable **t) {
        running_table_free(*t);
}

/* FNV-1a of all that stands before the seal; never 0, which means empty. */
static uint64_t slot_seal(const RunningSlot *slot) {
        const uint8_t *p = (const uint8_t *)slot;
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < offsetof(RunningSlot, seal); i++)
                h = (h ^ p[i]) * UINT64_C(0x100000001b3);
        return h != 0 ? h : 1;
}

static size_t table_size(size_t n_slots) {
        return sizeof(TableHead) + n_slots * sizeof(RunningSlot);
}

/* Maps fd, which becomes the table's on success. */
static int table_map(RunningTable **ret, int fd, size_t n_slots) {
        _cleanup_(table_freep) RunningTable *t = calloc(1, sizeof(*t));
        void *p;

        if (!t)
                return -ENOMEM;
        t->fd = -1;
        t->n_slots = n_slots;
        t->size = table_size(n_slots);
        t->unused = calloc(n_slots, sizeof(*t->unused));
        if (!t->unused)
                return -ENOMEM;

        p = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        t->head = p;
        t->slots = (RunningSlot *)(t->head + 1);
        t->fd = fd;
        *ret = steal(t);
        return 0;
}

/* The lowest numbers are handed out first, so that a table that is hardly used stays in few pages.
 */
static void table_collect_unused(RunningTable *t) {
        t->n_unused = 0;
        for (size_t i = t->n_slots; i-- > 0;) {
                RunningSlot slot;
                bool valid;

                if (running_table_get(t, i, &slot, &valid) && !valid)
                        t->unused[t->n_unused++] = (uint32_t)i;
        }
}

int running_table_new(RunningTable **ret, size_t n_slots) {
        _cleanup_(table_freep) RunningTable *t = NULL;
        _cleanup_(close_fdp) int fd = -1;
        int r;

        if (n_slots == 0 || n_slots > TABLE_SLOTS_MAX)
                return -EINVAL;

        fd = memfd_create("forkd-running", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || ftruncate(fd, (off_t)table_size(n_slots)) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
                return -errno;

        r = table_map(&t, fd, n_slots);
        if (r < 0)
                return r;
        fd = -1; /* the table's now */

        r = boot_id(t->head->boot);
        if (r < 0)
                return r;
        t->head->slot_size = sizeof(RunningSlot);
        t->head->n_slots = n_slots;
        __atomic_store_n(&t->head->magic, TABLE_MAGIC, __ATOMIC_RELEASE);

        /* without a look at the slots, which would give each its memory */
        for (size_t i = n_slots; i-- > 0;)
                t->unused[t->n_unused++] = (uint32_t)i;

        *ret = steal(t);
        return 0;
}

/* Whether fd is a table that can be mapped without fear of SIGBUS. */
static int table_check(int fd, size_t *ret_n_slots) {
        int seals = fcntl(fd, F_GET_SEALS);
        TableHead head;
        struct stat st;
        char boot[37];
        int r;

        if (seals < 0 || !(seals & F_SEAL_SHRINK))
                return -EBADMSG;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
                return -EBADMSG;
        if (head.magic != TABLE_MAGIC || head.slot_size != sizeof(RunningSlot) ||
            head.n_slots == 0 || head.n_slots > TABLE_SLOTS_MAX ||
            (size_t)st.st_size != table_size(head.n_slots))
                return -EBADMSG;

        r = boot_id(boot);
        if (r < 0)
                return r;
        if (strncmp(head.boot, boot, sizeof(head.boot)) != 0)
                return -EBADMSG;
        *ret_n_slots = head.n_slots;
        return 0;
}

int running_table_open(RunningTable **ret, int fd) {
        size_t n_slots;
        int r;

        r = table_check(fd, &n_slots);
        if (r < 0)
                return r;
        r = table_map(ret, fd, n_slots);
        if (r < 0)
                return r;
        table_collect_unused(*ret);
        return 0;
}

RunningTable *running_table_free(RunningTable *t) {
        if (!t)
                return NULL;
        if (t->head)
                munmap(t->head, t->size);
        close_fd(t->fd);
        free(t->unused);
        free(t);
        return NULL;
}

int running_table_fd(const RunningTable *t) {
        return t->fd;
}

int running_table_put(RunningTable *t, const RunningSlot *slot) {
        RunningSlot *to;
        uint32_t number;

        if (t->n_unused == 0)
                return -ENOSPC;
        number = t->unused[--t->n_unused];
        to = &t->slots[number];

        __atomic_store_n(&to->seal, 0, __ATOMIC_SEQ_CST);
        memcpy(to, slot, offsetof(RunningSlot, seal));
        to->server[sizeof(to->server) - 1] = '\0';
        __atomic_store_n(&to->seal, slot_seal(to), __ATOMIC_SEQ_CST);
        return (int)number;
}

void running_table_clear(RunningTable *t, int number) {
        if (number < 0 || (size_t)number >= t->n_slots || t->n_unused >= t->n_slots)
                return;
        if (__atomic_exchange_n(&t->slots[number].seal, 0, __ATOMIC_SEQ_CST) != 0)
                t->unused[t->n_unused++] = (uint32_t)number;
}

bool running_table_get(const RunningTable *t, size_t i, RunningSlot *ret, bool *ret_valid) {
        if (i >= t->n_slots)
                return false;

        memcpy(ret, &t->slots[i], sizeof(*ret));
        *ret_valid = ret->seal != 0 && ret->seal == slot_seal(ret) &&
                     memchr(ret->server, '\0', sizeof(ret->server));
        return true;
}
