/* A plan's part for a source of documents: what they look like, path by path, and the map that follows from it; or, with a `map:` in the configuration, what that one
 * makes of them. Nothing is written on either side. */
#include "migration/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "bson/infer.h"
#include "bson/map_check.h"
#include "bson/propose.h"
#include "config/option.h"

/* What one thread sees. */
struct sight {
    struct mf_infer *infer;
    size_t n;
    struct mf_infer_collection **collections; /* by table */
    struct mf_map_check **checks;             /* by table; NULL: no map */
};

struct looking {
    const struct mf_config *config;
    const struct mf_plan_options *options;
    struct mf_map_target target;
    struct mf_db *db;
    struct mf_catalog tables;
    int jobs;
    void **sights;
    json_t *notes;
};

/* ---- what is looked at ---- */

static const struct mf_doc_collection *asked_of(const struct mf_doc_map *m, const struct mf_table *t)
{
    for (size_t i = 0; m && i < m->n; i++) {
        if (mf_streq(m->collections[i].database, t->schema) && mf_streq(m->collections[i].collection, t->name)) {
            return &m->collections[i];
        }
    }
    return NULL;
}

static void note(struct looking *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct looking *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    json_t *s = json_string(text);
    json_array_append_new(l->notes, s ? s : json_string("(not UTF-8)"));
}

/* With a map, only its collections; what either side does not have is told. */
static void keep_mapped(struct looking *l)
{
    const struct mf_doc_map *m = l->config->documents;
    struct mf_catalog *c = &l->tables;
    size_t n = 0;
    for (size_t i = 0; m && i < m->n; i++) {
        bool found = false;
        for (size_t k = 0; k < c->n; k++) {
            found = found || asked_of(m, &c->tables[k]) == &m->collections[i];
        }
        if (!found) {
            note(l, "%s.%s: the map has it, and the source has not (or the filter leaves it out)",
                 m->collections[i].database, m->collections[i].collection);
        }
    }
    for (size_t i = 0; m && i < c->n; i++) {
        if (asked_of(m, &c->tables[i])) {
            c->tables[n++] = c->tables[i];
        } else {
            note(l, "%s.%s: the map does not have it, so it does not migrate", c->tables[i].schema, c->tables[i].name);
        }
    }
    c->n = m ? n : c->n;
}

/* The target's own translation, which refuses what it has no form for. */
static int fits(const void *ctx, const struct mf_type *t, struct mf_arena *arena, const struct mf_value *v,
                struct mf_error *err)
{
    const struct mf_canon_ops *canon = ctx;
    struct mf_value own;
    return canon->from_canon(t, arena, v, &own, err);
}

static struct sight *new_sight(const struct looking *l)
{
    struct sight *s = mf_xcalloc(1, sizeof *s);
    const struct mf_catalog *c = &l->tables;
    s->infer = mf_infer_new(NULL);
    s->n = c->n;
    s->collections = mf_xcalloc(c->n + 1, sizeof(struct mf_infer_collection *));
    s->checks = mf_xcalloc(c->n + 1, sizeof(struct mf_map_check *));
    for (size_t i = 0; i < c->n; i++) {
        const struct mf_table *t = &c->tables[i];
        s->collections[i] = mf_infer_collection(s->infer, t->schema, t->name);
        if (l->config->shred) {
            s->checks[i] = mf_map_check_new(mf_shred_find(l->config->shred, t->schema, t->name),
                                            asked_of(l->config->documents, t));
            s->checks[i]->target = l->target;
        }
    }
    return s;
}

static void sight_free(struct sight *s)
{
    for (size_t i = 0; s && i < s->n; i++) {
        mf_map_check_free(s->checks[i]);
    }
    if (s) {
        mf_infer_free(s->infer);
        free(s->collections);
        free(s->checks);
        free(s);
    }
}

static int take(void *worker, size_t table, const struct mf_value *bson, struct mf_error *err)
{
    struct sight *s = worker;
    mf_infer_add(s->infer, s->collections[table], bson);
    return s->checks[table] ? mf_map_check_add(s->checks[table], bson, err) : 0;
}

static struct sight *merge(const struct looking *l)
{
    struct sight *all = l->sights[0];
    for (int i = 1; i < l->jobs; i++) {
        const struct sight *s = l->sights[i];
        mf_infer_merge(all->infer, s->infer);
        for (size_t k = 0; k < all->n; k++) {
            if (all->checks[k]) {
                mf_map_check_merge(all->checks[k], s->checks[k]);
            }
        }
    }
    mf_infer_finish(all->infer);
    return all;
}

/* ---- references ---- */

static int count_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)row, (void)err;
    ++*(size_t *)ctx;
    return 0;
}

static int find_ids(void *ctx, const char *database, const char *collection, const struct mf_value *ids, size_t n,
                    size_t *ret_found, struct mf_error *err)
{
    const struct looking *l = ctx;
    const struct mf_source_ops *ops = l->db->connector->source;
    const struct mf_table *t = NULL;
    struct mf_reader *reader = NULL;
    struct mf_row keys[MF_INFER_REFS];
    struct mf_value values[MF_INFER_REFS][2];
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    mf_arena_init(&arena, 1 << 20);
    *ret_found = 0;
    for (size_t i = 0; i < l->tables.n; i++) {
        const struct mf_table *one = &l->tables.tables[i];
        t = mf_streq(one->schema, database) && mf_streq(one->name, collection) ? one : t;
    }
    size_t known = 0;
    for (size_t i = 0; t && i < n; i++) {
        struct mf_value *v = values[known];
        v[0] = v[1] = (struct mf_value){.kind = MF_UNCHANGED};
        struct mf_error why = {0};
        if (mf_bson_id_of(&arena, &ids[i], &v[t->key[0]], &why) == 0) {
            keys[known++] = (struct mf_row){.n = 2, .values = v};
        }
    }
    if (!known || ops->reader_open(l->db, NULL, &reader, err) < 0) {
        return known ? -1 : 0;
    }
    int rc = ops->read_rows(reader, t, keys, known, count_row, ret_found, NULL, err);
    ops->reader_close(reader);
    return rc;
}

/* ---- the facts ---- */

static json_t *collections_json(const struct looking *l, const struct sight *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->tables.n; i++) {
        const struct mf_table *t = &l->tables.tables[i];
        const struct mf_infer_collection *c = s->collections[i];
        char label[300];
        snprintf(label, sizeof label, "%s.%s", t->schema, t->name);
        uint64_t read = c->documents + c->refused;
        json_t *one = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "collection", label, "documents",
                                (json_int_t)t->rows_estimate, "read", (json_int_t)read, "average_bytes",
                                (json_int_t)(c->documents ? c->bytes / c->documents : 0), "largest_bytes",
                                (json_int_t)c->largest, "nested", (json_int_t)c->depth);
        json_object_set_new(one, "refused",
                            json_integer((json_int_t)(s->checks[i] ? s->checks[i]->refused : c->refused)));
        json_array_append_new(list, one);
    }
    return list;
}

static void put_note(void *ctx, const struct mf_infer_collection *c, const char *text)
{
    note(ctx, "%s.%s: %s", c->database, c->name, text);
}

/* The proposal is read as any configuration is, so that what is shown is what would be done. */
static int read_proposal(const char *text, struct mf_config **ret, struct mf_error *err)
{
    struct mf_config *c = NULL;
    if (mf_config_parse(text, strlen(text), "the proposed map", NULL, &c, err) < 0) {
        return -1;
    }
    if (mf_shred_compile(c->documents, &c->shred, err) < 0) {
        mf_config_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

static int propose(struct looking *l, const struct sight *s, const struct mf_infer_references *refs,
                   struct mf_documents *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MF_CONFIG_FILE_MAX};
    struct mf_doc_proposal *p = NULL;
    if (l->tables.n == 0) {
        return mf_fail(err, MF_USAGE, "MFNONE", "the source has no collection that would migrate");
    }
    if (mf_doc_propose(s->infer, refs, &l->target, &p, err) < 0) {
        return -1;
    }
    mf_buf_printf(
        &text,
        "# Proposed by `midflight plan` from %s: change it, and put it into the configuration.\n"
        "# See docs/guide/documents.md for what may stand here; `plan` again holds it against the documents.\n"
        "map:\n",
        l->options->full ? "all documents" : "a sample of the documents");
    mf_doc_proposal_put_yaml(&text, p);
    mf_doc_proposal_notes(p, put_note, l);
    mf_doc_proposal_free(p);
    if (!mf_buf_ok(&text)) {
        return mf_fail(err, MF_FATAL, "MFMEM",
                       "the proposed map is larger than a configuration may be (1 MB): leave collections out "
                       "(tables.exclude) and plan them by themselves");
    }
    if (read_proposal(mf_buf_str(&text), &ret->proposed, err) < 0) {
        return -1;
    }
    json_object_set_new(ret->facts, "map", json_stringn(mf_buf_str(&text), text.len));
    return 0;
}

static int report(struct looking *l, const struct sight *s, struct mf_documents *ret, struct mf_error *err)
{
    struct mf_infer_references refs = {0};
    const struct mf_map_check *const *checks = (const struct mf_map_check *const *)s->checks;
    int rc = mf_infer_refer(s->infer, find_ids, l, &refs, err);
    if (rc == 0) {
        json_object_set_new(ret->facts, "collections", collections_json(l, s));
        json_object_set_new(ret->facts, "paths", mf_documents_paths(s->infer));
        json_object_set_new(ret->facts, "candidate_keys", mf_documents_keys(s->infer));
        json_object_set_new(ret->facts, "references", mf_documents_references(&refs));
        if (l->config->shred) {
            json_object_set_new(ret->facts, "refused", mf_documents_refused(checks, s->n));
            json_object_set_new(ret->facts, "rows", mf_documents_tables(checks, s->n));
            json_object_set_new(ret->facts, "never_filled", mf_documents_unfilled(checks, s->n));
            json_object_set_new(ret->facts, "ignored", mf_documents_ignored(checks, s->n));
        } else {
            rc = propose(l, s, &refs, ret, err);
        }
        json_object_set(ret->facts, "notes", l->notes);
    }
    mf_infer_references_free(&refs);
    return rc;
}

static int look(struct looking *l, struct mf_documents *ret, struct mf_error *err)
{
    const struct mf_config *c = l->config;
    l->jobs = l->options->full ? (int)c->copy.jobs : 1;
    l->sights = mf_xcalloc((size_t)l->jobs, sizeof(void *));
    for (int i = 0; i < l->jobs; i++) {
        l->sights[i] = new_sight(l);
    }
    const struct mf_documents_job job = {.db = l->db,
                                         .tables = &l->tables,
                                         .sample = l->options->full ? 0 : c->plan.documents,
                                         .jobs = l->jobs,
                                         .take = take,
                                         .workers = l->sights,
                                         .options = l->options};
    int rc = mf_documents_read(&job, err);
    rc = rc == 0 ? report(l, merge(l), ret, err) : rc;
    for (int i = 0; i < l->jobs; i++) {
        sight_free(l->sights[i]);
    }
    free(l->sights);
    return rc;
}

int mf_documents_plan(const struct mf_config *c, const struct mf_plan_options *o, const struct mf_filter *filter,
                      struct mf_documents *ret, struct mf_error *err)
{
    struct looking l = {.config = c, .options = o};
    const struct mf_connector *source = mf_connector_for_url(c->source, err);
    *ret = (struct mf_documents){0};
    if (!source || !source->documents) {
        return source ? 0 : -1;
    }
    const struct mf_connector *target = mf_connector_for_url(c->target, err);
    if (!target) {
        return -1;
    }
    l.target = (struct mf_map_target){target->canon ? fits : NULL, target->canon};
    if (mf_source_open(c, &l.db, err) < 0) {
        return -1;
    }
    l.notes = json_array();
    ret->facts = json_object();
    int rc = source->source->catalog(l.db, filter, &l.tables, err);
    if (rc == 0) {
        keep_mapped(&l);
        rc = look(&l, ret, err);
    }
    mf_catalog_free(&l.tables);
    l.db->connector->close(l.db);
    json_decref(l.notes);
    if (rc < 0) {
        mf_documents_free(ret);
    }
    return rc;
}

void mf_documents_free(struct mf_documents *d)
{
    json_decref(d->facts);
    mf_config_free(d->proposed);
    *d = (struct mf_documents){0};
}
