/* What the source has that cannot be here, and what is here already. */
#include "connector/cassandra/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/conversion.h"

#include <inttypes.h>
#include <string.h>

#define HOUR        3600
#define GRACE_LEAST HOUR
#define GRACE_GOOD  ((int64_t)3 * 24 * HOUR)
#define GRACE_SET   864000 /* the server's default */

static char *table_object(const char *keyspace, const char *name)
{
    return mf_xasprintf("table %s.%s", keyspace, name);
}

/* ---- what cannot be ---- */

static const struct mf_schema_table *made_of(struct cass_check *k, const char *keyspace, const char *name)
{
    return mf_schema_find(&k->schema, keyspace, name);
}

/* What cass_put_table refuses, as a finding's code. */
static const char *why_code(const struct mf_schema_table *t)
{
    if (cass_name_wrong(t->name) || cass_name_wrong(t->schema)) {
        return "conversion-name";
    }
    if (!cass_key_of(t)) {
        return "keyless";
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (t->columns[i].wanted_type && !cass_type_fits(t->columns[i].wanted_type, &t->columns[i].type)) {
            return "map-type";
        }
    }
    return "key";
}

/* How many tables cannot be made. */
static size_t check_makeable(struct cass_check *k)
{
    size_t n = 0;
    for (size_t i = 0; i < k->schema.ntables; i++) {
        const struct mf_schema_table *t = &k->schema.tables[i];
        MF_CLEANUP_BUF struct mf_buf cql = {.max = (size_t)1 << 20};
        struct mf_error why;
        mf_error_clear(&why);
        if (cass_put_table(t, &cql, &why) < 0) {
            MF_CLEANUP_FREE char *object = table_object(t->schema, t->name);
            cass_say(k, MF_BLOCKER, why_code(t), object, why.hint, "%s", why.text);
            n++;
        }
    }
    return n;
}

/* Rows of one partition lie on one node, and are read and repaired as one: what decides that is worth a look. */
static void check_partitions(struct cass_check *k)
{
    for (size_t i = 0; i < k->schema.ntables; i++) {
        const struct mf_schema_table *t = &k->schema.tables[i];
        const struct mf_schema_index *key = cass_key_of(t);
        uint16_t n = key ? cass_partition_of(t, key) : 0;
        if (!key || n >= key->n) {
            continue;
        }
        MF_CLEANUP_FREE char *object = table_object(t->schema, t->name);
        MF_CLEANUP_BUF struct mf_buf columns = {.max = 4096};
        for (uint16_t c = 0; c < n; c++) {
            mf_buf_printf(&columns, "%s%s", c ? ", " : "", t->columns[key->columns[c].column].name);
        }
        cass_say(
            k, MF_NOTE, "partition-key", object,
            "see that no value of it has more than some 100 MB of rows; midflight plan proposes keys, map sets them",
            "all rows with the same (%s) are one partition, on the same nodes", mf_buf_str(&columns));
    }
}

/* What its server does by itself and tells in no stream. */
static int check_cascades(struct cass_check *k, struct mf_error *err)
{
    struct mf_catalog c = {0};
    if (k->source->connector->source->shapes(k->source, k->filter, &c, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < c.n; i++) {
        for (uint16_t j = 0; j < c.tables[i].ncascades; j++) {
            const struct mf_cascade *to = &c.tables[i].cascades[j];
            if ((to->on_delete == MF_CASCADE_NONE && to->on_update == MF_CASCADE_NONE) ||
                !mf_catalog_find(&c, to->schema, to->table)) {
                continue;
            }
            MF_CLEANUP_FREE char *object = table_object(to->schema, to->table);
            cass_say(k, MF_BLOCKER, "cascade", object,
                     "make the foreign key ON DELETE RESTRICT ON UPDATE RESTRICT on the source and let the application "
                     "change the rows, or leave one of the tables out (tables.exclude, by the source's names)",
                     "its foreign key to %s.%s lets the source's server delete or change its rows by itself, which is "
                     "not in "
                     "the stream; here rows are found by their key only, and such rows would stay as they were",
                     c.tables[i].schema, c.tables[i].name);
        }
    }
    mf_catalog_free(&c);
    return 0;
}

int cass_check_schema(struct cass_check *k, struct mf_error *err)
{
    check_partitions(k);
    if (check_cascades(k, err) < 0) {
        return -1;
    }
    if (check_makeable(k) == 0) {
        return mf_conversion_rehearse(&k->db->base, &k->schema, k->out, err);
    }
    mf_conversion_tell(&k->db->base, &k->schema, k->out);
    cass_tell_columns(&k->schema, k->out);
    cass_tell_indexes(&k->schema, k->out);
    return 0;
}

/* ---- what is here ---- */

static int take_any(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    (void)cells, (void)err;
    *(bool *)ctx = true;
    return 1;
}

/* What our role may not read is told among its rights. */
static int unless_forbidden(int rc, struct mf_error *err)
{
    if (rc < 0 && (strcmp(err->code, "0x2100") == 0 || cass_no_book(err))) {
        mf_error_clear(err);
        return 0;
    }
    return rc < 0 ? -1 : 0;
}

static int has_rows(struct cass_check *k, const struct mf_table *t, bool *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf q = {.max = 4096};
    *ret = false;
    mf_buf_puts(&q, "SELECT ");
    cass_put_ident(&q, t->columns[t->key[0]].name);
    mf_buf_puts(&q, " FROM ");
    cass_put_name(&q, t->schema, t->name);
    mf_buf_puts(&q, " LIMIT 1");
    return unless_forbidden(cass_look_buf(k->db->cql, &q, 1, 0, take_any, ret, err), err);
}

static int check_rows(struct cass_check *k, const struct mf_table *t, bool begun, struct mf_error *err)
{
    bool rows = false;
    MF_CLEANUP_FREE char *object = table_object(t->schema, t->name);
    if (begun) {
        return 0;
    }
    if (has_rows(k, t, &rows, err) < 0) {
        mf_error_prefix(err, "looking whether %s has rows", object);
        return -1;
    }
    if (!rows) {
        cass_say(k, MF_NOTE, "target-table", object, "drop it to have it made",
                 "it is there already and is used as it is");
        return 0;
    }
    MF_CLEANUP_BUF struct mf_buf todo = {.max = 1024};
    mf_buf_puts(&todo, "TRUNCATE ");
    cass_put_name(&todo, t->schema, t->name);
    mf_buf_puts(&todo, "; -- on the target, or exclude the table");
    cass_say(k, MF_BLOCKER, "target-rows", object, mf_buf_str(&todo),
             "the target's table has rows already; the source's would be mixed with them");
    return 0;
}

struct beside {
    struct cass_check *k;
    enum mf_severity severity;
    const char *code, *what, *drop, *reason;
};

/* keyspace, table, name */
static int take_beside(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct beside *b = ctx;
    struct mf_arena *a = &b->k->arena;
    const char *keyspace = cass_look_text(a, cells[0]), *table = cass_look_text(a, cells[1]),
               *name = cass_look_text(a, cells[2]);
    if (!keyspace || !table || !name) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the target has too many of %s", b->what);
    }
    if (!made_of(b->k, keyspace, table)) {
        return 0;
    }
    MF_CLEANUP_FREE char *object = table_object(keyspace, table);
    MF_CLEANUP_BUF struct mf_buf todo = {.max = 1024};
    bool trigger = strcmp(b->drop, "TRIGGER") == 0;
    mf_buf_printf(&todo, "DROP %s ", b->drop);
    if (!trigger) {
        cass_put_ident(&todo, keyspace);
        mf_buf_putc(&todo, '.');
    }
    cass_put_ident(&todo, name);
    if (trigger) {
        mf_buf_puts(&todo, " ON ");
        cass_put_name(&todo, keyspace, table);
    }
    mf_buf_puts(&todo, "; -- and make it again after the migration");
    cass_say(b->k, b->severity, b->code, object, mf_buf_str(&todo), "it has the %s %s: %s", b->what, name, b->reason);
    return 0;
}

static int check_beside(struct cass_check *k, struct mf_error *err)
{
    struct beside index = {k,       MF_WARNING, "target-index",
                           "index", "INDEX",    "every row that is loaded is written to it too"},
                  view = {k,
                          MF_WARNING,
                          "target-view",
                          "materialized view",
                          "MATERIALIZED VIEW",
                          "each write reads the row first, and what a view lacks is not seen by verify"},
                  trigger = {k,         MF_BLOCKER, "target-trigger",
                             "trigger", "TRIGGER",  "what it writes by itself is not what the source has"};
    return cass_look(k->db->cql, "SELECT keyspace_name, table_name, index_name FROM system_schema.indexes", 3, 0,
                     take_beside, &index, err) < 0 ||
                   cass_look(k->db->cql, "SELECT keyspace_name, base_table_name, view_name FROM system_schema.views", 3,
                             0, take_beside, &view, err) < 0 ||
                   cass_look(k->db->cql, "SELECT keyspace_name, table_name, trigger_name FROM system_schema.triggers",
                             3, 0, take_beside, &trigger, err) < 0
               ? -1
               : 0;
}

/* keyspace, table, default_time_to_live, gc_grace_seconds */
static int take_settings(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct cass_check *k = ctx;
    const char *keyspace = cass_look_text(&k->arena, cells[0]), *table = cass_look_text(&k->arena, cells[1]);
    int64_t ttl = cass_look_number(cells[2]), grace = cass_look_number(cells[3]);
    if (!keyspace || !table) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the target has too many tables");
    }
    if (!made_of(k, keyspace, table)) {
        return 0;
    }
    MF_CLEANUP_FREE char *object = table_object(keyspace, table);
    MF_CLEANUP_BUF struct mf_buf todo = {.max = 1024};
    mf_buf_puts(&todo, "ALTER TABLE ");
    cass_put_name(&todo, keyspace, table);
    if (ttl) {
        size_t n = todo.len;
        mf_buf_puts(&todo, " WITH default_time_to_live = 0");
        cass_say(k, MF_BLOCKER, "target-ttl", object, mf_buf_str(&todo),
                 "its rows vanish by themselves after %" PRId64 " s (default_time_to_live)", ttl);
        todo.len = n;
    }
    if (grace < GRACE_GOOD) {
        mf_buf_printf(&todo, " WITH gc_grace_seconds = %d", GRACE_SET);
        cass_say(k, grace < GRACE_LEAST ? MF_BLOCKER : MF_WARNING, "target-gc-grace", object, mf_buf_str(&todo),
                 "it forgets deletions after %" PRId64
                 " s (gc_grace_seconds): a row that is loaded later than that with the "
                 "value from before would be there again",
                 grace);
    }
    return 0;
}

/* This migration has been begun here: rows are to be expected. Asked of the books, since the state may be another directory's. */
static int begun(struct cass_check *k, bool *ret, struct mf_error *err)
{
    bool book = false;
    *ret = false;
    if (cass_keyspace_there(k->db->cql, CASS_BOOK, &book, err) < 0) {
        return -1;
    }
    if (!book || !k->db->migration[0]) {
        return 0;
    }
    MF_CLEANUP_BUF struct mf_buf q = {.max = 1024};
    mf_buf_puts(&q, "SELECT value FROM midflight.settings WHERE migration = ");
    cass_put_literal(&q, k->db->migration);
    mf_buf_puts(&q, " AND kind = 'instance'");
    return unless_forbidden(cass_look_buf(k->db->cql, &q, 1, 0, take_any, ret, err), err);
}

int cass_check_contents(struct cass_check *k, struct mf_error *err)
{
    bool resumed = false;
    size_t others = 0;
    if (begun(k, &resumed, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < k->here.n; i++) {
        const struct mf_table *t = &k->here.tables[i];
        if (made_of(k, t->schema, t->name)) {
            if (check_rows(k, t, resumed, err) < 0) {
                return -1;
            }
        } else {
            others += mf_streq(t->schema, k->db->keyspace);
        }
    }
    if (others) {
        cass_say(k, MF_NOTE, "target-other-tables", k->db->keyspace, "",
                 "%zu other tables are in the keyspace; they are left alone", others);
    }
    return check_beside(k, err) < 0 ||
                   cass_look(k->db->cql,
                             "SELECT keyspace_name, table_name, default_time_to_live, gc_grace_seconds FROM"
                             " system_schema.tables",
                             4, 0, take_settings, k, err) < 0
               ? -1
               : 0;
}
