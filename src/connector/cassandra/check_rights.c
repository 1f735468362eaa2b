/*
 * What our role may do. Any role may list what is granted to itself; a cluster without authorization (AllowAllAuthorizer) says that it lists nothing, and everybody
 * may do everything there.
 */
#include "connector/cassandra/check.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define RIGHTS_MAX 4096

struct right {
    const char *resource, *permission;
};

struct rights {
    struct cass_check *k;
    struct right *all; /* in the arena */
    size_t n;
    bool superuser;
};

/* ---- reading ---- */

static int column_of(const struct cql_columns *c, const char *name)
{
    for (int32_t i = 0; i < c->n; i++) {
        if (mf_streq(c->columns[i].name, name)) {
            return i;
        }
    }
    return -1;
}

/* *ret_listed false: the cluster does not tell, since it asks nobody for rights. */
static int list(struct cass_check *k, const char *before, struct mf_cql_answer **ret, bool *ret_listed,
                struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf q = {.max = 1024};
    mf_buf_puts(&q, before);
    cass_put_ident(&q, k->db->facts.user);
    struct mf_cql_request r = {.text = mf_buf_str(&q), .idempotent = true};
    *ret_listed = true;
    if (mf_cql_call(k->db->cql, &r, ret, err) == 0) {
        return 0;
    }
    if (strcmp(err->code, "0x2200") != 0 && strcmp(err->code, "0x2100") != 0) {
        return -1;
    }
    mf_error_clear(err);
    *ret_listed = false;
    return 0;
}

static int read_roles(struct rights *r, bool *ret_listed, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    int rc;
    if (list(r->k, "LIST ROLES OF ", &a, ret_listed, err) < 0) {
        return -1;
    }
    if (!*ret_listed || !a->columns) {
        return 0;
    }
    int super = column_of(a->columns, "super");
    while (super >= 0 && (rc = mf_cql_next(a, &cells, err)) != 0) {
        if (rc < 0) {
            return -1;
        }
        r->superuser = r->superuser || cass_look_true(cells[super]);
    }
    return 0;
}

static int read_rights(struct rights *r, bool *ret_listed, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    const struct cql_bytes *cells;
    int rc;
    if (list(r->k, "LIST ALL PERMISSIONS OF ", &a, ret_listed, err) < 0) {
        return -1;
    }
    if (!*ret_listed || !a->columns) {
        return 0;
    }
    int resource = column_of(a->columns, "resource"), permission = column_of(a->columns, "permission");
    r->all = mf_alloc_array(&r->k->arena, RIGHTS_MAX, sizeof *r->all);
    *ret_listed = resource >= 0 && permission >= 0 && r->all;
    while (*ret_listed && r->n < RIGHTS_MAX && (rc = mf_cql_next(a, &cells, err)) != 0) {
        if (rc < 0) {
            return -1;
        }
        struct right *g = &r->all[r->n++];
        g->resource = cass_look_text(&r->k->arena, cells[resource]);
        g->permission = cass_look_text(&r->k->arena, cells[permission]);
        if (!g->resource || !g->permission) {
            return mf_fail(err, MF_FATAL, "MFBIG", "the rights of our role are too many");
        }
    }
    return 0;
}

/* ---- asking ---- */

static bool has(const struct rights *r, const char *permission, const char *resource)
{
    for (size_t i = 0; i < r->n; i++) {
        if (mf_streq(r->all[i].permission, permission) && mf_streq(r->all[i].resource, resource)) {
            return true;
        }
    }
    return false;
}

/* Granted on all keyspaces, on this one, on all its tables (from 4.1), or on the table. table NULL: on the keyspace itself. */
static bool may(const struct rights *r, const char *permission, const char *keyspace, const char *table)
{
    MF_CLEANUP_FREE char *of_keyspace = mf_xasprintf("<keyspace %s>", keyspace),
                         *of_tables = mf_xasprintf("<all tables in %s>", keyspace),
                         *of_table = mf_xasprintf("<table %s.%s>", keyspace, table ? table : "");
    return has(r, permission, "<all keyspaces>") || has(r, permission, of_keyspace) || has(r, permission, of_tables) ||
           (table && has(r, permission, of_table));
}

static void say_missing(const struct rights *r, const char *permission, const char *on, const char *keyspace,
                        const char *table, const char *why)
{
    struct cass_check *k = r->k;
    MF_CLEANUP_BUF struct mf_buf todo = {.max = 1024};
    MF_CLEANUP_FREE char *object = mf_xasprintf("role %s", k->db->facts.user);
    mf_buf_printf(&todo, "GRANT %s ON %s", permission, on);
    if (keyspace) {
        mf_buf_putc(&todo, ' ');
        cass_put_ident(&todo, keyspace);
    }
    if (table) {
        mf_buf_putc(&todo, '.');
        cass_put_ident(&todo, table);
    }
    mf_buf_puts(&todo, " TO ");
    cass_put_ident(&todo, k->db->facts.user);
    cass_say(k, MF_BLOCKER, "rights", object, mf_buf_str(&todo), "it has no %s on %s%s%s%s%s: %s", permission,
             keyspace ? on : "all keyspaces", keyspace ? " " : "", keyspace ? keyspace : "", table ? "." : "",
             table ? table : "", why);
}

static void check_keyspace(const struct rights *r, const char *keyspace, bool makes)
{
    static const struct {
        const char *permission, *why;
    } needed[] = {{"SELECT", "rows are read to be verified"},
                  {"MODIFY", "rows are written"},
                  {"ALTER", "columns that the source gets while it runs are added"}};
    if (makes && !may(r, "CREATE", keyspace, NULL)) {
        say_missing(r, "CREATE", "KEYSPACE", keyspace, NULL, "tables are made");
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(needed); i++) {
        /* Whoever makes a table is granted everything on it. */
        for (size_t t = 0; t < r->k->tables.n && !may(r, needed[i].permission, keyspace, NULL); t++) {
            const struct mf_table *is = &r->k->tables.tables[t];
            if (mf_streq(is->schema, keyspace) && mf_catalog_find(&r->k->here, keyspace, is->name) &&
                !may(r, needed[i].permission, keyspace, is->name)) {
                say_missing(r, needed[i].permission, "TABLE", keyspace, is->name, needed[i].why);
            }
        }
    }
}

static int check_book(const struct rights *r, struct mf_error *err)
{
    bool there = false;
    if (cass_keyspace_there(r->k->db->cql, CASS_BOOK, &there, err) < 0) {
        return -1;
    }
    if (!there && !has(r, "CREATE", "<all keyspaces>")) {
        say_missing(
            r, "CREATE", "ALL KEYSPACES", NULL, NULL,
            "midflight keeps what it must remember in a keyspace of its own, midflight; made by somebody else, it "
            "needs CREATE, SELECT, MODIFY and DROP there only");
    } else if (there && !may(r, "MODIFY", CASS_BOOK, NULL) && !may(r, "MODIFY", CASS_BOOK, "checkpoint")) {
        say_missing(r, "ALL PERMISSIONS", "KEYSPACE", CASS_BOOK, NULL, "midflight keeps there what it must remember");
    }
    return 0;
}

int cass_check_rights(struct cass_check *k, struct mf_error *err)
{
    struct rights r = {.k = k};
    bool listed = k->db->facts.user[0] != '\0';
    if (!listed || read_roles(&r, &listed, err) < 0 || !listed || r.superuser) {
        return err->cls == MF_OK ? 0 : -1;
    }
    if (read_rights(&r, &listed, err) < 0) {
        return -1;
    }
    if (!listed) {
        return 0;
    }
    for (size_t i = 0; i < k->tables.n; i++) {
        if (mf_catalog_first_of_schema(&k->tables, i)) {
            bool makes = false;
            for (size_t t = i; t < k->tables.n; t++) {
                makes = makes || (mf_streq(k->tables.tables[t].schema, k->tables.tables[i].schema) &&
                                  !mf_catalog_find(&k->here, k->tables.tables[t].schema, k->tables.tables[t].name));
            }
            check_keyspace(&r, k->tables.tables[i].schema, makes);
        }
    }
    return check_book(&r, err);
}
