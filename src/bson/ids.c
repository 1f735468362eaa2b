/* Ids of documents and of rows (bson/id.c has the texts), and the shape a collection is shown with. */
#include "bson/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>
#include <xxhash.h>

static int text_of(struct mf_arena *arena, const struct elem *e, struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_ID_BYTES};
    const char *why = id_put(&b, e);
    if (!why && !mf_buf_ok(&b)) {
        why = MF_ID_TOO_LONG;
    }
    if (why) {
        return mf_fail(err, MF_ROW, "MFDOC", "_id (%s): %s", elem_type_name(e->type), why);
    }
    char *copy = mf_memdup_a(arena, mf_buf_str(&b), b.len);
    if (!copy) {
        return shred_no_memory(err);
    }
    *ret = (struct mf_value){MF_TEXT, (uint32_t)b.len, copy};
    return 0;
}

static bool find_id(const uint8_t *document, struct elem *ret)
{
    struct elem_walk w;
    elem_begin(&w, document);
    while (elem_next(&w, ret)) {
        if (ret->nkey == 3 && memcmp(ret->key, "_id", 3) == 0) {
            return true;
        }
    }
    return false;
}

int mf_bson_id_of(struct mf_arena *arena, const struct mf_value *bson, struct mf_value *ret, struct mf_error *err)
{
    struct elem e;
    if (shred_not_document(err, bson) < 0) {
        return -1;
    }
    if (!find_id((const uint8_t *)bson->data, &e)) {
        return mf_fail(err, MF_ROW, "MFDOC", "the document has no _id");
    }
    return text_of(arena, &e, ret, err);
}

int mf_bson_id_document(struct mf_arena *arena, const struct mf_value *text, struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
    char where[ELEM_WHERE];
    size_t at = elem_put_begin(&b);
    const char *why =
        mf_value_has_bytes(text) ? id_parse(text->data, text->len, "_id", 3, &b) : "it is no text of an _id";
    elem_put_end(&b, at);
    if (!why && mf_buf_ok(&b)) {
        elem_check(b.data, b.len, &why, where); /* a key twice */
    }
    if (why) {
        bool shown = mf_value_has_bytes(text) && mf_utf8_valid(text->data, text->len);
        size_t n = shown ? mf_utf8_cut(text->data, text->len, 100) : 0;
        return mf_fail(err, MF_ROW, "MFDOC", "%.*s: %s", (int)n, shown ? text->data : "", why);
    }
    char *copy = mf_buf_ok(&b) ? mf_memdup_a(arena, b.data, b.len) : NULL;
    if (!copy) {
        return shred_no_memory(err);
    }
    *ret = (struct mf_value){MF_BINARY, (uint32_t)b.len, copy};
    return 0;
}

int mf_shred_key_row(const struct mf_shred_collection *c, struct mf_arena *arena, const struct mf_value *id,
                     struct mf_row *ret, struct mf_error *err)
{
    const struct mf_table *t = c->tables[0].table;
    struct mf_value document;
    struct mf_value *values = mf_alloc_array(arena, t->ncolumns, sizeof *values),
                    *key = mf_alloc_array(arena, t->ncolumns, sizeof *key);
    if (!values || !key) {
        return shred_no_memory(err);
    }
    if (mf_bson_id_document(arena, id, &document, err) < 0) {
        return -1;
    }
    const struct elem e = elem_document(document.data, document.len);
    if (shred_id(c, arena, &e, values, err) < 0) {
        return -1;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        key[i] = t->columns[i].in_key ? values[i] : (struct mf_value){.kind = MF_UNCHANGED};
    }
    *ret = (struct mf_row){.n = t->ncolumns, .values = key};
    return 0;
}

int mf_shred_row_id(const struct mf_shred_collection *c, struct mf_arena *arena, uint16_t t, const struct mf_row *row,
                    struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES};
    const struct mf_table *root = c->tables[0].table;
    struct mf_value *values = mf_alloc_array(arena, root->ncolumns, sizeof *values);
    struct elem e;
    if (!values) {
        return shred_no_memory(err);
    }
    for (uint16_t i = 0; i < root->nkey; i++) {
        const struct mf_value *v = &row->values[t ? i : root->key[i]];
        if (!mf_value_has_bytes(v)) {
            return mf_fail(err, MF_ROW, "MFDOC", "a row of table %s has no key", c->tables[t].table->name);
        }
        values[root->key[i]] = *v;
    }
    if (rebuild_id(c, arena, values, &b, err) < 0) {
        return -1;
    }
    const struct mf_value document = {MF_BINARY, (uint32_t)b.len, b.data};
    if (shred_not_document(err, &document) < 0 || !find_id((const uint8_t *)b.data, &e)) {
        return -1;
    }
    return text_of(arena, &e, ret, err);
}

const struct mf_table *mf_bson_table(struct mf_arena *arena, const char *database, const char *collection)
{
    static const struct mf_type text = {.kind = MF_KIND_TEXT}, bytes = {.kind = MF_KIND_BYTES};
    struct mf_table *t = mf_alloc0(arena, sizeof *t);
    struct mf_column *columns = mf_alloc_array(arena, 2, sizeof *columns);
    uint16_t *key = mf_alloc_array(arena, 1, sizeof *key);
    const char *label = mf_printf_a(arena, "%s.%s", database, collection);
    if (!t || !columns || !key || !label) {
        return NULL;
    }
    columns[0] = (struct mf_column){.name = "_id", .in_key = true, .not_null = true};
    columns[1] = (struct mf_column){.name = "document", .not_null = true};
    *t = (struct mf_table){.id = (uint32_t)XXH3_64bits(label, strlen(label)) | 1,
                           .schema = mf_strdup_a(arena, database),
                           .name = mf_strdup_a(arena, collection),
                           .identity = MF_IDENTITY_KEY,
                           .ncolumns = 2,
                           .nkey = 1,
                           .columns = columns,
                           .key = key,
                           .rows_estimate = -1,
                           .bytes = -1};
    return t->schema && t->name && mf_column_show(arena, &columns[0], &text) &&
                   mf_column_show(arena, &columns[1], &bytes)
               ? t
               : NULL;
}
