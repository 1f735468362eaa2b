/* The applier's inside, shared by apply.c and repair.c. Called with mem_lock held. */
#ifndef MF_CONNECTOR_MEMORY_APPLIER_H
#define MF_CONNECTOR_MEMORY_APPLIER_H

#include "connector/memory/internal.h"

struct mem_applier {
    struct mf_applier base;
    struct mem_conn conn;
    struct mf_pipe_id pipe;
    struct mf_mem_txn *txn;
    bool open; /* where the last write is kept: in a window */
    struct mem_writes writes;
    struct mf_position checkpoint;
    struct mf_window_mode mode;
    struct mem_pending pending;
    size_t mark, mark_pending; /* changes, and entries, that were there when the mark was set */
    bool failed;
    struct mf_error late; /* an error of a batch that surfaces at the commit */
};

/* One change on its way: the table here, and its rows in this table's order of columns. */
struct mem_step {
    struct mem_applier *a;
    struct mem_table *table;
    const struct mf_table *shape; /* the batch's */
    struct mf_window_result *result;
    struct mf_value old_row[MF_MEM_MAX_COLUMNS], new_row[MF_MEM_MAX_COLUMNS];
};

/* apply.c: a row of the batch in this table's order of columns; where it is; columns that only this side has. */
void mem_step_project(const struct mem_step *s, const struct mf_row *row, struct mf_value *ret);
size_t mem_step_find(const struct mem_step *s, const struct mf_value *row);
void mem_step_fill(struct mem_step *s);

/* The new row was not made, and is to be read from the source. */
int mem_report_missing(struct mem_step *s, const struct mf_row *new_row, struct mf_error *err);

/* repair.c: all of these wait for the window's commit */
void mem_quarantine(struct mem_step *s, const struct mf_rowchange *c, const struct mf_error *why);
int mem_leave_out(struct mem_step *s, const struct mf_rowchange *c, struct mf_error *err);
bool mem_kept(const struct mem_step *s, const struct mf_row *row); /* it is there, and so not in the target */
/* It goes on under the key of another row. */
void mem_rename_kept(struct mem_step *s, const struct mf_row *from, const struct mf_row *to);
void mem_unquarantine(struct mem_step *s, const struct mf_row *row); /* NULL: nothing */
void mem_unquarantine_table(struct mem_applier *a, const struct mf_table *t);

#endif
