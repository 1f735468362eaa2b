/* The servers' own replication (mode: native): replica.c sets it up and ends it, replica_run.c looks after it, replica_check.c says beforehand
 * whether it can be. */
#ifndef MF_CONNECTOR_MYSQL_REPLICA_H
#define MF_CONNECTOR_MYSQL_REPLICA_H

#include "connector/mysql/mysql_room.h"

/* Of midflight.settings in the target. FROM is there exactly while the target is ours to follow the source. */
#define MY_REPLICA_KIND   "replica"
#define MY_REPLICA_FROM   "from"    /* the position it was made to follow from */
#define MY_REPLICA_FILTER "filter"  /* the statement; a server that is restarted has forgotten it */
#define MY_REPLICA_PAST   "history" /* GTIDs that came from the source: stays for the stream back */

/* The value, allocated; NULL when it is not there (or no bookkeeping is). */
int my_replica_setting(MYSQL *c, const struct mf_pipe_id *pipe, const char *object, char **ret, struct mf_error *err);
int my_replica_set(MYSQL *c, const struct mf_pipe_id *pipe, const char *object, const char *value,
                   struct mf_error *err);

/* What this server says of its replication; *ret_row NULL: it follows nobody. Columns by their older names. */
int my_replica_shown(MYSQL *c, const struct my_db *db, MYSQL_RES **ret, MYSQL_ROW *ret_row, struct mf_error *err);
const char *my_replica_column(MYSQL_RES *r, MYSQL_ROW row, const char *older);

/* "STOP SLAVE SQL_THREAD" in the words of this server. */
int my_replica_say(MYSQL *c, const struct my_db *db, const char *verb, const char *rest, struct mf_error *err);

/* What of gtid_executed did not begin on this server. */
#define MY_GTIDS_OF_OTHERS                                                                                             \
    "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, CONCAT(@@GLOBAL.server_uuid, ':1-9223372036854775806'))"
int my_replica_executed(MYSQL *c, struct my_gtid_set *into, struct mf_position *ret, struct mf_error *err);

/* What was the source's when the target began to follow, or when it ended to; *ret NULL: it never followed. */
int my_replica_past(MYSQL *c, const struct mf_pipe_id *pipe, struct my_gtid_set **ret, struct mf_error *err);

int my_replication_check(struct mf_db *target, struct mf_db *source, const struct mf_filter *filter,
                         struct mf_findings *out, struct mf_error *err);
int my_replication_attach(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                          const struct mf_replication_job *job, struct mf_error *err);
int my_replication_resume(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                          const struct mf_position *until, struct mf_error *err);
int my_replication_pause(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err);
int my_replication_status(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_replication_status *ret,
                          struct mf_error *err);
int my_replication_detach(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err);

#endif
