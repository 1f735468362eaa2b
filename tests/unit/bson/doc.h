/* Documents written as extended JSON, maps as YAML, rows as text: what the tests of documents are made of. */
#ifndef MF_TESTS_UNIT_BSON_DOC_H
#define MF_TESTS_UNIT_BSON_DOC_H

#include "mf_test.h"

#include "base/cleanup.h"
#include "bson/shred.h"
#include "config/option.h"

#include <bson/bson.h>
#include <stdio.h>
#include <string.h>

struct doc {
    struct mf_config *config;
    struct mf_shred *shred;
    const struct mf_shred_collection *c; /* the first */
    struct mf_arena arena;
    struct mf_error err;
};

static inline int doc_try(struct doc *d, const char *yaml)
{
    *d = (struct doc){0};
    mf_arena_init(&d->arena, (size_t)1 << 30);
    if (mf_config_parse(yaml, strlen(yaml), "m.yaml", NULL, &d->config, &d->err) < 0) {
        return -1;
    }
    assert_non_null(d->config->documents);
    if (mf_shred_compile(d->config->documents, &d->shred, &d->err) < 0) {
        return -1;
    }
    d->c = mf_shred_at(d->shred, 0);
    return 0;
}

static inline void doc_open(struct doc *d, const char *yaml)
{
    assert_mf_ok(doc_try(d, yaml), &d->err);
}

static inline void doc_close(struct doc *d)
{
    mf_shred_free(d->shred);
    mf_config_free(d->config);
    mf_arena_free(&d->arena);
}

/* libbson's own reader of extended JSON. */
static inline struct mf_value doc_of(struct doc *d, const char *json)
{
    bson_error_t e;
    bson_t *b = bson_new_from_json((const uint8_t *)json, -1, &e);
    if (!b) {
        fail_msg("%s: %s", json, e.message);
    }
    struct mf_value v = {MF_BINARY, b->len, mf_memdup_a(&d->arena, bson_get_data(b), b->len)};
    bson_destroy(b);
    return v;
}

static inline const char *doc_json(struct doc *d, const struct mf_value *v)
{
    bson_t b;
    assert_true(bson_init_static(&b, (const uint8_t *)v->data, v->len));
    char *text = bson_as_canonical_extended_json(&b, NULL);
    assert_non_null(text);
    const char *copy = mf_strdup_a(&d->arena, text);
    bson_free(text);
    return copy;
}

/* "users: 1|a|NULL; tags: 1|0|x" */
static inline const char *doc_rows(struct doc *d, const struct mf_shred_rows *rows)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 22};
    for (uint16_t t = 0; t < rows->ntables; t++) {
        for (size_t i = 0; i < rows->of[t].n; i++) {
            mf_buf_printf(&b, "%s%s: ", b.len ? "; " : "", d->c->tables[t].table->name);
            for (uint16_t k = 0; k < rows->of[t].rows[i].n; k++) {
                const struct mf_value *v = &rows->of[t].rows[i].values[k];
                mf_buf_puts(&b, k ? "|" : "");
                if (v->kind == MF_NULL) {
                    mf_buf_puts(&b, "NULL");
                } else if (v->kind == MF_BINARY) {
                    mf_buf_puts(&b, "x");
                    for (uint32_t n = 0; n < v->len; n++) {
                        mf_buf_printf(&b, "%02x", (uint8_t)v->data[n]);
                    }
                } else {
                    mf_buf_append(&b, v->data, v->len);
                }
            }
        }
    }
    return mf_strdup_a(&d->arena, mf_buf_str(&b));
}

static inline int doc_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The same rows, in whatever order: those of a map come in the order of the document. */
static inline const char *doc_sorted(struct doc *d, const struct mf_shred_rows *rows)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 22};
    size_t n = 0;
    for (uint16_t t = 0; t < rows->ntables; t++) {
        n += rows->of[t].n;
    }
    const char **lines = mf_alloc_array(&d->arena, n, sizeof *lines);
    n = 0;
    for (uint16_t t = 0; t < rows->ntables; t++) {
        for (size_t i = 0; i < rows->of[t].n; i++) {
            struct mf_shred_list *one = mf_alloc_array(&d->arena, rows->ntables, sizeof *one);
            one[t] = (struct mf_shred_list){1, 1, &rows->of[t].rows[i]};
            lines[n++] = doc_rows(d, &(struct mf_shred_rows){rows->ntables, one});
        }
    }
    qsort(lines, n, sizeof *lines, doc_compare);
    for (size_t i = 0; i < n; i++) {
        mf_buf_puts(&b, lines[i]);
        mf_buf_putc(&b, '\n');
    }
    return mf_strdup_a(&d->arena, mf_buf_str(&b));
}

/* The document is accepted with these rows (NULL: any), and everything that must hold of it does. */
static inline void doc_good(struct doc *d, const struct mf_value *v, const char *want_rows)
{
    struct mf_shred_rows rows, again;
    struct mf_value normal, twice, merged;
    assert_mf_ok(mf_shred_document(d->c, &d->arena, v, &rows, &d->err), &d->err);
    if (want_rows) {
        assert_string_equal(doc_rows(d, &rows), want_rows);
    }
    assert_mf_ok(mf_shred_rebuild(d->c, &d->arena, &rows, &normal, &d->err), &d->err);
    assert_mf_ok(mf_shred_document(d->c, &d->arena, &normal, &again, &d->err), &d->err);
    assert_string_equal(doc_sorted(d, &rows), doc_sorted(d, &again));
    assert_mf_ok(mf_shred_normal(d->c, &d->arena, &normal, &twice, &d->err), &d->err);
    if (!mf_value_equal(&normal, &twice)) {
        fail_msg("%s\n%s", doc_json(d, &normal), doc_json(d, &twice));
    }
    assert_mf_ok(mf_shred_merge(d->c, &d->arena, v, &normal, &merged, &d->err), &d->err);
    assert_true(mf_value_equal(v, &merged));
}

/* What is there and accepted or not, merged with the normal form of another with the same _id: it has that normal form. */
static inline void doc_merge(struct doc *d, const struct mf_value *there, const struct mf_value *other)
{
    struct mf_value wanted, merged, normal;
    assert_mf_ok(mf_shred_normal(d->c, &d->arena, other, &wanted, &d->err), &d->err);
    assert_mf_ok(mf_shred_merge(d->c, &d->arena, there, &wanted, &merged, &d->err), &d->err);
    if (mf_shred_normal(d->c, &d->arena, &merged, &normal, &d->err) < 0 || !mf_value_equal(&normal, &wanted)) {
        fail_msg("there %s\nwanted %s\nmerged %s\n%s", doc_json(d, there), doc_json(d, &wanted), doc_json(d, &merged),
                 d->err.text);
    }
}

static inline void doc_merge_json(struct doc *d, const char *there, const char *other, const char *want)
{
    struct mf_value t = doc_of(d, there), o = doc_of(d, other), w = doc_of(d, want), wanted, merged;
    doc_merge(d, &t, &o);
    assert_mf_ok(mf_shred_normal(d->c, &d->arena, &o, &wanted, &d->err), &d->err);
    assert_mf_ok(mf_shred_merge(d->c, &d->arena, &t, &wanted, &merged, &d->err), &d->err);
    assert_string_equal(doc_json(d, &merged), doc_json(d, &w));
}

static inline void doc_good_json(struct doc *d, const char *json, const char *want_rows)
{
    struct mf_value v = doc_of(d, json);
    doc_good(d, &v, want_rows);
}

static inline void doc_normal(struct doc *d, const char *json, const char *want)
{
    struct mf_value v = doc_of(d, json), w = doc_of(d, want), normal;
    assert_mf_ok(mf_shred_normal(d->c, &d->arena, &v, &normal, &d->err), &d->err);
    assert_string_equal(doc_json(d, &normal), doc_json(d, &w));
}

static inline void doc_bad(struct doc *d, const char *json, const char *why)
{
    struct mf_value v = doc_of(d, json);
    struct mf_shred_rows rows;
    assert_mf_fails(mf_shred_document(d->c, &d->arena, &v, &rows, &d->err), &d->err, MF_ROW, why);
    assert_string_equal(d->err.code, "MFDOC");
}

#endif
