#include "pgread_json.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

const char *pr_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

int64_t pr_number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

void pr_put_position(json_t *o, const char *key, const struct mf_position *p)
{
    char token[64];
    snprintf(token, sizeof token, "%s_token", key);
    json_object_set_new(o, key, json_integer((json_int_t)p->order));
    json_object_set_new(o, token, json_string(p->token));
}

/* Text that is not UTF-8 would not go into JSON. */
static json_t *value_json(const struct mf_value *v)
{
    if (v->kind == MF_NULL) {
        return json_null();
    }
    if (v->kind == MF_UNCHANGED) {
        return json_object();
    }
    if (v->kind == MF_BINARY) {
        return pr_shown_json(v);
    }
    json_t *s = json_stringn(v->data, v->len);
    return s ? s : json_string("(not UTF-8)");
}

/* What is binary as {"hex": "00ff"}, what is refused as {"refused": "why"}. */
json_t *pr_shown_json(const struct mf_value *v)
{
    if (v->kind == MF_REFUSED) {
        return json_pack("{s:s%}", "refused", v->data, (size_t)v->len);
    }
    if (v->kind != MF_BINARY) {
        return value_json(v);
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = 2 * (size_t)v->len + 1};
    for (uint32_t i = 0; i < v->len; i++) {
        mf_buf_printf(&b, "%02x", (unsigned char)v->data[i]);
    }
    return json_pack("{s:s}", "hex", mf_buf_str(&b));
}

json_t *pr_row_json(const struct mf_row *row, bool shown)
{
    json_t *a = json_array();
    for (uint16_t i = 0; i < row->n; i++) {
        json_array_append_new(a, shown ? pr_shown_json(&row->values[i]) : value_json(&row->values[i]));
    }
    return a;
}

json_t *pr_brief_json(const struct mf_row *row)
{
    json_t *a = json_pack("[o]", pr_shown_json(&row->values[0]));
    for (uint16_t i = 1; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        json_array_append_new(a, json_integer(v->len));
        json_array_append_new(a, json_integer((json_int_t)crc32(0, (const Bytef *)v->data, v->len)));
    }
    return a;
}

json_t *pr_chunk_json(const struct mf_chunk *c)
{
    json_t *o = json_pack("{s:i, s:b, s:I}", "ordinal", (int)c->ordinal, "heap", c->by_heap, "rows",
                          (json_int_t)c->rows_estimate);
    if (c->has_lower) {
        json_object_set_new(o, "lower", json_string(c->lower));
    }
    if (c->has_upper) {
        json_object_set_new(o, "upper", json_string(c->upper));
    }
    return o;
}

void pr_chunk_of(const json_t *in, const struct mf_table *t, struct mf_chunk *c)
{
    const json_t *o = json_object_get(in, "chunk");
    *c = (struct mf_chunk){.table_id = t->id, .by_heap = json_is_true(json_object_get(o, "heap"))};
    c->has_lower = json_object_get(o, "lower") != NULL;
    c->has_upper = json_object_get(o, "upper") != NULL;
    mf_strlcpy(c->lower, pr_text(o, "lower"), sizeof c->lower);
    mf_strlcpy(c->upper, pr_text(o, "upper"), sizeof c->upper);
}

json_t *pr_table_json(const struct mf_table *t)
{
    json_t *columns = json_array(), *key = json_array();
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_column *c = &t->columns[i];
        json_array_append_new(columns,
                              json_pack("{s:s, s:s, s:I, s:b}", "name", c->name, "type", c->type ? c->type : "",
                                        "type_id", (json_int_t)c->type_id, "generated", c->generated));
    }
    for (uint16_t i = 0; i < t->nkey; i++) {
        json_array_append_new(key, json_string(t->columns[t->key[i]].name));
    }
    char shape[32];
    snprintf(shape, sizeof shape, "%016" PRIx64, mf_table_shape(t));
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:s}", "name", t->name, "schema", t->schema, "columns",
                     columns, "key", key, "rows", (json_int_t)t->rows_estimate, "bytes", (json_int_t)t->bytes, "id",
                     (json_int_t)t->id, "shape", shape);
}

json_t *pr_item_json(const struct mf_item *item, bool shown)
{
    static const char *const kinds[] = {"none", "relation", "begin", "change", "abort", "commit", "progress"};
    static const char *const changes[] = {"", "insert", "update", "delete", "truncate"};
    json_t *o = json_pack("{s:s, s:I, s:I}", "kind", kinds[item->kind], "txn", (json_int_t)item->txn, "subtxn",
                          (json_int_t)item->subtxn);
    pr_put_position(o, "position", &item->position);
    if (item->kind == MF_ITEM_COMMIT) {
        json_object_set_new(o, "shown", json_integer((json_int_t)item->shown));
    }
    if (item->kind == MF_ITEM_RELATION) {
        json_object_set_new(o, "table", pr_table_json(item->table));
    }
    if (item->kind == MF_ITEM_CHANGE) {
        const struct mf_change *c = &item->change;
        json_object_set_new(o, "op", json_string(changes[c->op]));
        json_object_set_new(o, "table", json_string(c->table->name));
        if (c->has_old) {
            json_object_set_new(o, "old", pr_row_json(&c->old_row, shown));
        }
        if (c->new_row.n) {
            json_object_set_new(o, "new", pr_row_json(&c->new_row, shown));
        }
        json_object_set_new(o, "truncated", json_integer(c->ntruncated));
    }
    return o;
}

void pr_value_of(const json_t *o, struct mf_arena *arena, struct mf_value *ret)
{
    const char *text = json_string_value(o), *hex = json_string_value(json_object_get(o, "hex"));
    char *bytes = mf_alloc0(arena, hex ? strlen(hex) / 2 + 1 : 1);
    *ret = (struct mf_value){.kind = MF_TEXT, .len = text ? (uint32_t)strlen(text) : 0, .data = text ? text : ""};
    if (!hex || !bytes) {
        return;
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = (uint32_t)strlen(hex) / 2, .data = bytes};
    for (uint32_t i = 0; i < ret->len; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (char)byte;
    }
}
