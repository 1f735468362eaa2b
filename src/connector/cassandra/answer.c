#include "connector/cassandra/answer_internal.h"

#include "base/str.h"

#include <string.h>

enum { ROWS_GLOBAL = 0x01, ROWS_MORE = 0x02, ROWS_NO_METADATA = 0x04, ROWS_CHANGED = 0x08 };
enum { COLUMN_MIN = 4 }; /* bytes of a column's name and type at least */

/* ---- parts -- */

void *cql_in_array(struct cql_in *in, size_t n, size_t each)
{
    void *p = in->c.failed || in->full ? NULL : mf_alloc_array(in->arena, n ? n : 1, each);
    if (!p && !in->c.failed) {
        in->full = in->c.failed = true;
    }
    return p;
}

/* n bytes with a NUL behind them. */
static char *copy(struct cql_in *in, const void *p, size_t n)
{
    char *s = in->c.failed ? NULL : mf_memdup_a(in->arena, p, n);
    if (!s && !in->c.failed) {
        in->full = in->c.failed = true;
    }
    return s;
}

const char *cql_in_string(struct cql_in *in)
{
    size_t n = mf_read_u16be(&in->c);
    const char *p = mf_read_bytes(&in->c, n);
    if (p && (!mf_utf8_valid(p, n) || memchr(p, 0, n))) {
        in->c.failed = true;
    }
    char *s = copy(in, p, n);
    return s ? s : "";
}

const char *cql_in_sentence(struct cql_in *in)
{
    size_t n = mf_read_u16be(&in->c);
    char *s = copy(in, mf_read_bytes(&in->c, n), n);
    if (!s) {
        return "";
    }
    bool text = mf_utf8_valid(s, n);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\0' || (!text && (unsigned char)s[i] >= 0x80)) {
            s[i] = '?';
        }
    }
    return s;
}

const char *const *cql_in_strings(struct cql_in *in, uint16_t *ret_n, const char *(*one)(struct cql_in *))
{
    uint16_t n = mf_read_u16be(&in->c);
    if (n > mf_cursor_left(&in->c) / 2) {
        in->c.failed = true;
    }
    const char **list = cql_in_array(in, (size_t)n + 1, sizeof(*list));
    if (!list) {
        *ret_n = 0;
        return NULL;
    }
    for (uint16_t i = 0; i < n; i++) {
        list[i] = one(in);
    }
    *ret_n = n;
    return list; /* the one behind the last is NULL */
}

struct cql_bytes cql_in_bytes(struct cql_in *in)
{
    int32_t n = (int32_t)mf_read_u32be(&in->c);
    const uint8_t *p = n >= 0 ? mf_read_bytes(&in->c, (size_t)n) : NULL;
    return p ? (struct cql_bytes){.p = p, .n = n} : (struct cql_bytes){.n = CQL_LEN_NULL};
}

struct cql_bytes cql_in_short_bytes(struct cql_in *in)
{
    uint16_t n = mf_read_u16be(&in->c);
    const uint8_t *p = mf_read_bytes(&in->c, n);
    return p ? (struct cql_bytes){.p = p, .n = n} : (struct cql_bytes){.n = CQL_LEN_NULL};
}

void cql_in_address(struct cql_in *in, struct cql_inet *ret)
{
    *ret = (struct cql_inet){.len = mf_read_u8(&in->c)};
    if (ret->len != 4 && ret->len != 16) {
        in->c.failed = true;
        ret->len = 4;
    }
    const void *p = mf_read_bytes(&in->c, ret->len);
    if (p) {
        memcpy(ret->address, p, ret->len);
    }
}

/* ---- columns and rows -- */

static void read_columns(struct cql_in *in, uint32_t flags, struct cql_columns *c, struct mf_error *err)
{
    if ((size_t)c->n > mf_cursor_left(&in->c) / COLUMN_MIN && c->n > 0) {
        in->c.failed = true;
    }
    struct cql_column *list = cql_in_array(in, (size_t)c->n, sizeof(*list));
    if (!list) {
        c->n = 0;
        return;
    }
    const char *keyspace = "", *table = "";
    if (flags & ROWS_GLOBAL) {
        keyspace = cql_in_string(in);
        table = cql_in_string(in);
    }
    for (int32_t i = 0; i < c->n && !in->c.failed; i++) {
        list[i].keyspace = flags & ROWS_GLOBAL ? keyspace : cql_in_string(in);
        list[i].table = flags & ROWS_GLOBAL ? table : cql_in_string(in);
        list[i].name = cql_in_string(in);
        if (cql_type_read(&in->c, in->arena, &list[i].type, err) < 0) {
            in->full |= err->cls == MF_FATAL;
            in->c.failed = true;
        }
    }
    c->columns = list;
}

static int32_t read_count(struct cql_in *in, int32_t max)
{
    int32_t n = (int32_t)mf_read_u32be(&in->c);
    if (n < 0 || n > max) {
        in->c.failed = true;
        return 0;
    }
    return n;
}

static void read_result_metadata(struct cql_in *in, struct cql_columns *c, struct mf_error *err)
{
    uint32_t flags = mf_read_u32be(&in->c);
    c->n = read_count(in, UINT16_MAX);
    if (flags & ROWS_MORE) {
        c->paging_state = cql_in_bytes(in);
    }
    if (flags & ROWS_CHANGED) {
        c->changed = true;
        c->result_id = cql_in_short_bytes(in);
    }
    c->none = flags & ROWS_NO_METADATA;
    if (!c->none) {
        read_columns(in, flags, c, err);
    }
}

static void read_rows(struct cql_in *in, struct cql_rows *r, struct mf_error *err)
{
    read_result_metadata(in, &r->columns, err);
    r->nrows = r->left = read_count(in, INT32_MAX);
    /* Every value has four bytes at least; rows of nothing could be any number. */
    size_t each = 4 * (size_t)r->columns.n;
    if (r->nrows > 0 && (each == 0 || (size_t)r->nrows > mf_cursor_left(&in->c) / each)) {
        in->c.failed = true;
    }
    r->at = in->c;
}

int cql_rows_next(struct cql_rows *r, struct cql_bytes *cells, int32_t ncells, struct mf_error *err)
{
    if (ncells < r->columns.n) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a row of %d values is read into room for %d", r->columns.n, ncells);
    }
    if (r->left == 0) {
        return 0;
    }
    for (int32_t i = 0; i < r->columns.n; i++) {
        int32_t n = (int32_t)mf_read_u32be(&r->at);
        const uint8_t *p = n > 0 ? mf_read_bytes(&r->at, (size_t)n) : r->at.p;
        cells[i] = (struct cql_bytes){.p = p, .n = n < 0 ? CQL_LEN_NULL : n};
    }
    if (r->at.failed) {
        return mf_fail(err, MF_RETRY, "MFPROTO", "an answer of Cassandra ends within its rows");
    }
    r->left--;
    return 1;
}

static void read_prepared(struct cql_in *in, struct cql_prepared *p, struct mf_error *err)
{
    p->id = cql_in_short_bytes(in);
    if (in->version >= 5) {
        p->result_id = cql_in_short_bytes(in);
    }
    uint32_t flags = mf_read_u32be(&in->c);
    p->binds.n = read_count(in, UINT16_MAX);
    int32_t npk = read_count(in, UINT16_MAX);
    if ((size_t)npk > mf_cursor_left(&in->c) / 2) {
        in->c.failed = true;
    }
    uint16_t *pk = cql_in_array(in, (size_t)npk, sizeof(*pk));
    for (int32_t i = 0; pk && i < npk; i++) {
        pk[i] = mf_read_u16be(&in->c);
        if (pk[i] >= p->binds.n) {
            in->c.failed = true;
        }
    }
    p->npk = pk ? (uint16_t)npk : 0;
    p->pk = pk;
    read_columns(in, flags & ROWS_GLOBAL, &p->binds, err);
    read_result_metadata(in, &p->result, err);
}

/* ---- changes of the schema, events -- */

static void read_schema_change(struct cql_in *in, struct cql_schema_change *s)
{
    s->change = cql_in_string(in);
    s->target = cql_in_string(in);
    s->keyspace = cql_in_string(in);
    s->object = "";
    if (!mf_streq(s->target, "KEYSPACE") && mf_cursor_left(&in->c) > 0) {
        s->object = cql_in_string(in);
    }
    if (mf_streq(s->target, "FUNCTION") || mf_streq(s->target, "AGGREGATE")) {
        s->arguments = cql_in_strings(in, &s->narguments, cql_in_string);
    }
}

static void read_event(struct cql_in *in, struct cql_event *e)
{
    const char *kind = cql_in_string(in);
    e->change = "";
    if (mf_streq(kind, "SCHEMA_CHANGE")) {
        e->kind = CQL_ON_SCHEMA;
        read_schema_change(in, &e->schema);
    } else if (mf_streq(kind, "TOPOLOGY_CHANGE") || mf_streq(kind, "STATUS_CHANGE")) {
        e->kind = kind[0] == 'T' ? CQL_ON_TOPOLOGY : CQL_ON_STATUS;
        e->change = cql_in_string(in);
        cql_in_address(in, &e->node);
        e->node.port = (int32_t)mf_read_u32be(&in->c);
    }
}

static void read_supported(struct cql_in *in, struct cql_supported *s)
{
    uint16_t n = mf_read_u16be(&in->c);
    if (n > mf_cursor_left(&in->c) / 4) {
        in->c.failed = true;
    }
    s->keys = cql_in_array(in, n, sizeof(*s->keys));
    s->values = cql_in_array(in, n, sizeof(*s->values));
    for (uint16_t i = 0; i < n && !in->c.failed; i++) {
        uint16_t count;
        s->keys[i] = cql_in_string(in);
        s->values[i] = cql_in_strings(in, &count, cql_in_string);
        s->n++;
    }
}

const char *const *cql_supported_values(const struct cql_supported *s, const char *key)
{
    for (uint16_t i = 0; i < s->n; i++) {
        if (mf_streq(s->keys[i], key)) {
            return s->values[i];
        }
    }
    return NULL;
}

/* ---- the whole -- */

/* What may stand before any message. */
static void read_preamble(struct cql_in *in, uint8_t flags, struct cql_answer *a)
{
    if (flags & CQL_FLAG_TRACING) {
        a->trace = mf_read_bytes(&in->c, 16);
    }
    if (flags & CQL_FLAG_WARNING) {
        a->warnings = cql_in_strings(in, &a->nwarnings, cql_in_sentence);
    }
    if (flags & CQL_FLAG_PAYLOAD) {
        for (uint16_t n = mf_read_u16be(&in->c); n > 0 && !in->c.failed; n--) {
            mf_read_bytes(&in->c, mf_read_u16be(&in->c));
            cql_in_bytes(in);
        }
    }
}

static void read_result(struct cql_in *in, struct cql_answer *a, struct mf_error *err)
{
    a->result = (enum cql_result_kind)mf_read_u32be(&in->c);
    switch (a->result) {
    case CQL_VOID:
        break;
    case CQL_ROWS:
        read_rows(in, &a->rows, err);
        break;
    case CQL_SET_KEYSPACE:
        a->keyspace = cql_in_string(in);
        break;
    case CQL_PREPARED:
        read_prepared(in, &a->prepared, err);
        break;
    case CQL_SCHEMA_CHANGE:
        read_schema_change(in, &a->schema);
        break;
    default:
        in->c.failed = true;
    }
}

static void read_message(struct cql_in *in, struct cql_answer *a, struct mf_error *err)
{
    switch (a->opcode) {
    case CQL_ERROR:
        cql_in_error(in, &a->error);
        break;
    case CQL_READY:
        break;
    case CQL_AUTHENTICATE:
        a->authenticator = cql_in_string(in);
        break;
    case CQL_SUPPORTED:
        read_supported(in, &a->supported);
        break;
    case CQL_RESULT:
        read_result(in, a, err);
        break;
    case CQL_EVENT:
        read_event(in, &a->event);
        break;
    case CQL_AUTH_CHALLENGE:
    case CQL_AUTH_SUCCESS:
        a->token = cql_in_bytes(in);
        break;
    default:
        in->c.failed = true;
    }
}

int cql_answer_read(const struct cql_frame *f, struct mf_arena *arena, struct cql_answer *ret, struct mf_error *err)
{
    struct cql_answer a = {.opcode = f->opcode, .stream = f->stream};
    struct cql_in in = {.arena = arena, .version = f->version};
    struct mf_error inner = {0};
    mf_cursor_init(&in.c, f->body, f->len);
    read_preamble(&in, f->flags, &a);
    read_message(&in, &a, &inner);
    if (in.full) {
        return mf_fail(err, MF_FATAL, "MFBIG", "an answer of Cassandra of %zu bytes has more parts than are taken",
                       f->len);
    }
    if (in.c.failed) {
        return mf_fail(err, MF_RETRY, "MFPROTO", "an answer of Cassandra (opcode 0x%02x, %zu bytes) is malformed%s%s",
                       f->opcode, f->len, inner.text[0] ? ": " : "", inner.text);
    }
    *ret = a;
    return 0;
}
