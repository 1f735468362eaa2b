/* From a line of JSON to the structures of a connector, and back. What is made lives until the next line. */
#include "pgdrive.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct mf_arena pd_arena;

const char *pd_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

long long pd_number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

bool pd_flag(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

void *pd_zeroed(size_t n)
{
    void *p = mf_alloc0(&pd_arena, n ? n : 1);
    if (!p) {
        abort();
    }
    return p;
}

const char *pd_keep(const char *s)
{
    return mf_strdup_a(&pd_arena, s);
}

const struct mf_table *pd_table_of(const json_t *o)
{
    struct mf_table *t = pd_zeroed(sizeof(*t));
    const json_t *columns = json_object_get(o, "columns"), *key = json_object_get(o, "key");
    t->id = (uint32_t)pd_number(o, "id");
    t->schema = pd_keep(pd_text(o, "schema"));
    t->name = pd_keep(pd_text(o, "name"));
    t->identity = mf_streq(pd_text(o, "identity"), "full") ? MF_IDENTITY_FULL : MF_IDENTITY_KEY;
    t->ncolumns = (uint16_t)json_array_size(columns);
    t->columns = pd_zeroed(t->ncolumns * sizeof(*t->columns));
    t->nkey = (uint16_t)json_array_size(key);
    t->key = pd_zeroed(t->nkey * sizeof(*t->key));
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const json_t *c = json_array_get(columns, i);
        t->columns[i] = (struct mf_column){.name = pd_keep(pd_text(c, "name")),
                                           .type = json_object_get(c, "type") ? pd_keep(pd_text(c, "type")) : NULL,
                                           .type_id = (uint32_t)pd_number(c, "type_id"),
                                           .type_mod = (int32_t)pd_number(c, "type_mod"),
                                           .generated = pd_flag(c, "generated"),
                                           .by_bytes = pd_flag(c, "by_bytes")};
    }
    for (uint16_t i = 0; i < t->nkey; i++) {
        t->key[i] = (uint16_t)json_integer_value(json_array_get(key, i));
        t->columns[t->key[i]].in_key = true;
    }
    return t;
}

static int digit(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* {"hex": "00ff"} */
static void bytes_of(const char *hex, struct mf_value *ret)
{
    size_t n = strlen(hex) / 2;
    char *p = pd_zeroed(n);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    }
    *ret = (struct mf_value){.kind = MF_BINARY, .len = (uint32_t)n, .data = p};
}

struct mf_row pd_row_of(const json_t *a)
{
    struct mf_row r = {.n = (uint16_t)json_array_size(a)};
    r.values = pd_zeroed(r.n * sizeof(*r.values));
    for (uint16_t i = 0; i < r.n; i++) {
        const json_t *v = json_array_get(a, i);
        struct mf_value *o = &r.values[i];
        o->kind = json_is_null(v) ? MF_NULL : json_is_string(v) ? MF_TEXT : MF_UNCHANGED;
        if (o->kind == MF_TEXT) {
            o->len = (uint32_t)json_string_length(v);
            o->data = mf_memdup_a(&pd_arena, json_string_value(v), o->len);
        } else if (pd_document_value(v, o)) {
            continue;
        } else if (json_object_get(v, "hex")) {
            bytes_of(pd_text(v, "hex"), o);
        }
    }
    return r;
}

struct mf_rowchange **pd_changes_of(const json_t *list, enum mf_rowop op, size_t *ret_n)
{
    size_t n = json_array_size(list);
    struct mf_rowchange **all = pd_zeroed((n + 1) * sizeof(struct mf_rowchange *));
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        struct mf_rowchange *c = all[i] = pd_zeroed(sizeof(*c));
        c->op = mf_streq(pd_text(o, "op"), "replace") ? MF_ROW_REPLACE : op;
        c->count = json_object_get(o, "count") ? (uint32_t)pd_number(o, "count") : 1;
        c->old_row = pd_row_of(json_object_get(o, "old"));
        c->new_row = pd_row_of(json_object_get(o, "new"));
    }
    *ret_n = n;
    return all;
}

const struct mf_batch *pd_batch_of(const json_t *o)
{
    struct mf_batch *b = pd_zeroed(sizeof(*b));
    const json_t *tables = json_object_get(o, "tables"), *truncate = json_object_get(o, "truncate");
    b->ntables = json_array_size(tables);
    b->tables = pd_zeroed((b->ntables + 1) * sizeof(*b->tables));
    for (size_t i = 0; i < b->ntables; i++) {
        const json_t *t = json_array_get(tables, i);
        struct mf_batch_table *bt = &b->tables[i];
        bt->table = pd_table_of(json_object_get(t, "table"));
        bt->deletes = pd_changes_of(json_object_get(t, "deletes"), MF_ROW_DELETE, &bt->ndeletes);
        bt->updates = pd_changes_of(json_object_get(t, "updates"), MF_ROW_UPDATE, &bt->nupdates);
        bt->inserts = pd_changes_of(json_object_get(t, "inserts"), MF_ROW_INSERT, &bt->ninserts);
        b->rows += bt->ndeletes + bt->nupdates + bt->ninserts;
    }
    if (truncate) {
        struct mf_change *c = pd_zeroed(sizeof(*c));
        c->op = MF_TRUNCATE;
        c->ntruncated = (uint16_t)json_array_size(truncate);
        c->truncated = pd_zeroed((c->ntruncated + 1u) * sizeof(*c->truncated));
        for (uint16_t i = 0; i < c->ntruncated; i++) {
            c->truncated[i] = pd_table_of(json_array_get(truncate, i));
        }
        c->table = c->truncated[0];
        b->truncate = c;
    }
    return b;
}

void pd_position_of(const json_t *o, const char *key, struct mf_position *p)
{
    p->order = (uint64_t)pd_number(o, key);
    snprintf(p->token, sizeof(p->token), "P%" PRIu64, p->order);
}

json_t *pd_json_row(const struct mf_row *r)
{
    json_t *a = json_array();
    for (uint16_t i = 0; i < r->n; i++) {
        const struct mf_value *v = &r->values[i];
        json_array_append_new(a, v->kind == MF_NULL   ? json_null()
                                 : v->kind == MF_TEXT ? json_stringn(v->data, v->len)
                                                      : json_object());
    }
    return a;
}
