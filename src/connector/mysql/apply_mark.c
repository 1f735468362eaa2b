/* Rows of several tables, all of them or none: behind a savepoint of the window, as the careful way has one for each change. */
#include "connector/mysql/apply.h"

#include <string.h>

static const struct my_expect stepping = {.kind = MY_EXPECT_OK, .doing = "applying rows that belong together"};

static int step(struct my_applier *a, const char *sql, struct mf_error *err)
{
    return my_wire_sql(a, sql, &stepping, err) < 0 || my_wire_flush(a, err) < 0 ? -1 : 0;
}

int my_window_mark(struct mf_applier *base, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    a->bad_column[0] = 0;
    return a->failed.cls != MF_OK ? my_wire_failed(a, err) : step(a, "SAVEPOINT midflight", err);
}

int my_window_settle(struct mf_applier *base, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    if (my_wire_flush(a, err) == 0) {
        return 0;
    }
    if (a->bad_column[0] && !strstr(err->text, a->bad_column)) {
        mf_error_prefix(err, "column \"%s\"", a->bad_column);
    }
    return -1;
}

int my_window_back(struct mf_applier *base, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    struct mf_error refusal = {0};
    if (a->flying > 0) {
        my_wire_settle(a, &refusal);
    }
    if (a->failed.cls != MF_OK && a->failed.cls != MF_ROW && a->failed.cls != MF_CONFLICT) {
        return my_wire_failed(a, err);
    }
    my_wire_reset(a); /* what waits to be sent is of this part, too */
    return step(a, "ROLLBACK TO SAVEPOINT midflight", err);
}

int my_quarantine_put(struct mf_applier *base, const struct mf_table *t, const struct mf_row *key,
                      const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    return my_wire_flush(a, err) < 0 ? -1 : my_put_away(a, t, key, q, result, err);
}

int my_quarantine_clear(struct mf_applier *base, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                        uint64_t *ret_had, struct mf_error *err)
{
    struct my_applier *a = my_applier_of(base);
    uint64_t had = 0, all = 0;
    if (my_wire_flush(a, err) < 0) { /* the checkpoint's answer says whether there is anything */
        return -1;
    }
    if (a->has_quarantine && keys && !ret_had) {
        return my_unquarantine(a, t, keys, n, err);
    }
    for (size_t i = 0; a->has_quarantine && i < (keys ? n : 1); i++) {
        if (my_unquarantine_one(a, t, keys ? keys[i] : NULL, &had, err) < 0) {
            return -1;
        }
        all += had;
    }
    if (ret_had) {
        *ret_had = all;
    }
    return 0;
}
