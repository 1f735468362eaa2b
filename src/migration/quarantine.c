/* Rows that were refused: kept by each direction's replica, in the transaction that left them out. Forward entries stand in the target,
 * reverse ones (the way back refused a row) in the source. Only the direction whose origin takes the writes can be tried again: the
 * other one's origin does not have the row as it is now. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

const char *mf_direction_word(enum mf_direction d)
{
    return d == MF_FORWARD ? "forward" : "reverse";
}

static enum mf_direction live_direction(struct mf_migration *m)
{
    return mf_writes_on_target(m) ? MF_REVERSE : MF_FORWARD;
}

/* Each pass tries the rows again, and puts back the entries of those that are still refused: neither retry nor drop is of use. */
const char *mf_quarantine_remedy(const struct mf_migration *m, enum mf_direction d)
{
    return d == MF_REVERSE && mf_way_back(m) == MF_BACK_BY_PASSES
               ? "See midflight quarantine list; mend the rows on the target, delete them there, or change the rule of "
                 "the source's that refuses them: the next whole pass takes them out of the quarantine."
               : "See midflight quarantine list; mend and retry, or drop them knowingly.";
}

static struct mf_db *replica_of(struct mf_migration *m, enum mf_direction d)
{
    return d == MF_FORWARD ? m->target : m->source;
}

static int each(struct mf_migration *m, enum mf_direction d, mf_quarantine_sink *emit, void *ctx, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, d);
    struct mf_db *db = replica_of(m, d);
    return db->connector->target->quarantine_list(db, &id, emit, ctx, err);
}

static int count_one(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)q;
    (void)err;
    (*(int64_t *)ctx)++;
    return 0;
}

int mf_quarantine_count(struct mf_migration *m, enum mf_direction d, int64_t *ret, struct mf_error *err)
{
    int64_t n = 0;
    if (each(m, d, count_one, &n, err) < 0) {
        return -1;
    }
    *ret = n;
    return 0;
}

int mf_quarantine_guard(struct mf_migration *m, struct mf_error *err)
{
    int64_t n = 0;
    enum mf_direction d = live_direction(m);
    if (!m->config->cutover.require_verified) {
        return 0;
    }
    if (mf_quarantine_count(m, d, &n, err) < 0) {
        return -1;
    }
    if (n == 0) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFGUARD", "%" PRId64 " rows are in quarantine: the %s does not have them", n,
            d == MF_FORWARD ? "target" : "source");
    mf_hint(err, "%s cutover.require_verified: false does without them.", mf_quarantine_remedy(m, d));
    return -1;
}

/* ---- listing ---- */

struct listing {
    json_t *rows;
    enum mf_direction direction;
};

static int row_json(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    struct listing *l = ctx;
    char key[MF_KEY_TOLD];
    mf_key_short(q->key, key, sizeof key);
    return json_array_append_new(l->rows, json_pack("{s:I, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:s?}", "id",
                                                    (json_int_t)q->id, "direction", mf_direction_word(l->direction),
                                                    "schema", q->schema, "table", q->table, "key", key, "column",
                                                    q->column, "reason", q->reason, "code", q->code, "row", q->row));
}

int mf_migration_quarantine(struct mf_migration *m, json_t **ret, struct mf_error *err)
{
    struct listing l = {.rows = json_array()};
    for (int d = MF_FORWARD; d <= MF_REVERSE; d++) {
        l.direction = (enum mf_direction)d;
        if (each(m, l.direction, row_json, &l, err) < 0) {
            json_decref(l.rows);
            return -1;
        }
    }
    *ret = l.rows;
    return 0;
}

/* ---- what is asked for ---- */

struct wanted {
    json_t *tables; /* label -> ids */
    int64_t only;   /* 0: all */
    char *key;      /* of the row that is `only` */
    int64_t n;
};

static int take(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    struct wanted *w = ctx;
    char label[260];
    if (w->only && w->only != q->id) {
        return 0;
    }
    snprintf(label, sizeof label, "%s.%s", q->schema, q->table);
    json_t *ids = json_object_get(w->tables, label);
    if (!ids) {
        ids = json_array();
        json_object_set_new(w->tables, label, ids);
    }
    if (w->only && !w->key) {
        w->key = mf_xstrdup(q->key);
    }
    w->n++;
    return json_array_append_new(ids, json_integer(q->id));
}

static int drop(struct mf_migration *m, enum mf_direction d, json_t *ids, int64_t *resolved, struct mf_error *err)
{
    struct mf_pipe_id id = mf_migration_pipe_id(m, d);
    struct mf_db *db = replica_of(m, d);
    size_t i;
    json_t *v;
    json_array_foreach(ids, i, v)
    {
        if (db->connector->target->quarantine_drop(db, &id, json_integer_value(v), err) < 0) {
            return -1;
        }
        ++*resolved;
    }
    return 0;
}

/* ---- trying again ---- */

/* One entry among those of now, by what it is of: a row that is refused again has another id. */
struct sought {
    const char *label, *key;
    bool found;
    char reason[400]; /* on one line */
};

static int seek_entry(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)err;
    struct sought *s = ctx;
    char label[260];
    snprintf(label, sizeof label, "%s.%s", q->schema, q->table);
    if (strcmp(label, s->label) == 0 && strcmp(q->key, s->key) == 0) {
        s->found = true;
        size_t n = (size_t)snprintf(s->reason, sizeof s->reason, "%s", q->reason);
        n = n < sizeof s->reason ? n : sizeof s->reason - 1;
        for (; n > 0 && s->reason[n - 1] == '\n'; n--) {
            s->reason[n - 1] = 0;
        }
        for (size_t i = 0; i < n; i++) {
            s->reason[i] = s->reason[i] == '\n' ? ';' : s->reason[i];
        }
    }
    return 0;
}

/* An entry may be there alone, of a row that is equal by now. Differences past those that are named may be of any row. */
static bool differs(const json_t *found, const char *key)
{
    const json_t *named = json_object_get(found, "differences");
    char told[MF_KEY_TOLD];
    mf_key_short(key, told, sizeof told);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)named, i, v)
    {
        const char *k = json_string_value(json_object_get(v, "key"));
        if (!k || strcmp(k, told) == 0) {
            return true;
        }
    }
    return (json_int_t)json_array_size(named) < json_integer_value(json_object_get(found, "rows_differing"));
}

static void hint_refused(struct mf_migration *m, enum mf_direction d, struct mf_error *err)
{
    if (!m->config->documents) {
        mf_hint(err, "mend the row, or the table that refuses it, then try again");
    } else if (d == MF_FORWARD) {
        mf_hint(err, "mend the document where it is written, whose next change is then taken by itself; or mend what "
                     "refuses it, the map or the target's table, and try again");
    } else {
        mf_hint(err, "mend the document's rows on the target, whose next change is then taken by itself; or mend what "
                     "refuses it on the source, and try again");
    }
}

static int one_refused(struct mf_migration *m, enum mf_direction d, const char *label, const char *key,
                       const json_t *found, struct mf_error *err)
{
    struct sought s = {.label = label, .key = key};
    if (each(m, d, seek_entry, &s, err) < 0) {
        return -1;
    }
    if (!s.found || !differs(found, key)) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFREFUSED", "%s %.200s of %s is refused still: %s",
            m->config->documents ? "document" : "row", key, label, s.reason);
    hint_refused(m, d, err);
    return -1;
}

static int some_differ(struct mf_migration *m, enum mf_direction d, const char *label, int64_t n, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFREFUSED",
            "%" PRId64 " %s of %s still differ after the repair: the entries of %s stay", n,
            m->config->documents ? "documents" : "rows", label, label);
    hint_refused(m, d, err);
    return -1;
}

/* Writes a table's rows as the writing side has them now. The entries may go when nothing of it differs any more: entries alone
 * (rows that are equal by now) are no difference here. One that was asked for alone may go whatever the others are. */
static int mend(struct mf_migration *m, enum mf_direction d, const char *label, const char *key, struct mf_error *err)
{
    struct mf_request v = {.kind = MF_REQ_VERIFY, .table = label, .repair = true};
    json_t *found = NULL;
    if (mf_do_verify(m, &v, false, &found, err) < 0) {
        return -1;
    }
    int64_t left = json_integer_value(json_object_get(found, "rows_differing")) -
                   json_integer_value(json_object_get(found, "rows_quarantined_equal")) -
                   json_integer_value(json_object_get(found, "rows_repaired"));
    int rc = left <= 0 ? 0 : key ? one_refused(m, d, label, key, found, err) : some_differ(m, d, label, left, err);
    json_decref(found);
    return rc;
}

static int no_such(struct mf_migration *m, const struct mf_request *r, const struct wanted *w, struct mf_error *err)
{
    bool retry = r->kind == MF_REQ_QUARANTINE_RETRY;
    enum mf_direction live = live_direction(m);
    if (r->number == 0 && w[!live].n == 0) {
        return 0; /* all of none */
    }
    if (retry && w[!live].n > 0) {
        mf_fail(
            err, MF_ABANDONED, "MFDIRECTION",
            "writes are on the %s, and what is in quarantine was refused by the %s: it cannot be tried again from here",
            live == MF_FORWARD ? "source" : "target", live == MF_FORWARD ? "source" : "target");
        mf_hint(err,
                "midflight quarantine show ID has the row; write it by hand where it belongs, then drop the entry.");
        return -1;
    }
    mf_fail(err, MF_FATAL, "MFNOROW", "there is no row %" PRId64 " in quarantine", r->number);
    mf_hint(err, "midflight quarantine list");
    return -1;
}

/* While passes are made: frozen, a retry is a verification like any other. */
static int may_retry(struct mf_migration *m, struct mf_error *err)
{
    if (live_direction(m) != MF_REVERSE || mf_way_back(m) != MF_BACK_BY_PASSES || mf_frozen(m)) {
        return 0;
    }
    mf_fail(err, MF_ABANDONED, "MFMOVING", "each pass tries the rows in quarantine again by itself");
    mf_hint(err, "%s", mf_quarantine_remedy(m, MF_REVERSE));
    return -1;
}

static int act(struct mf_migration *m, const struct mf_request *r, enum mf_direction d, const struct wanted *w,
               int64_t *resolved, struct mf_error *err)
{
    const char *label;
    json_t *ids;
    json_object_foreach(w->tables, label, ids)
    {
        if ((r->kind == MF_REQ_QUARANTINE_RETRY && mend(m, d, label, w->key, err) < 0) ||
            drop(m, d, ids, resolved, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool asked_for(const struct mf_request *r, enum mf_direction d)
{
    return !r->direction || strcmp(r->direction, mf_direction_word(d)) == 0;
}

/* Each database numbers its own entries: a number may be in both. */
static int choose(struct mf_migration *m, const struct mf_request *r, struct wanted *w, struct mf_error *err)
{
    for (int d = MF_FORWARD; d <= MF_REVERSE; d++) {
        if (asked_for(r, (enum mf_direction)d) && each(m, (enum mf_direction)d, take, &w[d], err) < 0) {
            return -1;
        }
    }
    if (r->number && r->kind == MF_REQ_QUARANTINE_DROP && w[MF_FORWARD].n && w[MF_REVERSE].n) {
        mf_fail(err, MF_USAGE, "MFUSAGE", "both directions have a row %" PRId64 " in quarantine", r->number);
        mf_hint(err, "say which: --direction forward (refused by the target) or --direction reverse (by the source)");
        return -1;
    }
    return 0;
}

/* `left` is what is there now, of both directions, whatever was asked for. */
static int done_json(struct mf_migration *m, int64_t resolved, json_t **ret, struct mf_error *err)
{
    int64_t forward = 0, reverse = 0;
    if (mf_quarantine_count(m, MF_FORWARD, &forward, err) < 0 ||
        mf_quarantine_count(m, MF_REVERSE, &reverse, err) < 0) {
        return -1;
    }
    *ret = json_pack("{s:I, s:I}", "resolved", (json_int_t)resolved, "left", (json_int_t)(forward + reverse));
    return 0;
}

int mf_do_quarantine(struct mf_migration *m, const struct mf_request *r, json_t **reply, struct mf_error *err)
{
    bool retry = r->kind == MF_REQ_QUARANTINE_RETRY;
    enum mf_direction live = live_direction(m);
    struct wanted w[2] = {{.tables = json_object(), .only = r->number}, {.tables = json_object(), .only = r->number}};
    int64_t resolved = 0;
    int rc = choose(m, r, w, err);
    if (rc == 0 && (retry ? w[live].n : w[MF_FORWARD].n + w[MF_REVERSE].n) == 0) {
        rc = no_such(m, r, w, err);
    }
    rc = rc == 0 && retry && w[live].n > 0 ? may_retry(m, err) : rc;
    for (int d = MF_FORWARD; rc == 0 && d <= MF_REVERSE; d++) {
        if (!retry || d == (int)live) {
            rc = act(m, r, (enum mf_direction)d, &w[d], &resolved, err);
        }
    }
    json_decref(w[0].tables);
    json_decref(w[1].tables);
    free(w[0].key);
    free(w[1].key);
    return rc < 0 ? -1 : done_json(m, resolved, reply, err);
}
