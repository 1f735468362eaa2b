/*
 * The careful way: one change at a time, in the source's order, each behind a savepoint, so that the one that is refused
 * is known. Slow (a round trip a change) and rare.
 *
 * Quarantine keeps one invariant: a row whose key is in quarantine is NOT in the target. So a refused update takes the old
 * version out as well (an old row that looks like a good one is what nobody notices), and a later whole version of the
 * row puts it back and empties the entry. What finds no row and is not in quarantine, or finds its key taken, means that
 * somebody else has written here: it is mended and told (mode.heal), or the run stops.
 */
#include "connector/postgres/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static int command(struct pg_applier *a, const char *sql, struct mf_error *err)
{
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = "applying in source order"};
    return pg_wire_sql(a, sql, &e, err);
}

/* A value that there is not: what would have been written is refused without asking the server, and no row has such a key. */
static bool refused_before(struct pg_applier *a, const struct pg_attempt *t, const struct pg_rows *rows,
                           enum pg_outcome *ret, struct mf_error *refusal)
{
    for (size_t i = 0; rows->news && i < rows->n; i++) {
        const struct mf_row *now = rows->news[i];
        int at = mf_row_refused(now);
        if (at >= 0) {
            *ret = PG_REFUSED;
            mf_strlcpy(a->bad_column, t->s->table->columns[at].name, sizeof(a->bad_column));
            mf_fail(refusal, MF_ROW, "MFVALUE", "%.*s", (int)now->values[at].len, now->values[at].data);
            return true;
        }
    }
    if (!t->old || mf_row_refused(t->old) < 0) {
        return false;
    }
    *ret = t->kind == PG_STMT_DELETE_LOOSE ? PG_DONE : PG_MISSING;
    return true;
}

int pg_attempt(struct pg_applier *a, const struct pg_attempt *t, enum pg_outcome *ret, struct mf_error *refusal,
               struct mf_error *err)
{
    const struct mf_row *olds[] = {t->old}, *nows[] = {t->now};
    uint32_t counts[] = {t->count ? t->count : 1};
    struct pg_rows rows = {
        .olds = t->old ? olds : NULL, .news = t->now ? nows : NULL, .counts = counts, .n = 1, .report = t->report};
    if (t->nows) {
        rows = (struct pg_rows){.news = t->nows, .n = t->n};
    }
    a->bad_column[0] = 0;
    if (refused_before(a, t, &rows, ret, refusal)) {
        return 0;
    }
    if (command(a, "SAVEPOINT midflight", err) < 0) {
        return -1;
    }
    int sent = pg_send_rows(a, t->s, t->kind, t->moves_key, t->unchanged, &rows, err);
    if (sent == 0) {
        sent = command(a, "RELEASE SAVEPOINT midflight", err);
    }
    int synced = pg_wire_sync(a, err);
    if (sent == 0 && synced == 0) {
        *ret = PG_DONE;
        return 0;
    }
    *refusal = a->failed;
    if (refusal->cls != MF_ROW && refusal->cls != MF_CONFLICT) {
        return pg_wire_failed(a, err);
    }
    pg_wire_forgive(a);
    *ret = mf_streq(refusal->code, "MF001") ? PG_MISSING : PG_REFUSED;
    return command(a, "ROLLBACK TO SAVEPOINT midflight", err) < 0 ||
                   command(a, "RELEASE SAVEPOINT midflight", err) < 0 || pg_wire_sync(a, err) < 0
               ? -1
               : 0;
}

/* ---- the quarantine, inside the window's transaction ---- */

static int by_key(struct pg_applier *a, const char *sql, const struct mf_table *t, const struct mf_row *row,
                  const char *extra, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20};
    struct pg_expect e = {.kind = PG_EXPECT_COUNT, .doing = "reading the quarantine"};
    mf_buf_printf(&key, "%s.%s:", t->schema, t->name);
    mf_put_key_text(&key, t, row);
    const char *values[] = {a->pipe.migration, pg_direction(a->pipe.direction), mf_buf_str(&key), extra};
    a->answer = 0;
    return pg_wire_params(a, sql, extra ? 4 : 3, values, &e, err) < 0 || pg_wire_sync(a, err) < 0 ? -1 : 0;
}

#define ENTRY " WHERE migration = $1 AND direction = $2 AND (schema_name || '.' || table_name || ':' || key) = $3"

static int quarantined(struct pg_applier *a, const struct mf_table *t, const struct mf_row *row, bool *ret,
                       struct mf_error *err)
{
    *ret = false;
    if (!a->has_quarantine) {
        return 0;
    }
    if (by_key(a, "SELECT id FROM midflight.quarantine" ENTRY, t, row, NULL, err) < 0) {
        return -1;
    }
    *ret = a->answer > 0;
    return 0;
}

static int heal(struct pg_applier *a, const struct mf_table *t, const struct mf_row *row, struct mf_error *err)
{
    return a->has_quarantine ? by_key(a, "DELETE FROM midflight.quarantine" ENTRY, t, row, NULL, err) : 0;
}

static int rename_entry(struct pg_applier *a, const struct mf_table *t, const struct mf_row *old,
                        const struct mf_row *now, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20};
    mf_put_key_text(&key, t, now);
    return by_key(a, "UPDATE midflight.quarantine SET key = $4" ENTRY, t, old, mf_buf_str(&key), err);
}

int pg_put_away(struct pg_applier *a, const struct mf_table *t, const struct mf_row *row,
                const struct mf_quarantined *refused, struct mf_window_result *result, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20}, sql = {.max = 600u << 20};
    struct pg_expect e = {.kind = PG_EXPECT_OK, .doing = "writing to the quarantine"};
    struct mf_quarantined q = *refused;
    struct mf_error why = {.cls = MF_ROW};
    mf_put_key_text(&key, t, row);
    q.key = mf_buf_str(&key);
    mf_strlcpy(q.schema, t->schema, sizeof(q.schema));
    mf_strlcpy(q.table, t->name, sizeof(q.table));
    pg_put_quarantine_insert(&sql, &a->pipe, &q);
    if (!mf_buf_ok(&sql)) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a refused row is too big for the quarantine");
    }
    a->answer = 0;
    if (heal(a, t, row, err) < 0) {
        return -1;
    }
    bool again = a->answer > 0; /* it was in quarantine already */
    if (pg_wire_sql(a, mf_buf_str(&sql), &e, err) < 0 || pg_wire_sync(a, err) < 0) {
        return -1;
    }
    a->has_quarantine = true;
    mf_strlcpy(why.code, q.code, sizeof(why.code));
    mf_strlcpy(why.text, q.reason ? q.reason : "", sizeof(why.text));
    mf_result_refused(result, t, q.key, &why);
    if (result && !again) {
        result->quarantined++;
    }
    return 0;
}

/* The refused row goes to quarantine, or the window fails with what a person needs to know. */
static int reject(struct pg_applier *a, const struct mf_table *t, const struct mf_row *row,
                  const struct mf_error *refusal, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = 16u << 20}, json = {.max = 256u << 20};
    char column[sizeof(a->bad_column)];
    mf_strlcpy(column, a->bad_column, sizeof(column));
    mf_put_key_text(&key, t, row);
    if (!a->mode.keep_rejected) {
        a->failed = *refusal;
        mf_error_prefix(&a->failed, "the target refuses row %.200s of %s.%s%s%s", mf_buf_str(&key), t->schema, t->name,
                        column[0] ? ", column " : "", column);
        return pg_wire_failed(a, err);
    }
    struct mf_quarantined q = {.column = column[0] ? column : NULL, .reason = refusal->text, .position = a->checkpoint};
    mf_strlcpy(q.code, refusal->code, sizeof(q.code));
    mf_put_row_json(&json, t, row);
    q.row = mf_buf_str(&json);
    return pg_put_away(a, t, row, &q, a->result, err);
}

/* The row is not as it must be: told, and the caller mends it (0), or the end of the window. what: "an update found no row". */
static int apart(struct pg_applier *a, const struct mf_table *t, const struct mf_row *row, const char *what,
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
    return pg_wire_failed(a, err);
}

/* ---- one change ---- */

/* A bit for each column that keeps its value, or NULL when none does. */
static const uint8_t *unchanged_bits(struct pg_applier *a, const struct mf_row *row)
{
    if (mf_row_whole(row)) {
        return NULL;
    }
    uint8_t *bits = mf_alloc0(&a->scratch, (row->n + 7u) / 8);
    for (uint16_t i = 0; bits && i < row->n; i++) {
        if (row->values[i].kind == MF_UNCHANGED) {
            bits[i / 8] |= (uint8_t)(1u << (i % 8));
        }
    }
    return bits;
}

/* What is in the target under this key, if anything, goes. */
static int remove_row(struct pg_applier *a, struct pg_shape *s, const struct mf_row *key, struct mf_error *err)
{
    struct mf_error refusal = {0};
    enum pg_outcome o;
    bool full = s->table->identity == MF_IDENTITY_FULL;
    struct pg_attempt t = {.s = s, .kind = full ? PG_STMT_DELETE_COPIES : PG_STMT_DELETE_LOOSE, .old = key};
    return pg_attempt(a, &t, &o, &refusal, err);
}

static int careful_delete(struct pg_applier *a, struct pg_shape *s, const struct mf_rowchange *c, struct mf_error *err)
{
    bool full = s->table->identity == MF_IDENTITY_FULL, kept = false;
    bool loose = a->mode.fuzzy && !full;
    struct pg_attempt t = {.s = s,
                           .kind = full    ? PG_STMT_DELETE_COPIES
                                   : loose ? PG_STMT_DELETE_LOOSE
                                           : PG_STMT_DELETE,
                           .old = &c->old_row,
                           .count = c->count};
    struct mf_error refusal = {0};
    enum pg_outcome o;
    if (pg_attempt(a, &t, &o, &refusal, err) < 0) {
        return -1;
    }
    if (loose && o == PG_DONE) {
        return heal(a, s->table, &c->old_row, err);
    }
    if (o == PG_MISSING) {
        if (quarantined(a, s->table, &c->old_row, &kept, err) < 0) {
            return -1;
        }
        return kept ? heal(a, s->table, &c->old_row, err)
                    : apart(a, s->table, &c->old_row, "a delete found no row", err);
    }
    if (o == PG_REFUSED) {
        a->failed = refusal;
        return pg_wire_failed(a, err);
    }
    return 0;
}

/* Refused because its key is taken, by a row that somebody else made: that one goes, and *ret says to try again. Without heal
 * it ends the run: in quarantine our row would be one that the target seems to have. */
static int key_taken(struct pg_applier *a, struct pg_shape *s, const struct mf_row *row, const char *what,
                     const struct mf_error *refusal, bool *ret, struct mf_error *err)
{
    struct pg_attempt t = {.s = s, .kind = PG_STMT_DELETE, .old = row};
    struct mf_error ignored = {0};
    enum pg_outcome o = PG_MISSING;
    *ret = false;
    if (a->mode.fuzzy || s->table->identity != MF_IDENTITY_KEY || !mf_streq(refusal->code, "23505")) {
        return 0;
    }
    if (pg_attempt(a, &t, &o, &ignored, err) < 0) {
        return -1;
    }
    *ret = o == PG_DONE;
    return *ret ? apart(a, s->table, row, what, err) : 0;
}

/* A whole row: over what is there (fuzzy), or where nothing may be. */
static int careful_put(struct pg_applier *a, struct pg_shape *s, const struct mf_row *row, uint32_t count,
                       struct mf_error *err)
{
    bool upsert = a->mode.fuzzy && s->table->identity == MF_IDENTITY_KEY;
    struct pg_attempt t = {.s = s, .kind = upsert ? PG_STMT_UPSERT : PG_STMT_INSERT, .now = row};
    for (uint32_t i = 0; i < (count ? count : 1); i++) {
        struct mf_error refusal = {0};
        enum pg_outcome o;
        bool taken = false;
        if (pg_attempt(a, &t, &o, &refusal, err) < 0 ||
            (o != PG_DONE && key_taken(a, s, row, "an insert found its key taken", &refusal, &taken, err) < 0) ||
            (taken && pg_attempt(a, &t, &o, &refusal, err) < 0)) {
            return -1;
        }
        if (o != PG_DONE && mf_result_later(a->result, &a->mode, &refusal)) {
            return 0;
        }
        if (o != PG_DONE) {
            if (upsert && a->mode.keep_rejected && !a->mode.refused_stays && remove_row(a, s, row, err) < 0) {
                return -1;
            }
            return reject(a, s->table, row, &refusal, err);
        }
    }
    return heal(a, s->table, row, err);
}

static int update_fuzzy(struct pg_applier *a, struct pg_shape *s, const struct mf_rowchange *c, const uint8_t *bits,
                        bool moves, struct mf_error *err)
{
    struct mf_error refusal = {0};
    enum pg_outcome o;
    bool kept = false;
    if (!bits) {
        return (moves && (remove_row(a, s, &c->old_row, err) < 0 || heal(a, s->table, &c->old_row, err) < 0)) ||
                       careful_put(a, s, &c->new_row, 1, err) < 0
                   ? -1
                   : 0;
    }
    if (quarantined(a, s->table, &c->old_row, &kept, err) < 0) {
        return -1;
    }
    if (kept) {
        return moves ? rename_entry(a, s->table, &c->old_row, &c->new_row, err) : 0;
    }
    if (moves && mf_row_refused(&c->new_row) < 0) {
        return remove_row(a, s, &c->old_row, err) < 0 || mf_result_missing(a->result, s->table, &c->new_row, err) < 0
                   ? -1
                   : 0;
    }
    struct pg_attempt t = {.s = s,
                           .kind = PG_STMT_UPDATE_FOUND,
                           .report = a->result != NULL,
                           .unchanged = bits,
                           .old = &c->old_row,
                           .now = &c->new_row};
    if (pg_attempt(a, &t, &o, &refusal, err) < 0) {
        return -1;
    }
    if (o == PG_DONE) {
        return 0;
    }
    return (a->mode.keep_rejected && remove_row(a, s, &c->old_row, err) < 0) ||
                   reject(a, s->table, &c->new_row, &refusal, err) < 0
               ? -1
               : 0;
}

/* The row is in quarantine: a whole version may bring it back. */
static int update_quarantined(struct pg_applier *a, struct pg_shape *s, const struct mf_rowchange *c,
                              const struct mf_row *old, const uint8_t *bits, bool moves, struct mf_error *err)
{
    if (bits) {
        return moves ? rename_entry(a, s->table, old, &c->new_row, err) : 0;
    }
    return heal(a, s->table, old, err) < 0 || careful_put(a, s, &c->new_row, 1, err) < 0 ? -1 : 0;
}

/* It found no row. A whole one is written; another is read again from the origin, by the key it has now. */
static int update_missing(struct pg_applier *a, struct pg_shape *s, const struct mf_rowchange *c,
                          const struct mf_row *old, const uint8_t *bits, struct mf_error *err)
{
    if (apart(a, s->table, old, "an update found no row", err) < 0) {
        return -1;
    }
    if (!bits) {
        return careful_put(a, s, &c->new_row, 1, err);
    }
    struct mf_value *v = mf_alloc_array(&a->scratch, c->new_row.n, sizeof(*v));
    if (!v) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a row has too many columns");
    }
    for (uint16_t i = 0; i < c->new_row.n; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED && i < old->n ? old->values[i] : c->new_row.values[i];
    }
    struct mf_row key = {.n = c->new_row.n, .values = v};
    return mf_result_missing(a->result, s->table, &key, err);
}

static int careful_update(struct pg_applier *a, struct pg_shape *s, const struct mf_rowchange *c, struct mf_error *err)
{
    const struct mf_row *old = c->op == MF_ROW_REPLACE ? &c->new_row : &c->old_row;
    const uint8_t *bits = unchanged_bits(a, &c->new_row);
    bool moves = !pg_same_key(s->table, old, &c->new_row), kept = false;
    struct mf_error refusal = {0};
    enum pg_outcome o;
    if (a->mode.fuzzy) {
        struct mf_rowchange same = *c;
        same.old_row = *old;
        return update_fuzzy(a, s, &same, bits, moves, err);
    }
    struct pg_attempt t = {
        .s = s, .kind = PG_STMT_UPDATE, .moves_key = moves, .unchanged = bits, .old = old, .now = &c->new_row};
    bool taken = false;
    if (pg_attempt(a, &t, &o, &refusal, err) < 0 ||
        (o == PG_REFUSED && moves &&
         key_taken(a, s, &c->new_row, "an update found its new key taken", &refusal, &taken, err) < 0) ||
        (taken && pg_attempt(a, &t, &o, &refusal, err) < 0)) {
        return -1;
    }
    if (o == PG_DONE) {
        return 0;
    }
    if (o == PG_MISSING) {
        if (quarantined(a, s->table, old, &kept, err) < 0) {
            return -1;
        }
        return kept ? update_quarantined(a, s, c, old, bits, moves, err) : update_missing(a, s, c, old, bits, err);
    }
    return (a->mode.keep_rejected && remove_row(a, s, old, err) < 0) || (moves && heal(a, s->table, old, err) < 0) ||
                   reject(a, s->table, &c->new_row, &refusal, err) < 0
               ? -1
               : 0;
}

/* Without a key an update is the old copy going and the new one coming. */
static int careful_update_full(struct pg_applier *a, struct pg_shape *s, const struct mf_rowchange *c,
                               struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(&a->scratch, c->new_row.n, sizeof(*v));
    if (!v) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a row has too many columns");
    }
    for (uint16_t i = 0; i < c->new_row.n; i++) {
        v[i] = c->new_row.values[i].kind == MF_UNCHANGED ? c->old_row.values[i] : c->new_row.values[i];
    }
    struct mf_row row = {.n = c->new_row.n, .values = v};
    return careful_delete(a, s, c, err) < 0 || careful_put(a, s, &row, c->count, err) < 0 ? -1 : 0;
}

static int careful_table(struct pg_applier *a, const struct mf_batch_table *b, struct mf_error *err)
{
    struct pg_shape *s;
    if (pg_shape_for(a, b->table, &s, err) < 0) {
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

int pg_batch_careful(struct pg_applier *a, const struct mf_batch *b, struct mf_error *err)
{
    int rc = a->count > 0 ? pg_wire_sync(a, err) : 0; /* BEGIN and the checkpoint: is anything in quarantine? */
    if (rc == 0 && b->truncate) {
        rc = pg_batch_truncate(a, b->truncate, err) < 0 ? -1 : pg_wire_sync(a, err);
    }
    for (size_t i = 0; rc == 0 && i < b->ntables; i++) {
        rc = careful_table(a, &b->tables[i], err);
    }
    if (rc < 0 && a->failed.cls == MF_OK) {
        a->failed = *err;
    }
    return rc;
}
