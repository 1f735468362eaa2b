/*
 * Rows written over whatever is there: a repair by verify, or rows that a fuzzy update did not find and that were read
 * again from the source. The checkpoint keeps its position but is written, so that a stream from this side knows the
 * transaction as ours.
 */
#include "connector/postgres/apply.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

static const char touch_sql[] =
    "INSERT INTO midflight.checkpoint AS c (migration, direction, position_order, position_token)"
    " VALUES ($1, $2, 0, '') ON CONFLICT (migration, direction) DO UPDATE SET touched = c.touched + 1";

static int send(struct pg_applier *a, struct pg_shape *s, enum pg_stmt_kind kind, const struct mf_row *rows, size_t n,
                bool old, struct mf_error *err)
{
    MF_CLEANUP_FREE const struct mf_row **list = mf_xcalloc(n + 1, sizeof(*list));
    MF_CLEANUP_FREE uint32_t *counts = mf_xcalloc(n + 1, sizeof(*counts));
    for (size_t i = 0; i < n; i++) {
        list[i] = &rows[i];
        counts[i] = UINT32_MAX; /* every copy */
    }
    struct pg_rows r = {.olds = old ? list : NULL, .news = old ? NULL : list, .counts = counts, .n = n};
    return pg_send_rows(a, s, kind, false, NULL, &r, err) < 0 ||
                   pg_unquarantine(a, s->table, (const struct mf_row *const *)list, n, err) < 0
               ? -1
               : 0;
}

static int repair(struct pg_applier *a, struct pg_shape *s, const struct mf_row *whole, size_t nwhole,
                  const struct mf_row *gone, size_t ngone, struct mf_error *err)
{
    struct pg_expect ok = {.kind = PG_EXPECT_OK, .doing = "repairing", .shape = s};
    struct pg_expect done = {.kind = PG_EXPECT_COMMIT, .doing = "repairing", .shape = s};
    const char *values[] = {a->pipe.migration, pg_direction(a->pipe.direction)};
    bool full = s->table->identity == MF_IDENTITY_FULL;
    enum pg_stmt_kind remove = full ? PG_STMT_PURGE_COPIES : PG_STMT_DELETE_LOOSE;
    if (pg_wire_sql(a, "BEGIN", &ok, err) < 0 || pg_wire_params(a, touch_sql, 2, values, &ok, err) < 0 ||
        send(a, s, remove, gone, ngone, true, err) < 0) {
        return -1;
    }
    /* Without a key: all copies of each row go, then as many come as were given. */
    if (full && send(a, s, remove, whole, nwhole, true, err) < 0) {
        return -1;
    }
    return send(a, s, full ? PG_STMT_INSERT : PG_STMT_UPSERT, whole, nwhole, false, err) < 0 ||
                   pg_wire_sql(a, "COMMIT", &done, err) < 0 || pg_wire_sync(a, err) < 0
               ? -1
               : 0;
}

int pg_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                   const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    struct pg_applier *a = pg_applier_of(base);
    struct pg_shape *s;
    if (a->in_window) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a repair inside a window");
    }
    pg_wire_forgive(a);
    a->result = NULL;
    a->in_window = true; /* so that abort undoes it */
    int rc = pg_shape_for(a, t, &s, err) < 0 ? -1 : repair(a, s, whole, nwhole, gone, ngone, err);
    if (rc < 0) {
        struct mf_error kept = *err;
        pg_window_abort(base);
        *err = kept;
    }
    a->in_window = false;
    return rc;
}
