/* See unlogged.h. */
#include "connector/mysql/unlogged.h"

#include "base/mem.h"
#include "connector/mysql/learn.h"
#include "connector/mysql/moved.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/versions.h"

#include <string.h>

#define WHY "changed by a statement that is not in the log (sql_log_bin = 0)"

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x100000001b3) ^ h >> 29;
}

static uint64_t hash_of(const struct mf_table *t)
{
    return mix(mix(UINT64_C(0xcbf29ce484222325), t->id), mf_table_shape(t));
}

static uint64_t hash_of_all(const struct mf_catalog *c)
{
    uint64_t h = 1;
    for (size_t i = 0; i < c->n; i++) {
        h = mix(h, hash_of(&c->tables[i]));
    }
    return h;
}

/* As the catalogue shows it: without columns that only the log has. */
static uint64_t remembered(const struct mf_table *whole)
{
    MF_CLEANUP_FREE struct mf_column *columns = mf_xcalloc(whole->ncolumns + 1u, sizeof *columns);
    MF_CLEANUP_FREE uint16_t *key = mf_xcalloc(whole->nkey + 1u, sizeof *key);
    MF_CLEANUP_FREE uint16_t *at = mf_xcalloc(whole->ncolumns + 1u, sizeof *at);
    struct mf_table t = *whole;
    t.columns = columns;
    t.key = key;
    t.ncolumns = 0;
    for (uint16_t i = 0; i < whole->ncolumns; i++) {
        at[i] = t.ncolumns;
        if (!my_is_hidden(&whole->columns[i])) {
            columns[t.ncolumns++] = whole->columns[i];
        }
    }
    for (uint16_t i = 0; i < whole->nkey; i++) {
        key[i] = at[whole->key[i]];
    }
    return mf_table_shape(&t);
}

static void find(struct my_relations *r, const struct mf_catalog *now, struct my_moves *ret, uint64_t *ret_hash)
{
    *ret_hash = 0;
    for (size_t i = 0; i < now->n; i++) {
        const struct mf_table *t = &now->tables[i];
        struct my_rel *rel = my_relations_find(r, t->schema, t->name);
        if (rel && rel->state == MY_REL_KNOWN && rel->whole && remembered(rel->whole) != mf_table_shape(t)) {
            my_moves_all(ret, rel, WHY);
            *ret_hash = mix(*ret_hash + 1, hash_of(t));
        }
    }
}

static int note(struct my_relations *r, MYSQL *c, const struct my_moves *m, uint64_t order, struct mf_error *err)
{
    for (size_t i = 0; i < m->n; i++) {
        struct my_rel *rel = m->list[i].rel;
        my_rel_forget(rel, WHY, strlen(WHY));
        rel->version = order;
        if (my_version_write(r, c, rel, err) < 0) {
            return -1;
        }
    }
    return my_moves_write(m, r, c, order, err);
}

/* *ret: the order that the stream must have passed since the same difference was seen first is passed. */
static int confirmed(MYSQL *c, struct my_db *db, uint64_t all, uint64_t hash, uint64_t acked, bool *ret,
                     struct mf_error *err)
{
    struct mf_position at = {0};
    *ret = false;
    if (hash && my_position_seen(c, db, &at, err) < 0) {
        return -1;
    }
    MF_LOCK_SCOPE(&db->lock);
    if (!hash) {
        db->looked = all;
        db->suspect = 0;
    } else if (db->suspect != hash) {
        db->suspect = hash;
        db->suspect_order = at.order;
    } else {
        *ret = acked >= db->suspect_order;
    }
    return 0;
}

int my_unlogged_note(MYSQL *c, struct my_db *db, const struct mf_catalog *now, struct mf_error *err)
{
    struct my_relations r = {.db = db, .pipe.direction = db->base.side == MF_SOURCE ? MF_FORWARD : MF_REVERSE};
    struct my_moves found = {0};
    uint64_t all = hash_of_all(now), hash = 0;
    bool sure = false;
    pthread_mutex_lock(&db->lock);
    uint64_t acked = db->acked[r.pipe.direction].order;
    bool seen = db->looked == all;
    pthread_mutex_unlock(&db->lock);
    if (!db->migration || !acked || seen) {
        return 0;
    }
    mf_strlcpy(r.pipe.migration, db->migration, sizeof r.pipe.migration);
    int rc = my_relations_read(&r, c, err) < 0 ? -1 : my_versions_read(&r, c, UINT64_MAX, err);
    if (rc == 0) {
        find(&r, now, &found, &hash);
        rc = confirmed(c, db, all, hash, acked, &sure, err);
        rc = rc == 0 && sure ? note(&r, c, &found, acked, err) : rc;
    }
    my_moves_free(&found);
    my_relations_free(&r);
    return rc;
}
