/*
 * Rows written over whatever is there: a repair by verify, or rows that a fuzzy update did not find and that were read
 * again from the source. The checkpoint keeps its position but is written first, so that a stream from this side knows the
 * transaction as ours.
 */
#include "connector/mysql/apply.h"

#include "base/mem.h"

static int touch(struct my_applier *a, struct mf_error *err)
{
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "repairing"};
    if (my_wire_sql(a, "START TRANSACTION", &ok, err) < 0) {
        return -1;
    }
    mf_buf_printf(&a->sql,
                  "INSERT INTO midflight.checkpoint (migration, direction, position_order, position_token)"
                  " VALUES ('%s', '%s', 0, '') ON DUPLICATE KEY UPDATE touched = touched + 1",
                  a->pipe.migration, my_direction(a->pipe.direction));
    return my_wire_end(a, &ok, err);
}

/* Every copy of these rows of a table without a key. */
static int purge(struct my_applier *a, const struct my_shape *s, const struct mf_row *const *rows, size_t n,
                 struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (my_delete_copies(a, s, rows[i], 0, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int repair(struct my_applier *a, const struct mf_table *t, const struct mf_row *const *whole, size_t nwhole,
                  const struct mf_row *const *gone, size_t ngone, struct mf_error *err)
{
    struct my_expect ok = {.kind = MY_EXPECT_OK, .doing = "repairing"};
    struct my_shape *s;
    if (my_shape_for(a, t, &s, err) < 0 || touch(a, err) < 0) {
        return -1;
    }
    int rc;
    if (t->identity == MF_IDENTITY_FULL) { /* all copies of each row go, then as many come as were given */
        rc = purge(a, s, gone, ngone, err) < 0 || purge(a, s, whole, nwhole, err) < 0 ||
                     my_insert_rows(a, s, whole, nwhole, err) < 0
                 ? -1
                 : 0;
    } else {
        rc = my_delete_rows(a, s, gone, ngone, false, err) < 0 || my_put_rows(a, s, whole, nwhole, err) < 0 ? -1 : 0;
    }
    return rc < 0 || my_unquarantine(a, t, gone, ngone, err) < 0 || my_unquarantine(a, t, whole, nwhole, err) < 0 ||
                   my_wire_flush(a, err) < 0 || my_wire_sql(a, "COMMIT", &ok, err) < 0 || my_wire_flush(a, err) < 0
               ? -1
               : 0;
}

static const struct mf_row **pointers(const struct mf_row *rows, size_t n)
{
    const struct mf_row **list = mf_xcalloc(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        list[i] = &rows[i];
    }
    return list;
}

int my_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                   const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    struct my_applier *a = my_applier_of(base);
    if (a->in_window) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a repair inside a window");
    }
    if (!a->conn && my_applier_connect(a, err) < 0) {
        return -1;
    }
    MF_CLEANUP_FREE const struct mf_row **w = pointers(whole, nwhole), **g = pointers(gone, ngone);
    my_wire_reset(a);
    my_forget_old_shapes(a);
    mf_arena_reset(&a->scratch);
    a->result = NULL;
    a->in_window = true; /* so that abort undoes it */
    int rc = repair(a, t, w, nwhole, g, ngone, err);
    if (rc < 0) {
        struct mf_error kept = *err;
        my_window_abort(base);
        *err = kept;
    }
    a->in_window = false;
    return rc;
}
