/* What the files of the look at statements share: check_queries.c (the list, what is said), query_ask.c (sessions, plans, stand-ins). */
#ifndef MF_CONNECTOR_MYSQL_CHECK_QUERIES_H
#define MF_CONNECTOR_MYSQL_CHECK_QUERIES_H

#include "connector/mysql/check.h"
#include "connector/mysql/query_plan.h"
#include "connector/mysql/query_text.h"
#include "connector/mysql/syntax.h"

#define MY_QUERY_TABLES 32 /* of one statement, for stand-ins */

struct my_queries {
    struct my_check *source, *target; /* the target's `tables` are those that migrate */
    const struct mf_query_options *o;
    MYSQL *s, *t;          /* sessions that prepare and explain, as applications' are set */
    MYSQL_RES *views;      /* of the source: database, name, text */
    struct mf_arena arena; /* stand-ins that were read */
    struct my_known *known;
    /* the statement that is looked at */
    const char *schema;
    size_t ntables;
    const struct mf_table *tables[MY_QUERY_TABLES];
    bool unsafe; /* a view that it names calls who knows what */
};

/* query_ask.c */
int my_queries_open(struct my_queries *q, struct mf_error *err);
void my_queries_close(struct my_queries *q);
/* Sets the statement: the tables and views that it names. */
void my_queries_set(struct my_queries *q, const char *schema, const char *text);
/* Both plans, in transactions that are rolled back. *ret false: one of the servers does not explain it. */
int my_queries_explain(struct my_queries *q, const char *text, enum my_query_plan *ret_kind, struct my_plan *before,
                       struct my_plan *after, bool *ret, struct mf_error *err);

#endif
