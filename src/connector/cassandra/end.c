/*
 * Rows that end by themselves, at the moment that a column of theirs says.
 *
 * A write says for how long, not until when; so it is counted at each write, by the nodes' clocks, in whole seconds from one to the other: a row that is written again ends in the same second as before. (Of two
 * writes with one stamp the server keeps the one that ends later.) The end is that of the second in which the moment lies. A row that is over is not written but deleted, with its stamp.
 *
 * All of a row is written each time, its marker too, so that all of it ends together.
 */
#include "connector/cassandra/cass.h"

#include "base/clock.h"
#include "base/str.h"
#include "connector/cassandra/cqlvalue_internal.h"
#include "model/moment.h"
#include "model/query_map.h"

#include <string.h>

#define ASK_AGAIN_US (60 * MF_US_PER_SEC)
#define LONGEST_S    (20 * 365 * 24 * 3600) /* the server's own bound */

static const char *name_of(const char *to)
{
    const char *dot = strchr(to, '.');
    return dot ? dot + 1 : to;
}

int cass_ends_at(const struct cass_db *db, const struct mf_table *t)
{
    for (size_t i = 0; db->map && i < db->map->n; i++) {
        const struct mf_query_table *q = &db->map->tables[i];
        if (q->ttl && mf_streq(name_of(q->to), t->name)) {
            return mf_table_column(t, q->ttl);
        }
    }
    return -1;
}

/* The nodes' time, as far as it is known: they are asked once a minute, and not waited for when they were asked before. */
static int nodes_now(struct cass_db *db, int64_t *ret, struct mf_error *err)
{
    int64_t first = 0, last = 0, now = mf_now_us();
    pthread_mutex_lock(&db->lock);
    bool asked = db->asked_us != 0, again = !asked || now - db->asked_us > ASK_AGAIN_US;
    db->asked_us = asked && again ? now : db->asked_us; /* one asks, not everybody */
    pthread_mutex_unlock(&db->lock);
    if (again) {
        struct mf_error why = {0};
        int64_t before = mf_wall_us();
        if (cass_clock(&db->base, &first, &last, asked ? &why : err) == 0) {
            MF_LOCK_SCOPE(&db->lock);
            db->ahead_us = first + (last - first) / 2 - (before + (mf_wall_us() - before) / 2);
            db->asked_us = now;
        } else if (!asked) {
            return -1;
        }
    }
    MF_LOCK_SCOPE(&db->lock);
    *ret = mf_wall_us() + db->ahead_us;
    return 0;
}

static bool moment_of(const struct mf_value *v, int64_t *ret)
{
    int64_t ms = 0;
    if (mf_moment_us(v->data, v->len, ret)) { /* of a text */
        return true;
    }
    if (cql_timestamp_of(v->data, v->len, &ms)) {
        return false;
    }
    *ret = __builtin_mul_overflow(ms, 1000, ret) ? ms < 0 ? INT64_MIN : INT64_MAX : *ret;
    return true;
}

int cass_row_ends(struct cass_db *db, const struct cass_statements *s, const struct mf_row *row, int32_t *ret,
                  struct mf_error *err)
{
    int64_t end = 0, now = 0;
    if (s->ends_at < 0 || row->values[s->ends_at].kind == MF_NULL) {
        *ret = 0;
        return 0;
    }
    const struct mf_value *v = &row->values[s->ends_at];
    const char *name = s->table->columns[s->ends_at].name;
    if (v->kind == MF_REFUSED) {
        return mf_fail(err, MF_ROW, "MFVALUE", "%.*s", (int)v->len, v->data);
    }
    if (v->kind != MF_TEXT || !moment_of(v, &end)) {
        return mf_fail(err, MF_ROW, "MFVALUE", "column %s: it says when the row ends, and is no moment", name);
    }
    if (end == INT64_MAX) {
        *ret = 0;
        return 0;
    }
    if (nodes_now(db, &now, err) < 0) {
        return -1;
    }
    if (end <= now) {
        *ret = -1;
        return 0;
    }
    int64_t last = end / MF_US_PER_SEC + (end % MF_US_PER_SEC != 0), seconds = last - now / MF_US_PER_SEC;
    if (seconds > LONGEST_S) {
        return mf_fail(err, MF_ROW, "MFVALUE",
                       "column %s: the row ends more than 20 years from now, which is longer than Cassandra keeps one "
                       "that ends",
                       name);
    }
    *ret = (int32_t)(seconds > 0 ? seconds : 1);
    return 0;
}
