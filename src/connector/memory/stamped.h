/* A database that keeps the last write (mems://): no transactions, no reads before writes. Of two writes to a value the one with the greater stamp stays,
 * whenever they arrive; a deletion wins over a value of the same stamp, then the greater value, as Cassandra has it. What is asked for in one call is
 * written in any order; of what a lost call asked for, some is written, some never, and some long after.
 *
 * Called with mem_lock held. */
#ifndef MF_CONNECTOR_MEMORY_STAMPED_H
#define MF_CONNECTOR_MEMORY_STAMPED_H

#include "connector/memory/applier.h"

static inline bool mem_keeps_last(const struct mf_mem_server *s)
{
    return s->knobs.stamped != 0;
}

/* values: as wide as the table, copied. */
void mem_writes_add(struct mem_writes *w, struct mem_table *t, int kind, const struct mf_value *values, int64_t stamp);
/* All of them, in any order. */
void mem_writes_do(struct mem_writes *w, struct mf_mem_server *s);
/* Some of them; they stay to be done. Doing one twice is doing it once. */
void mem_writes_begin(struct mem_writes *w, struct mf_mem_server *s);
/* The call was lost. */
void mem_writes_lose(struct mem_writes *w, struct mf_mem_server *s);
/* Something that was on its way may arrive. */
void mem_stamped_chance(struct mf_mem_server *s);
/* Everything of the table goes, with what is on its way to it. */
void mem_stamped_forget(struct mf_mem_server *s, struct mem_table *t);
/* The rows of the table were changed behind everyone's back: as if they had been written so. */
void mem_stamped_take(struct mf_mem_server *s, struct mem_table *t);
void mem_stamped_free(struct mem_stamped *k);

/* What an application's transaction changed, with the server's time. A violation when something there has a later one. */
void mem_stamped_app(struct mf_mem_server *s, const struct mf_mem_txn *t);
/* The latest time that a write of an application had; 0: none. */
int64_t mem_stamped_latest(const struct mf_mem_server *s);

int mem_stamped_batch(struct mem_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                      struct mf_error *err);
int mem_stamped_commit(struct mem_applier *a, bool after, struct mf_error *err);
int mem_stamped_repair(struct mem_step *s, const struct mf_row *rows, size_t n, const struct mf_row *gone, size_t ngone,
                       int64_t stamp, struct mf_error *err);

#endif
