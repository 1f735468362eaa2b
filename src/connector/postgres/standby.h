/*
 * Dual writes from PostgreSQL: our walsender is a synchronous standby.
 *
 * COMMIT waits when synchronous_standby_names is not empty, in every database of the server, and is answered when the walsenders of that name have been told a position
 * behind it. Ours is named as its application_name is. Where the role may (a superuser; from 15 on ALTER SYSTEM granted on that parameter), the name is put
 * into the setting when commits begin to wait and taken out when they no longer do; else whoever may does it by hand, and our
 * stream answers from then on, at once while dual writes are off.
 *
 * PostgreSQL has no timeout for that wait: a name that stays behind when nobody answers stops every COMMIT of the server. So before the setting is touched,
 * what it was is in midflight.settings (kind 'standby names': 'was', 'from', 'set'), and whoever holds the right to run the migration next puts it back first of all
 * (waits_end). Our own short sessions there never wait (PG_CONN_LOCAL).
 */
#ifndef MF_CONNECTOR_POSTGRES_STANDBY_H
#define MF_CONNECTOR_POSTGRES_STANDBY_H

#include "connector/postgres/postgres.h"
#include "connector/postgres/standby_names.h"

/* The application_name of the stream. */
void pg_standby_name(const struct mf_pipe_id *pipe, char ret[PG_STANDBY_NAME]);

/* The setting as this session sees it. */
struct pg_standby_setting {
    char *text; /* malloc'd */
    struct pg_standby_names names;
    bool parsed;
    bool may;      /* the role may change it, and make it count */
    char from[16]; /* "auto": by ALTER SYSTEM; "file": elsewhere; "?": it is not shown to us */
};
static inline void pg_standby_setting_free_p(struct pg_standby_setting *s)
{
    free(s->text);
}
int pg_standby_read(PGconn *c, struct pg_standby_setting *ret, struct mf_error *err);

/* Names our stream, beside those who are named already. Success also when the role may not, or when the others would answer in our place: commits do
 * not wait then, and pg_commits_wait tells why. */
int pg_standby_begin(struct pg_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
/* mf_source_ops.waits_end */
int pg_waits_end(struct mf_db *db, const struct mf_pipe_id *pipe, char *ret_said, size_t n, struct mf_error *err);
/* "ALTER SYSTEM …; SELECT pg_reload_conf();": names our stream, or lets everybody go. */
void pg_standby_statement(const struct pg_standby_setting *s, const char *name, bool with, char *ret, size_t n);

int pg_commits_wait(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret, struct mf_error *err);
int pg_check_waiting(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                     struct mf_findings *out, struct mf_error *err);
int pg_check_durable(struct mf_db *db, struct mf_findings *out, struct mf_error *err);

#endif
