/* What the files of the checks share. */
#ifndef MF_CONNECTOR_MYSQL_CHECK_H
#define MF_CONNECTOR_MYSQL_CHECK_H

#include "connector/mysql/grants.h"
#include "connector/mysql/mysql_room.h"

struct my_check {
    struct my_db *db;
    MYSQL *c;
    const struct mf_filter *filter;
    struct mf_findings *out;
    enum mf_side side;
    MYSQL_RES *vars; /* SHOW GLOBAL VARIABLES */
    struct my_grants grants;
    char account[300];        /* `user`@`host`, to be pasted into a GRANT */
    struct mf_catalog tables; /* that migrate: the source's, on both sides */
};

/* check_server.c. k must be zero before; my_check_close takes it in any state. */
int my_check_open(struct my_check *k, struct my_db *db, const struct mf_filter *filter, struct mf_findings *out,
                  struct mf_error *err);
void my_check_close(struct my_check *k);
/* A global variable of the server; "" when it has none of that name. */
const char *my_check_var(const struct my_check *k, const char *name);
bool my_check_on(const struct my_check *k, const char *name);
int64_t my_check_number(const struct my_check *k, const char *name); /* 0 when it is none */
/* Adds a finding of this side. */
void my_check_say(struct my_check *k, enum mf_severity severity, const char *code, const char *object,
                  const char *remedy, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* What both sides need of a server whose log is read (the target's is, for the way back): the log, the network, what a check of the
 * moment finds. */
int my_check_server(struct my_check *k, struct mf_error *err);
/* check_history.c; replica: it follows another server. */
bool my_check_is_durable(const struct my_check *k); /* what it has committed is there after a crash of its machine */
int my_check_history(struct my_check *k, bool replica, struct mf_error *err);

/* check_rights.c: what the account may do, on the whole server and on these tables. */
int my_check_rights(struct my_check *k, struct mf_error *err);
/* Appends those of the privileges that the account has not, with commas. */
void my_check_missing(const struct my_check *k, const char *const *wanted, size_t n, const char *schema,
                      const char *table, struct mf_buf *out);
/* The account has not `what` there. schema NULL: on the server; table NULL: on the database. */
void my_check_say_place(struct my_check *k, enum mf_severity severity, const char *schema, const char *table,
                        const char *what, const char *why);
/* Whether it may name other definers than itself, and by which right of this server. */
bool my_check_may_define(const struct my_check *k);
const char *my_check_definer_right(const struct my_check *k);

/* check_target.c: the tables of k->tables that are there already, and others. */
int my_check_contents(struct my_check *k, struct mf_error *err);
/* check_other.c: of a target whose source is of another kind. */
int my_check_other(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                   struct mf_error *err);

/* check_objects.c: of the databases that migrate. */
int my_check_tables(struct my_check *k, struct mf_error *err);
int my_check_others(struct my_check *k, struct mf_error *err);
/* Of a target that is not in use yet: its own triggers on tables that migrate. */
int my_check_own_triggers(struct my_check *k, struct mf_error *err);
/* Appends `'a', 'b'`: the databases of k->tables, for IN (…). False when there is none. */
bool my_check_schemas(const struct my_check *k, struct mf_buf *out);
/* A query with these databases in place of each %s; *ret NULL when nothing migrates. */
int my_check_ask(struct my_check *k, MYSQL_RES **ret, struct mf_error *err, const char *fmt);
/* The table if it migrates; NULL names are none. */
const struct mf_table *my_check_migrates(const struct my_check *k, const char *schema, const char *name);

/* check_upgrade.c: what a newer MySQL takes otherwise. Findings are the source's; both know the tables that migrate. */
int my_check_upgrade(struct my_check *source, struct my_check *target, struct mf_error *err);

#endif
