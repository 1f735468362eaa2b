/* A table's shape, from the catalogue and held against the log: see relations.h. */
#include "connector/mysql/learn.h"

#include "connector/mysql/dump.h"
#include "connector/mysql/mysql_room.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define LOCK_WAIT_S 10 /* for a schema change that runs: it is over, or we say so */

static int too_large(const struct my_rel *rel, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFBIG", "the shape of table %s.%s is too large", rel->schema, rel->name);
}

/* ---- what is handed out ---- */

static bool travels(const struct mf_table *t, uint16_t i)
{
    return !t->columns[i].generated || t->columns[i].in_key;
}

/* The catalogue's table without what the server computes; its key's ordinals move. */
static int choose_columns(struct my_rel *rel, const struct mf_table *whole, struct mf_error *err)
{
    struct mf_table *t = mf_table_copy(&rel->arena, whole);
    uint16_t *to = mf_alloc_array(&rel->arena, whole->ncolumns + 1u, sizeof *to);
    if (!t || !to) {
        return too_large(rel, err);
    }
    t->ncolumns = 0;
    for (uint16_t i = 0; i < whole->ncolumns; i++) {
        if (travels(whole, i)) {
            to[i] = t->ncolumns;
            t->columns[t->ncolumns++] = t->columns[i];
        }
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        t->key[k] = to[whole->key[k]];
    }
    rel->table = t;
    return 0;
}

/* The columns as the log has them. */
static int lay_out(struct my_rel *rel, const struct mf_table *whole, bool hidden, struct my_logged *l,
                   struct mf_error *err)
{
    uint16_t n = 0, out = 0;
    l->types = mf_alloc_array(&rel->arena, whole->ncolumns + 1u, sizeof *l->types);
    l->names = mf_alloc_array(&rel->arena, whole->ncolumns + 1u, sizeof *l->names);
    l->from = mf_alloc_array(&rel->arena, whole->ncolumns + 1u, sizeof *l->from);
    if (!l->types || !l->names || !l->from) {
        return too_large(rel, err);
    }
    for (uint16_t i = 0; i < whole->ncolumns; i++) {
        const struct mf_column *c = &whole->columns[i];
        if (my_is_hidden(c) && !hidden) {
            continue;
        }
        l->names[n] = my_is_hidden(c) ? "" : c->name;
        if (my_type_parse(c->type ? c->type : "", &rel->arena, &l->types[n], err) < 0) {
            mf_error_prefix(err, "column %s of table %s.%s", c->name, rel->schema, rel->name);
            return -1;
        }
        if (travels(whole, i)) {
            l->from[out++] = n;
        }
        n++;
    }
    l->n = n;
    return 0;
}

int my_rel_take(struct my_rel *rel, struct mf_table *whole, struct mf_error *err)
{
    rel->whole = whole;
    return choose_columns(rel, whole, err) < 0 || lay_out(rel, whole, false, &rel->plain, err) < 0 ||
                   lay_out(rel, whole, true, &rel->full, err) < 0
               ? -1
               : 0;
}

/* ---- from the catalogue ---- */

/* The metadata lock comes first: a schema change that is in the log and not over yet is waited for, none begins until we have
 * looked. *ret NULL: there is no such table. */
static int look(struct my_rel *rel, struct my_db *db, MYSQL *c, struct mf_table **ret, struct my_place *end,
                struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    *ret = NULL;
    mf_buf_puts(&b, "SELECT 1 FROM ");
    my_put_name(&b, rel->schema, rel->name);
    mf_buf_puts(&b, " LIMIT 0");
    if (my_execf(c, err, "SET SESSION lock_wait_timeout = %d", LOCK_WAIT_S) < 0 ||
        my_exec(c, err, "START TRANSACTION") < 0) {
        return -1;
    }
    bool there = my_exec_buf(c, err, &b) == 0;
    if (!there && !my_is_error(err, ER_NO_SUCH_TABLE) && !my_is_error(err, ER_BAD_DB_ERROR)) {
        return -1;
    }
    if ((there && my_catalog_table(c, db, rel->schema, rel->name, &rel->arena, ret, err) < 0) ||
        (*ret && my_add_hidden(db, c, &rel->arena, *ret, err) < 0) ||
        my_log_end(c, db, end->file, sizeof end->file, &end->offset, err) < 0) {
        return -1;
    }
    return my_exec(c, err, "ROLLBACK") < 0 || my_exec(c, err, "SET SESSION lock_wait_timeout = DEFAULT") < 0 ? -1 : 0;
}

int my_rel_learn(struct my_relations *r, struct my_rel *rel, struct my_place *ret_end, struct mf_error *err)
{
    struct mf_table *whole = NULL;
    MY_LEASE(r->db, l);
    mf_arena_reset(&rel->arena);
    rel->announced = false;
    rel->table = NULL;
    if (my_lease(l.db, &l.conn, err) < 0 || look(rel, r->db, l.conn, &whole, ret_end, err) < 0) {
        mf_error_prefix(err, "reading the shape of table %s.%s", rel->schema, rel->name);
        return -1;
    }
    if (!whole) {
        mf_error_clear(err);
        return 0;
    }
    return my_rel_take(rel, whole, err);
}

/* ---- against the log ---- */

int my_rel_fit(struct my_rel *rel, struct my_binlog *log, const struct my_table_map *map, struct mf_error *err)
{
    char how[sizeof err->text] = "";
    const struct my_logged *l = map->ncolumns == rel->full.n ? &rel->full : &rel->plain;
    rel->from = l->from;
    if (map->ncolumns != l->n) {
        snprintf(how, sizeof how, "its rows have %u columns in the log, and %u in what is known of it", map->ncolumns,
                 l->n);
    }
    for (uint16_t i = 0; !how[0] && map->has_names && i < map->ncolumns; i++) {
        if (l->names[i][0] && strcmp(map->names[i], l->names[i]) != 0) {
            snprintf(how, sizeof how, "column %u is called %.200s in the log, and %.200s in what is known of it",
                     i + 1u, map->names[i], l->names[i]);
        }
    }
    if (!how[0]) {
        if (my_binlog_columns(log, map->id, l->types, l->n, err) == 0) {
            return 0;
        }
        if (strcmp(err->code, "MFSHAPE") != 0) {
            return -1;
        }
        mf_strlcpy(how, err->text, sizeof how);
    }
    mf_fail(err, MF_FATAL, "MFDDL",
            "the rows of table %s.%s in the log do not fit the table (%.400s); nothing was misread", rel->schema,
            rel->name, how);
    mf_hint(err, "the table was changed by a statement that is not in the log (sql_log_bin = 0): cancel and begin the "
                 "migration again");
    return -1;
}
