/* Names of fields as names of columns and tables: words in lower case with _ between them, unique whatever case is compared, of 63 bytes at most, which every target
 * takes. Reserved words stay: what is made is quoted. */
#include "bson/propose_internal.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define NOTES_MOST 1000

const char *prop_text(struct mf_doc_proposal *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    const char *kept = mf_strdup_a(&p->arena, text);
    p->full = p->full || !kept;
    return kept ? kept : "";
}

void prop_note(struct mf_doc_proposal *p, const struct mf_infer_collection *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    struct prop_note *n = mf_alloc0(&p->arena, sizeof *n);
    if (!n || !(n->text = mf_strdup_a(&p->arena, text))) {
        p->full = true;
        return;
    }
    n->of = c;
    *p->last_note = n;
    p->last_note = &n->next;
    p->nnotes++;
}

/* ---- folding ---- */

/* A word begins here: userName, HTTPServer, order66x stays one. */
static bool begins(const char *s, size_t i, size_t n)
{
    bool up = isupper((unsigned char)s[i]);
    return i > 0 && up &&
           (islower((unsigned char)s[i - 1]) || isdigit((unsigned char)s[i - 1]) ||
            (isupper((unsigned char)s[i - 1]) && i + 1 < n && islower((unsigned char)s[i + 1])));
}

static void fold(struct mf_buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool wide = c >= 0xf0; /* past what MySQL takes in a name: a character of four bytes */
        if (begins(s, i, n) && b->len && b->data[b->len - 1] != '_') {
            mf_buf_putc(b, '_');
        }
        if (isalnum(c) || (c >= 0x80 && !wide)) {
            mf_buf_putc(b, (char)tolower(c));
        } else {
            if (b->len && b->data[b->len - 1] != '_') {
                mf_buf_putc(b, '_');
            }
            i += wide ? 3 : 0;
        }
    }
    while (b->len && b->data[b->len - 1] == '_') {
        b->data[--b->len] = '\0';
    }
}

/* Cut to what a name may have, with a number made of all of it behind. */
static void cut(const char *s, size_t n, char out[static MF_DOC_NAME])
{
    if (n < MF_DOC_NAME) {
        memcpy(out, s, n);
        out[n] = '\0';
        return;
    }
    size_t k = mf_utf8_cut(s, n, MF_DOC_NAME - 10);
    memcpy(out, s, k);
    snprintf(out + k, MF_DOC_NAME - k, "_%08x", (unsigned)XXH3_64bits(s, n));
}

void mf_doc_name(const char *name, size_t n, char out[static MF_DOC_NAME])
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = MF_PROPOSE_BYTES};
    fold(&b, name, n);
    cut(b.len ? b.data : "field", b.len ? b.len : 5, out);
}

/* The path from `base` on, each name folded by itself. */
static void fold_path(struct mf_buf *b, const struct mf_infer_path *base, const struct mf_infer_path *of)
{
    char one[MF_DOC_NAME];
    if (of == base || !of->above) {
        return;
    }
    fold_path(b, base, of->above);
    if (of->kind == MF_INFER_FIELD) {
        mf_doc_name(of->name, of->nname, one);
        mf_buf_printf(b, "%s%s", b->len && b->data[b->len - 1] != '_' ? "_" : "", one);
    }
}

/* ---- unique ones ---- */

static bool same(const char *a, const char *b)
{
    return a && b && strcasecmp(a, b) == 0;
}

static bool column_taken(const struct prop_table *t, const char *name)
{
    for (size_t i = 0; i < t->ncolumns; i++) {
        if (same(t->columns[i].name, name) || same(t->columns[i].present, name)) {
            return true;
        }
    }
    for (size_t i = 0; t->parent_names && i < t->nparent; i++) {
        if (same(t->parent_names[i], name)) {
            return true;
        }
    }
    return same(t->position, name) || same(t->key, name);
}

/* "name", "name_2", "name_3", … of what is free; ctx as `taken` wants it. */
static const char *unique(struct mf_doc_proposal *p, const char *wanted, bool (*taken)(const void *, const char *),
                          const void *ctx)
{
    char out[MF_DOC_NAME], base[MF_DOC_NAME];
    cut(wanted, strlen(wanted), base);
    mf_strlcpy(out, base, sizeof out);
    for (unsigned i = 2; taken(ctx, out) && i < 100000; i++) {
        size_t n = mf_utf8_cut(base, strlen(base), MF_DOC_NAME - 8);
        snprintf(out, sizeof out, "%.*s_%u", (int)n, base, i);
    }
    return prop_text(p, "%s", out);
}

static bool taken_in_table(const void *ctx, const char *name)
{
    return column_taken(ctx, name);
}

const char *prop_unique_column(struct mf_doc_proposal *p, const struct prop_table *t, const char *wanted)
{
    return unique(p, wanted, taken_in_table, t);
}

/* Two paths that have one name as columns, and a name that is too long. */
static void note_name(struct mf_doc_proposal *p, const struct prop_table *t, const struct mf_infer_path *of,
                      const char *name)
{
    MF_CLEANUP_BUF struct mf_buf a = {.max = 1 << 12}, b = {.max = 1 << 12};
    if (p->nnotes >= NOTES_MOST) {
        return;
    }
    mf_infer_put_path(&a, of);
    if (strlen(name) >= MF_DOC_NAME) {
        prop_note(p, p->current, "%s: as a column its name has %zu bytes, and is cut to %d", mf_buf_str(&a),
                  strlen(name), MF_DOC_NAME - 1);
    }
    for (size_t i = 0; i < t->ncolumns; i++) {
        if (t->columns[i].of != of && (same(t->columns[i].name, name) || same(t->columns[i].present, name))) {
            mf_infer_put_path(&b, t->columns[i].of);
            prop_note(p, p->current, "%s and %s: both are \"%s\" as columns of table %s; the second one gets a number",
                      mf_buf_str(&b), mf_buf_str(&a), name, t->to);
            return;
        }
    }
}

const char *prop_column_name(struct mf_doc_proposal *p, const struct prop_table *t, const char *before,
                             const struct mf_infer_path *of)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    mf_buf_puts(&b, before);
    fold_path(&b, t->base, of);
    if (of == t->base) {
        mf_buf_puts(&b, "value");
    }
    note_name(p, t, of, mf_buf_str(&b));
    return prop_unique_column(p, t, mf_buf_str(&b));
}

static bool in_tables(const struct prop_table *t, const char *name)
{
    for (; t; t = t->next) {
        if (same(t->to, name) || in_tables(t->tables, name)) {
            return true;
        }
    }
    return false;
}

static bool table_taken(const void *ctx, const char *name)
{
    const struct mf_doc_proposal *p = ctx;
    for (size_t i = 0; i < p->n; i++) {
        if (in_tables(p->collections[i].root, name)) {
            return true;
        }
    }
    return false;
}

const char *prop_table_name(struct mf_doc_proposal *p, const struct prop_table *above, const struct mf_infer_path *of,
                            const struct mf_infer_collection *c)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    char one[MF_DOC_NAME];
    if (!above) {
        mf_doc_name(c->name, strlen(c->name), one);
        if (!table_taken(p, one)) {
            return prop_text(p, "%s", one);
        }
        fold(&b, c->database, strlen(c->database)); /* a collection of the same name in another database */
        mf_buf_printf(&b, "_%s", one);
    } else {
        mf_buf_puts(&b, above->to);
        size_t n = b.len;
        fold_path(&b, above->base, of);
        mf_buf_puts(&b, b.len == n ? "_values" : "");
    }
    return unique(p, mf_buf_str(&b), table_taken, p);
}

/* ---- the key of a child ---- */

/* The columns of a table's key by name: of a child its parent's, then its own. */
static size_t key_names(const struct prop_table *t, const char **out, size_t most)
{
    size_t n = 0;
    for (size_t i = 0; !t->above && i < t->ncolumns && n < most; i++) {
        const struct mf_infer_path *of = t->columns[i].of;
        while (of->above && of->above->above) {
            of = of->above;
        }
        if (of->name && mf_streq(of->name, "_id") && t->columns[i].name) {
            out[n++] = t->columns[i].name;
        }
    }
    for (size_t i = 0; t->above && i < t->nparent && n < most; i++) {
        out[n++] = t->parent_names[i];
    }
    if (t->above && t->kind != MF_DOC_ONE && n < most) {
        out[n++] = t->kind == MF_DOC_MAP ? t->key : t->position;
    }
    return n;
}

static size_t root_key(const struct prop_table *t)
{
    const char *names[64];
    while (t->above) {
        t = t->above;
    }
    return key_names(t, names, MF_ARRAY_LEN(names));
}

void prop_key_names(struct mf_doc_proposal *p, struct prop_table *t)
{
    const char *names[64];
    bool own = false;
    if (t->kind == MF_DOC_ARRAY) {
        t->position = prop_unique_column(p, t, "position");
    } else if (t->kind == MF_DOC_MAP) {
        t->key = prop_unique_column(p, t, "key");
    }
    size_t n = key_names(t->above, names, MF_ARRAY_LEN(names)), nroot = root_key(t);
    t->parent_names = mf_alloc_array(&p->arena, n + 1, sizeof(char *));
    if (!t->parent_names) {
        p->full = true;
        return;
    }
    for (size_t i = 0; i < n;
         i++) { /* as a map without `parent` is read (bson/compile_tables.c), unless that name is taken */
        bool root = i < nroot;
        t->nparent = i;
        const char *wanted = (root && !t->above->above) || (!root && column_taken(t, names[i]))
                                 ? prop_text(p, "%s_%s", t->above->to, names[i])
                                 : names[i];
        t->parent_names[i] = prop_unique_column(p, t, wanted);
        own = own || !mf_streq(t->parent_names[i], wanted);
    }
    t->nparent = n;
    t->parent = own ? t->parent_names : NULL;
}
