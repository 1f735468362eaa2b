/* Rows of several tables, all of them or none: behind a savepoint of the window, as the careful way has one for each change. */
#include "connector/postgres/apply.h"

#include <string.h>

static int command(struct pg_applier *a, const char *sql, struct mf_error *err)
{
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = "applying rows that belong together"};
    return pg_wire_sql(a, sql, &e, err);
}

int pg_window_mark(struct mf_applier *base, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    a->bad_column[0] = 0;
    if (a->failed.cls != MF_OK) {
        return pg_wire_failed(a, err);
    }
    /* A savepoint of the same name hides the one before: that one goes, or each mark would make the next dearer. */
    return pg_wire_sync(a, err) < 0 || (a->marked && command(a, "RELEASE SAVEPOINT midflight_mark", err) < 0) ||
                   command(a, "SAVEPOINT midflight_mark", err) < 0 || pg_wire_sync(a, err) < 0
               ? -1
               : (a->marked = true, 0);
}

int pg_window_settle(struct mf_applier *base, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    if (a->failed.cls == MF_OK ? pg_wire_sync(a, err) == 0 : (pg_wire_failed(a, err), false)) {
        return 0;
    }
    if (a->bad_column[0] && !strstr(err->text, a->bad_column)) {
        mf_error_prefix(err, "column \"%s\"", a->bad_column);
    }
    return -1;
}

int pg_window_back(struct mf_applier *base, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    struct mf_error refusal = {0};
    pg_wire_sync(a, &refusal); /* what is on its way still */
    if (a->failed.cls != MF_OK && a->failed.cls != MF_ROW && a->failed.cls != MF_CONFLICT) {
        return pg_wire_failed(a, err);
    }
    pg_wire_forgive(a);
    return command(a, "ROLLBACK TO SAVEPOINT midflight_mark", err) < 0 ? -1 : pg_wire_sync(a, err);
}

int pg_quarantine_put(struct mf_applier *base, const struct mf_table *t, const struct mf_row *key,
                      const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    return a->failed.cls != MF_OK || pg_wire_sync(a, err) < 0 ? pg_wire_failed(a, err)
                                                              : pg_put_away(a, t, key, q, result, err);
}

int pg_quarantine_clear(struct mf_applier *base, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                        uint64_t *ret_had, struct mf_error *err)
{
    struct pg_applier *a = pg_applier_of(base);
    if (ret_had) {
        *ret_had = 0;
    }
    a->answer = 0;
    if (!a->has_quarantine || pg_unquarantine(a, t, keys, n, err) < 0) {
        return a->has_quarantine ? -1 : 0;
    }
    if (!ret_had) {
        return 0;
    }
    if (pg_wire_sync(a, err) < 0) {
        return -1;
    }
    *ret_had = a->answer;
    return 0;
}
