/* Asking information_schema. See infoschema.c for what it costs and waits for on which server. */
#ifndef MF_CONNECTOR_MYSQL_INFOSCHEMA_H
#define MF_CONNECTOR_MYSQL_INFOSCHEMA_H

#include "connector/mysql/connect.h"

/* information_schema is views of the server's dictionary. */
static inline bool my_has_dictionary(const struct my_db *db)
{
    return !db->mariadb && db->version >= 80000;
}

/* Around questions on a leased session: they wait briefly for a definition that is being altered, and figures are of now. end: in any case. */
int my_ask_begin(MYSQL *c, const struct my_db *db, struct mf_error *err);
void my_ask_end(MYSQL *c);

/* A query that left no table out. MF_RETRY code MFCATALOG when it did. */
int my_ask(MYSQL *c, MYSQL_RES **ret, struct mf_error *err, const struct mf_buf *sql);

/* Calls `each` with conditions on TABLE_SCHEMA that together mean every user's database of this server that the URL means. schema: the one
 * that the condition means, byte by byte (the server may compare without case); NULL: several. */
typedef int my_schema_sink(void *ctx, const char *schema, const char *where, struct mf_error *err);
int my_each_schema(MYSQL *c, const struct my_db *db, my_schema_sink *each, void *ctx, struct mf_error *err);

#endif
