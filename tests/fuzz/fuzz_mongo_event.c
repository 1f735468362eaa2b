/*
 * What a deployment says was done: change events, fragments of them, and entries of the oplog. Whatever the bytes are, what is said stays within them.
 */
#include "fuzz.h"

#include "connector/mongodb/event.h"

#include <string.h>

struct seen {
    const uint8_t *data;
    size_t size;
};

static void inside(const struct seen *s, const struct mf_value *v)
{
    if (v->kind != MF_NULL) {
        MF_FUZZ_CHECK((const uint8_t *)v->data >= s->data && (const uint8_t *)v->data + v->len <= s->data + s->size);
    }
}

static int look(void *ctx, const struct mongo_event *e, struct mf_error *err)
{
    (void)err;
    inside(ctx, &e->key);
    inside(ctx, &e->document);
    inside(ctx, &e->token);
    MF_FUZZ_CHECK(strlen(e->database) < MONGO_NAME_MAX && strlen(e->collection) < MONGO_NAME_MAX);
    MF_FUZZ_CHECK(strlen(e->to_database) < MONGO_NAME_MAX && strlen(e->to_collection) < MONGO_NAME_MAX);
    MF_FUZZ_CHECK(e->what != MONGO_INSERT || e->of || e->document.kind == MF_BINARY);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mongo_fragments f = {0};
    bson_reader_t *r = bson_reader_new_from_data(data, size);
    const bson_t *doc;
    bool end;
    while ((doc = bson_reader_read(r, &end))) {
        struct seen s = {bson_get_data(doc), doc->len};
        struct mf_error err = {0};
        struct mongo_event e;
        struct mongo_entry n;
        if (mongo_change_read(doc, &e, &err) == 0) {
            look(&s, &e, &err);
            mongo_token_time(&e.token);
            const bson_t *whole;
            if (e.of && mongo_fragment_add(&f, doc, &e, &whole, &err) == 0 && whole) {
                struct seen all = {bson_get_data(whole), whole->len};
                if (mongo_change_read(whole, &e, &err) == 0) {
                    look(&all, &e, &err);
                }
            }
        } else {
            MF_FUZZ_CHECK(err.text[0] && err.code[0]);
        }
        mf_error_clear(&err);
        if (mongo_entry_read(doc, &n, &err) == 0) {
            MF_FUZZ_CHECK(n.before < n.time);
        }
        mf_error_clear(&err);
        mongo_entry_each(doc, look, &s, &err);
    }
    bson_reader_destroy(r);
    mongo_fragments_end(&f);
    return 0;
}
