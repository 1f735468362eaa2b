/*
 * The users' triggers of migrated tables.
 *
 * A session cannot be spared them, and the rows they write are in the log beside the row they were written for: on a side that we write
 * to they would do everything twice. So they stand only on the side that takes the application's writes:
 *
 *  - on the target they are remembered (midflight.triggers) when the schema is made and again when a cutover begins, and
 *    made in its pause, when nothing is left to apply and the application does not write yet (my_triggers_up);
 *  - before a session of ours writes the first row to a table, what stands there is remembered and dropped (my_triggers_down). That is
 *    done only on a side the application may not write to, so no write of its is ever without its triggers.
 *
 * Whatever dies when: a trigger is remembered before it is dropped, and made from there if it is not there. A cutover that is
 * abandoned after my_triggers_up leaves them standing until the next window, which takes them down first: `raised` tells its session that
 * what it knows of tables is of before.
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

/* Remembers one, or what it is now. Commits. */
int my_trigger_keep(MYSQL *c, const char *migration, unsigned place, const struct my_trigger *t, struct mf_error *err);
/* Forgets all that is remembered of a migration. */
int my_triggers_forget(MYSQL *c, const char *migration, struct mf_error *err);

/* Remembers and drops those of one table. MF_FATAL MFTRIGGER when there are any and the application may write here. */
int my_triggers_down(struct my_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err);

#endif
