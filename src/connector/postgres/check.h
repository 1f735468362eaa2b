/* What the files of the checks share. */
#ifndef MF_CONNECTOR_POSTGRES_CHECK_H
#define MF_CONNECTOR_POSTGRES_CHECK_H

#include "connector/postgres/catalog.h"
#include "connector/postgres/prepare.h"

struct pg_check {
    struct pg_db *db;
    PGconn *c;
    const struct mf_filter *filter;
    struct mf_findings *out;
    enum mf_side side;
};

int pg_check_open(struct pg_check *k, struct pg_db *db, const struct mf_filter *filter, struct mf_findings *out);
/* What both sides need of a server whose changes are streamed (the target's are, for the way back): settings, room for slots,
 * the network, the role. */
int pg_check_settings(struct pg_check *k, struct mf_error *err);
int pg_check_connection(struct pg_check *k, struct mf_error *err);
int pg_check_role(struct pg_check *k, struct mf_error *err);
int pg_check_replica_role(struct pg_check *k, struct mf_error *err); /* writer.c */
/* Target: what concerns it alone (check_target.c), and all about one whose source is of another kind (check_other.c). */
int pg_check_alone(struct pg_check *k, struct mf_error *err);
int pg_check_other(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                   struct mf_error *err);
/* Target: objects of the source that need something there, and what is there already (check_objects.c). */
int pg_check_extensions(struct pg_check *k, PGconn *src, struct mf_error *err);
int pg_check_collations(struct pg_check *k, PGconn *src, struct mf_error *err);
int pg_check_roles(struct pg_check *k, PGconn *src, struct mf_error *err);
int pg_check_ownership(struct pg_check *k, PGconn *src, struct mf_error *err);
int pg_check_contents(struct pg_check *k, const struct mf_catalog *tables, struct mf_error *err);
/* Target: what the role may do there (check_rights.c). src: the source's connection. */
int pg_check_schemas(struct pg_check *k, PGconn *src, struct mf_error *err);
int pg_check_owners(struct pg_check *k, const struct mf_catalog *tables, struct mf_error *err);
int pg_check_forced(struct pg_check *k, PGconn *src, const struct mf_catalog *tables, struct mf_error *err);
int pg_check_generated(struct pg_check *k, PGconn *src, const struct mf_catalog *tables, struct mf_error *err);
/* A check that came to `rc`: where the server refused it for want of a privilege (42501) that is a finding, and 0. */
int pg_check_refused(struct pg_check *k, int rc, struct mf_error *err);
/* Tables that migrate: keys, identities, privileges, row security. */
int pg_check_tables(struct pg_check *k, struct mf_error *err);
/* Subscriptions that write tables of this database's own catalogue. */
int pg_check_subscriptions(struct pg_check *k, const struct mf_catalog *cat, struct mf_error *err);
/* The finding about a table with a generated column that a row of pg_identities says will be published as FULL. */
void pg_say_generated(struct pg_check *k, const PGresult *r, int row);
/* What does not migrate, or only in part: unlogged and foreign tables, sequences that cannot be read. */
int pg_check_others(struct pg_check *k, struct mf_error *err);

#endif
