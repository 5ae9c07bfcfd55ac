/* SPDX-License-Identifier: Apache-2.0 */

/* Reads the relocations of all that is loaded, as the loader has done them: which definition of a
 * symbol a library got depends on how and when it was loaded. Stateless; lives in hosts of modules.
 */

#include "references.h"

#include <link.h>

typedef struct Table {
        ElfW(Addr) address;
        size_t size, entry; /* an ElfW(Rela) begins as an ElfW(Rel) does */
} Table;

typedef struct Object {
        const struct dl_phdr_info *info;
        const ElfW(Sym) * symbols;
        const char *strings;
        Table rela, rel, plt;
} Object;

typedef struct Question {
        const char *function;
        uintptr_t address;
} Question;

/* glibc adds the base where it can write. */
static ElfW(Addr) object_address(const Object *o, ElfW(Addr) address) {
        return address < o->info->dlpi_addr ? o->info->dlpi_addr + address : address;
}

static void object_read(Object *o, const ElfW(Dyn) * d) {
        o->rela.entry = o->plt.entry = sizeof(ElfW(Rela));
        o->rel.entry = sizeof(ElfW(Rel));
        for (; d->d_tag != DT_NULL; d++) {
                ElfW(Addr) value = d->d_un.d_val, address = object_address(o, value);

                switch (d->d_tag) {
                case DT_SYMTAB:
                        o->symbols = (const void *)address;
                        break;
                case DT_STRTAB:
                        o->strings = (const void *)address;
                        break;
                case DT_RELA:
                        o->rela.address = address;
                        break;
                case DT_RELASZ:
                        o->rela.size = value;
                        break;
                case DT_REL:
                        o->rel.address = address;
                        break;
                case DT_RELSZ:
                        o->rel.size = value;
                        break;
                case DT_JMPREL:
                        o->plt.address = address;
                        break;
                case DT_PLTRELSZ:
                        o->plt.size = value;
                        break;
                case DT_PLTREL:
                        o->plt.entry = value == DT_REL ? sizeof(ElfW(Rel)) : sizeof(ElfW(Rela));
                        break;
                }
        }
}

static bool object_contains(const Object *o, uintptr_t address) {
        for (int i = 0; i < o->info->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &o->info->dlpi_phdr[i];

                if (segment->p_type == PT_LOAD &&
                    address - o->info->dlpi_addr - segment->p_vaddr < segment->p_memsz)
                        return true;
        }
        return false;
}

static bool table_leads_to(const Object *o, const Table *t, const Question *question) {
        for (size_t at = 0; t->address && at < t->size; at += t->entry) {
                const ElfW(Rel) *relocation = (const void *)(t->address + at);
                size_t symbol = relocation->r_info >> (sizeof(void *) == 8 ? 32 : 8);
                uintptr_t target;

                if (symbol == 0 ||
                    !streq(o->strings + o->symbols[symbol].st_name, question->function))
                        continue;
                target = *(const uintptr_t *)(o->info->dlpi_addr + relocation->r_offset);
                /* one that has not been called leads into the object itself */
                if (target != question->address && !object_contains(o, target))
                        return false;
        }
        return true;
}

static int on_object(struct dl_phdr_info *info, size_t size, void *userdata) {
        Object o = { .info = info };

        (void)size;
        for (int i = 0; i < info->dlpi_phnum; i++)
                if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
                        object_read(&o,
                                    (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr));
        if (!o.symbols || !o.strings)
                return 0;
        return !table_leads_to(&o, &o.rela, userdata) || !table_leads_to(&o, &o.rel, userdata) ||
               !table_leads_to(&o, &o.plt, userdata);
}

bool references_lead_to(const char *function, uintptr_t address) {
        Question question = { .function = function, .address = address };

        return dl_iterate_phdr(on_object, &question) == 0;
}
