/*
 * The codec of CQL's native protocol (src/connector/cassandra), driven by lines of JSON on standard input; each is answered by a line of JSON.
 * It has no socket: who drives it carries the bytes, as hex. For tests only.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/cassandra/token.h"

#define MAX (64u << 20)

static struct mf_arena types, answers = {.max_bytes = MAX};
static struct cql_type udts[16];
static size_t nudts;
static struct cql_wire wire = {.version = 5};
static struct cql_reader *reader;
static struct cql_answer prepared[16]; /* whose ids and columns are asked for again; in `types` */
static size_t nprepared;

static const char *text_of(const json_t *in, const char *key)
{
    const char *s = json_string_value(json_object_get(in, key));
    return s ? s : "";
}

static int64_t int_of(const json_t *in, const char *key)
{
    return json_integer_value(json_object_get(in, key));
}

static void unhex(const char *hex, struct mf_buf *b)
{
    static const char digits[] = "0123456789abcdef";
    for (; hex[0] && hex[1]; hex += 2) {
        mf_buf_putc(b, (char)((strchr(digits, hex[0]) - digits) << 4 | (strchr(digits, hex[1]) - digits)));
    }
}

static json_t *hex_json(const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    MF_CLEANUP_BUF struct mf_buf s = {.max = 2 * n};
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = ((const uint8_t *)p)[i];
        mf_buf_putc(&s, digits[byte >> 4]);
        mf_buf_putc(&s, digits[byte & 15]);
    }
    return json_stringn(mf_buf_str(&s), s.len);
}

static json_t *bytes_json(struct cql_bytes v)
{
    return v.n < 0 || !v.p ? json_null() : hex_json(v.p, (size_t)v.n);
}

static const struct cql_type *udt(void *ctx, const char *name)
{
    (void)ctx;
    for (size_t i = 0; i < nudts; i++) {
        if (mf_streq(udts[i].name, name)) {
            return &udts[i];
        }
    }
    return NULL;
}

static int parse(const char *text, const struct cql_type **ret, struct mf_error *err)
{
    return cql_type_parse(text, strlen(text), udt, NULL, &types, ret, err);
}

/* {"name", "fields": [[name, type], …]} */
static int op_udt(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)out;
    const json_t *list = json_object_get(in, "fields"), *one;
    size_t i, n = json_array_size(list);
    const char **fields = mf_alloc_array(&types, n, sizeof(*fields));
    const struct cql_type **sub = mf_alloc_array(&types, n, sizeof(struct cql_type *));
    json_array_foreach(list, i, one)
    {
        fields[i] = mf_strdup_a(&types, json_string_value(json_array_get(one, 0)));
        if (parse(json_string_value(json_array_get(one, 1)), &sub[i], err) < 0) {
            return -1;
        }
    }
    udts[nudts++] = (struct cql_type){.kind = CQL_K_UDT,
                                      .nsub = (uint32_t)n,
                                      .sub = sub,
                                      .fields = fields,
                                      .keyspace = "",
                                      .name = mf_strdup_a(&types, text_of(in, "name"))};
    return 0;
}

/* {"type", "text"}: "bytes" of the value. Texts are hex too, since JSON has no NUL. */
static int op_put(const json_t *in, json_t *out, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MAX}, b = {.max = MAX};
    const struct cql_type *t;
    unhex(text_of(in, "text"), &text);
    if (parse(text_of(in, "type"), &t, err) < 0 || cql_value_put(t, mf_buf_str(&text), text.len, &b, err) < 0) {
        return -1;
    }
    json_object_set_new(out, "bytes", hex_json(b.data + 4, b.len - 4));
    return 0;
}

static int op_text(const json_t *in, json_t *out, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = MAX}, b = {.max = MAX};
    const struct cql_type *t;
    unhex(text_of(in, "bytes"), &b);
    struct cql_bytes v = {.p = (const uint8_t *)mf_buf_str(&b), .n = (int32_t)b.len};
    if (parse(text_of(in, "type"), &t, err) < 0 || cql_value_text(t, v, &text, err) < 0) {
        return -1;
    }
    json_object_set_new(out, "text", hex_json(mf_buf_str(&text), text.len));
    return 0;
}

/* {"parts": [hex, …]} */
static int op_token(const json_t *in, json_t *out, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf values = {.max = MAX};
    const json_t *list = json_object_get(in, "parts"), *one;
    uint16_t pk[16];
    size_t i;
    int64_t token;
    json_array_foreach(list, i, one)
    {
        MF_CLEANUP_BUF struct mf_buf b = {.max = MAX};
        unhex(json_string_value(one), &b);
        cql_put_bytes(&values, mf_buf_str(&b), b.len);
        pk[i] = (uint16_t)i;
    }
    struct cql_values v = {.p = (uint8_t *)values.data, .len = values.len, .n = (uint16_t)i};
    if (cql_values_token(&v, pk, v.n, &token, err) < 0) {
        return -1;
    }
    json_object_set_new(out, "token", json_integer(token));
    return 0;
}

/* ---- messages -- */

/* {"version", "segments", "lz4"}: from now on; a new connection where "new" is true. */
static int op_speak(const json_t *in, json_t *out, struct mf_error *err)
{
    (void)out, (void)err;
    if (json_is_true(json_object_get(in, "new"))) {
        cql_reader_free(reader);
        reader = cql_reader_new(json_object_get(in, "max_frame") ? (size_t)int_of(in, "max_frame") : MAX);
    }
    wire = (struct cql_wire){.version = (uint8_t)int_of(in, "version"),
                             .segments = json_is_true(json_object_get(in, "segments")),
                             .lz4 = json_is_true(json_object_get(in, "lz4"))};
    cql_reader_speak(reader, &wire);
    return 0;
}

/* [hex or null or "unset", …]; with names in "names". */
static void put_values(const json_t *list, const json_t *names, struct mf_buf *b, struct cql_values *ret)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        MF_CLEANUP_BUF struct mf_buf v = {.max = MAX};
        if (names) {
            cql_put_string(b, json_string_value(json_array_get(names, i)));
        }
        if (json_is_null(one)) {
            cql_put_null(b);
        } else if (mf_streq(json_string_value(one), "unset")) {
            cql_put_unset(b);
        } else {
            unhex(json_string_value(one), &v);
            cql_put_bytes(b, mf_buf_str(&v), v.len);
        }
    }
    *ret =
        (struct cql_values){.p = (const uint8_t *)mf_buf_str(b), .len = b->len, .n = (uint16_t)json_array_size(list)};
}

static int put_batch(const json_t *in, struct mf_buf *b, const struct cql_params *p, struct mf_error *err)
{
    struct cql_batch_item items[64];
    struct mf_buf values[64] = {0};
    const json_t *one;
    size_t i, n = 0;
    json_array_foreach(json_object_get(in, "items"), i, one)
    {
        values[n].max = MAX;
        items[n].cql = text_of(one, "cql");
        items[n].id =
            json_object_get(one, "prepared") ? prepared[int_of(one, "prepared")].prepared.id : (struct cql_bytes){0};
        put_values(json_object_get(one, "values"), NULL, &values[n], &items[n].values);
        n++;
    }
    int rc =
        cql_put_batch(b, wire.version, (int16_t)int_of(in, "stream"), CQL_BATCH_UNLOGGED, items, (uint16_t)n, p, err);
    for (i = 0; i < n; i++) {
        mf_buf_free(&values[i]);
    }
    return rc;
}

static int put_request(const json_t *in, struct mf_buf *b, struct mf_error *err)
{
    const char *what = text_of(in, "what"), *cql = text_of(in, "cql");
    int16_t stream = (int16_t)int_of(in, "stream");
    MF_CLEANUP_BUF struct mf_buf values = {.max = MAX}, state = {.max = MAX}, token = {.max = MAX};
    struct cql_params p = {.consistency = CQL_ONE,
                           .named = json_object_get(in, "names") != NULL,
                           .skip_metadata = json_is_true(json_object_get(in, "skip_metadata")),
                           .page_size = (int32_t)int_of(in, "page_size"),
                           .has_timestamp = json_object_get(in, "timestamp") != NULL,
                           .timestamp = int_of(in, "timestamp"),
                           .keyspace = json_string_value(json_object_get(in, "keyspace"))};
    put_values(json_object_get(in, "values"), json_object_get(in, "names"), &values, &p.values);
    if (json_object_get(in, "paging_state")) {
        unhex(text_of(in, "paging_state"), &state);
        p.paging_state = (struct cql_bytes){.p = (const uint8_t *)mf_buf_str(&state), .n = (int32_t)state.len};
    }
    if (mf_streq(what, "startup")) {
        return cql_put_startup(b, wire.version, stream, json_string_value(json_object_get(in, "compression")),
                               "cqldrive", err);
    }
    if (mf_streq(what, "options")) {
        return cql_put_options(b, wire.version, stream, err);
    }
    if (mf_streq(what, "auth")) {
        unhex(text_of(in, "token"), &token);
        return cql_put_auth_response(b, wire.version, stream, mf_buf_str(&token), token.len, err);
    }
    if (mf_streq(what, "register")) {
        return cql_put_register(b, wire.version, stream, (unsigned)int_of(in, "events"), err);
    }
    if (mf_streq(what, "prepare")) {
        return cql_put_prepare(b, wire.version, stream, cql, p.keyspace, err);
    }
    if (mf_streq(what, "execute")) {
        const struct cql_prepared *q = &prepared[int_of(in, "prepared")].prepared;
        return cql_put_execute(b, wire.version, stream, q->id, q->result_id, &p, err);
    }
    if (mf_streq(what, "batch")) {
        return put_batch(in, b, &p, err);
    }
    return cql_put_query(b, wire.version, stream, cql, &p, err);
}

/* "wire": what to send. Several: {"requests": […]}. */
static int op_request(const json_t *in, json_t *out, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf frames = {.max = MAX}, b = {.max = MAX};
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(in, "requests"), i, one)
    {
        if (put_request(one, &frames, err) < 0) {
            return -1;
        }
    }
    if (cql_wire_put(&b, &wire, frames.data, frames.len, err) < 0) {
        return -1;
    }
    json_object_set_new(out, "wire", hex_json(b.data, b.len));
    return 0;
}

static json_t *columns_json(const struct cql_columns *c)
{
    json_t *list = json_array();
    for (int32_t i = 0; c->columns && i < c->n; i++) {
        MF_CLEANUP_BUF struct mf_buf type = {.max = 10000};
        cql_type_put(&type, c->columns[i].type);
        json_array_append_new(list, json_pack("[s,s,s,s]", c->columns[i].keyspace, c->columns[i].table,
                                              c->columns[i].name, mf_buf_str(&type)));
    }
    return list;
}

static void rows_json(struct cql_rows *r, json_t *j)
{
    struct cql_bytes cells[64];
    struct mf_error err;
    json_t *rows = json_array();
    json_object_set_new(j, "columns", columns_json(&r->columns));
    json_object_set_new(j, "none", json_boolean(r->columns.none));
    json_object_set_new(j, "changed", json_boolean(r->columns.changed));
    json_object_set_new(j, "paging_state",
                        r->columns.paging_state.p ? bytes_json(r->columns.paging_state) : json_null());
    while (cql_rows_next(r, cells, MF_ARRAY_LEN(cells), &err) == 1) {
        json_t *row = json_array();
        for (int32_t i = 0; i < r->columns.n; i++) {
            json_array_append_new(row, bytes_json(cells[i]));
        }
        json_array_append_new(rows, row);
    }
    json_object_set_new(j, "rows", rows);
}

/* What was prepared is read again into memory that stays. */
static void keep_prepared(const struct cql_frame *f, json_t *j)
{
    struct mf_error err;
    struct cql_frame kept = *f;
    kept.body = (uint8_t *)mf_memdup_a(&types, f->body, f->len);
    if (cql_answer_read(&kept, &types, &prepared[nprepared], &err) == 0) {
        const struct cql_prepared *p = &prepared[nprepared].prepared;
        json_t *pk = json_array();
        for (uint16_t i = 0; i < p->npk; i++) {
            json_array_append_new(pk, json_integer(p->pk[i]));
        }
        json_object_set_new(j, "prepared", json_integer((json_int_t)nprepared++));
        json_object_set_new(j, "pk", pk);
        json_object_set_new(j, "binds", columns_json(&p->binds));
        json_object_set_new(j, "result", columns_json(&p->result));
    }
}

static json_t *error_json(const struct cql_server_error *e)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:o, s:i}", "code", (int)e->code, "name",
                     cql_error_name(e->code), "message", e->message, "consistency",
                     cql_consistency_name(e->consistency), "required", (int)e->required, "got", (int)e->got,
                     "write_type", e->write_type_text, "keyspace", e->keyspace, "object", e->object, "id",
                     bytes_json(e->id), "failures", (int)e->nfailures);
}

static json_t *schema_json(const struct cql_schema_change *s)
{
    return json_pack("[s,s,s,s]", s->change, s->target, s->keyspace, s->object);
}

static json_t *answer_json(const struct cql_frame *f, struct cql_answer *a)
{
    json_t *j = json_pack("{s:i, s:i, s:i, s:i}", "opcode", (int)a->opcode, "stream", (int)a->stream, "version",
                          (int)f->version, "warnings", (int)a->nwarnings);
    char inet[CQL_INET_TEXT];
    if (a->opcode == CQL_ERROR) {
        json_object_set_new(j, "error", error_json(&a->error));
    } else if (a->opcode == CQL_AUTHENTICATE) {
        json_object_set_new(j, "authenticator", json_string(a->authenticator));
    } else if (a->opcode == CQL_SUPPORTED) {
        const char *const *v = cql_supported_values(&a->supported, "COMPRESSION");
        json_t *list = json_array();
        for (; v && *v; v++) {
            json_array_append_new(list, json_string(*v));
        }
        json_object_set_new(j, "compression", list);
    } else if (a->opcode == CQL_EVENT) {
        json_object_set_new(j, "event", json_integer(a->event.kind));
        json_object_set_new(
            j, "change", a->event.kind == CQL_ON_SCHEMA ? schema_json(&a->event.schema) : json_string(a->event.change));
        json_object_set_new(j, "node", json_string(cql_inet_text(&a->event.node, inet)));
    } else if (a->opcode == CQL_RESULT) {
        json_object_set_new(j, "kind", json_integer(a->result));
        if (a->result == CQL_ROWS) {
            rows_json(&a->rows, j);
        } else if (a->result == CQL_PREPARED) {
            keep_prepared(f, j);
        } else if (a->result == CQL_SET_KEYSPACE) {
            json_object_set_new(j, "keyspace", json_string(a->keyspace));
        } else if (a->result == CQL_SCHEMA_CHANGE) {
            json_object_set_new(j, "schema", schema_json(&a->schema));
        }
    }
    return j;
}

/* {"bytes"}: "answers" that are whole with them. */
static int op_feed(const json_t *in, json_t *out, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MAX};
    json_t *list = json_array();
    json_object_set_new(out, "answers", list);
    unhex(text_of(in, "bytes"), &b);
    for (size_t at = 0;;) {
        struct cql_frame f;
        struct cql_answer a;
        int rc;
        while ((rc = cql_reader_next(reader, &f, err)) == 1) {
            mf_arena_reset(&answers);
            if (cql_answer_read(&f, &answers, &a, err) < 0) {
                return -1;
            }
            json_array_append_new(list, answer_json(&f, &a));
        }
        if (rc < 0 || at == b.len) {
            return rc;
        }
        size_t room = 0;
        void *p = cql_reader_room(reader, &room);
        size_t n = b.len - at < room ? b.len - at : room;
        memcpy(p, b.data + at, n);
        cql_reader_took(reader, n);
        at += n;
    }
}

static const struct {
    const char *name;
    int (*run)(const json_t *in, json_t *out, struct mf_error *err);
} ops[] = {{"udt", op_udt},     {"put", op_put},         {"text", op_text}, {"token", op_token},
           {"speak", op_speak}, {"request", op_request}, {"feed", op_feed}};

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    types.max_bytes = MAX;
    while (getline(&line, &cap, stdin) > 0) {
        struct mf_error err = {0};
        json_t *in = json_loads(line, 0, NULL), *out = json_object();
        int rc = mf_fail(&err, MF_USAGE, "MFTEST", "no such operation");
        for (size_t i = 0; i < MF_ARRAY_LEN(ops); i++) {
            if (mf_streq(ops[i].name, text_of(in, "op"))) {
                rc = ops[i].run(in, out, &err);
            }
        }
        json_object_set_new(out, "ok", json_boolean(rc == 0));
        if (rc < 0) {
            json_object_set_new(out, "class", json_string(mf_errclass_name(err.cls)));
            json_object_set_new(out, "code", json_string(err.code));
            json_object_set_new(out, "text", json_string(err.text));
            json_object_set_new(out, "hint", json_string(err.hint));
        }
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(in);
        json_decref(out);
    }
    free(line);
    cql_reader_free(reader);
    mf_arena_free(&types);
    mf_arena_free(&answers);
    return 0;
}
