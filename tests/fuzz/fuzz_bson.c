/*
 * Documents. The first byte says which: 0 an _id's text, 1 extended JSON in a column, anything else BSON for a map that uses everything.
 *
 * What holds for any bytes: what is taken for a document libbson takes for one too; a document that the map accepts comes back from its rows as its normal form, whose own normal form
 * is itself; merged with its normal form it is the same bytes; an _id's text means one _id.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "bson/internal.h"
#include "config/option.h"

#include <string.h>

static const char map[] =
    "map:\n"
    "  - collection: d.c\n"
    "    columns:\n"
    "      - {path: _id, type: id(200)}\n"
    "      - {path: a, type: int, missing: default, default: 5, null: missing, wrong: coerce, range: default}\n"
    "      - {path: b, type: string(4), missing: null, null: null, wrong: coerce, range: null}\n"
    "      - {path: c, type: double, present: has_c, null: null}\n"
    "      - {path: d, present: has_d, null: null}\n"
    "      - {path: d.e, type: date, missing: null}\n"
    "      - {path: d.f, type: \"decimal(6,2)\", missing: null, wrong: coerce}\n"
    "      - {path: g.h, type: objectid, time: t, missing: null}\n"
    "      - {path: g.i, type: json, missing: null, null: null}\n"
    "      - {path: l, present: has_l, null: missing}\n"
    "    tables:\n"
    "      - path: l\n"
    "        to: l\n"
    "        columns:\n"
    "          - {path: x, type: decimal, missing: null, wrong: coerce}\n"
    "          - {path: y, type: binary(4), missing: null}\n"
    "        tables:\n"
    "          - {path: z, to: lz, missing: empty, null: empty, columns: [{path: \".\", type: timestamp, null: "
    "null}]}\n"
    "      - {path: m, to: m, kind: map, key_type: string(5), missing: empty, tables: [{path: \".\", to: mm, columns: "
    "[{path: \".\", type: uuid}]}]}\n"
    "      - {path: o, to: o, kind: one, columns: [{path: p, type: bool, missing: null}, {path: q, type: uuid_legacy, "
    "missing: null}]}\n"
    "    ignore: [_class, g.n, l.n, o.n]\n"
    "    rest: extra\n";

static const struct mf_shred_collection *collection(void)
{
    static struct mf_config *config;
    static struct mf_shred *shred;
    struct mf_error err = {0};
    if (!shred) {
        MF_FUZZ_CHECK(mf_config_parse(map, strlen(map), "m.yaml", NULL, &config, &err) == 0);
        MF_FUZZ_CHECK(mf_shred_compile(config->documents, &shred, &err) == 0);
    }
    return mf_shred_at(shred, 0);
}

static void id_text(struct mf_arena *arena, const struct mf_value *text)
{
    struct mf_error err = {0};
    struct mf_value document, again;
    struct mf_row row;
    if (mf_bson_id_document(arena, text, &document, &err) < 0) {
        MF_FUZZ_CHECK(err.cls == MF_ROW);
        return;
    }
    MF_FUZZ_CHECK(mf_bson_id_of(arena, &document, &again, &err) == 0 && mf_value_equal(text, &again));
    if (mf_shred_key_row(collection(), arena, text, &row, &err) == 0) {
        MF_FUZZ_CHECK(mf_shred_row_id(collection(), arena, 0, &row, &again, &err) == 0 && mf_value_equal(text, &again));
    }
}

/* What is read from JSON is a document's value, and its own JSON is read as the same. */
static void json(struct mf_arena *arena, const struct mf_value *text)
{
    const struct shred_type t = {.type = DOC_JSON, .model = {.kind = MF_KIND_JSON}};
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_DOC_BYTES}, again = {.max = MF_DOC_BYTES};
    struct mf_value back;
    struct elem_walk w;
    struct elem e;
    const char *why;
    char where[ELEM_WHERE];
    size_t at = elem_put_begin(&b);
    if (shred_to_bson(&t, text, "", 0, &b)) {
        return;
    }
    elem_put_end(&b, at);
    if (!mf_buf_ok(&b) || elem_check(b.data, b.len, &why, where) < 0) {
        return; /* a key twice */
    }
    elem_begin(&w, (const uint8_t *)b.data);
    MF_FUZZ_CHECK(elem_next(&w, &e));
    if (shred_from_bson(&t, arena, &e, SHRED_EXACT, &back, &why) != SHRED_FITS) {
        return; /* deeper than its canonical form may be */
    }
    at = elem_put_begin(&again);
    MF_FUZZ_CHECK(!shred_to_bson(&t, &back, "", 0, &again));
    elem_put_end(&again, at);
    elem_begin(&w, (const uint8_t *)again.data);
    MF_FUZZ_CHECK(elem_next(&w, &e));
    struct mf_value third;
    MF_FUZZ_CHECK(shred_from_bson(&t, arena, &e, SHRED_EXACT, &third, &why) == SHRED_FITS &&
                  mf_value_equal(&back, &third));
}

static void document(struct mf_arena *arena, const struct mf_value *v)
{
    const struct mf_shred_collection *c = collection();
    struct mf_error err = {0};
    struct mf_shred_rows rows;
    struct mf_value normal, again, merged, id, other;
    struct mf_row key;
    const char *why;
    char where[ELEM_WHERE];
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1000};
    bson_t b;
    mf_bson_put_json(&text, v, 500);
    MF_FUZZ_CHECK(text.len <= 500);
    if (elem_check(v->data, v->len, &why, where) == 0) {
        MF_FUZZ_CHECK(bson_init_static(&b, (const uint8_t *)v->data, v->len) &&
                      bson_validate(&b, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
    }
    if (mf_shred_document(c, arena, v, &rows, &err) < 0) {
        MF_FUZZ_CHECK(err.cls == MF_ROW && err.text[0]);
        return;
    }
    MF_FUZZ_CHECK(mf_shred_rebuild(c, arena, &rows, &normal, &err) == 0);
    MF_FUZZ_CHECK(mf_shred_normal(c, arena, &normal, &again, &err) == 0 && mf_value_equal(&normal, &again));
    MF_FUZZ_CHECK(mf_shred_merge(c, arena, v, &normal, &merged, &err) == 0 && mf_value_equal(v, &merged));
    MF_FUZZ_CHECK(mf_bson_id_of(arena, v, &id, &err) == 0);
    MF_FUZZ_CHECK(mf_shred_key_row(c, arena, &id, &key, &err) == 0);
    MF_FUZZ_CHECK(mf_shred_row_id(c, arena, 0, &rows.of[0].rows[0], &again, &err) == 0 && mf_value_equal(&id, &again));
    /* Put into the document of the id alone, and that into this one. */
    if (mf_bson_id_document(arena, &id, &other, &err) == 0 && mf_shred_normal(c, arena, &other, &again, &err) == 0) {
        MF_FUZZ_CHECK(mf_shred_merge(c, arena, &other, &normal, &merged, &err) == 0);
        MF_FUZZ_CHECK(mf_shred_normal(c, arena, &merged, &other, &err) == 0 && mf_value_equal(&other, &normal));
        MF_FUZZ_CHECK(mf_shred_merge(c, arena, v, &again, &merged, &err) == 0);
        MF_FUZZ_CHECK(mf_shred_normal(c, arena, &merged, &other, &err) == 0 && mf_value_equal(&other, &again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MF_CLEANUP_ARENA struct mf_arena arena = {0};
    if (size < 1 || size > 1u << 16) {
        return 0;
    }
    mf_arena_init(&arena, (size_t)256 << 20);
    const struct mf_value v = {data[0] < 2 ? MF_TEXT : MF_BINARY, (uint32_t)(size - 1), (const char *)data + 1};
    if (data[0] == 0) {
        id_text(&arena, &v);
    } else if (data[0] == 1) {
        json(&arena, &v);
    } else {
        document(&arena, &v);
    }
    return 0;
}
