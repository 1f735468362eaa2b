/*
 * A cluster as callers of connector/cassandra/cql.h see it, driven by lines of JSON on standard input; each is answered by a line of JSON. For
 * tests only. Values are texts (cqlvalue.h), null, or {} (unset).
 */
#include "cqlcluster.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUES_MAX (600u << 20)

struct mf_cql *cluster;

const char *cd_text(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

int64_t cd_number(const json_t *o, const char *name, int64_t otherwise)
{
    const json_t *v = json_object_get(o, name);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static bool flag(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

/* ---- rows */

static json_t *cell_json(const struct cql_column *col, struct cql_bytes v)
{
    struct mf_error err = {0};
    MF_CLEANUP_BUF struct mf_buf b = {.max = 256u << 20};
    if (v.n < 0) {
        return json_null();
    }
    if (cql_value_text(col->type, v, &b, &err) < 0) {
        return json_pack("{ss}", "bad", err.text);
    }
    return json_stringn(mf_buf_str(&b), b.len);
}

static int rows_json(struct mf_cql_answer *a, json_t *rows, struct mf_error *err)
{
    const struct cql_bytes *cells;
    int rc;
    while ((rc = mf_cql_next(a, &cells, err)) == 1) {
        json_t *row = json_array();
        for (int32_t i = 0; i < a->columns->n; i++) {
            json_array_append_new(row, cell_json(&a->columns->columns[i], cells[i]));
        }
        json_array_append_new(rows, row);
    }
    return rc;
}

static int answer_json(struct mf_cql_answer *a, json_t *reply, struct mf_error *err)
{
    json_t *rows = json_array();
    json_object_set_new(reply, "rows", rows);
    json_object_set_new(reply, "node", json_integer(a->node));
    json_object_set_new(reply, "retries", json_integer(a->retries));
    json_object_set_new(reply, "took_us", json_integer(a->took_us));
    char trace[33] = "";
    for (int i = 0; i < 16; i++) {
        snprintf(trace + 2 * i, 3, "%02x", a->trace_id[i]);
    }
    json_object_set_new(reply, "trace", json_string(trace));
    json_object_set_new(reply, "warnings", a->warnings ? json_string(a->warnings) : json_null());
    return rows_json(a, rows, err);
}

/* ---- requests */

static int put_values(const struct mf_cql_prepared *p, const json_t *values, struct mf_buf *b, struct cql_values *ret,
                      struct mf_error *err)
{
    const struct cql_columns *params = mf_cql_prepared_params(p);
    size_t from = b->len;
    for (int32_t i = 0; i < params->n; i++) {
        const json_t *v = json_array_get(values, (size_t)i);
        int rc = json_is_object(v) ? cql_put_unset(b)
                 : !json_is_string(v)
                     ? cql_put_null(b)
                     : cql_value_put(params->columns[i].type, json_string_value(v), json_string_length(v), b, err);
        if (rc < 0) {
            return -1;
        }
    }
    *ret = (struct cql_values){.p = (const uint8_t *)b->data + from, .len = b->len - from, .n = (uint16_t)params->n};
    return 0;
}

static struct mf_cql_request request_of(const json_t *o)
{
    enum cql_consistency c = 0;
    cql_consistency_of(cd_text(o, "consistency") ? cd_text(o, "consistency") : "", &c);
    return (struct mf_cql_request){.consistency = c,
                                   .idempotent = flag(o, "idempotent"),
                                   .has_token = json_object_get(o, "token") != NULL,
                                   .token = cd_number(o, "token", 0),
                                   .keyspace = cd_text(o, "keyspace"),
                                   .node = (uint32_t)cd_number(o, "node", 0),
                                   .only_node = flag(o, "only_node"),
                                   .timeout_ms = (int)cd_number(o, "timeout_ms", 0),
                                   .page_size = (int)cd_number(o, "page_size", 0),
                                   .trace = flag(o, "trace")};
}

static int do_query(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_cql_answer *a MF_CLEANUP(mf_cql_answer_free_p) = NULL;
    struct mf_cql_request r = request_of(o);
    r.text = cd_text(o, "text");
    return mf_cql_call(cluster, &r, &a, err) < 0 ? -1 : answer_json(a, reply, err);
}

/* One statement with one row of values, or ("batch") many. */
static int do_execute(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_cql_answer *a MF_CLEANUP(mf_cql_answer_free_p) = NULL;
    MF_CLEANUP_BUF struct mf_buf b = {.max = VALUES_MAX};
    struct mf_cql_request r = request_of(o);
    const json_t *batch = json_object_get(o, "batch");
    size_t n = batch ? json_array_size(batch) : 1;
    MF_CLEANUP_FREE struct mf_cql_bound *bound = mf_xcalloc(n + 1, sizeof(*bound));
    const struct mf_cql_prepared *p;
    if (mf_cql_prepare(cluster, cd_text(o, "text"), &p, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        bound[i].prepared = p;
        const json_t *values = batch ? json_array_get(batch, i) : json_object_get(o, "values");
        if (put_values(p, values, &b, &bound[i].values, err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0, at = 0; i < n; i++) { /* the buffer may have moved */
        bound[i].values.p = (const uint8_t *)b.data + at;
        at += bound[i].values.len;
    }
    r.bound = bound;
    r.nbound = n;
    int64_t token;
    struct mf_error ignored = {0};
    if (mf_cql_prepared_token(p, &bound[0].values, &token, &ignored) == 0) {
        json_object_set_new(reply, "token", json_integer(token));
    }
    return mf_cql_call(cluster, &r, &a, err) < 0 ? -1 : answer_json(a, reply, err);
}

/* All pages. */
static int do_select(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_cql_request r = request_of(o);
    json_t *rows = json_array();
    MF_CLEANUP_FREE uint8_t *state = NULL;
    int pages = 0;
    json_object_set_new(reply, "rows", rows);
    r.text = cd_text(o, "text");
    r.idempotent = true;
    do {
        struct mf_cql_answer *a MF_CLEANUP(mf_cql_answer_free_p) = NULL;
        if (mf_cql_call(cluster, &r, &a, err) < 0 || rows_json(a, rows, err) < 0) {
            return -1;
        }
        pages++;
        free(state);
        state = a->paging_state.p ? (uint8_t *)mf_xmemdup(a->paging_state.p, (size_t)a->paging_state.n) : NULL;
        r.paging_state = (struct cql_bytes){.p = state, .n = a->paging_state.n};
    } while (r.paging_state.p);
    json_object_set_new(reply, "pages", json_integer(pages));
    return 0;
}

static int do_schema(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)reply;
    return mf_cql_schema(cluster, cd_text(o, "text"), (int)cd_number(o, "wait_ms", 60000), err);
}

static int do_prepare(const json_t *o, json_t *reply, struct mf_error *err)
{
    const struct mf_cql_prepared *p;
    const uint16_t *key;
    if (mf_cql_prepare(cluster, cd_text(o, "text"), &p, err) < 0) {
        return -1;
    }
    json_t *params = json_array(), *markers = json_array();
    const struct cql_columns *c = mf_cql_prepared_params(p);
    for (int32_t i = 0; i < c->n; i++) {
        MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
        cql_type_put(&b, c->columns[i].type);
        json_array_append_new(params, json_pack("[ss]", c->columns[i].name, mf_buf_str(&b)));
    }
    for (size_t i = 0, n = mf_cql_prepared_key(p, &key); i < n; i++) {
        json_array_append_new(markers, json_integer(key[i]));
    }
    json_object_set_new(reply, "params", params);
    json_object_set_new(reply, "key", markers);
    json_object_set_new(reply, "same", json_integer((json_int_t)(intptr_t)p));
    return 0;
}

/* ---- many in flight: rows (int id, text v, and a timestamp where the statement takes three) */

struct load {
    const struct mf_cql_prepared *p;
    int64_t first, n, batch, next, size, acked, failed;
    const char *until, *progress;
    int64_t told_us;
    bool idempotent, three;
    struct mf_cql_inbox *in;
    json_t *lost;
    struct mf_error error;
    int64_t slowest_us, retries;
    struct mf_buf b;
};

static bool goes_on(struct load *l)
{
    if (l->until && access(l->until, F_OK) == 0) {
        return false;
    }
    return l->next < l->n;
}

static void put_row(struct load *l, int64_t id, struct mf_cql_bound *bound)
{
    char value[32];
    size_t from = l->b.len;
    uint8_t four[4], eight[8];
    mf_put_u32be(four, (uint32_t)id);
    mf_put_u64be(eight, (uint64_t)(1000000 + id));
    int n = snprintf(value, sizeof(value), "v%" PRId64, id);
    cql_put_bytes(&l->b, four, 4);
    if (l->size > n) {
        mf_buf_put_u32be(&l->b, (uint32_t)l->size);
        mf_buf_append(&l->b, value, (size_t)n);
        for (int64_t i = n; i < l->size; i++) {
            mf_buf_putc(&l->b, (char)('a' + (i * 7 + id) % 26));
        }
    } else {
        cql_put_bytes(&l->b, value, (size_t)n);
    }
    if (l->three) {
        cql_put_bytes(&l->b, eight, 8);
    }
    bound->prepared = l->p;
    bound->values = (struct cql_values){.len = l->b.len - from, .n = l->three ? 3 : 2};
}

static int send_some(struct load *l, struct mf_error *err)
{
    struct mf_cql_bound bound[1000];
    int64_t n = l->n - l->next < l->batch ? l->n - l->next : l->batch;
    mf_buf_reset(&l->b);
    for (int64_t i = 0; i < n; i++) {
        put_row(l, l->first + l->next + i, &bound[i]);
    }
    for (int64_t i = 0, at = 0; i < n; i++) {
        bound[i].values.p = (const uint8_t *)l->b.data + at;
        at += (int64_t)bound[i].values.len;
    }
    struct mf_cql_request r = {.bound = bound, .nbound = (size_t)n, .idempotent = l->idempotent};
    int rc = mf_cql_submit(cluster, l->in, &r, (uint64_t)l->next, err);
    l->next += rc == 0 ? n : 0;
    return rc;
}

static void take_one(struct load *l, int timeout_ms)
{
    struct mf_cql_answer *a MF_CLEANUP(mf_cql_answer_free_p) = NULL;
    if (mf_cql_take(l->in, timeout_ms, &a) != 0) {
        return;
    }
    int64_t left = l->n - (int64_t)a->tag, n = left < l->batch ? left : l->batch;
    l->slowest_us = a->took_us > l->slowest_us ? a->took_us : l->slowest_us;
    l->retries += a->retries;
    if (!a->error) {
        l->acked += n;
    } else {
        l->failed += n;
        l->error = *a->error;
        for (int64_t i = 0; i < n; i++) {
            json_array_append_new(l->lost, json_integer(l->first + (int64_t)a->tag + i));
        }
    }
    int64_t now = mf_now_us();
    if (l->progress && now > l->told_us + 50000) {
        MF_CLEANUP_FILE FILE *f = fopen(l->progress, "w");
        l->told_us = now;
        if (f) {
            fprintf(f, "%" PRId64 "\n", l->acked);
        }
    }
}

static int do_load(const json_t *o, json_t *reply, struct mf_error *err)
{
    struct load l = {.first = cd_number(o, "first", 0),
                     .n = cd_number(o, "n", 1000),
                     .batch = cd_number(o, "batch_size", 1),
                     .size = cd_number(o, "size", 0),
                     .until = cd_text(o, "until"),
                     .progress = cd_text(o, "progress"),
                     .idempotent = !flag(o, "not_idempotent"),
                     .lost = json_array()};
    if (mf_cql_prepare(cluster, cd_text(o, "text"), &l.p, err) < 0) {
        return -1;
    }
    l.three = mf_cql_prepared_params(l.p)->n == 3;
    mf_buf_init(&l.b, VALUES_MAX);
    l.in = mf_cql_inbox_new((size_t)cd_number(o, "in_flight", 512), 256u << 20);
    int64_t from = mf_now_us();
    int rc = 0;
    while (rc >= 0 && goes_on(&l)) {
        rc = send_some(&l, err);
        if (rc == 1) {
            take_one(&l, -1);
        }
    }
    while (mf_cql_in_flight(l.in) > 0) {
        take_one(&l, -1);
    }
    mf_cql_inbox_free(l.in);
    mf_buf_free(&l.b);
    json_object_set_new(reply, "seconds", json_real((double)(mf_now_us() - from) / 1e6));
    json_object_set_new(reply, "sent", json_integer(l.next));
    json_object_set_new(reply, "acked", json_integer(l.acked));
    json_object_set_new(reply, "failed", json_integer(l.failed));
    json_object_set_new(reply, "lost", l.lost);
    json_object_set_new(reply, "retries", json_integer(l.retries));
    json_object_set_new(reply, "slowest_us", json_integer(l.slowest_us));
    json_object_set_new(reply, "error", json_pack("{ssss}", "code", l.error.code, "text", l.error.text));
    return rc < 0 ? -1 : 0;
}

static int do_hurry(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)reply;
    (void)err;
    mf_cql_hurry(cluster, (int)cd_number(o, "within_ms", 0));
    return 0;
}

/* Requests are submitted and the cluster is closed with their answers on their way: how many came, and how. */
static int do_close_with(const json_t *o, json_t *reply, struct mf_error *err)
{
    int64_t n = cd_number(o, "n", 100), closed = 0, good = 0;
    struct mf_cql_inbox *in = mf_cql_inbox_new((size_t)n, 256u << 20),
                        *dropped = mf_cql_inbox_new((size_t)n, 256u << 20);
    struct mf_cql_request r = {.text = cd_text(o, "text"), .idempotent = true};
    for (int64_t i = 0; i < n; i++) {
        if (mf_cql_submit(cluster, i % 2 ? dropped : in, &r, (uint64_t)i, err) != 0) {
            return -1;
        }
    }
    mf_cql_inbox_free(dropped);
    mf_cql_close(cluster);
    cluster = NULL;
    struct mf_cql_answer *a = NULL;
    while (mf_cql_take(in, -1, &a) == 0) {
        closed += a->error && mf_streq(a->error->code, "MFCLOSED");
        good += !a->error;
        mf_cql_answer_free(a);
    }
    mf_cql_inbox_free(in);
    json_object_set_new(reply, "closed", json_integer(closed));
    json_object_set_new(reply, "good", json_integer(good));
    return 0;
}

/* ---- several callers at once */

struct caller {
    pthread_t thread;
    const char *text;
    int64_t n, good, bad, first;
};

static void *calls(void *arg)
{
    struct caller *w = arg;
    struct mf_error err = {0};
    for (int64_t i = 0; i < w->n; i++) {
        const struct mf_cql_prepared *p;
        uint8_t four[4], value[64];
        struct mf_cql_answer *a = NULL;
        MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
        mf_put_u32be(four, (uint32_t)(w->first + i));
        int len = snprintf((char *)value, sizeof(value), "v%" PRId64, w->first + i);
        cql_put_bytes(&b, four, 4);
        cql_put_bytes(&b, value, (size_t)len);
        int rc = mf_cql_prepare(cluster, w->text, &p, &err);
        struct mf_cql_bound bound = {p, {.p = (const uint8_t *)b.data, .len = b.len, .n = 2}};
        struct mf_cql_request r = {.bound = &bound, .nbound = 1, .idempotent = true};
        rc = rc == 0 ? mf_cql_call(cluster, &r, &a, &err) : rc;
        *(rc == 0 ? &w->good : &w->bad) += 1;
        mf_cql_answer_free(a);
    }
    return NULL;
}

static int do_callers(const json_t *o, json_t *reply, struct mf_error *err)
{
    (void)err;
    struct caller w[16];
    int64_t threads = cd_number(o, "threads", 4), good = 0;
    for (int64_t i = 0; i < threads; i++) {
        w[i] = (struct caller){
            .text = cd_text(o, "text"), .n = cd_number(o, "n", 100), .first = i * cd_number(o, "n", 100)};
        pthread_create(&w[i].thread, NULL, calls, &w[i]);
    }
    for (int64_t i = 0; i < threads; i++) {
        pthread_join(w[i].thread, NULL);
        good += w[i].good;
    }
    json_object_set_new(reply, "good", json_integer(good));
    return 0;
}

static const struct {
    const char *op;
    int (*run)(const json_t *o, json_t *reply, struct mf_error *err);
} commands[] = {
    {"query", do_query},       {"execute", do_execute}, {"select", do_select}, {"schema", do_schema},
    {"prepare", do_prepare},   {"load", do_load},       {"nodes", cd_nodes},   {"ranges", cd_ranges},
    {"replicas", cd_replicas}, {"facts", cd_facts},     {"hurry", do_hurry},   {"close_with", do_close_with},
    {"callers", do_callers},
};

static void tell(json_t *reply, int rc, const struct mf_error *err)
{
    json_object_set_new(reply, "ok", json_boolean(rc == 0));
    if (rc < 0) {
        json_object_set_new(reply, "class", json_string(mf_errclass_name(err->cls)));
        json_object_set_new(reply, "code", json_string(err->code));
        json_object_set_new(reply, "text", json_string(err->text));
        json_object_set_new(reply, "hint", json_string(err->hint));
    }
    json_dumpf(reply, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(reply);
}

static void answer(const char *line)
{
    struct mf_error err = {0};
    json_t *reply = json_object(), *o = json_loads(line, JSON_ALLOW_NUL, NULL);
    int rc = mf_fail(&err, MF_USAGE, "MFTEST", "unknown command");
    for (size_t i = 0; i < MF_ARRAY_LEN(commands); i++) {
        if (mf_streq(cd_text(o, "op"), commands[i].op)) {
            rc = commands[i].run(o, reply, &err);
        }
    }
    tell(reply, rc, &err);
    json_decref(o);
}

/* cqlcluster URL [CONNECT-TIMEOUT-MS REQUEST-TIMEOUT-MS]; the first answer is that of opening. */
int main(int argc, char **argv)
{
    char *line = NULL;
    size_t cap = 0;
    struct mf_error err = {0};
    uint64_t ms[2] = {20000, 60000};
    if (argc < 2 || (argc > 2 && !mf_parse_u64(argv[2], &ms[0])) || (argc > 3 && !mf_parse_u64(argv[3], &ms[1]))) {
        return 2;
    }
    struct mf_cql_options o = {.url = argv[1], .connect_timeout_ms = (int)ms[0], .request_timeout_ms = (int)ms[1]};
    int rc = mf_cql_open(&o, &cluster, &err);
    tell(json_object(), rc, &err);
    while (rc == 0 && getline(&line, &cap, stdin) > 0) {
        answer(line);
    }
    mf_cql_close(cluster);
    free(line);
    return rc < 0;
}
