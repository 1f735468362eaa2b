/* See versions.h. */
#include "connector/mysql/versions.h"

#include "change/codec.h"
#include "connector/mysql/dump.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/scout.h"

#include <string.h>

#define SCOUT_MS 1000

/* ---- a version's text ---- */

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int damaged(const struct my_rel *rel, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFSLOT", "the shape of table %s.%s in midflight.settings is damaged", rel->schema,
                   rel->name);
}

static int take_shape(struct my_rel *rel, const char *hex, struct mf_error *err)
{
    size_t n = strlen(hex) / 2, used = 0;
    struct mf_table *t = NULL;
    uint8_t *bytes = mf_alloc(&rel->arena, n + 1);
    if (!bytes) {
        return damaged(rel, err);
    }
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return damaged(rel, err);
        }
        bytes[i] = (uint8_t)(hi << 4 | lo);
    }
    if (mf_decode_table(&rel->arena, bytes, n, &t, &used, err) < 0) {
        return -1;
    }
    return my_rel_take(rel, t, err);
}

static int take_version(struct my_rel *rel, uint64_t version, const char *value, struct mf_error *err)
{
    mf_arena_reset(&rel->arena);
    rel->table = NULL;
    rel->announced = false;
    rel->version = version;
    rel->why[0] = 0;
    if (mf_starts_with(value, "shape ")) {
        rel->state = MY_REL_KNOWN;
        return take_shape(rel, value + 6, err);
    }
    rel->state = mf_starts_with(value, "gone ") ? MY_REL_GONE : MY_REL_UNKNOWN;
    mf_strlcpy(rel->why, value + strcspn(value, " "), sizeof rel->why);
    return 0;
}

static int put_version(const struct my_rel *rel, struct mf_buf *out, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf bytes = {.max = 16u << 20};
    if (rel->state != MY_REL_KNOWN) {
        mf_buf_printf(out, "%s %s", rel->state == MY_REL_GONE ? "gone" : "?", rel->why);
        return 0;
    }
    if (mf_encode_table(&bytes, rel->whole, err) < 0) {
        return -1;
    }
    mf_buf_puts(out, "shape ");
    for (size_t i = 0; i < bytes.len; i++) {
        mf_buf_printf(out, "%02x", (uint8_t)bytes.data[i]);
    }
    return 0;
}

/* ---- rows of settings ---- */

/* "`db`.`table` 17", "* 17": the order, and the name cut off before it. */
static bool split(char *object, uint64_t *ret)
{
    char *blank = strrchr(object, ' ');
    if (!blank || !mf_parse_u64(blank + 1, ret)) {
        return false;
    }
    *blank = 0;
    return true;
}

static int take_row(struct my_relations *r, MYSQL_ROW row, uint64_t at, struct mf_error *err)
{
    char schema[MY_TOKEN], table[MY_TOKEN];
    uint64_t order = 0;
    if (!row[0] || !row[1] || !split(row[0], &order)) {
        return mf_fail(err, MF_FATAL, "MFSLOT", "midflight.settings holds a shape of no table");
    }
    if (order > at) {
        return 0;
    }
    bool all = strcmp(row[0], "*") == 0;
    if (!all && !my_object_name(row[0], schema, table, sizeof schema)) {
        return mf_fail(err, MF_FATAL, "MFSLOT", "midflight.settings holds a shape of no table: %.100s", row[0]);
    }
    for (size_t i = 0; all && i < r->n; i++) {
        if (order > r->rels[i]->version && r->rels[i]->state != MY_REL_GONE) {
            take_version(r->rels[i], order, row[1], err);
        }
    }
    struct my_rel *rel = all ? NULL : my_relations_find(r, schema, table);
    return rel && order >= rel->version && rel->state != MY_REL_GONE ? take_version(rel, order, row[1], err) : 0;
}

int my_versions_read(struct my_relations *r, MYSQL *c, uint64_t order, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *rows = NULL;
    MYSQL_ROW row;
    if (my_queryf(c, &rows, err,
                  "SELECT object, value FROM midflight.settings WHERE migration = '%s' AND kind = 'shape %s'",
                  r->pipe.migration, my_direction(r->pipe.direction)) < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(rows))) {
        if (take_row(r, row, order, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int write_row(const struct my_relations *r, MYSQL *c, const char *object, uint64_t order, const char *value,
                     struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 48u << 20}, name = {.max = 4096};
    mf_buf_printf(&name, "%s %llu", object, (unsigned long long)order);
    mf_buf_printf(&b, "INSERT INTO midflight.settings (migration, kind, object, value) VALUES ('%s', 'shape %s', ",
                  r->pipe.migration, my_direction(r->pipe.direction));
    my_put_literal(&b, mf_buf_str(&name));
    mf_buf_puts(&b, ", ");
    my_put_literal(&b, value);
    mf_buf_puts(&b, ") ON DUPLICATE KEY UPDATE value = VALUES(value)");
    return my_exec_buf(c, err, &b);
}

int my_version_write(const struct my_relations *r, MYSQL *c, const struct my_rel *rel, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf value = {.max = 32u << 20}, name = {.max = 2048};
    my_put_name(&name, rel->schema, rel->name);
    if (put_version(rel, &value, err) < 0 ||
        write_row(r, c, mf_buf_str(&name), rel->version, mf_buf_str(&value), err) < 0) {
        mf_error_prefix(err, "remembering the shape of table %s.%s", rel->schema, rel->name);
        return -1;
    }
    return 0;
}

int my_version_all(const struct my_relations *r, MYSQL *c, uint64_t order, const char *why, struct mf_error *err)
{
    char value[MY_WHY + 4] = "? ";
    mf_strlcpy(value + 2, why, sizeof value - 2);
    return write_row(r, c, "*", order, value, err);
}

/* ---- at the beginning ---- */

static int look_ahead(struct my_scout *s, const struct my_place *from, const struct my_place *to, struct mf_error *err)
{
    for (bool done = false; !done;) {
        if (my_scout_step(s, from, to, SCOUT_MS, &done, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A change of the table that is in the log and not over yet is waited for. What is not there says so later. */
static int await_changes(MYSQL *c, const struct my_rel *rel, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    struct mf_error e = {0};
    mf_buf_puts(&b, "SELECT 1 FROM ");
    my_put_name(&b, rel->schema, rel->name);
    mf_buf_puts(&b, " LIMIT 0");
    if (my_exec_buf(c, &e, &b) < 0 && e.cls == MF_RETRY) {
        *err = e;
        return -1;
    }
    return 0;
}

/* Tables that may have columns nobody sees (hidden.c): those are looked at one by one. */
static int mark_hidden(struct my_relations *r, MYSQL *c, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *rows = NULL;
    MYSQL_ROW row;
    if (!r->db->mariadb && r->db->version < 80013) {
        return 0;
    }
    if (my_queryf(c, &rows, err, "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.STATISTICS WHERE %s",
                  r->db->mariadb ? "INDEX_TYPE = 'HASH'" : "EXPRESSION IS NOT NULL") < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(rows))) {
        struct my_rel *rel = row[0] && row[1] ? my_relations_find(r, row[0], row[1]) : NULL;
        if (rel) {
            rel->hidden = true;
        }
    }
    return 0;
}

/* Many tables at once, since asking for each costs the server as much as asking for all. A change that was in the log at `from` is over before the
 * catalogue is read; a later one is in the log before the catalogue shows it, and then the scout finds it. */
static int learn_many(struct my_relations *r, MYSQL *c, struct mf_error *err)
{
    struct mf_catalog all = {0};
    int rc = mark_hidden(r, c, err);
    for (size_t i = 0; rc == 0 && i < r->n; i++) {
        rc = r->rels[i]->version == 0 ? await_changes(c, r->rels[i], err) : 0;
    }
    rc = rc == 0 ? my_catalog_shapes(&r->db->base, NULL, &all, err) : rc;
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        struct my_rel *rel = my_relations_find(r, all.tables[i].schema, all.tables[i].name);
        if (rel && rel->version == 0 && !rel->hidden) {
            struct mf_table *t = mf_table_copy(&rel->arena, &all.tables[i]);
            rc = t ? my_rel_take(rel, t, err) : mf_fail(err, MF_FATAL, "MFBIG", "the shape of a table is too large");
        }
    }
    mf_catalog_free(&all);
    return rc;
}

#define MANY 20

static size_t unknown(const struct my_relations *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        n += r->rels[i]->version == 0;
    }
    return n;
}

static int learn_all(struct my_relations *r, MYSQL *c, struct my_place *end, struct mf_error *err)
{
    if (unknown(r) > MANY && learn_many(r, c, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < r->n; i++) {
        if (r->rels[i]->version == 0 && !r->rels[i]->table && my_rel_learn(r, r->rels[i], end, err) < 0) {
            return -1;
        }
    }
    return my_log_end(c, r->db, end->file, sizeof end->file, &end->offset, err);
}

int my_versions_begin(struct my_relations *r, MYSQL *c, const struct my_place *from, uint64_t order,
                      struct mf_error *err)
{
    struct my_place end = {0};
    struct my_scout *s = my_scout_new(r);
    bool new = false;
    int rc = my_versions_read(r, c, UINT64_MAX, err);
    new = rc == 0 && unknown(r) > 0;
    if (new && (learn_all(r, c, &end, err) < 0 || look_ahead(s, from, &end, err) < 0 ||
                my_exec(c, err, "START TRANSACTION") < 0)) {
        rc = -1;
    }
    for (size_t i = 0; new &&rc == 0 && i < r->n; i++) {
        struct my_rel *rel = r->rels[i];
        if (rel->version == 0 && rel->table && !my_scout_found(s, rel, from)) {
            rel->version = order;
            rel->state = MY_REL_KNOWN;
            rc = my_version_write(r, c, rel, err);
        }
    }
    my_scout_free(s);
    return rc == 0 && new ? my_exec(c, err, "COMMIT") : rc;
}
