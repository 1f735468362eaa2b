/* Two kinds of servers, so that a face can be put before each (connector/face): the plain one, and another that writes the same values in another way, has
 * other numbers for its types, orders texts in another way, and has no room for some of them.
 *
 *            plain     other
 *   bigint   -5        #-5       "bigint" 20, "number" 21
 *   text     abc       ~cba      "text" 25, "string" 26
 *
 * A text with `!` in it cannot leave the other kind and cannot come to it. What applications write and read (mf_mem_insert and its sisters) is plain
 * on both, and so are the digests, without the rows that have such a text: they say what the two have in common. */
#include "connector/memory/dialect.h"

#include "connector/defaults.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

bool mem_unknown_text(const struct mf_value *plain)
{
    return plain->kind == MF_TEXT && plain->len && memchr(plain->data, '!', plain->len);
}

static void reverse(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[n - 1 - i];
    }
}

size_t mem_say(bool text, const struct mf_value *plain, char *out)
{
    out[0] = text ? '~' : '#';
    if (text) {
        reverse(out + 1, plain->data, plain->len);
    } else {
        memcpy(out + 1, plain->data, plain->len);
    }
    return plain->len + 1u;
}

size_t mem_unsay(bool text, const struct mf_value *other, char *out)
{
    size_t n = other->len ? other->len - 1u : 0;
    if (text) {
        reverse(out, other->data + 1, n);
    } else if (n) {
        memcpy(out, other->data + 1, n);
    }
    return n;
}

struct mf_value *mem_row_said(const struct mem_shape *s, const struct mf_value *values, bool back, char **ret_text)
{
    uint16_t n = s->table.ncolumns;
    size_t bytes = 1;
    for (uint16_t i = 0; i < n; i++) {
        bytes += mf_value_has_bytes(&values[i]) ? values[i].len + 1u : 0;
    }
    struct mf_value *v = mf_xcalloc(n + 1u, sizeof *v);
    char *at = *ret_text = mf_xmalloc(bytes);
    for (uint16_t i = 0; i < n; i++) {
        v[i] = values[i];
        if (s->other && mf_value_has_bytes(&values[i])) {
            v[i].data = at;
            v[i].len = (uint32_t)(back ? mem_unsay : mem_say)(s->text[i], &values[i], at);
            at += v[i].len;
        }
    }
    return v;
}

/* ---- in the model's terms ---- */

static void type_of(const struct mf_column *c, struct mf_type *ret)
{
    *ret = c->type_id == 20 || c->type_id == 21   ? (struct mf_type){.kind = MF_KIND_INT, .bits = 64}
           : c->type_id == 25 || c->type_id == 26 ? (struct mf_type){.kind = MF_KIND_TEXT}
                                                  : (struct mf_type){.kind = MF_KIND_OPAQUE};
}

static int types(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type ***ret,
                 struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_type **t = mf_alloc_array(arena, own->n + 1, sizeof *t);
    if (mem_enter_db(db, "canon.types", NULL, err)) {
        return -1;
    }
    for (size_t i = 0; t && i < own->n; i++) {
        t[i] = mf_alloc_array(arena, own->tables[i].ncolumns + 1u, sizeof **t);
        for (uint16_t k = 0; t[i] && k < own->tables[i].ncolumns; k++) {
            type_of(&own->tables[i].columns[k], &t[i][k]);
        }
        if (!t[i]) {
            return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for types");
        }
    }
    *ret = t;
    return t ? 0 : mf_fail(err, MF_FATAL, "MFMEM", "out of memory for types");
}

static int as_it_is(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                    struct mf_error *err)
{
    (void)t, (void)arena, (void)err;
    *ret = *in;
    return 0;
}

static int refuse(const struct mf_value *plain, struct mf_error *err)
{
    return mf_fail(err, MF_ROW, "MFVALUE", "the text \"%.*s\" has a \"!\" in it, which the other kind has not",
                   (int)(plain->len < 100 ? plain->len : 100), plain->data);
}

static int other_to_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                          struct mf_value *ret, struct mf_error *err)
{
    char *text = mf_alloc(arena, in->len + 1u);
    if (!text) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a value");
    }
    if (in->len == 0 || in->data[0] != (t->kind == MF_KIND_TEXT ? '~' : '#')) {
        return mf_fail(err, MF_FATAL, "MFBUG", "\"%.*s\" is no value of the other kind", (int)in->len, in->data);
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .data = text};
    ret->len = (uint32_t)mem_unsay(t->kind == MF_KIND_TEXT, in, text);
    return mem_unknown_text(ret) ? refuse(ret, err) : 0;
}

static int other_from_canon(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in,
                            struct mf_value *ret, struct mf_error *err)
{
    char *text = mf_alloc(arena, in->len + 1u);
    if (!text) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a value");
    }
    if (mem_unknown_text(in)) {
        return refuse(in, err);
    }
    *ret = (struct mf_value){.kind = MF_TEXT, .data = text};
    ret->len = (uint32_t)mem_say(t->kind == MF_KIND_TEXT, in, text);
    return 0;
}

static int bound_get(const struct mf_table *own, const char *bound, struct mf_arena *arena, struct mf_row *ret,
                     struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, own->nkey + 1u, sizeof *v);
    const char *p = bound;
    for (uint16_t k = 0; v && k < own->nkey; k++) {
        if (!mem_bound_part(&p, &v[k])) {
            return mf_fail(err, MF_FATAL, "MFCHUNK", "chunk bound \"%s\" does not fit the key of %s.%s", bound,
                           own->schema, own->name);
        }
    }
    *ret = (struct mf_row){.n = own->nkey, .values = v};
    return v ? 0 : mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a bound");
}

static int bound_put(const struct mf_table *own, const struct mf_row *key, struct mf_buf *ret, struct mf_error *err)
{
    for (uint16_t k = 0; k < own->nkey; k++) {
        mf_buf_printf(ret, "%u:%.*s", key->values[k].len, (int)key->values[k].len, key->values[k].data);
    }
    return mf_buf_ok(ret) ? 0
                          : mf_fail(err, MF_FATAL, "MFCHUNK", "a bound of %s.%s is too long", own->schema, own->name);
}

/* ---- schemas ---- */

/* A large value that the stream leaves out is this engine's own affair, and travels in the comment. */
#define LARGE "large"

static bool describe_table(const struct mem_table *m, struct mf_arena *a, struct mf_schema_table *ret)
{
    const struct mem_shape *h = m->shape;
    const struct mf_table *t = &h->table;
    struct mf_schema_column *c = mf_alloc_array(a, t->ncolumns + 1u, sizeof *c);
    struct mf_schema_index *x = mf_alloc_array(a, 2, sizeof *x);
    struct mf_schema_index_column *key = mf_alloc_array(a, t->ncolumns + 1u, sizeof *key);
    *ret = (struct mf_schema_table){.schema = mf_strdup_a(a, t->schema),
                                    .name = mf_strdup_a(a, t->name),
                                    .ncolumns = t->ncolumns,
                                    .columns = c,
                                    .indexes = x};
    if (!c || !x || !key || !ret->schema || !ret->name) {
        return false;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        c[i] = (struct mf_schema_column){.name = mf_strdup_a(a, t->columns[i].name),
                                         .own_type = t->columns[i].type,
                                         .not_null = t->columns[i].not_null,
                                         .comment = h->toast[i] ? LARGE : NULL};
        type_of(&t->columns[i], &c[i].type);
        if (!c[i].name) {
            return false;
        }
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        key[k].column = t->key[k];
    }
    if (t->nkey) {
        x[ret->nindexes++] = (struct mf_schema_index){
            .name = "key", .unique = true, .primary = true, .is_key = true, .n = t->nkey, .columns = key};
    }
    if (h->unique >= 0) {
        key[t->nkey].column = (uint16_t)h->unique;
        x[ret->nindexes++] =
            (struct mf_schema_index){.name = "unique", .unique = true, .n = 1, .columns = key + t->nkey};
    }
    return true;
}

static int describe(struct mf_db *db, const struct mf_catalog *own, struct mf_schema *ret, struct mf_error *err)
{
    MEM_LOCKED;
    struct mf_schema s = {0};
    mf_arena_init(&s.arena, 16u << 20);
    if (mem_enter_db(db, "canon.describe", NULL, err)) {
        return -1;
    }
    s.tables = mf_alloc_array(&s.arena, own->n + 1, sizeof *s.tables);
    for (; s.tables && s.ntables < own->n; s.ntables++) {
        const struct mf_table *t = &own->tables[s.ntables];
        const struct mem_table *m = mem_table_need(mem_server(db), t->schema, t->name, err);
        if (!m || !describe_table(m, &s.arena, &s.tables[s.ntables])) {
            mf_schema_free(&s);
            return m ? mf_fail(err, MF_FATAL, "MFMEM", "out of memory for a schema") : -1;
        }
    }
    *ret = s;
    return 0;
}

static void make_table(struct mf_mem_server *s, const struct mf_schema_table *t)
{
    struct mf_mem_column columns[MF_MEM_MAX_COLUMNS] = {0};
    bool unique = false, key = false;
    if (mem_table_find(s, t->schema, t->name)) {
        return;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        columns[i] = (struct mf_mem_column){.name = t->columns[i].name,
                                            .text = t->columns[i].type.kind == MF_KIND_TEXT,
                                            .toast = mf_streq(t->columns[i].comment, LARGE)};
    }
    for (size_t i = 0; i < t->nindexes; i++) {
        const struct mf_schema_index *x = &t->indexes[i];
        for (uint16_t k = 0; k < x->n; k++) {
            columns[x->columns[k].column].in_key |= x->primary;
            columns[x->columns[k].column].unique |= !x->primary && x->unique;
        }
        key |= x->primary;
        unique |= !x->primary && x->unique;
    }
    struct mem_table *m = mem_table_add(s, t->schema, t->name, columns, t->ncolumns);
    m->has_key = !key;
    m->has_unique = !unique || mem_broken(s, "unique-early");
}

static int make(struct mf_db *db, const struct mf_schema *schema, enum mf_schema_stage stage, int jobs,
                struct mf_findings *out, struct mf_buf *plan, struct mf_error *err)
{
    (void)jobs, (void)out;
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    for (size_t i = 0; i < schema->ntables; i++) {
        const struct mf_schema_table *t = &schema->tables[i];
        if (plan) {
            mf_buf_printf(plan, "CREATE TABLE %s.%s;\n", t->schema, t->name);
            continue;
        }
        if (mem_enter_db(db, "canon.make", NULL, err)) {
            return -1;
        }
        if (stage == MF_SCHEMA_BEFORE_ROWS) {
            make_table(s, t);
            continue;
        }
        struct mem_table *m = mem_table_need(s, t->schema, t->name, err);
        if (!m || mem_add_constraints(m, stage == MF_SCHEMA_AFTER_SYNC, err)) {
            return -1;
        }
    }
    return 0;
}

static int add_column(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                      int64_t stamp, struct mf_error *err)
{
    (void)stamp;
    MEM_LOCKED;
    struct mf_mem_server *s = mem_server(db);
    const struct mem_table *m = mem_table_find(s, t->schema, t->name);
    struct mf_mem_column column = {.name = c->name, .text = c->type.kind == MF_KIND_TEXT};
    if (mem_enter_db(db, "canon.add_column", NULL, err)) {
        return -1;
    }
    return m && mem_column_at(&m->shape->table, c->name) >= 0 ? 0
                                                              : mf_mem_add_column(s, t->schema, t->name, &column, err);
}

static void plain_type(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       struct mf_buf *ret_type, struct mf_buf *ret_loss)
{
    (void)db, (void)t, (void)ret_loss;
    mf_buf_puts(ret_type, c->type.kind == MF_KIND_TEXT ? "text" : "bigint");
}

static void other_type(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                       struct mf_buf *ret_type, struct mf_buf *ret_loss)
{
    (void)db, (void)t;
    bool text = c->type.kind == MF_KIND_TEXT;
    mf_buf_puts(ret_type, text ? "string" : "number");
    mf_buf_puts(ret_loss, text ? "texts with a \"!\" are refused" : "");
}

static const char *default_schema(struct mf_db *db)
{
    return mem_server(db)->knobs.default_schema;
}

const struct mf_canon_ops mem_canon_plain = {
    .types = types,
    .type_of = type_of,
    .to_canon = as_it_is,
    .from_canon = as_it_is,
    .document = mf_default_document,
    .type_named = mf_default_type_named,
    .bound_get = bound_get,
    .bound_put = bound_put,
    .describe = describe,
    .make = make,
    .add_column = add_column,
    .type_here = plain_type,
    .default_schema = default_schema,
};

const struct mf_canon_ops mem_canon_other = {
    .types = types,
    .type_of = type_of,
    .to_canon = other_to_canon,
    .from_canon = other_from_canon,
    .document = mf_default_document,
    .type_named = mf_default_type_named,
    .bound_get = bound_get,
    .bound_put = bound_put,
    .describe = describe,
    .make = make,
    .add_column = add_column,
    .type_here = other_type,
    .default_schema = default_schema,
};
