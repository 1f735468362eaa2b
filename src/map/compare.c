/* What a relation version seen in the stream means: as planned, or which change of the schema. */
#include "map/internal.h"

#include <string.h>

bool mf_map_computed(const struct mf_table *planned, const struct mf_column *c)
{
    int at = mf_table_column(planned, c->name);
    return c->generated || (at >= 0 && planned->columns[at].generated);
}

bool mf_map_same_shape(const struct mf_table *a, const struct mf_table *b)
{
    if (a->ncolumns != b->ncolumns || a->identity != b->identity || a->nkey != b->nkey) {
        return false;
    }
    for (uint16_t i = 0; i < a->ncolumns; i++) {
        const struct mf_column *x = &a->columns[i], *y = &b->columns[i];
        if (x->type_id != y->type_id || x->type_mod != y->type_mod || x->in_key != y->in_key ||
            x->generated != y->generated || strcmp(x->name, y->name) != 0) {
            return false;
        }
    }
    return a->nkey == 0 || memcmp(a->key, b->key, sizeof(*a->key) * a->nkey) == 0;
}

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

void mf_map_names_of(const struct mf_map *m, const struct mf_table *t, int32_t n, struct mf_map_names *ret)
{
    (void)m;
    struct mf_map_names names = {.hash = FNV_START};
    for (uint16_t i = 0; i < t->ncolumns && (n < 0 || names.n < n); i++) {
        if (t->columns[i].generated) {
            continue;
        }
        for (const char *p = t->columns[i].name;; p++) {
            names.hash = (names.hash ^ (uint8_t)*p) * FNV_PRIME;
            if (!*p) {
                break;
            }
        }
        names.n++;
    }
    *ret = names;
}

static enum mf_map_verdict say(enum mf_map_verdict verdict, const struct mf_table *t, struct mf_error *err,
                               const char *what, const char *column, const char *todo)
{
    mf_fail(err, MF_FATAL, "MFDDL",
            "the schema of table %s.%s was changed on the origin: %s%s%s%s; nothing is lost, the "
            "changes from there on wait in the spool",
            t->schema, t->name, what, column ? " \"" : "", column ? column : "", column ? "\"" : "");
    mf_hint(err, "%s", todo);
    return verdict;
}

#define TODO_SAME                                                                                                      \
    "make the same change on the other side, then start midflight again (on_ddl: additive carries added nullable "     \
    "columns over by itself)"
#define TODO_DROP "drop the column on the other side too (or make it again on both), then start midflight again"
#define TODO_AGAIN                                                                                                     \
    "drop the column on the other side too (and make it again, if the origin did), then start midflight again with "   \
    "on_ddl: ignore until it is past this"
#define TODO_TYPE "change the column in the same way on the other side, then start midflight again"
#define TODO_KEY  "give the table the same key on both sides, then start midflight again"

static bool is_key(const struct mf_table *t, int at)
{
    for (uint16_t i = 0; i < t->nkey; i++) {
        if (t->key[i] == at) {
            return true;
        }
    }
    return false;
}

/* Keys as sets: a stream does not tell their order. A stream that carries whole old rows satisfies any key. */
static bool key_kept(const struct mf_table *seen, const struct mf_table *planned)
{
    if (seen->identity == MF_IDENTITY_FULL) {
        return true;
    }
    if (planned->identity == MF_IDENTITY_FULL) {
        return true; /* a key was added: rows are found by it */
    }
    if (seen->nkey != planned->nkey) {
        return false;
    }
    for (uint16_t i = 0; i < seen->nkey; i++) {
        int at = mf_table_column(planned, seen->columns[seen->key[i]].name);
        if (at < 0 || !is_key(planned, at)) {
            return false;
        }
    }
    return true;
}

/* Columns of seen that the replica has not. Negative: one that is not at the end (*ret_name). */
static int missing_on_replica(const struct map_table *mt, const struct mf_table *seen, const char **ret_name)
{
    int added = 0;
    for (uint16_t i = 0; i < seen->ncolumns; i++) {
        const struct mf_column *c = &seen->columns[i];
        if (mf_map_computed(mt->origin, c)) {
            continue;
        }
        if (mf_table_column(mt->replica, c->name) < 0) {
            added++;
            *ret_name = c->name;
            if (is_key(seen, i) && seen->identity == MF_IDENTITY_KEY) {
                return -1;
            }
        } else if (added) {
            return -1;
        }
    }
    return added;
}

static const struct mf_column *changed_type(const struct map_table *mt, const struct mf_table *seen)
{
    for (uint16_t i = 0; i < seen->ncolumns; i++) {
        const struct mf_column *c = &seen->columns[i];
        int at = mf_table_column(mt->origin, c->name);
        if (at >= 0 && !mf_map_computed(mt->origin, c) &&
            (mt->origin->columns[at].type_id != c->type_id || mt->origin->columns[at].type_mod != c->type_mod)) {
            return c;
        }
    }
    return NULL;
}

/* A planned column that seen has not; *ret_tail: all such are behind the last one it has. */
static const char *missing_in_seen(const struct map_table *mt, const struct mf_table *seen, bool *ret_tail)
{
    const char *gone = NULL;
    *ret_tail = true;
    for (uint16_t i = 0; i < mt->origin->ncolumns; i++) {
        const struct mf_column *c = &mt->origin->columns[i];
        if (c->generated) {
            continue;
        }
        if (mf_table_column(seen, c->name) < 0) {
            gone = gone ? gone : c->name;
        } else if (gone) {
            *ret_tail = false;
        }
    }
    return gone;
}

static enum mf_map_verdict judge(struct mf_map *m, const struct map_table *mt, const struct mf_table *seen,
                                 int *ret_added, struct mf_error *err)
{
    bool ignore = m->on_ddl == MF_DDL_IGNORE, tail;
    if (!mt->replica) {
        return ignore ? MF_MAP_SAME
                      : say(MF_MAP_NEW_TABLE, seen, err, "the other side has no such table", NULL, TODO_SAME);
    }
    const struct mf_column *typed = changed_type(mt, seen);
    if (typed) {
        return say(MF_MAP_CHANGED, seen, err, "the type changed of column", typed->name, TODO_TYPE);
    }
    if (!key_kept(seen, mt->origin)) {
        return say(MF_MAP_CHANGED, seen, err, "its key (or replica identity) is another one", NULL, TODO_KEY);
    }
    const char *name = NULL, *gone = missing_in_seen(mt, seen, &tail);
    int added = missing_on_replica(mt, seen, &name);
    if (gone && !tail && !ignore) {
        return say(MF_MAP_CHANGED, seen, err, "it has no more the column", gone, TODO_DROP);
    }
    if (added < 0 && !ignore) {
        return say(MF_MAP_CHANGED, seen, err, "the other side lacks the column", name, TODO_SAME);
    }
    if (added && !ignore) {
        if (gone) {
            return say(MF_MAP_CHANGED, seen, err, "a column was renamed or replaced:", gone, TODO_SAME);
        }
        *ret_added = added;
        return say(MF_MAP_ADDITIVE, seen, err, "the other side lacks the new column", name, TODO_SAME);
    }
    if (gone && !ignore) {
        return say(MF_MAP_OLDER, seen, err, "a column was dropped or replaced; from here on it has no column", gone,
                   TODO_AGAIN);
    }
    return MF_MAP_SAME;
}

/* Its changes come under a name that nothing was planned for: leaving them out would lose rows of a table that is migrated. */
static enum mf_map_verdict renamed(const struct mf_table *planned, const struct mf_table *seen, struct mf_error *err)
{
    mf_fail(
        err, MF_FATAL, "MFDDL",
        "table %s.%s was renamed to %s.%s on the origin; nothing is lost, the changes from there on wait in the spool",
        planned->schema, planned->name, seen->schema, seen->name);
    mf_hint(err, "give it back its name and start midflight again; rename it on both sides when the migration is over");
    return MF_MAP_CHANGED;
}

static enum mf_map_verdict replaced(const struct mf_table *seen, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFDDL",
            "table %s.%s of the origin is another one than the one that is migrated; nothing is lost, the changes from "
            "there on wait in the spool",
            seen->schema, seen->name);
    mf_hint(err, "put the migrated table back under its name and start midflight again; or midflight cancel and begin "
                 "anew");
    return MF_MAP_CHANGED;
}

enum mf_map_verdict mf_map_relation(struct mf_map *m, const struct mf_table *seen, int *ret_added, struct mf_error *err)
{
    pthread_mutex_lock(&m->mu);
    struct map_table *mt = mf_map_find(m, seen);
    enum mf_map_verdict v;
    if (mt && seen->id && mt->origin->id && seen->id != mt->origin->id) {
        v = replaced(seen, err);
    } else if (mt) {
        v = judge(m, mt, seen, ret_added, err);
    } else if ((mt = mf_map_by_id(m, seen->id))) {
        v = renamed(mt->origin, seen, err);
    } else if (m->on_ddl == MF_DDL_IGNORE) {
        v = MF_MAP_SAME;
    } else {
        v = say(MF_MAP_NEW_TABLE, seen, err, "it is new", NULL, TODO_SAME);
    }
    pthread_mutex_unlock(&m->mu);
    return v;
}
