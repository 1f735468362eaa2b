/* Relation versions: which table a change is of, and what to do when its shape is not the planned one.
 *
 * The names of the last version applied are remembered for each table. A version must begin with them (columns may only have
 * been added at its end), unless it is exactly the planned one: otherwise a column that was dropped and made again
 * would keep its old values on the replica, unnoticed, because no row event tells of it. */
#include "pipeline/apply_internal.h"

#include "base/fault.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void names_key(struct mf_apply *a, const char *schema, const char *name, char *out, size_t n)
{
    snprintf(out, n, "shape.%s.%s.%s", a->o.pipe.direction == MF_FORWARD ? "forward" : "reverse", schema, name);
}

/* True when the version continues the last one applied. */
static bool continues(struct mf_apply *a, const struct mf_table *seen)
{
    char key[300], text[64];
    struct mf_error ignored;
    bool found = false;
    names_key(a, seen->schema, seen->name, key, sizeof(key));
    struct mf_map_names last, now;
    if (mf_state_get(a->o.state, key, text, sizeof(text), &found, &ignored) < 0 || !found ||
        sscanf(text, "%" SCNd32 ":%" SCNx64, &last.n, &last.hash) != 2) {
        return true;
    }
    mf_map_names_of(a->o.map, seen, last.n, &now);
    return now.n == last.n && now.hash == last.hash;
}

int mf_apply_note_names(struct mf_apply *a, struct mf_error *err)
{
    for (size_t i = 0; i < a->nrels; i++) {
        struct ap_rel *r = &a->rels[i];
        if (!r->known || r->noted) {
            continue;
        }
        if (!r->map) {
            r->noted = true;
            continue;
        }
        char key[300], text[64];
        names_key(a, r->table->schema, r->table->name, key, sizeof(key));
        snprintf(text, sizeof(text), "%" PRId32 ":%" PRIx64, r->names.n, r->names.hash);
        if (mf_state_set(a->o.state, key, text, err) < 0) {
            return -1;
        }
        r->noted = true;
    }
    return 0;
}

static struct ap_table *table_of(struct mf_apply *a, const struct mf_table *seen)
{
    for (struct ap_table *t = a->tables; t; t = t->next) {
        if (strcmp(t->name, seen->name) == 0 && strcmp(t->schema, seen->schema) == 0) {
            return t;
        }
    }
    struct ap_table *t = mf_alloc0(&a->tables_arena, sizeof(*t));
    if (!t || !(t->schema = mf_strdup_a(&a->tables_arena, seen->schema)) ||
        !(t->name = mf_strdup_a(&a->tables_arena, seen->name))) {
        return NULL;
    }
    t->next = a->tables;
    return a->tables = t;
}

uint64_t mf_apply_exact_at(const struct mf_apply *a, const char *schema, const char *name)
{
    for (const struct ap_table *t = a->tables; t; t = t->next) {
        if (strcmp(t->name, name) == 0 && strcmp(t->schema, schema) == 0) {
            return t->exact_at;
        }
    }
    return 0;
}

int mf_apply_exact(struct mf_apply *a, const struct mf_table *t, const struct mf_position *at, struct mf_error *err)
{
    struct ap_table *found = table_of(a, t);
    if (!found) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for the list of tables");
    }
    found->exact_at = at->order;
    for (size_t i = 0; i < a->nrels; i++) { /* what was left out so far may be this table's */
        a->rels[i].known = false;
    }
    return 0;
}

static enum ap_end learn(struct mf_apply *a, struct ap_rel *r, const struct mf_table *seen, struct mf_error *err)
{
    int added = 0;
    struct mf_error why = {0};
    enum mf_map_verdict v = mf_map_relation(a->o.map, seen, &added, &why);
    if (v == MF_MAP_OLDER && !continues(a, seen)) {
        v = MF_MAP_CHANGED;
    }
    if (v != MF_MAP_SAME && v != MF_MAP_OLDER) {
        *err = why;
        a->seen = seen;
        return AP_SCHEMA;
    }
    struct ap_rel found = {.known = true, .edition = mf_map_edition(a->o.map), .table = table_of(a, seen)};
    if (!found.table) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for the list of tables"), AP_FAILED;
    }
    if (mf_map_resolve(a->o.map, seen, &found.map, err) < 0) {
        return AP_FAILED;
    }
    mf_map_names_of(a->o.map, seen, -1, &found.names);
    *r = found;
    return AP_OK;
}

#define MAX_RELATIONS (1u << 24)

enum ap_end mf_apply_rel(struct mf_apply *a, uint32_t number, const struct mf_table *seen, struct ap_rel **ret,
                         struct mf_error *err)
{
    if (number >= a->nrels) {
        if (number >= MAX_RELATIONS) {
            return mf_fail(err, MF_FATAL, "MFSPOOL", "relation number %u in the spool", number), AP_FAILED;
        }
        size_t n = number + 64u;
        a->rels = mf_xreallocarray(a->rels, n, sizeof(*a->rels));
        memset(a->rels + a->nrels, 0, (n - a->nrels) * sizeof(*a->rels));
        a->nrels = n;
    }
    struct ap_rel *r = &a->rels[number];
    if (!r->known) {
        enum ap_end end = learn(a, r, seen, err);
        if (end != AP_OK) {
            return end;
        }
    } else if (r->edition != mf_map_edition(a->o.map)) {
        uint64_t edition = mf_map_edition(a->o.map);
        if (mf_map_resolve(a->o.map, seen, &r->map, err) < 0) {
            return AP_FAILED;
        }
        r->edition = edition;
    }
    *ret = r;
    return AP_OK;
}

/* ---- carrying a change over ---- */

static int catalog_of(struct mf_db *db, const struct mf_table *t, struct mf_catalog *ret,
                      const struct mf_table **ret_table, struct mf_error *err)
{
    char pattern[300];
    snprintf(pattern, sizeof(pattern), "%s.%s", t->schema, t->name);
    const char *include[] = {pattern};
    struct mf_filter f = {.include = include, .ninclude = 1};
    if (db->connector->source->catalog(db, &f, ret, err) < 0) {
        return -1;
    }
    *ret_table = mf_catalog_find(ret, t->schema, t->name);
    return 0;
}

static int gone(const struct mf_table *t, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFDDL",
            "table %s.%s, or a column of it, was made on the origin and dropped again before it could be carried over",
            t->schema, t->name);
    mf_hint(err, "start midflight again with on_ddl: ignore until it is past this");
    return -1;
}

/* Makes on the replica what seen has and it has not, as the origin's catalogue describes it. */
static int add_missing(struct mf_apply *a, const struct mf_table *seen, const struct mf_table *origin,
                       const struct mf_table *replica, struct mf_error *err)
{
    const struct mf_target_ops *ops = a->o.replica->connector->target;
    if (!origin) {
        return gone(seen, err);
    }
    if (!replica) { /* new tables come with their rows, which is more than one change: migration/adopt.c */
        mf_fail(err, MF_FATAL, "MFDDL", "table %s.%s is in the stream and was never taken into the migration",
                seen->schema, seen->name);
        mf_hint(err, "take it out of the publication if somebody put it there; midflight adds new tables by itself");
        return -1;
    }
    for (uint16_t i = 0; i < seen->ncolumns; i++) {
        const char *name = seen->columns[i].name;
        if (mf_table_column(replica, name) >= 0) {
            continue;
        }
        int at = mf_table_column(origin, name);
        if (at < 0) {
            return gone(seen, err);
        }
        if (ops->schema_add_column(a->o.replica, a->o.origin, origin, &origin->columns[at], mf_apply_stamp(a), err) <
            0) {
            return -1;
        }
    }
    return 0;
}

int mf_apply_carry(struct mf_apply *a, const struct mf_table *seen, struct mf_error *err)
{
    struct mf_catalog origin = {0}, before = {0}, after = {0};
    const struct mf_table *o = NULL, *r = NULL;
    int rc = -1;
    if (catalog_of(a->o.origin, seen, &origin, &o, err) == 0 && catalog_of(a->o.replica, seen, &before, &r, err) == 0 &&
        add_missing(a, seen, o, r, err) == 0 && catalog_of(a->o.replica, seen, &after, &r, err) == 0) {
        rc = r ? mf_map_accept(a->o.map, o, r, err) : gone(seen, err);
    }
    mf_catalog_free(&origin);
    mf_catalog_free(&before);
    mf_catalog_free(&after);
    return rc;
}

int mf_apply_schema(struct mf_apply *a, struct mf_error *err)
{
    int added = 0;
    struct mf_error why = {0};
    enum mf_map_verdict v = mf_map_relation(a->o.map, a->seen, &added, &why);
    if ((v == MF_MAP_ADDITIVE || v == MF_MAP_NEW_TABLE) && mf_map_policy(a->o.map) == MF_DDL_ADDITIVE) {
        const struct ap_txns changed = {.ids = a->txns.ids + a->txns.n - 1, .n = 1};
        if (MF_FAULT(err, "apply.schema") || mf_apply_await_visible(a, &changed, err) < 0 ||
            mf_apply_carry(a, a->seen, err) < 0) {
            mf_error_prefix(err, "carrying a schema change of table %s.%s over", a->seen->schema, a->seen->name);
            return -1;
        }
        return 0;
    }
    return -1; /* err is what mf_apply_rel found */
}
