/* The schema watch: the side that takes writes is looked at every few seconds, because a table that is made, dropped, renamed or swapped there
 * is in no stream, and a column that is added shows in the stream only when a row of its table changes. */
#ifndef MF_MIGRATION_WATCH_H
#define MF_MIGRATION_WATCH_H

#include "migration/migration.h"
#include "model/table.h"
#include "pipeline/pipe.h"

/* ---- planned.c: what is migrated ---- */

struct mf_planned {
    uint32_t id[2]; /* by enum mf_side; 0: not known */
    char schema[128], name[128];
    uint64_t shape; /* of the source */
};
struct mf_plan {
    struct mf_planned *tables;
    size_t n;
};
int mf_plan_load(struct mf_migration *m, struct mf_plan *ret, struct mf_error *err);
void mf_plan_free(struct mf_plan *p);
const struct mf_planned *mf_plan_find(const struct mf_plan *p, const char *schema, const char *name);
const struct mf_planned *mf_plan_by_id(const struct mf_plan *p, enum mf_side side, uint32_t id);
/* Which tables and columns (mf_column.number) of the target these are: all of them, or none. */
int mf_plan_note_target(struct mf_migration *m, const struct mf_catalog *tables, struct mf_error *err);
/* As noted, by the names of t; 0: it was not. */
uint32_t mf_plan_target_id(struct mf_migration *m, const struct mf_table *t);
/* *ret, to be freed: what was noted of the columns of a table of the name of t, for mf_plan_same_column; NULL: nothing was. */
int mf_plan_target_columns(struct mf_migration *m, const struct mf_table *t, char **ret, struct mf_error *err);
/* The column is the one that was noted, or none of that name was. */
bool mf_plan_same_column(const char *noted, const struct mf_table *t, const char *column);
/* A column of t is not the one that was noted by its name. */
bool mf_plan_other_column(const char *noted, const struct mf_table *t);
/* A column was noted that t does not have. */
bool mf_plan_lacks_column(const char *noted, const struct mf_table *t);
/* The whole plan, or nothing of it. */
int mf_plan_make(struct mf_migration *m, const struct mf_catalog *source, struct mf_error *err);
int mf_plan_put(struct mf_migration *m, const struct mf_table *source, const char *note, struct mf_error *err);
/* Leaves in a catalogue what is planned: on the side that takes writes by id, on the other by name. */
int mf_plan_prune(struct mf_migration *m, enum mf_side side, struct mf_catalog *c, struct mf_error *err);

/* ---- drift.c: one look ---- */

/* Tables of `now`, by their place in it. */
struct mf_table_list {
    const struct mf_table **tables;
    size_t n;
};
struct mf_drift {
    struct mf_catalog now, other;  /* of the side that takes writes; of the other one, only read when it is needed */
    struct mf_table_list fresh;    /* not planned */
    struct mf_table_list wider;    /* have columns that the other side lacks and may be given */
    struct mf_table_list accepted; /* changed in the same way on both sides */
    struct mf_error problem;       /* MFDDL; empty: none that the policy does not allow */
};
int mf_drift_look(struct mf_migration *m, struct mf_drift *ret, struct mf_error *err);
void mf_drift_free(struct mf_drift *d);
void mf_table_list_add(struct mf_table_list *l, const struct mf_table *t);

/* ---- watch.c ---- */

/* When it is due: looks, and acts by on_ddl. busy: somebody works with the tables; nothing is taken in or carried over now. -1: the run must
 * stop (what was committed before the change has been applied, as far as that went quickly). */
int mf_watch_step(struct mf_migration *m, bool busy, struct mf_error *err);
/* The same at once: whoever compares the sides next knows the tables as they are, not as they were some seconds ago. */
int mf_watch_now(struct mf_migration *m, struct mf_error *err);
/* Before and in a cutover or rollback: MF_ABANDONED MFGUARD when the other side would lack something. */
int mf_watch_guard(struct mf_migration *m, struct mf_error *err);
/* Before a cutover or rollback: what the side that will take writes does by itself (foreign keys that cascade) is known as it is now; nobody has watched
 * it. */
int mf_watch_other(struct mf_migration *m, struct mf_error *err);
/* Tables that only the side has that will take writes, before a cutover or rollback: they are its own and not carried to the other. */
int mf_watch_note_own(struct mf_migration *m, struct mf_error *err);
bool mf_watch_is_own(struct mf_migration *m, enum mf_side side, const struct mf_table *t);

/* ---- target.c ---- */

/* MF_ABANDONED MFGUARD: a table or a column of the target is not the one that was noted, or is gone. Nothing is looked for once a target that streams takes the writes. */
int mf_target_same(struct mf_migration *m, struct mf_error *err);
/* Before a verification of all rows while the source takes the writes: the tables of now are those that it proves. What was compared before does not count
 * where they are others than noted. MF_ABANDONED MFGUARD: one is gone, which the source has: there is nothing to compare it with. */
int mf_target_note(struct mf_migration *m, struct mf_error *err);

/* ---- adopt.c ---- */

/* Takes new tables into the migration, with their rows; on the control thread, which goes on beating. Nothing to do when tables is NULL and none
 * was begun. */
int mf_adopt(struct mf_migration *m, const struct mf_table_list *tables, struct mf_error *err);
bool mf_adopt_begun(struct mf_migration *m);

/* ---- standstill.c: apply stands still at the end of a transaction of the origin, until it is let go ---- */

int mf_hold_still(struct mf_migration *m, struct mf_pipe *pipe, struct mf_error *err); /* where it is */
/* Behind everything that is committed by now. */
int mf_stand_still(struct mf_migration *m, struct mf_pipe *pipe, struct mf_error *err);
/* Exactly at p, which is not before what it has taken. */
int mf_stand_at(struct mf_migration *m, struct mf_pipe *pipe, const struct mf_position *p, struct mf_error *err);
void mf_let_go(struct mf_migration *m, struct mf_pipe *pipe);

#endif
