/*
 * The careful way: one change at a time, in the source's order, each behind a savepoint, so that the one that is refused
 * is known. Slow (a round trip a change) and rare.
 *
 * Quarantine keeps one invariant: a row whose key is in quarantine is NOT in the target. So a refused update takes the old
 * version out as well (an old row that looks like a good one is what nobody notices), and a later whole version of the
 * row puts it back and empties the entry. What finds no row and is not in quarantine, or finds its key taken, means that
 * somebody else has written here: it is mended and told (mode.heal), or the run stops.
 */
#include "connector/mysql/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <mysqld_error.h>
#include <string.h>

static const struct my_expect stepping = {.kind = MY_EXPECT_OK, .doing = "applying in source order"};

static int build(struct my_applier *a, const struct my_attempt *t, struct mf_error *err)
{
    struct my_expect one = {.kind = MY_EXPECT_ROWS, .doing = "updating", .shape = t->s, .want = 1};
    switch (t->kind) {
    case MY_TRY_INSERT:
        return my_insert_rows(a, t->s, t->nows ? t->nows : &t->now, t->nows ? t->n : 1, err);
    case MY_TRY_UPDATE:
        return my_update_row(a, t->s, t->old, t->now, &one, err);
    case MY_TRY_DELETE:
    case MY_TRY_DELETE_LOOSE:
        return my_delete_rows(a, t->s, &t->old, 1, t->kind == MY_TRY_DELETE, err);
    case MY_TRY_DELETE_COPIES:
        break;
    }
    return my_delete_copies(a, t->s, t->old, t->count ? t->count : 1, err);
}

/* The key has a character that its column's character set has not: no row has it. */
static bool no_such_key(const struct my_attempt *t, const struct mf_error *refusal)
{
    return t->kind != MY_TRY_INSERT && my_is_error(refusal, ER_CANT_AGGREGATE_2COLLATIONS);
}

/* A value that there is not: what would have been written is refused without asking the server, and no row has such a key. */
static bool refused_before(struct my_applier *a, const struct my_attempt *t, enum my_outcome *ret,
                           struct mf_error *refusal)
{
    const struct mf_row *const *nows = t->nows ? t->nows : &t->now;
    for (size_t i = 0; *nows && i < (t->nows ? t->n : 1); i++) {
        int at = mf_row_refused(nows[i]);
        if (at >= 0) {
            *ret = MY_REFUSED;
            a->key_taken = false;
            mf_strlcpy(a->bad_column, t->s->table->columns[at].name, sizeof a->bad_column);
            mf_fail(refusal, MF_ROW, "MFVALUE", "%.*s", (int)nows[i]->values[at].len, nows[i]->values[at].data);
            return true;
        }
    }
    if (!t->old || mf_row_refused(t->old) < 0) {
        return false;
    }
    *ret = t->kind == MY_TRY_DELETE_LOOSE ? MY_DONE : MY_MISSING;
    return true;
}

int my_attempt(struct my_applier *a, const struct my_attempt *t, enum my_outcome *ret, struct mf_error *refusal,
               struct mf_error *err)
{
    a->bad_column[0] = 0;
    if (refused_before(a, t, ret, refusal)) {
        return 0;
    }
    if (my_wire_sql(a, "SAVEPOINT midflight", &stepping, err) < 0) {
        return -1;
    }
    if (build(a, t, err) == 0 && my_wire_flush(a, err) == 0) {
        *ret = MY_DONE;
        return 0;
    }
    *refusal = a->failed;
    if (refusal->cls != MF_ROW && refusal->cls != MF_CONFLICT) {
        return my_wire_failed(a, err);
    }
    bool taken = a->key_taken;
    my_wire_forgive(a);
    *ret = mf_streq(refusal->code, "MFMISS") || no_such_key(t, refusal) ? MY_MISSING : MY_REFUSED;
    if (my_wire_sql(a, "ROLLBACK TO SAVEPOINT midflight", &stepping, err) < 0 || my_wire_flush(a, err) < 0) {
        return -1;
    }
    a->key_taken = taken;
    return 0;
}

/* ---- the quarantine, inside the window's transaction ---- */

static int quarantined(struct my_applier *a, const struct mf_table *t, const struct mf_row *row, bool *ret,
                       struct mf_error *err)
{
    uint64_t n = 0;
    *ret = false;
    if (a->has_quarantine && my_quarantine_of(a, "SELECT id FROM midflight.quarantine", t, row, &n, err) < 0) {
        return -1;
    }
    *ret = n > 0;
    return 0;
}

static int heal(struct my_applier *a, const struct mf_table *t, const struct mf_row *row, uint64_t *ret,
                struct mf_error *err)
{
    return a->has_quarantine ? my_quarantine_of(a, "DELETE FROM midflight.quarantine", t, row, ret, err) : 0;
}

static int rename_entry(struct my_applier *a, const struct mf_table *t, const struct mf_row *old,
                        const struct mf_row *now, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20}, sql = {.max = 40u << 20};
    mf_put_key_text(&key, t, now);
    mf_buf_puts(&sql, "UPDATE midflight.quarantine SET `key` = ");
    my_put_literal_n(&sql, mf_buf_str(&key), key.len);
    return my_quarantine_of(a, mf_buf_str(&sql), t, old, NULL, err);
}

/* What a person sees of the row: as much of it as a statement may hold. */
static void put_shown_row(struct my_applier *a, struct mf_buf *json, const struct mf_table *t, const struct mf_row *row)
{
    json->max = a->packet > (64 << 20) ? 16u << 20 : (size_t)a->packet / 4;
    mf_put_row_json(json, t, row);
    if (!mf_buf_ok(json)) {
        mf_buf_reset(json);
        mf_buf_puts(json, "{}");
    }
}

/* The refused row goes to quarantine, or the window fails with what a person needs to know. */
static int reject(struct my_applier *a, const struct mf_table *t, const struct mf_row *row,
                  const struct mf_error *refusal, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20}, json = {0};
    char column[sizeof a->bad_column];
    mf_strlcpy(column, a->bad_column, sizeof column);
    mf_put_key_text(&key, t, row);
    if (!a->mode.keep_rejected) {
        a->failed = *refusal;
        mf_error_prefix(&a->failed, "the target refuses row %.200s of %s.%s%s%s", mf_buf_str(&key), t->schema, t->name,
                        column[0] ? ", column " : "", column);
        return my_wire_failed(a, err);
    }
    struct mf_quarantined q = {.column = column[0] ? column : NULL, .reason = refusal->text, .position = a->checkpoint};
    mf_strlcpy(q.code, refusal->code, sizeof q.code);
    put_shown_row(a, &json, t, row);
    q.row = mf_buf_str(&json);
    return my_put_away(a, t, row, &q, a->result, err);
}

/* The row is not as it must be: told, and the caller mends it (0), or the end of the window. what: "an update found no row". */
static int apart(struct my_applier *a, const struct mf_table *t, const struct mf_row *row, const char *what,
                 struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 600};
    mf_put_key_text(&key, t, row);
    if (a->mode.heal && a->result) {
        mf_result_diverged(a->result, t, what, mf_buf_str(&key));
        return 0;
    }
    mf_fail(&a->failed, MF_FATAL, "MFDIVERGED", "%s: table %s.%s, row %s; somebody else has written to %s", what,
            t->schema, t->name, mf_buf_str(&key), a->db->facts.host);
    mf_hint(&a->failed,
            "find out who, and keep them away; then set on_divergence: repair and start midflight again: it mends "
            "such rows as it meets them, and midflight verify --repair mends the rest");
    return my_wire_failed(a, err);
}

/* ---- one change ---- */

/* What is in the target under this key, if anything, goes. */
static int remove_row(struct my_applier *a, const struct my_shape *s, const struct mf_row *key, struct mf_error *err)
{
    struct mf_error refusal = {0};
    enum my_outcome o;
    bool full = s->table->identity == MF_IDENTITY_FULL;
    struct my_attempt t = {.s = s, .kind = full ? MY_TRY_DELETE_COPIES : MY_TRY_DELETE_LOOSE, .old = key};
    return my_attempt(a, &t, &o, &refusal, err);
}

static int careful_delete(struct my_applier *a, const struct my_shape *s, const struct mf_rowchange *c,
                          struct mf_error *err)
{
    bool full = s->table->identity == MF_IDENTITY_FULL, kept = false;
    bool loose = a->mode.fuzzy && !full;
    struct my_attempt t = {.s = s,
                           .kind = full    ? MY_TRY_DELETE_COPIES
                                   : loose ? MY_TRY_DELETE_LOOSE
                                           : MY_TRY_DELETE,
                           .old = &c->old_row,
                           .count = c->count};
    struct mf_error refusal = {0};
    enum my_outcome o;
    if (my_attempt(a, &t, &o, &refusal, err) < 0) {
        return -1;
    }
    if (loose && o != MY_REFUSED) {
        return heal(a, s->table, &c->old_row, NULL, err);
    }
    if (o == MY_MISSING) {
        if (quarantined(a, s->table, &c->old_row, &kept, err) < 0) {
            return -1;
        }
        return kept ? heal(a, s->table, &c->old_row, NULL, err)
                    : apart(a, s->table, &c->old_row, "a delete found no row", err);
    }
    if (o == MY_REFUSED) {
        a->failed = refusal;
        return my_wire_failed(a, err);
    }
    return 0;
}

/* Refused because its key is taken, by a row that somebody else made: that one goes, and *ret says to try again. Without heal
 * it ends the run: in quarantine our row would be one that the target seems to have. A duplicate in another index is no such thing: that other
 * row is one of the source's too. So is one whose key is equal here only (by_bytes), which the deletion does not find. */
static int key_taken(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, const char *what,
                     bool *ret, struct mf_error *err)
{
    struct my_attempt t = {.s = s, .kind = MY_TRY_DELETE, .old = row};
    struct mf_error ignored = {0};
    enum my_outcome o = MY_MISSING;
    *ret = false;
    if (a->mode.fuzzy || s->table->identity != MF_IDENTITY_KEY || !a->key_taken) {
        return 0;
    }
    if (my_attempt(a, &t, &o, &ignored, err) < 0) {
        return -1;
    }
    *ret = o == MY_DONE;
    return *ret ? apart(a, s->table, row, what, err) : 0;
}

/* A whole row where nothing may be. */
static int insert_one(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, enum my_outcome *ret,
                      struct mf_error *refusal, struct mf_error *err)
{
    struct my_attempt t = {.s = s, .kind = MY_TRY_INSERT, .now = row};
    bool taken = false;
    if (my_attempt(a, &t, ret, refusal, err) < 0 ||
        (*ret != MY_DONE && key_taken(a, s, row, "an insert found its key taken", &taken, err) < 0)) {
        return -1;
    }
    return taken ? my_attempt(a, &t, ret, refusal, err) : 0;
}

/* A whole row over what is there, if anything. */
static int upsert_one(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, enum my_outcome *ret,
                      struct mf_error *refusal, struct mf_error *err)
{
    struct my_attempt t = {.s = s, .kind = MY_TRY_UPDATE, .old = row, .now = row};
    if (my_attempt(a, &t, ret, refusal, err) < 0) {
        return -1;
    }
    t.kind = MY_TRY_INSERT;
    return *ret == MY_MISSING ? my_attempt(a, &t, ret, refusal, err) : 0;
}

static int careful_put(struct my_applier *a, const struct my_shape *s, const struct mf_row *row, uint32_t count,
                       struct mf_error *err)
{
    bool upsert = a->mode.fuzzy && s->table->identity == MF_IDENTITY_KEY;
    for (uint32_t i = 0; i < (count ? count : 1); i++) {
        struct mf_error refusal = {0};
        enum my_outcome o;
        if ((upsert ? upsert_one(a, s, row, &o, &refusal, err) : insert_one(a, s, row, &o, &refusal, err)) < 0) {
            return -1;
        }
        if (o != MY_DONE && mf_result_later(a->result, &a->mode, &refusal)) {
            return 0;
        }
        if (o != MY_DONE) {
            char column[sizeof a->bad_column];
            mf_strlcpy(column, a->bad_column, sizeof column);
            if (upsert && a->mode.keep_rejected && !a->mode.refused_stays && remove_row(a, s, row, err) < 0) {
                return -1;
            }
            mf_strlcpy(a->bad_column, column, sizeof a->bad_column);
            return reject(a, s->table, row, &refusal, err);
        }
    }
    return heal(a, s->table, row, NULL, err);
}

/* Refused: the old version goes, the new one is kept in quarantine. */
static int reject_update(struct my_applier *a, const struct my_shape *s, const struct mf_row *old,
                         const struct mf_row *now, const struct mf_error *refusal, struct mf_error *err)
{
    char column[sizeof a->bad_column];
    mf_strlcpy(column, a->bad_column, sizeof column);
    if ((a->mode.keep_rejected && remove_row(a, s, old, err) < 0) ||
        (!my_same_key(s->table, old, now) && heal(a, s->table, old, NULL, err) < 0)) {
        return -1;
    }
    mf_strlcpy(a->bad_column, column, sizeof a->bad_column);
    return reject(a, s->table, now, refusal, err);
}

static int update_fuzzy(struct my_applier *a, const struct my_shape *s, const struct mf_row *old,
                        const struct mf_row *now, bool moves, struct mf_error *err)
{
    struct mf_error refusal = {0};
    enum my_outcome o;
    bool kept = false;
    if (mf_row_whole(now)) {
        return (moves && (remove_row(a, s, old, err) < 0 || heal(a, s->table, old, NULL, err) < 0)) ||
                       careful_put(a, s, now, 1, err) < 0
                   ? -1
                   : 0;
    }
    if (quarantined(a, s->table, old, &kept, err) < 0) {
        return -1;
    }
    if (kept) {
        return moves ? rename_entry(a, s->table, old, now, err) : 0;
    }
    if (moves && mf_row_refused(now) < 0) {
        return remove_row(a, s, old, err) < 0 || mf_result_missing(a->result, s->table, now, err) < 0 ? -1 : 0;
    }
    struct my_attempt t = {.s = s, .kind = MY_TRY_UPDATE, .old = old, .now = now};
    if (my_attempt(a, &t, &o, &refusal, err) < 0) {
        return -1;
    }
    if (o == MY_MISSING) {
        return a->result ? mf_result_missing(a->result, s->table, old, err) : 0;
    }
    return o == MY_DONE ? 0 : reject_update(a, s, old, now, &refusal, err);
}

/* The row is in quarantine: a whole version may bring it back. */
static int update_quarantined(struct my_applier *a, const struct my_shape *s, const struct mf_row *old,
                              const struct mf_row *now, bool moves, struct mf_error *err)
{
    if (!mf_row_whole(now)) {
        return moves ? rename_entry(a, s->table, old, now, err) : 0;
    }
    return heal(a, s->table, old, NULL, err) < 0 || careful_put(a, s, now, 1, err) < 0 ? -1 : 0;
}

/* A new row with what it leaves unchanged taken from the old one, as far as that is known. NULL: out of memory. */
static const struct mf_row *completed(struct my_applier *a, const struct mf_row *old, const struct mf_row *now)
{
    struct mf_row *r = mf_alloc(&a->scratch, sizeof *r);
    struct mf_value *v = mf_alloc_array(&a->scratch, now->n + 1u, sizeof *v);
    if (!r || !v) {
        return NULL;
    }
    for (uint16_t i = 0; i < now->n; i++) {
        v[i] = now->values[i].kind == MF_UNCHANGED && i < old->n ? old->values[i] : now->values[i];
    }
    *r = (struct mf_row){.n = now->n, .values = v};
    return r;
}

static int no_room(struct my_applier *a, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFBIG", "a row has too many columns");
    return my_wire_fail(a, err);
}

/* It found no row. A whole one is written; another is read again from the origin, by the key it has now. */
static int update_missing(struct my_applier *a, const struct my_shape *s, const struct mf_row *old,
                          const struct mf_row *now, struct mf_error *err)
{
    if (apart(a, s->table, old, "an update found no row", err) < 0) {
        return -1;
    }
    if (mf_row_whole(now)) {
        return careful_put(a, s, now, 1, err);
    }
    const struct mf_row *key = completed(a, old, now);
    return key ? mf_result_missing(a->result, s->table, key, err) : no_room(a, err);
}

static int careful_update(struct my_applier *a, const struct my_shape *s, const struct mf_rowchange *c,
                          struct mf_error *err)
{
    const struct mf_row *old = c->op == MF_ROW_REPLACE ? &c->new_row : &c->old_row, *now = &c->new_row;
    bool moves = !my_same_key(s->table, old, now), kept = false, taken = false;
    struct mf_error refusal = {0};
    enum my_outcome o;
    if (a->mode.fuzzy) {
        return update_fuzzy(a, s, old, now, moves, err);
    }
    struct my_attempt t = {.s = s, .kind = MY_TRY_UPDATE, .old = old, .now = now};
    if (my_attempt(a, &t, &o, &refusal, err) < 0 ||
        (o == MY_REFUSED && moves && key_taken(a, s, now, "an update found its new key taken", &taken, err) < 0) ||
        (taken && my_attempt(a, &t, &o, &refusal, err) < 0)) {
        return -1;
    }
    if (o == MY_DONE) {
        return 0;
    }
    if (o == MY_REFUSED) {
        return reject_update(a, s, old, now, &refusal, err);
    }
    if (quarantined(a, s->table, old, &kept, err) < 0) {
        return -1;
    }
    return kept ? update_quarantined(a, s, old, now, moves, err) : update_missing(a, s, old, now, err);
}

/* Without a key an update is the old copy going and the new one coming. */
static int careful_update_full(struct my_applier *a, const struct my_shape *s, const struct mf_rowchange *c,
                               struct mf_error *err)
{
    const struct mf_row *row = completed(a, &c->old_row, &c->new_row);
    if (!row) {
        return no_room(a, err);
    }
    return careful_delete(a, s, c, err) < 0 || careful_put(a, s, row, c->count, err) < 0 ? -1 : 0;
}

static int careful_table(struct my_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    struct my_shape *s;
    if (my_shape_for(a, b->table, &s, err) < 0) {
        return -1;
    }
    bool full = b->table->identity == MF_IDENTITY_FULL;
    for (size_t i = 0; i < b->ndeletes; i++) {
        if (careful_delete(a, s, b->deletes[i], err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < b->nupdates; i++) {
        if ((full ? careful_update_full(a, s, b->updates[i], err) : careful_update(a, s, b->updates[i], err)) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < b->ninserts; i++) {
        if (careful_put(a, s, &b->inserts[i]->new_row, b->inserts[i]->count, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int my_batch_careful(struct my_applier *a, const struct mf_batch *b, struct mf_error *err)
{
    int rc = my_wire_flush(a, err); /* START TRANSACTION and the checkpoint: is anything in quarantine? */
    if (rc == 0 && b->truncate) {
        rc = my_batch_truncate(a, b->truncate, err) < 0 ? -1 : my_wire_flush(a, err);
    }
    for (size_t i = 0; rc == 0 && i < b->ntables; i++) {
        rc = careful_table(a, &b->tables[i], err);
    }
    return rc < 0 ? my_wire_fail(a, err) : 0;
}
