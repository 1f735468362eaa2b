/* What a plan says of documents, as facts. In a list the first things are what a terminal has room for; what is in objects is for machines. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "bson/infer.h"
#include "bson/map_check.h"
#include "bson/propose.h"

#define NULL_TYPE    10  /* of mf_infer_path.types: BSON's number */
#define NOTHING_MOST 200 /* lines of what is never filled */

static json_t *text_json(const char *s)
{
    json_t *t = json_string(s);
    return t ? t : json_string("(not UTF-8)");
}

static json_t *path_json(const struct mf_infer_path *p)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 16};
    mf_infer_put_path(&b, p);
    return text_json(mf_buf_str(&b));
}

static json_t *name_json(const char *database, const char *collection)
{
    char label[300];
    snprintf(label, sizeof label, "%s.%s", database, collection);
    return text_json(label);
}

static void set_count(json_t *o, const char *key, uint64_t n)
{
    if (n) {
        json_object_set_new(o, key, json_integer((json_int_t)n));
    }
}

/* JSON has no NaN and no infinity; those are counted. */
static void set_numbers(json_t *o, const struct mf_infer_numbers *s)
{
    if (s->ints) {
        json_object_set_new(o, "min", json_integer(s->int_min));
        json_object_set_new(o, "max", json_integer(s->int_max));
    }
    if (s->doubles > s->nans + s->infinities) {
        json_object_set_new(o, "double_min", json_real(s->double_min));
        json_object_set_new(o, "double_max", json_real(s->double_max));
    }
    set_count(o, "whole_doubles", s->whole);
    set_count(o, "nan_or_infinite", s->nans + s->infinities + s->odd_decimals);
    set_count(o, "minus_zero", s->minus_zeros + s->decimal_minus_zeros);
    set_count(o, "digits_before", s->before);
    set_count(o, "digits_behind", s->behind);
}

static void set_texts(json_t *o, const struct mf_infer_path *p)
{
    set_count(o, "characters", p->texts.chars);
    set_count(o, "characters_99", p->texts.chars ? mf_infer_chars99(p) : 0);
    set_count(o, "bytes", p->texts.bytes);
    set_count(o, "empty", p->texts.empty);
    set_count(o, "with_nul", p->texts.nul);
}

static void set_holders(json_t *o, const struct mf_infer_path *p)
{
    if (p->arrays.elements || p->arrays.empty) {
        json_object_set_new(o, "elements_min", json_integer((json_int_t)p->arrays.min));
        json_object_set_new(o, "elements_max", json_integer((json_int_t)p->arrays.max));
        json_object_set_new(o, "elements", json_integer((json_int_t)p->arrays.elements));
        set_count(o, "empty_arrays", p->arrays.empty);
    }
    set_count(o, "empty_documents", p->objects.empty);
    if (p->any) {
        json_object_set_new(o, "keys_are_data", json_true());
        json_object_set_new(o, "keys", json_integer((json_int_t)mf_infer_distinct_keys(p->any)));
    }
    set_count(o, "not_told_apart", p->others);
}

static json_t *seen_json(const struct mf_infer_path *p)
{
    json_t *o = json_object(), *types = json_object(), *samples = json_array();
    bool exact;
    for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
        set_count(types, mf_infer_type_name(t), p->types[t]);
    }
    for (unsigned i = 0; i < p->nsamples; i++) {
        json_array_append_new(samples, text_json(p->samples[i]));
    }
    uint64_t different = mf_infer_distinct(p, &exact);
    json_object_set_new(o, "types", types);
    json_object_set_new(o, "there", json_integer((json_int_t)p->there));
    json_object_set_new(o, "missing", json_integer((json_int_t)mf_infer_missing(p)));
    json_object_set_new(o, "samples", samples);
    if (different) {
        json_object_set_new(o, "different", json_integer((json_int_t)different));
        json_object_set_new(o, "different_exact", json_boolean(exact));
        json_object_set_new(o, "unique", json_boolean(mf_infer_unique(p) == MF_INFER_UNIQUE));
    }
    set_numbers(o, &p->numbers);
    set_texts(o, p);
    set_holders(o, p);
    set_count(o, "dates_beyond_sql", p->dates.beyond);
    set_count(o, "odd_uuids", p->binaries.odd_uuids);
    if (mf_infer_odd_name(p)) {
        json_object_set_new(o, "odd_name", json_true());
    }
    return o;
}

static void put_paths(json_t *list, const struct mf_infer_collection *c, const struct mf_infer_path *p)
{
    MF_CLEANUP_BUF struct mf_buf facts = {.max = 1 << 16};
    if (p->above) {
        mf_infer_put_facts(&facts, p);
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o}", "collection", name_json(c->database, c->name), "path",
                                        path_json(p), "values", text_json(mf_buf_str(&facts)), "seen", seen_json(p)));
    }
    for (uint32_t i = 0; i < p->nfields; i++) {
        put_paths(list, c, p->fields[i]);
    }
    if (p->element) {
        put_paths(list, c, p->element);
    }
    if (p->any) {
        put_paths(list, c, p->any);
    }
}

json_t *mf_documents_paths(const struct mf_infer *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < mf_infer_count(f); i++) {
        put_paths(list, mf_infer_at(f, i), mf_infer_at(f, i)->root);
    }
    return list;
}

static void put_keys(json_t *list, const struct mf_infer_collection *c, const struct mf_infer_path *p)
{
    bool whole = p->above && p->there == c->documents && !p->types[NULL_TYPE] && !p->numbers.doubles;
    if (whole && c->documents > 1 && mf_infer_unique(p) == MF_INFER_UNIQUE) {
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "collection", name_json(c->database, c->name), "path", path_json(p)));
    }
    for (uint32_t i = 0; i < p->nfields; i++) {
        put_keys(list, c, p->fields[i]);
    }
}

/* What every document read has, and no two have the same. */
json_t *mf_documents_keys(const struct mf_infer *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < mf_infer_count(f); i++) {
        put_keys(list, mf_infer_at(f, i), mf_infer_at(f, i)->root);
    }
    return list;
}

json_t *mf_documents_references(const struct mf_infer_references *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) {
        const struct mf_infer_reference *one = &r->all[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:I, s:I, s:b}", "collection",
                            name_json(one->from->database, one->from->name), "path", path_json(one->path), "refers_to",
                            name_json(one->to->database, one->to->name), "looked_up", (json_int_t)one->looked,
                            "orphans", (json_int_t)one->orphans, "by_name", one->named));
    }
    return list;
}

/* ---- a map against documents ---- */

static void put_refused(json_t *list, const struct mf_map_check *c)
{
    for (size_t i = 0; i < c->nreasons; i++) {
        const struct mf_map_reason *r = &c->reasons[i];
        char why[300];
        snprintf(why, sizeof why, r->chars ? "%s (up to %" PRIu64 " characters)" : "%s", r->why, r->chars);
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:I, s:I, s:o, s:o}", "collection",
                                              name_json(c->of->database, c->of->collection), "path", text_json(r->path),
                                              "why", text_json(why), "documents", (json_int_t)r->documents, "values",
                                              (json_int_t)r->values, "first", text_json(r->id ? r->id : ""), "value",
                                              text_json(r->value ? r->value : "")));
    }
    if (c->others) {
        json_array_append_new(list, json_pack("{s:o, s:s, s:s, s:I, s:I, s:s, s:s}", "collection",
                                              name_json(c->of->database, c->of->collection), "path", "", "why",
                                              "other reasons, not told apart any more", "documents", (json_int_t)0,
                                              "values", (json_int_t)c->others, "first", "", "value", ""));
    }
}

json_t *mf_documents_refused(const struct mf_map_check *const *checks, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        put_refused(list, checks[i]);
    }
    return list;
}

json_t *mf_documents_tables(const struct mf_map_check *const *checks, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        for (uint16_t t = 0; t < checks[i]->of->ntables; t++) {
            json_array_append_new(list, json_pack("{s:o, s:o, s:I}", "collection",
                                                  name_json(checks[i]->of->database, checks[i]->of->collection),
                                                  "table", text_json(checks[i]->of->tables[t].table->name), "rows",
                                                  (json_int_t)checks[i]->rows[t]));
        }
    }
    return list;
}

static void put_unfilled(json_t *list, const struct mf_map_check *c, uint16_t t)
{
    const struct mf_table *table = c->of->tables[t].table;
    char text[400];
    if (c->rows[t] == 0) {
        snprintf(text, sizeof text, "table %s: no row", table->name);
        json_array_append_new(list, text_json(text));
        return;
    }
    for (uint16_t k = 0; k < table->ncolumns && json_array_size(list) < NOTHING_MOST; k++) {
        if (c->columns[t][k].filled == 0) {
            snprintf(text, sizeof text, "column %s.%s: no value", table->name, table->columns[k].name);
            json_array_append_new(list, text_json(text));
        }
    }
}

json_t *mf_documents_unfilled(const struct mf_map_check *const *checks, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        for (uint16_t t = 0; t < checks[i]->of->ntables && json_array_size(list) < NOTHING_MOST; t++) {
            put_unfilled(list, checks[i], t);
        }
    }
    return list;
}

json_t *mf_documents_ignored(const struct mf_map_check *const *checks, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < checks[i]->asked->nignore; k++) {
            MF_CLEANUP_BUF struct mf_buf path = {.max = 1 << 16};
            const struct mf_doc_path *p = &checks[i]->asked->ignore[k];
            for (size_t at = 0; at < p->n; at++) {
                mf_buf_printf(&path, "%s%s", at ? "." : "", p->names[at]);
            }
            json_array_append_new(list, json_pack("{s:o, s:o, s:I}", "collection",
                                                  name_json(checks[i]->of->database, checks[i]->of->collection), "path",
                                                  text_json(mf_buf_str(&path)), "documents",
                                                  (json_int_t)checks[i]->ignored[k]));
        }
    }
    return list;
}
