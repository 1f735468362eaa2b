/*
 * The way back: documents made of the new side's rows are written to the collections they came from.
 *
 * There is no transaction that could hold a window here (one has a time limit, and servers of one member without replication have none): mf_connector.puts_whole. Documents are
 * put whole, each time over what is there, so what is put again after a failure ends the same; the checkpoint is written when all of a window is acknowledged by a majority. Before
 * its documents a window announces them (intent.h), and its number is given to no other, so that a window which failed and comes again is known by both.
 *
 * The last change of a document in a window is what it comes to (change/window.h), and documents do not refer to each other: so the order in a window means something only
 * where a unique index does. What one refuses is given anew at the window's end (anew.c). What is refused even then is MF_CONFLICT, and the window comes again in source
 * order, so that it is known which document goes to quarantine.
 */
#include "connector/mongodb/apply.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_ARENA  ((size_t)1 << 30)
#define KEY_TEXT_MAX ((size_t)1 << 20)
#define ROW_JSON_MAX ((size_t)1 << 20)

/* ---- an applier ---- */

static int last_window(void *ctx, const bson_t *doc, struct mf_error *err)
{
    int64_t *last = ctx, n = mongo_int(doc, "window", 0);
    (void)err;
    *last = n > *last ? n : *last;
    return 0;
}

/* Also those that never came to a checkpoint. */
static int find_window(struct mongo_applier *a, struct mf_error *err)
{
    MONGO_BSON(filter);
    struct mongo_db *db = mongo_db_of(a->base.db);
    BSON_APPEND_UTF8(&filter, "migration", a->pipe.migration);
    BSON_APPEND_UTF8(&filter, "direction", mongo_direction(a->pipe.direction));
    return mongo_checkpoint_read(db, &a->pipe, true, &a->last, &a->window, err) < 0 ||
                   mongo_book_each(db, "window", &filter, last_window, &a->window, err) < 0 ||
                   mongo_quarantine_any(db, &a->pipe, &a->has_quarantine, err) < 0
               ? -1
               : 0;
}

static void next_window(struct mongo_applier *a)
{
    a->window++;
    a->part = 0;
    a->nputs = a->bytes = 0;
    mf_arena_reset(&a->arena);
    mongo_left_clear(a);
}

int mongo_applier_open(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err)
{
    struct mongo_applier *a = mf_xcalloc(1, sizeof *a);
    a->base.db = db;
    a->pipe = *pipe;
    mf_arena_init(&a->arena, GROUP_ARENA);
    mf_arena_init(&a->kept, GROUP_ARENA);
    if (find_window(a, err) < 0) {
        mongo_applier_close(&a->base);
        return -1;
    }
    *ret = &a->base;
    return 0;
}

void mongo_applier_close(struct mf_applier *base)
{
    struct mongo_applier *a = (struct mongo_applier *)base;
    if (a) {
        mf_arena_free(&a->arena);
        mf_arena_free(&a->kept);
        free(a);
    }
}

/* Another process has applied this stream since: what it wrote is newer than what this window would put over it. One whose answer was lost is our own. */
static int check_alone(struct mongo_applier *a, const struct mf_position *checkpoint, struct mf_error *err)
{
    struct mf_position at;
    int64_t window;
    if (mongo_checkpoint_read(mongo_db_of(a->base.db), &a->pipe, false, &at, &window, err) < 0) {
        return -1;
    }
    bool others = window > a->window || (at.order > a->last.order && window != a->window);
    if (!others && checkpoint->order >= a->last.order) {
        return 0;
    }
    return mf_fail(err, MF_FATAL, "MFTWICE",
                   "the checkpoint in the deployment (%" PRIu64 ") is not where this window (%" PRIu64
                   ") goes on: another process has applied this stream",
                   at.order, checkpoint->order);
}

int mongo_window_begin(struct mf_applier *base, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                       struct mf_error *err)
{
    struct mongo_applier *a = (struct mongo_applier *)base;
    if (check_alone(a, checkpoint, err) < 0) {
        return -1;
    }
    next_window(a);
    a->checkpoint = *checkpoint;
    a->mode = *mode;
    return MF_FAULT(err, "mongodb.window_begin");
}

/* ---- changes ---- */

static const struct mf_value *id_of(const struct mf_table *t, const struct mf_row *row)
{
    return &row->values[t->key[0]];
}

/* The column that is not the key. */
static const struct mf_value *document_of(const struct mf_table *t, const struct mf_row *row)
{
    return &row->values[t->key[0] == 0 ? 1 : 0];
}

static int check_row(const struct mf_table *t, const struct mf_row *row, struct mf_error *err)
{
    int refused = row->n == 2 ? mf_row_refused(row) : -1;
    if (t->ncolumns != 2 || t->nkey != 1 || row->n != 2 || id_of(t, row)->kind != MF_TEXT) {
        if (refused < 0) {
            return mf_fail(err, MF_FATAL, "MFBUG", "%s.%s is no collection's table", t->schema, t->name);
        }
    }
    if (refused >= 0) {
        return mf_fail(err, MF_ROW, "MFVALUE", "%.*s", (int)row->values[refused].len, row->values[refused].data);
    }
    return 0;
}

static int put_row(struct mongo_applier *a, const struct mf_table *t, const struct mf_row *row, struct mf_error *err)
{
    if (check_row(t, row, err) < 0) {
        return -1;
    }
    const struct mf_value *document = document_of(t, row);
    if (document->kind == MF_UNCHANGED) {
        return mf_result_missing(a->result, t, row, err);
    }
    if (document->kind == MF_NULL) {
        return mf_fail(err, MF_ROW, "MFDOC", "a document that is NULL");
    }
    return mongo_put_add(a, t, id_of(t, row), document, err);
}

static int remove_row(struct mongo_applier *a, const struct mf_table *t, const struct mf_row *row, struct mf_error *err)
{
    static const struct mf_value nothing = {.kind = MF_NULL};
    struct mf_value ignored;
    struct mf_error why = {0};
    if (row->n != t->ncolumns || id_of(t, row)->kind != MF_TEXT) {
        return 0; /* no document has such a key */
    }
    if (mf_bson_id_document(&a->arena, id_of(t, row), &ignored, &why) < 0 && why.cls == MF_ROW) {
        return 0; /* nor one that is no id: a row of the new side's that never was one */
    }
    return mongo_put_add(a, t, id_of(t, row), &nothing, err);
}

static bool moves(const struct mf_table *t, const struct mf_rowchange *c)
{
    return c->op == MF_ROW_UPDATE && c->old_row.n == t->ncolumns && id_of(t, &c->old_row)->kind == MF_TEXT &&
           !mf_value_equal(id_of(t, &c->old_row), id_of(t, &c->new_row));
}

static int change(struct mongo_applier *a, const struct mf_table *t, const struct mf_rowchange *c, struct mf_error *err)
{
    if (c->op == MF_ROW_DELETE) {
        return remove_row(a, t, &c->old_row, err);
    }
    return put_row(a, t, &c->new_row, err) < 0 || (moves(t, c) && remove_row(a, t, &c->old_row, err) < 0) ? -1 : 0;
}

static int forget(struct mongo_applier *a, const struct mf_table *t, const struct mf_row *row, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = KEY_TEXT_MAX};
    if (!a->has_quarantine) {
        return 0;
    }
    mf_put_key_text(&key, t, row);
    return mongo_quarantine_forget(mongo_db_of(a->base.db), &a->pipe, t, mf_buf_str(&key), err);
}

/* ---- documents that are refused ---- */

static int enter(struct mongo_applier *a, const char *schema, const char *name, struct mf_quarantined *q,
                 const struct mf_value *document, const struct mf_error *why, struct mf_error *err)
{
    struct mf_table t = {.schema = schema, .name = name};
    bool new_entry = false;
    mf_strlcpy(q->schema, schema, sizeof q->schema);
    mf_strlcpy(q->table, name, sizeof q->table);
    mf_strlcpy(q->code, why->code, sizeof q->code);
    if (MF_FAULT(err, "mongodb.quarantine") ||
        mongo_quarantine_keep(mongo_db_of(a->base.db), &a->pipe, q, mongo_is_error(why, 11000) ? document : NULL,
                              &new_entry, err) < 0) {
        return -1;
    }
    a->has_quarantine = true;
    if (a->result) {
        a->result->quarantined += new_entry;
        mf_result_refused(a->result, &t, q->key, why);
    }
    return 0;
}

/* What is there stays: it has ignored fields that the new side's rows do not have, and nobody could bring them back. The entry says that it is older. */
static int leave_out(struct mongo_applier *a, const struct mf_table *t, const struct mf_rowchange *c,
                     const struct mf_error *why, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf key = {.max = KEY_TEXT_MAX}, json = {.max = ROW_JSON_MAX};
    const struct mf_row *row = c->op == MF_ROW_DELETE ? &c->old_row : &c->new_row;
    mf_put_key_text(&key, t, row);
    if (row->n == 2 && document_of(t, row)->kind == MF_BINARY) {
        mf_bson_put_json(&json, document_of(t, row), ROW_JSON_MAX / 2);
    } else {
        mf_put_row_json(&json, t, row);
    }
    struct mf_quarantined q = {.key = mf_buf_str(&key),
                               .column = mf_refused_column(t, row, why),
                               .reason = why->text,
                               .row = mf_buf_ok(&json) ? mf_buf_str(&json) : "{}",
                               .position = a->checkpoint};
    mongo_left_over(a, t, id_of(t, row));
    return enter(a, t->schema, t->name, &q, row->n == 2 ? document_of(t, row) : NULL, why, err);
}

static bool left(const struct mongo_applier *a, const struct mf_table *t, const struct mf_row *row)
{
    return a->nleft && id_of(t, row)->kind == MF_TEXT && mongo_is_left(a, t, id_of(t, row));
}

static int careful(struct mongo_applier *a, const struct mf_table *t, const struct mf_rowchange *c,
                   struct mf_error *err)
{
    const struct mf_row *row = c->op == MF_ROW_DELETE ? &c->old_row : &c->new_row;
    if (change(a, t, c, err) == 0 && mongo_put_group(a, t, err) == 0) {
        return (!left(a, t, row) && forget(a, t, row, err) < 0) || (moves(t, c) && forget(a, t, &c->old_row, err) < 0)
                   ? -1
                   : 0;
    }
    struct mf_error why = *err;
    a->nputs = a->bytes = 0;
    if (why.cls == MF_CONFLICT) {
        why.cls = err->cls = MF_ROW; /* in source order, too */
    }
    if (why.cls != MF_ROW || !a->mode.keep_rejected) {
        return -1;
    }
    mf_error_clear(err);
    return mf_result_later(a->result, &a->mode, &why) ? 0 : leave_out(a, t, c, &why, err);
}

static int changes(struct mongo_applier *a, const struct mf_table *t, struct mf_rowchange **list, size_t n,
                   struct mf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if ((a->mode.careful ? careful(a, t, list[i], err) : change(a, t, list[i], err)) < 0) {
            return -1;
        }
    }
    if (mongo_put_group(a, t, err) < 0) {
        return -1;
    }
    for (size_t i = 0; !a->mode.careful && i < n; i++) { /* an entry goes when its document is acknowledged */
        const struct mf_row *row = list[i]->op == MF_ROW_DELETE ? &list[i]->old_row : &list[i]->new_row;
        if (!left(a, t, row) && forget(a, t, row, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the end of a window ---- */

static int leave_out_left(struct mongo_applier *a, const struct mongo_left *l, const struct mf_error *why,
                          struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf json = {.max = ROW_JSON_MAX};
    mf_bson_put_json(&json, &l->put.wanted, ROW_JSON_MAX / 2);
    struct mf_quarantined q = {.key = l->key,
                               .reason = why->text,
                               .row = mf_buf_ok(&json) ? mf_buf_str(&json) : "{}",
                               .position = a->checkpoint};
    return enter(a, l->schema, l->name, &q, &l->put.wanted, why, err);
}

/* One that is refused for good: its window comes again carefully, and then it goes to quarantine. */
static int refuse_left(struct mongo_applier *a, const struct mongo_left *l, struct mf_error *err)
{
    struct mf_error why = {0};
    char code[16];
    snprintf(code, sizeof code, "%d", (int)l->put.code);
    mf_fail(&why, a->mode.careful ? MF_ROW : MF_CONFLICT, code, "%s", l->put.taken);
    mf_error_prefix(&why, "writing documents of %s.%s", l->schema, l->name);
    if (!a->mode.careful || !a->mode.keep_rejected) {
        *err = why;
        return -1;
    }
    return leave_out_left(a, l, &why, err);
}

static int end_left(struct mongo_applier *a, struct mf_error *err)
{
    if (mongo_left_settle(a, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < a->nleft; i++) {
        const struct mongo_left *l = &a->left[i];
        struct mf_table t = {.schema = l->schema, .name = l->name};
        if (l->over || (l->entry && l->put.taken)) {
            continue;
        }
        if (l->put.taken ? refuse_left(a, l, err) < 0
                         : a->has_quarantine &&
                               mongo_quarantine_forget(mongo_db_of(a->base.db), &a->pipe, &t, l->key, err) < 0) {
            return -1;
        }
    }
    mongo_left_clear(a);
    return 0;
}

/* ---- windows ---- */

struct emptying {
    struct mongo_applier *a;
    const struct mf_table *t;
    struct mf_arena arena; /* of one id: the applier's is a group's */
};

static void free_emptying(struct emptying *e)
{
    mf_arena_free(&e->arena);
}

static int empty_one(void *ctx, const bson_t *doc, struct mf_error *err)
{
    static const struct mf_value nothing = {.kind = MF_NULL};
    struct emptying *e = ctx;
    struct mf_value v = {.kind = MF_BINARY, .data = (const char *)bson_get_data(doc), .len = doc->len}, id;
    struct mf_error why = {0};
    mf_arena_reset(&e->arena);
    if (mf_bson_id_of(&e->arena, &v, &id, &why) < 0) {
        *err = why;
        return why.cls == MF_ROW ? (mf_error_clear(err), 0) : -1; /* the tables never had it */
    }
    return mongo_put_add(e->a, e->t, &id, &nothing, err);
}

/* Document by document, as anything else that is announced. */
static int empty_collection(struct mongo_applier *a, const struct mf_table *t, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t part;
    MF_CLEANUP(free_emptying) struct emptying e = {.a = a, .t = t};
    mf_arena_init(&e.arena, MF_ID_BYTES * 4);
    BSON_APPEND_UTF8(&c, "find", t->name);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "projection", &part);
    BSON_APPEND_INT32(&part, "_id", 1);
    bson_append_document_end(&c, &part);
    mongo_ask_majority(mongo_db_of(a->base.db), &c);
    for (size_t i = 0; i < a->nleft; i++) {
        a->left[i].over |= mf_streq(a->left[i].schema, t->schema) && mf_streq(a->left[i].name, t->name);
    }
    return mongo_each(mongo_db_of(a->base.db), MONGO_PRIMARY, t->schema, &c, empty_one, &e, err) < 0 ||
                   mongo_put_group(a, t, err) < 0 ||
                   (a->has_quarantine && mongo_quarantine_forget_table(mongo_db_of(a->base.db), &a->pipe, t, err) < 0)
               ? -1
               : 0;
}

int mongo_window_batch(struct mf_applier *base, const struct mf_batch *b, struct mf_window_result *result,
                       struct mf_error *err)
{
    struct mongo_applier *a = (struct mongo_applier *)base;
    a->result = result;
    for (uint16_t i = 0; b->truncate && i < b->truncate->ntruncated; i++) {
        if (empty_collection(a, b->truncate->truncated[i], err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; !b->truncate && i < b->ntables; i++) {
        const struct mf_batch_table *t = &b->tables[i];
        if (changes(a, t->table, t->deletes, t->ndeletes, err) < 0 ||
            changes(a, t->table, t->updates, t->nupdates, err) < 0 ||
            changes(a, t->table, t->inserts, t->ninserts, err) < 0) {
            return -1;
        }
        result->rows += t->ndeletes + t->nupdates + t->ninserts;
    }
    return 0;
}

int mongo_window_commit(struct mf_applier *base, struct mf_error *err)
{
    struct mongo_applier *a = (struct mongo_applier *)base;
    if (end_left(a, err) < 0 || MF_FAULT(err, "mongodb.window_commit") ||
        mongo_checkpoint_write(mongo_db_of(base->db), &a->pipe, &a->checkpoint, a->window, err) < 0) {
        return -1;
    }
    a->last = a->checkpoint;
    return MF_FAULT(err, "mongodb.window_committed");
}

/* What is written stays: it comes again. */
void mongo_window_abort(struct mf_applier *base)
{
    struct mongo_applier *a = (struct mongo_applier *)base;
    a->nputs = a->bytes = 0;
    mf_arena_reset(&a->arena);
    mongo_left_clear(a);
}

/* A window that ends where the last one did. */
int mongo_repair_rows(struct mf_applier *base, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                      const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err)
{
    struct mongo_applier *a = (struct mongo_applier *)base;
    (void)stamp;
    next_window(a);
    a->mode = (struct mf_window_mode){.fuzzy = true};
    for (size_t i = 0; i < ngone; i++) {
        if (remove_row(a, t, &gone[i], err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < nwhole; i++) {
        if (put_row(a, t, &whole[i], err) < 0) {
            return -1;
        }
    }
    if (mongo_put_group(a, t, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < ngone + nwhole; i++) { /* before what is left takes entries that are older than this */
        const struct mf_row *row = i < ngone ? &gone[i] : &whole[i - ngone];
        if (!left(a, t, row) && forget(a, t, row, err) < 0) {
            return -1;
        }
    }
    if (end_left(a, err) < 0) {
        return -1;
    }
    return a->part ? mongo_checkpoint_write(mongo_db_of(base->db), &a->pipe, &a->last, a->window, err) : 0;
}
