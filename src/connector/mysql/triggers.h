/*
 * The users' triggers of migrated tables.
 *
 * A session cannot be spared them, and the rows they write are in the log beside the row they were written for: on a side that we write
 * to they would do everything twice. So they stand only on the side that takes the application's writes. What stands elsewhere is remembered in
 * midflight.triggers of that side, and is of two kinds:
 *
 *  - learnt (the target has these): the source's, as of when the schema was made and again of when a cutover begins. Made in its pause, when
 *    nothing is left to apply and the application does not write yet (my_triggers_up);
 *  - own: what stood on this side and was dropped, before a session of ours wrote the first row to its table (my_triggers_down) or when a cutover
 *    begins (my_triggers_clear). That is done only on a side the application may not write to, so no write of its is ever without its
 *    triggers. They go up beside the learnt ones; of two of one name the learnt one does.
 *
 * A learnt one that stands is a copy, and is only dropped: the source has it, or has it no more. It is one if what stands is what we made
 * (`made`), so what somebody has changed on the target is its own.
 *
 * Whatever dies when: one is remembered before it is dropped, and made from there if it is not there. The epoch that opens a side forgets its own ones in
 * its transaction (epoch.c): they stand by then, and what becomes of them afterwards is the application's affair. A cutover that is abandoned
 * after my_triggers_up leaves them standing until the next window, which takes them down first: `raised` tells its session that what it knows of
 * tables is of before.
 *
 * CREATE TRIGGER and DROP TRIGGER ask for the table's metadata lock as the gate does (gate_lock.c).
 */
#ifndef MF_CONNECTOR_MYSQL_TRIGGERS_H
#define MF_CONNECTOR_MYSQL_TRIGGERS_H

#include "connector/mysql/mysql_room.h"

/* Ours are the gate's (gate.c). */
#define MY_TRIGGERS_OF_USERS "TRIGGER_NAME NOT LIKE 'midflight\\_%'"

/* One to be remembered: the statements that make it, in the session's order. */
struct my_trigger {
    const char *schema, *table, *name;
    const char *settings; /* SET SESSION …: what it was made with is part of what it means */
    const char *text;     /* CREATE … TRIGGER */
};

/* ---- triggers_book.c: what is remembered. A session of ours, in a transaction or not ---- */

/* In place of what is remembered of that kind under its name. */
int my_trigger_keep(MYSQL *c, const char *migration, unsigned place, const struct my_trigger *t, bool own,
                    struct mf_error *err);
/* Forgets all of that kind. */
int my_triggers_forget(MYSQL *c, const char *migration, bool own, struct mf_error *err);
/* Learnt ones may stand from here on. */
int my_triggers_making(MYSQL *c, const char *migration, struct mf_error *err);
/* A learnt one stands, and this is how this server tells of it. */
int my_trigger_made(MYSQL *c, const char *migration, const struct my_trigger *t, struct mf_error *err);
/* Whether what stands is a learnt one that we made. */
int my_trigger_is_copy(MYSQL *c, const char *migration, const struct my_trigger *stands, bool *ret,
                       struct mf_error *err);

enum my_triggers_of { MY_TRIGGERS_ALL, MY_TRIGGERS_LEARNT, MY_TRIGGERS_OWN, MY_TRIGGERS_COPIES, MY_TRIGGERS_SHADOWED };
/* Rows of schema, table, name, settings, text, in the order to make them. ALL: those that should stand, one of each name; COPIES: learnt ones that may
 * stand; SHADOWED: own ones that a learnt one takes the place of. */
int my_triggers_remembered(MYSQL *c, const char *migration, enum my_triggers_of which, MYSQL_RES **ret,
                           struct mf_error *err);

/* One as it stands: 1, and it points into *r and *settings; 0: there is none; -1. */
int my_trigger_show(MYSQL *c, const char *schema, const char *table, const char *name, MYSQL_RES **r,
                    struct mf_buf *settings, struct my_trigger *ret, struct mf_error *err);

/* ---- triggers.c ---- */

/* Remembers and drops those of one table. MF_FATAL MFTRIGGER when there are any and the application may write here; MF_RETRY MFLOCK when somebody's
 * session was in the way for some seconds. beside: the session that is to write the row. */
int my_triggers_down(struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, unsigned long beside,
                     struct mf_error *err);
/* The same with all of these tables, within the bounds of o (MF_ABANDONED). */
int my_triggers_clear(struct my_db *db, const char *migration, const struct mf_catalog *tables,
                      const struct mf_gate_options *o, struct mf_error *err);
/* The end of a migration: a side the application may not write to gets its own ones back, and no copies. */
int my_triggers_back(struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                     struct mf_error *err);

#endif
