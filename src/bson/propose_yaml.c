/* A proposal as items of `map:`, each line with what was seen of it. */
#include "bson/propose_internal.h"

#include "base/cleanup.h"
#include "base/number.h"
#include "base/str.h"
#include "base/yaml_text.h"
#include "bson/elem.h"
#include "bson/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_DEEP 256 /* names of one path: MF_DOC_DEPTH and its ends */

/* ---- facts ---- */

static void put_number(struct mf_buf *b, double v)
{
    char text[MF_NUMBER_TEXT];
    mf_buf_append(b, text, mf_put_double(text, v));
}

static void put_numbers(struct mf_buf *b, const struct mf_infer_numbers *s)
{
    if (s->ints) {
        mf_buf_printf(b, "; %" PRId64 " to %" PRId64, s->int_min, s->int_max);
    }
    if (s->doubles > s->nans + s->infinities) {
        mf_buf_puts(b, s->ints ? "; doubles " : "; ");
        put_number(b, s->double_min);
        mf_buf_puts(b, " to ");
        put_number(b, s->double_max);
        if (s->whole) {
            mf_buf_printf(b, ", %" PRIu64 " whole", s->whole);
        }
    }
    if (s->nans + s->infinities + s->odd_decimals) {
        mf_buf_printf(b, "; NaN or infinite %" PRIu64, s->nans + s->infinities + s->odd_decimals);
    }
    if (s->minus_zeros + s->decimal_minus_zeros) {
        mf_buf_printf(b, "; -0 %" PRIu64, s->minus_zeros + s->decimal_minus_zeros);
    }
    if (s->decimals > s->odd_decimals) {
        mf_buf_printf(b, "; %u digits before the point, %u behind", s->before, s->behind);
    }
}

static void put_moment(struct mf_buf *b, int64_t ms)
{
    char text[32];
    size_t n;
    if (shred_instant_put(ms, text, &n)) {
        mf_buf_append(b, text, n);
    } else {
        mf_buf_printf(b, "%" PRId64 " ms", ms);
    }
}

static void put_texts(struct mf_buf *b, const struct mf_infer_path *p)
{
    const struct mf_infer_texts *s = &p->texts;
    mf_buf_printf(b, "; up to %" PRIu64 " characters", s->chars);
    if (s->bytes != s->chars) {
        mf_buf_printf(b, " (%" PRIu64 " bytes)", s->bytes);
    }
    if (mf_infer_chars99(p) < s->chars) {
        mf_buf_printf(b, ", 99 %% up to %" PRIu64, mf_infer_chars99(p));
    }
    if (s->empty) {
        mf_buf_printf(b, "; empty %" PRIu64, s->empty);
    }
    if (s->nul) {
        mf_buf_printf(b, "; with a NUL %" PRIu64, s->nul);
    }
}

static void put_binaries(struct mf_buf *b, const struct mf_infer_binaries *s)
{
    for (unsigned i = 0; i < MF_ARRAY_LEN(s->subtypes); i++) {
        if (s->subtypes[i] && i < MF_ARRAY_LEN(s->subtypes) - 1) {
            mf_buf_printf(b, "; subtype %u %" PRIu64, i, s->subtypes[i]);
        } else if (s->subtypes[i]) {
            mf_buf_printf(b, "; other subtypes %" PRIu64, s->subtypes[i]);
        }
    }
    mf_buf_printf(b, "; up to %" PRIu64 " bytes", s->bytes);
}

static void put_holders(struct mf_buf *b, const struct mf_infer_path *p)
{
    const struct mf_infer_arrays *a = &p->arrays;
    uint64_t arrays = p->types[BSON_TYPE_ARRAY];
    if (arrays) {
        mf_buf_printf(b, "; %" PRIu64 " to %" PRIu64 " elements, %.1f on average", a->min, a->max,
                      (double)a->elements / (double)arrays);
    }
    if (a->empty) {
        mf_buf_printf(b, "; empty arrays %" PRIu64, a->empty);
    }
    if (p->objects.empty) {
        mf_buf_printf(b, "; {} %" PRIu64, p->objects.empty);
    }
    if (p->any) {
        mf_buf_printf(b, "; about %" PRIu64 " keys of up to %" PRIu64 " characters", mf_infer_distinct_keys(p->any),
                      p->any->key_chars);
    }
    if (p->others) {
        mf_buf_printf(b, "; %" PRIu64 " values at paths that were not told apart", p->others);
    }
}

static void put_types(struct mf_buf *b, const struct mf_infer_path *p)
{
    size_t at = b->len;
    for (unsigned t = 0; t < MF_INFER_TYPES; t++) {
        if (p->types[t]) {
            mf_buf_printf(b, "%s%s %" PRIu64, b->len > at ? ", " : "", mf_infer_type_name(t), p->types[t]);
        }
    }
}

void mf_infer_put_facts(struct mf_buf *b, const struct mf_infer_path *p)
{
    bool exact;
    uint64_t missing = mf_infer_missing(p), different = mf_infer_distinct(p, &exact);
    put_types(b, p);
    if (missing) {
        mf_buf_printf(b, "; missing %" PRIu64, missing);
    }
    put_numbers(b, &p->numbers);
    if (p->types[BSON_TYPE_UTF8]) {
        put_texts(b, p);
    }
    if (p->types[BSON_TYPE_DATE_TIME]) {
        mf_buf_puts(b, "; ");
        put_moment(b, p->dates.min);
        mf_buf_puts(b, " to ");
        put_moment(b, p->dates.max);
        if (p->dates.beyond) {
            mf_buf_printf(b, "; beyond SQL %" PRIu64, p->dates.beyond);
        }
    }
    if (p->types[BSON_TYPE_BINARY]) {
        put_binaries(b, &p->binaries);
    }
    put_holders(b, p);
    if (mf_infer_unique(p) == MF_INFER_UNIQUE && different > 1) {
        mf_buf_puts(b, "; all different");
    } else if (different) {
        mf_buf_printf(b, "; %s%" PRIu64 " different", exact ? "" : "about ", different);
    }
}

/* ---- texts ---- */

static void put_key(struct mf_buf *b, const char *key, const char *text)
{
    mf_buf_printf(b, "%s: ", key);
    mf_yaml_text(b, text);
}

/* From `base` down; a list of names where a text would be read in another way. */
static void put_path(struct mf_buf *b, const struct mf_infer_path *base, const struct mf_infer_path *of)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 20};
    const struct mf_infer_path *names[PATH_DEEP];
    size_t n = 0;
    bool listed = false;
    for (; of != base && of->above && n < MF_ARRAY_LEN(names); of = of->above) {
        names[n++] = of;
        listed = listed || mf_infer_odd_name(of);
    }
    mf_buf_puts(b, listed ? "[" : "");
    for (size_t i = n; i > 0; i--) {
        if (listed) {
            mf_buf_puts(b, i < n ? ", " : "");
            mf_yaml_text(b, names[i - 1]->name);
        } else {
            mf_buf_printf(&text, "%s%s", i < n ? "." : "", names[i - 1]->name);
        }
    }
    if (!listed) {
        mf_yaml_text(b, n ? mf_buf_str(&text) : ".");
    }
    mf_buf_puts(b, listed ? "]" : "");
}

static void put_comment(struct mf_buf *b, const struct mf_doc_proposal *p, const struct mf_infer_path *of,
                        const char *why)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 16};
    mf_infer_put_facts(&text, of);
    if (why) {
        mf_buf_printf(&text, "; %s", why);
    }
    for (size_t i = 0; p->references && i < p->references->n; i++) {
        const struct mf_infer_reference *r = &p->references->all[i];
        if (r->path == of) {
            mf_buf_printf(&text, "; refers to %s.%s: %zu looked up, %zu not there", r->to->database, r->to->name,
                          r->looked, r->orphans);
        }
    }
    mf_yaml_comment(b, "  # ", mf_buf_str(&text));
}

/* ---- columns and tables ---- */

static void put_column(struct mf_buf *b, const struct mf_doc_proposal *p, const struct prop_table *t,
                       const struct prop_column *c, unsigned indent)
{
    if (c->refused) {
        mf_buf_printf(b, "%*s", (int)indent, "");
        mf_yaml_comment(b, "# ", c->refused);
    }
    mf_buf_printf(b, "%*s- {path: ", (int)indent, "");
    put_path(b, t->base, c->of);
    if (c->type) {
        mf_buf_puts(b, ", ");
        put_key(b, "column", c->name);
        mf_buf_puts(b, ", ");
        put_key(b, "type", c->type);
    }
    if (c->present) {
        mf_buf_puts(b, ", ");
        put_key(b, "present", c->present);
    }
    mf_buf_puts(b, c->missing == MF_DOC_NULL ? ", missing: \"null\"" : "");
    mf_buf_puts(b, c->null == MF_DOC_NULL ? ", null: \"null\"" : "");
    mf_buf_puts(b, c->wrong == MF_DOC_COERCE ? ", wrong: coerce" : "");
    mf_buf_puts(b, "}");
    put_comment(b, p, c->of, c->why);
}

static void put_columns(struct mf_buf *b, const struct mf_doc_proposal *p, const struct prop_table *t, unsigned indent)
{
    if (t->ncolumns) {
        mf_buf_printf(b, "%*scolumns:\n", (int)indent, "");
    }
    for (size_t i = 0; i < t->ncolumns; i++) {
        put_column(b, p, t, &t->columns[i], indent + 2);
    }
}

static void put_line(struct mf_buf *b, unsigned indent, const char *key, const char *text)
{
    mf_buf_printf(b, "%*s", (int)indent, "");
    put_key(b, key, text);
    mf_buf_putc(b, '\n');
}

static void put_tables(struct mf_buf *b, const struct mf_doc_proposal *p, const struct prop_table *t, unsigned indent);

static void put_table(struct mf_buf *b, const struct mf_doc_proposal *p, const struct prop_table *t, unsigned indent)
{
    mf_buf_printf(b, "%*s- path: ", (int)indent, "");
    put_path(b, t->above->base, t->of);
    put_comment(b, p, t->of, t->why);
    indent += 2;
    put_line(b, indent, "to", t->to);
    if (t->kind != MF_DOC_ARRAY) {
        put_line(b, indent, "kind", t->kind == MF_DOC_MAP ? "map" : "one");
    }
    if (t->kind == MF_DOC_ARRAY && !mf_streq(t->position, "position")) {
        put_line(b, indent, "position", t->position);
    }
    if (t->kind == MF_DOC_MAP) {
        put_line(b, indent, "key", t->key);
        put_line(b, indent, "key_type", t->key_type);
    }
    if (t->parent) {
        mf_buf_printf(b, "%*sparent: [", (int)indent, "");
        for (size_t i = 0; i < t->nparent; i++) {
            mf_buf_puts(b, i ? ", " : "");
            mf_yaml_text(b, t->parent[i]);
        }
        mf_buf_puts(b, "]\n");
    }
    if (t->missing == MF_DOC_EMPTY) {
        mf_buf_printf(b, "%*smissing: empty  # never seen empty; is written back as empty\n", (int)indent, "");
    }
    put_columns(b, p, t, indent);
    put_tables(b, p, t, indent);
}

static void put_tables(struct mf_buf *b, const struct mf_doc_proposal *p, const struct prop_table *t, unsigned indent)
{
    if (t->tables) {
        mf_buf_printf(b, "%*stables:\n", (int)indent, "");
    }
    for (const struct prop_table *k = t->tables; k; k = k->next) {
        put_table(b, p, k, indent + 2);
    }
}

/* ---- a collection ---- */

static void put_head(struct mf_buf *b, const struct mf_doc_proposal *p, const struct prop_collection *c)
{
    char average[32], largest[32];
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1 << 12};
    const struct mf_infer_collection *of = c->of;
    mf_buf_printf(&text, "%s.%s: %" PRIu64 " documents read", of->database, of->name, of->documents);
    if (of->documents) {
        mf_buf_printf(&text, ", %s on average, %s the largest",
                      mf_format_size(of->bytes / of->documents, average, sizeof average),
                      mf_format_size(of->largest, largest, sizeof largest));
    }
    mf_yaml_comment(b, "  # ", mf_buf_str(&text));
    for (const struct prop_note *n = p->notes; n; n = n->next) {
        if (n->of == of) {
            mf_yaml_comment(b, "  # NOTE: ", n->text);
        }
    }
}

void mf_doc_proposal_put_yaml(struct mf_buf *b, const struct mf_doc_proposal *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct prop_collection *c = &p->collections[i];
        MF_CLEANUP_BUF struct mf_buf name = {.max = 1 << 12};
        put_head(b, p, c);
        mf_buf_printf(&name, "%s.%s", c->of->database, c->of->name);
        mf_buf_puts(b, "  - ");
        put_key(b, "collection", mf_buf_str(&name));
        mf_buf_putc(b, '\n');
        put_line(b, 4, "to", c->root->to);
        put_columns(b, p, c->root, 4);
        put_tables(b, p, c->root, 4);
        if (c->rest) {
            put_line(b, 4, "rest", c->rest);
        } else {
            mf_buf_puts(b, "    # rest: rest  # a column of JSON for fields that no path says; without it a document "
                           "with one is refused\n");
        }
    }
}
