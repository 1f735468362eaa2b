/* How fast documents are looked at, and how much memory that takes: users with orders as in the well-known example, and a collection that is as wide as it can be: other keys in
 * each document, at the top and below. */
#include "bench.h"

#include "bson/propose.h"

#include <bson/bson.h>
#include <sys/resource.h>

enum { DOCUMENTS = 1000000, DIFFERENT = 1000 };

static uint64_t rnd = 42;

static unsigned dice(unsigned n)
{
    return (unsigned)(bench_random(&rnd) % n);
}

static void put_order(bson_t *orders, unsigned i, unsigned at)
{
    char key[16], sku[32];
    bson_t order, lines, line;
    snprintf(key, sizeof key, "%u", at);
    BSON_APPEND_DOCUMENT_BEGIN(orders, key, &order);
    BSON_APPEND_DATE_TIME(&order, "placedAt", (int64_t)i * 1000000);
    BSON_APPEND_DOUBLE(&order, "total", dice(100000) / 100.0);
    BSON_APPEND_ARRAY_BEGIN(&order, "lines", &lines);
    for (unsigned k = 0; k < 2; k++) {
        snprintf(key, sizeof key, "%u", k);
        snprintf(sku, sizeof sku, "sku-%u", dice(5000));
        BSON_APPEND_DOCUMENT_BEGIN(&lines, key, &line);
        BSON_APPEND_UTF8(&line, "sku", sku);
        BSON_APPEND_INT32(&line, "quantity", (int32_t)dice(9));
        bson_append_document_end(&lines, &line);
    }
    bson_append_array_end(&order, &lines);
    bson_append_document_end(orders, &order);
}

static bson_t *user(unsigned i)
{
    bson_t *b = bson_new(), address, tags, orders;
    char text[64];
    bson_oid_t id = {{0}};
    memcpy(id.bytes, &i, sizeof i);
    BSON_APPEND_OID(b, "_id", &id);
    snprintf(text, sizeof text, "user-%u@example.org", i);
    BSON_APPEND_UTF8(b, "email", text);
    BSON_APPEND_UTF8(b, "name", "Somebody with a name");
    if (i % 3) {
        BSON_APPEND_INT32(b, "age", (int32_t)dice(90));
    }
    BSON_APPEND_DOCUMENT_BEGIN(b, "address", &address);
    BSON_APPEND_UTF8(&address, "city", "Somewhere");
    BSON_APPEND_UTF8(&address, "zip", "12345");
    bson_append_document_end(b, &address);
    BSON_APPEND_ARRAY_BEGIN(b, "tags", &tags);
    BSON_APPEND_UTF8(&tags, "0", "new");
    BSON_APPEND_UTF8(&tags, "1", "mail");
    bson_append_array_end(b, &tags);
    BSON_APPEND_ARRAY_BEGIN(b, "orders", &orders);
    for (unsigned k = 0; k < 3; k++) {
        put_order(&orders, i, k);
    }
    bson_append_array_end(b, &orders);
    return b;
}

static bson_t *wide(unsigned i)
{
    bson_t *b = bson_new(), below, deep;
    char key[40];
    BSON_APPEND_INT32(b, "_id", (int32_t)i);
    for (unsigned k = 0; k < 5; k++) {
        snprintf(key, sizeof key, "field%u", dice(1000000000));
        BSON_APPEND_INT32(b, key, (int32_t)k);
    }
    BSON_APPEND_DOCUMENT_BEGIN(b, "below", &below);
    for (unsigned k = 0; k < 10; k++) {
        snprintf(key, sizeof key, "key%u", dice(1000000000));
        BSON_APPEND_DOCUMENT_BEGIN(&below, key, &deep);
        snprintf(key, sizeof key, "x%u", dice(1000000000));
        BSON_APPEND_UTF8(&deep, key, "text");
        bson_append_document_end(&below, &deep);
    }
    bson_append_document_end(b, &below);
    return b;
}

static long peak_kb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* Writing them is not what is measured: some at a time. */
static void run(const char *what, bson_t *(*make)(unsigned))
{
    static bson_t *all[DIFFERENT];
    struct mf_infer *f = mf_infer_new(NULL);
    struct mf_infer_collection *c = mf_infer_collection(f, "shop", what);
    struct mf_error err;
    int64_t us = 0;
    long before = peak_kb();
    for (unsigned i = 0; i < DOCUMENTS; i += DIFFERENT) {
        for (unsigned k = 0; k < DIFFERENT; k++) {
            all[k] = make(i + k);
        }
        int64_t start = bench_cpu_us();
        for (unsigned k = 0; k < DIFFERENT; k++) {
            const struct mf_value v = {MF_BINARY, all[k]->len, (const char *)bson_get_data(all[k])};
            mf_infer_add(f, c, &v);
        }
        us += bench_cpu_us() - start;
        for (unsigned k = 0; k < DIFFERENT; k++) {
            bson_destroy(all[k]);
        }
    }
    struct mf_doc_proposal *p = NULL;
    struct mf_buf b = {.max = MF_PROPOSE_BYTES};
    int64_t start = bench_cpu_us();
    mf_infer_finish(f);
    bench_ok(mf_doc_propose(f, NULL, NULL, &p, &err), &err);
    mf_doc_proposal_put_yaml(&b, p);
    bench_rate(what, DOCUMENTS, "M documents", us);
    printf("    %.2f us a document of %.0f bytes; %zu paths; the map has %zu bytes and took %.1f ms; peak %ld kB, before %ld kB\n",
           (double)us / DOCUMENTS, (double)c->bytes / (double)c->documents, mf_infer_paths(f), b.len,
           (double)(bench_cpu_us() - start) / 1000, peak_kb(), before);
    mf_buf_free(&b);
    mf_doc_proposal_free(p);
    mf_infer_free(f);
}

int main(void)
{
    run("users with orders", user);
    run("as wide as it can be", wide);
    return 0;
}
