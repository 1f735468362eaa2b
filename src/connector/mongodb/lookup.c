/* Documents of changes that came without them, as they are now. */
#include "connector/mongodb/stream.h"

#include <string.h>

#define LOOK_MOST  200
#define IDS_BYTES  ((size_t)4 << 20)  /* of one command */
#define LOOK_BYTES ((size_t)64 << 20) /* of several; one alone may have more */

struct look {
    struct mongo_stream *st;
    struct mongo_table *t;
    struct mongo_pending *wanted[LOOK_MOST];
    size_t n;
    bool too_much;
};

static bool wants(const struct mongo_pending *p, const struct mf_table *t)
{
    return p->table == t && p->op != MF_DELETE && !p->book.n && p->document.kind == MF_NULL && !p->looked;
}

static int found(void *ctx, const bson_t *doc, struct mf_error *err)
{
    struct look *l = ctx;
    struct mf_arena *a = &l->t->found;
    struct mf_value whole = {.kind = MF_BINARY, .data = (const char *)bson_get_data(doc), .len = doc->len}, id;
    if (l->n > 1 && mf_arena_used(a) + doc->len > LOOK_BYTES) {
        l->too_much = true;
        return 1;
    }
    whole.data = mf_memdup_a(a, whole.data, whole.len);
    if (!whole.data) {
        return mf_fail(err, MF_FATAL, "MFMEM", "a document that was looked up is too large");
    }
    if (mf_bson_id_of(a, &whole, &id, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (mf_value_equal(&l->wanted[i]->id, &id)) {
            l->wanted[i]->document = whole;
        }
    }
    return 0;
}

static int put_ids(struct look *l, bson_t *list, struct mf_error *err)
{
    for (size_t i = 0; i < l->n; i++) {
        struct mf_value doc;
        bson_t view;
        bson_iter_t at;
        char key[16];
        const char *name;
        if (mf_bson_id_document(&l->t->found, &l->wanted[i]->id, &doc, err) < 0) {
            return -1;
        }
        bson_uint32_to_string((uint32_t)i, &name, key, sizeof key);
        if (!bson_init_static(&view, (const uint8_t *)doc.data, doc.len) || !bson_iter_init_find(&at, &view, "_id") ||
            !bson_append_iter(list, name, -1, &at)) {
            return mf_fail(err, MF_FATAL, "MFBUG", "an id could not be made a document");
        }
    }
    return 0;
}

static int look(struct look *l, struct mf_error *err)
{
    const struct mongo_table *t = l->t;
    MONGO_BSON(c);
    bson_t filter, id, list;
    BSON_APPEND_UTF8(&c, "find", t->collection);
    BSON_APPEND_DOCUMENT_BEGIN(&c, "filter", &filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &id);
    BSON_APPEND_ARRAY_BEGIN(&id, "$in", &list);
    int rc = put_ids(l, &list, err);
    bson_append_array_end(&id, &list);
    bson_append_document_end(&filter, &id);
    bson_append_document_end(&c, &filter);
    mongo_ask_majority(l->st->db, &c);
    rc = rc < 0 ? -1 : mongo_each(l->st->db, MONGO_PRIMARY, t->database, &c, found, l, err);
    if (rc < 0) {
        mf_error_prefix(err, "looking up documents of %s.%s that were changed", t->database, t->collection);
    }
    return rc < 0 ? -1 : 0;
}

static struct mongo_table *table_of(const struct mongo_stream *st, const struct mf_table *t)
{
    for (size_t i = 0; i < st->ntables; i++) {
        if (st->tables[i].table == t) {
            return &st->tables[i];
        }
    }
    return NULL;
}

int mongo_look_up(struct mongo_stream *st, struct mf_error *err)
{
    struct mongo_pending *first = &st->pending[st->next];
    struct look l = {.st = st, .t = table_of(st, first->table)};
    mf_arena_reset(&l.t->found); /* first is the earliest of its table that was not looked up: what was is given */
    st->look_most = st->look_most ? st->look_most : LOOK_MOST;
    size_t ids = 0;
    for (size_t i = st->next; i < st->npending && l.n < st->look_most && ids < IDS_BYTES; i++) {
        if (wants(&st->pending[i], first->table)) {
            ids += st->pending[i].id.len;
            l.wanted[l.n++] = &st->pending[i];
        }
    }
    if (look(&l, err) < 0) {
        return -1;
    }
    if (l.too_much) {
        for (size_t i = 0; i < l.n; i++) {
            l.wanted[i]->document = (struct mf_value){.kind = MF_NULL};
        }
        st->look_most = 1;
        return mongo_look_up(st, err);
    }
    for (size_t i = 0; i < l.n; i++) {
        struct mongo_pending *p = l.wanted[i];
        p->looked = true;
        p->document = p->document.kind == MF_NULL ? p->fallback : p->document;
    }
    st->look_most = st->look_most * 2 < LOOK_MOST ? st->look_most * 2 : LOOK_MOST;
    return 0;
}
