/* What the migration has undertaken to carry: tables by their id on each side, in the state from the day they were planned or taken in. A
 * name alone does not tell a table from another one that was put in its place; the catalogue of today does not tell what was
 * there when the streams were made. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include <xxhash.h>

#define NOTED_MAX   ((size_t)4 << 20) /* of the columns of one table: 65,535 of them */
#define COLUMN_LINE 64

static void target_key(const char *schema, const char *name, char *out, size_t n)
{
    snprintf(out, n, "target.id.%s.%s", schema, name);
}

static int take(void *ctx, const struct mf_table_state *t)
{
    struct mf_plan *p = ctx;
    p->tables = mf_xreallocarray(p->tables, p->n + 1, sizeof *p->tables);
    struct mf_planned *one = &p->tables[p->n++];
    *one = (struct mf_planned){.id = {t->table_id, 0}, .shape = t->shape};
    snprintf(one->schema, sizeof one->schema, "%s", t->schema);
    snprintf(one->name, sizeof one->name, "%s", t->name);
    return 0;
}

int mf_plan_load(struct mf_migration *m, struct mf_plan *ret, struct mf_error *err)
{
    struct mf_plan p = {0};
    if (mf_state_tables(m->state, take, &p, err) < 0) {
        mf_plan_free(&p);
        return -1;
    }
    for (size_t i = 0; i < p.n; i++) {
        char key[300];
        target_key(p.tables[i].schema, p.tables[i].name, key, sizeof key);
        p.tables[i].id[MF_TARGET] = (uint32_t)mf_state_int(m->state, key, 0);
    }
    *ret = p;
    return 0;
}

void mf_plan_free(struct mf_plan *p)
{
    free(p->tables);
    *p = (struct mf_plan){0};
}

/* They come in the order of schema and name. */
const struct mf_planned *mf_plan_find(const struct mf_plan *p, const char *schema, const char *name)
{
    size_t from = 0, to = p->n;
    while (from < to) {
        size_t at = (from + to) / 2;
        int order = strcmp(p->tables[at].schema, schema);
        order = order ? order : strcmp(p->tables[at].name, name);
        if (order == 0) {
            return &p->tables[at];
        }
        from = order < 0 ? at + 1 : from;
        to = order < 0 ? to : at;
    }
    return NULL;
}

const struct mf_planned *mf_plan_by_id(const struct mf_plan *p, enum mf_side side, uint32_t id)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->tables[i].id[side] == id) {
            return &p->tables[i];
        }
    }
    return NULL;
}

uint32_t mf_plan_target_id(struct mf_migration *m, const struct mf_table *t)
{
    char key[300];
    target_key(t->schema, t->name, key, sizeof key);
    return (uint32_t)mf_state_int(m->state, key, 0);
}

/* ---- which columns the target's tables had ---- */

static void columns_key(const struct mf_table *t, char *out, size_t n)
{
    snprintf(out, n, "target.columns.%s.%s", t->schema, t->name);
}

static uint64_t column_hash(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

/* "HASH WHAT": of its name; its number and its type. */
static void put_column(const struct mf_column *c, char *out, size_t n)
{
    snprintf(out, n, "%016" PRIx64 " %" PRId32 " %" PRIu32 " %" PRId32, column_hash(c->name), c->number, c->type_id,
             c->type_mod);
}

/* A line for each. */
static int put_columns(const struct mf_table *t, struct mf_buf *b, struct mf_error *err)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        char line[COLUMN_LINE];
        put_column(&t->columns[i], line, sizeof line);
        mf_buf_printf(b, "%s\n", line);
    }
    return mf_buf_ok(b) ? 0 : mf_fail(err, MF_FATAL, "MFBIG", "table %s.%s has too many columns", t->schema, t->name);
}

int mf_plan_target_columns(struct mf_migration *m, const struct mf_table *t, char **ret, struct mf_error *err)
{
    char key[300];
    MF_CLEANUP_FREE char *text = mf_xmalloc(NOTED_MAX);
    bool found = false;
    columns_key(t, key, sizeof key);
    if (mf_state_get(m->state, key, text, NOTED_MAX, &found, err) < 0) {
        return -1;
    }
    *ret = found ? mf_xstrdup(text) : NULL;
    return 0;
}

bool mf_plan_same_column(const char *noted, const struct mf_table *t, const char *column)
{
    char hash[20], line[COLUMN_LINE];
    snprintf(hash, sizeof hash, "%016" PRIx64 " ", column_hash(column));
    const char *at = noted ? strstr(noted, hash) : NULL;
    int i = mf_table_column(t, column);
    if (!at || i < 0) {
        return !at;
    }
    put_column(&t->columns[i], line, sizeof line);
    size_t n = strlen(line);
    return strncmp(at, line, n) == 0 && at[n] == '\n';
}

bool mf_plan_lacks_column(const char *noted, const struct mf_table *t)
{
    for (const char *at = noted; at && *at; at += strcspn(at, "\n") + 1) { /* each line ends */
        uint64_t hash = strtoull(at, NULL, 16);
        bool found = false;
        for (uint16_t i = 0; !found && i < t->ncolumns; i++) {
            found = column_hash(t->columns[i].name) == hash;
        }
        if (!found) {
            return true;
        }
    }
    return false;
}

bool mf_plan_other_column(const char *noted, const struct mf_table *t)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (!mf_plan_same_column(noted, t, t->columns[i].name)) {
            return true;
        }
    }
    return false;
}

struct note {
    char id_key[300], columns_key[300], id[16];
    struct mf_buf columns;
};

static int note_one(struct mf_migration *m, const struct mf_table *t, struct note *n, struct mf_fact *facts,
                    size_t *nfacts, struct mf_error *err)
{
    MF_CLEANUP_FREE char *before = NULL;
    n->columns.max = NOTED_MAX - 1;
    target_key(t->schema, t->name, n->id_key, sizeof n->id_key);
    columns_key(t, n->columns_key, sizeof n->columns_key);
    if (put_columns(t, &n->columns, err) < 0 || mf_plan_target_columns(m, t, &before, err) < 0) {
        return -1;
    }
    if (mf_plan_target_id(m, t) != t->id) {
        snprintf(n->id, sizeof n->id, "%" PRIu32, t->id);
        facts[(*nfacts)++] = (struct mf_fact){n->id_key, n->id};
    }
    if (!before || strcmp(before, mf_buf_str(&n->columns)) != 0) {
        facts[(*nfacts)++] = (struct mf_fact){n->columns_key, mf_buf_str(&n->columns)};
    }
    return 0;
}

int mf_plan_note_target(struct mf_migration *m, const struct mf_catalog *tables, struct mf_error *err)
{
    struct note *notes = mf_xcalloc(tables->n + 1, sizeof *notes);
    MF_CLEANUP_FREE struct mf_fact *facts = mf_xcalloc(2 * tables->n + 1, sizeof *facts);
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < tables->n; i++) {
        rc = note_one(m, &tables->tables[i], &notes[i], facts, &n, err);
    }
    rc = rc == 0 && n ? mf_state_set_all(m->state, facts, n, err) : rc;
    for (size_t i = 0; i < tables->n; i++) {
        mf_buf_free(&notes[i].columns);
    }
    free(notes);
    return rc;
}

static void describe(const struct mf_table *source, const char *note, struct mf_table_state *out)
{
    *out = (struct mf_table_state){.table_id = source->id,
                                   .shape = mf_table_catalog_shape(source),
                                   .rows_total = source->rows_estimate,
                                   .bytes_total = source->bytes};
    snprintf(out->schema, sizeof out->schema, "%s", source->schema);
    snprintf(out->name, sizeof out->name, "%s", source->name);
    snprintf(out->note, sizeof out->note, "%s", note);
}

int mf_plan_put(struct mf_migration *m, const struct mf_table *source, const char *note, struct mf_error *err)
{
    struct mf_table_state s;
    describe(source, note, &s);
    return mf_state_table_put(m->state, &s, err);
}

int mf_plan_make(struct mf_migration *m, const struct mf_catalog *source, struct mf_error *err)
{
    struct mf_table_state *all = mf_xcalloc(source->n + 1, sizeof *all);
    for (size_t i = 0; i < source->n; i++) {
        describe(&source->tables[i], "waiting", &all[i]);
    }
    int rc = mf_state_tables_put(m->state, all, source->n, err);
    free(all);
    return rc;
}

/* A table of the plan under today's name keeps the planned one, by which its changes of before come; one that only has the name of a
 * planned table is none. The watch says what happened to them. */
static bool keep(const struct mf_plan *p, enum mf_side side, bool by_id, struct mf_catalog *c, struct mf_table *t)
{
    const struct mf_planned *named = mf_plan_find(p, t->schema, t->name);
    if (!by_id || (named && named->id[side] == 0)) {
        return named != NULL;
    }
    const struct mf_planned *same = mf_plan_by_id(p, side, t->id);
    if (same && same != named) {
        t->schema = mf_strdup_a(&c->arena, same->schema);
        t->name = mf_strdup_a(&c->arena, same->name);
    }
    return same && t->schema && t->name;
}

int mf_plan_prune(struct mf_migration *m, enum mf_side side, struct mf_catalog *c, struct mf_error *err)
{
    struct mf_plan p = {0};
    if (mf_plan_load(m, &p, err) < 0) {
        return -1;
    }
    size_t n = 0;
    bool by_id = mf_writes_on_target(m) == (side == MF_TARGET);
    for (size_t i = 0; p.n > 0 && i < c->n; i++) {
        if (keep(&p, side, by_id, c, &c->tables[i])) {
            c->tables[n++] = c->tables[i];
        }
    }
    c->n = p.n > 0 ? n : c->n; /* nothing is planned yet: all of it will be */
    mf_plan_free(&p);
    return 0;
}
