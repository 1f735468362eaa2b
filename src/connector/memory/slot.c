/* What a server remembers of a stream between connections: its tables, and which of them log their old rows whole. */
#include "connector/memory/internal.h"

struct mem_slot *mem_slot_find(struct mf_mem_server *s, const struct mf_pipe_id *pipe)
{
    for (size_t i = 0; i < s->nslots; i++) {
        if (mem_pipe_equal(&s->slots[i].pipe, pipe)) {
            return &s->slots[i];
        }
    }
    return NULL;
}

void mem_slot_add_tables(struct mf_mem_server *s, struct mem_slot *slot, const struct mf_catalog *tables,
                         uint64_t since)
{
    for (size_t i = 0; tables && i < tables->n; i++) {
        const struct mem_table *t = mem_table_find(s, tables->tables[i].schema, tables->tables[i].name);
        bool there = t == NULL;
        for (size_t k = 0; k < slot->ntables; k++) {
            there = there || slot->tables[k].table == t;
        }
        if (!there && slot->ntables < MEM_MAX_TABLES) {
            slot->tables[slot->ntables].table = t;
            slot->tables[slot->ntables].old_whole = tables->tables[i].old_whole;
            slot->tables[slot->ntables++].since = since;
        }
    }
}

bool mem_slot_old_whole(const struct mem_slot *slot, const struct mem_table *t)
{
    for (size_t i = 0; slot && i < slot->ntables; i++) {
        if (slot->tables[i].table == t) {
            return slot->tables[i].old_whole;
        }
    }
    return false;
}
