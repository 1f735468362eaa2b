#include "connector/types.h"

#include "base/mem.h"
#include "base/str.h"
#include "model/refused.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- filters ---- */

/* One part of a pattern: from *p to the dot that ends it or the end. A part in double quotes is a name as it is ("" is
 * one quote in it); anything else is a shell-like pattern. Returns whether s matches, and moves *p past the part. */
static bool part_matches(const char **p, const char *s)
{
    const char *in = *p;
    bool quoted = *in == '"';
    struct mf_buf part;
    mf_buf_init(&part, 1024);
    if (quoted) {
        for (in++; *in && !(in[0] == '"' && in[1] != '"'); in++) {
            in += in[0] == '"';
            mf_buf_putc(&part, *in);
        }
        in += *in == '"';
    } else {
        for (; *in && *in != '.'; in++) {
            mf_buf_putc(&part, *in);
        }
    }
    *p = in;
    bool hit = mf_buf_ok(&part) && (quoted ? strcmp(mf_buf_str(&part), s) == 0 : mf_glob_match(mf_buf_str(&part), s));
    mf_buf_free(&part);
    return hit;
}

/* `schema.name`; a pattern without a dot is a name in any schema. */
static bool pattern_matches(const char *pattern, const char *schema, const char *name)
{
    const char *p = pattern;
    bool first_is_schema = part_matches(&p, schema);
    if (*p == '\0') {
        p = pattern;
        return part_matches(&p, name) && *p == '\0';
    }
    if (*p != '.') {
        return false;
    }
    p++;
    return first_is_schema && part_matches(&p, name) && *p == '\0';
}

static bool any_matches(const char *const *patterns, size_t n, const char *schema, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (pattern_matches(patterns[i], schema, name)) {
            return true;
        }
    }
    return false;
}

void mf_filter_put_name(struct mf_buf *b, const char *name)
{
    bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';
    for (const char *p = name; *p && plain; p++) {
        plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_' || *p == '-';
    }
    if (plain) {
        mf_buf_puts(b, name);
        return;
    }
    mf_buf_puts(b, "'\""); /* YAML's quotes, in which a quote is doubled, and in them the pattern's, the same */
    for (const char *p = name; *p; p++) {
        mf_buf_puts(b, *p == '\'' ? "'" : *p == '"' ? "\"" : "");
        mf_buf_putc(b, *p);
    }
    mf_buf_puts(b, "\"'");
}

bool mf_filter_match(const struct mf_filter *f, const char *schema, const char *name)
{
    if (!f) {
        return true;
    }
    if (f->ninclude && !any_matches(f->include, f->ninclude, schema, name)) {
        return false;
    }
    return !any_matches(f->exclude, f->nexclude, schema, name);
}

/* ---- findings ---- */

struct mf_findings {
    struct mf_finding *items;
    size_t n, cap;
};

struct mf_findings *mf_findings_new(void)
{
    return mf_xcalloc(1, sizeof(struct mf_findings));
}

void mf_findings_free(struct mf_findings *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->n; i++) {
        free((char *)(uintptr_t)f->items[i].code);
        free((char *)(uintptr_t)f->items[i].object);
        free((char *)(uintptr_t)f->items[i].reason);
        free((char *)(uintptr_t)f->items[i].remedy);
    }
    free(f->items);
    free(f);
}

void mf_findings_add(struct mf_findings *f, enum mf_severity severity, enum mf_side side, const char *code,
                     const char *object, const char *remedy, const char *reason_fmt, ...)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 16;
        f->items = mf_xreallocarray(f->items, f->cap, sizeof(*f->items));
    }
    va_list ap;
    va_start(ap, reason_fmt);
    f->items[f->n++] = (struct mf_finding){
        .severity = severity,
        .side = side,
        .code = mf_xstrdup(code),
        .object = mf_xstrdup(object ? object : ""),
        .remedy = mf_xstrdup(remedy ? remedy : ""),
        .reason = mf_xvasprintf(reason_fmt, ap),
    };
    va_end(ap);
}

size_t mf_findings_count(const struct mf_findings *f)
{
    return f->n;
}

const struct mf_finding *mf_findings_at(const struct mf_findings *f, size_t i)
{
    return i < f->n ? &f->items[i] : NULL;
}

size_t mf_findings_blockers(const struct mf_findings *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        n += f->items[i].severity == MF_BLOCKER;
    }
    return n;
}

/* ---- what a window reports ---- */

void mf_result_diverged(struct mf_window_result *r, const struct mf_table *t, const char *what, const char *key)
{
    r->diverged++;
    if (!r->told) {
        r->told = mf_alloc_array(r->arena, MF_DIVERGED_TOLD, sizeof(*r->told));
    }
    char *copy = r->told && r->ntold < MF_DIVERGED_TOLD ? mf_memdup_a(r->arena, key, strlen(key) + 1) : NULL;
    if (copy) {
        r->told[r->ntold++] = (struct mf_diverged){.table = t, .what = what, .key = copy};
    }
}

int mf_fail_orphan(const char *key, const char *schema, const char *table, const char *ref_schema,
                   const char *ref_table, const char *values, struct mf_error *err)
{
    mf_fail(err, MF_ABANDONED, "MFGUARD",
            "foreign key %s of %s.%s is broken: the row with %.200s refers to no row of %s.%s", key, schema, table,
            values, ref_schema, ref_table);
    mf_hint(err, "Delete such rows, or write what they refer to, where writes are; they come over with the next pass. "
                 "cutover.require_verified: false does without.");
    return -1;
}

void mf_result_refused(struct mf_window_result *r, const struct mf_table *t, const char *key,
                       const struct mf_error *why)
{
    if (r && r->refused++ == 0) {
        snprintf(r->refusal, sizeof r->refusal, "%s.%s (%.100s): %.240s", t->schema, t->name, key, why->text);
    }
}

bool mf_result_later(struct mf_window_result *r, const struct mf_window_mode *mode, const struct mf_error *why)
{
    bool later = r && mode->conflicts_later && why->cls == MF_CONFLICT;
    if (later) {
        r->later++;
    }
    return later;
}

static bool grow_missing(struct mf_window_result *r)
{
    size_t cap = r->cap ? r->cap * 2 : 8;
    struct mf_missing *more = mf_alloc_array(r->arena, cap, sizeof *more);
    if (!more) {
        return false;
    }
    if (r->nmissing) {
        memcpy(more, r->missing, r->nmissing * sizeof *more);
    }
    r->missing = more;
    r->cap = cap;
    return true;
}

/* Its key columns alone; the others are MF_UNCHANGED. */
static bool copy_key(struct mf_arena *arena, const struct mf_table *t, const struct mf_row *key, struct mf_row *ret)
{
    *ret = (struct mf_row){.n = t->ncolumns, .values = mf_alloc_array(arena, t->ncolumns, sizeof(struct mf_value))};
    bool ok = ret->values != NULL;
    for (uint16_t i = 0; ok && i < t->ncolumns; i++) {
        ret->values[i] = (struct mf_value){.kind = MF_UNCHANGED};
    }
    for (uint16_t k = 0; ok && k < t->nkey; k++) {
        struct mf_value *v = &ret->values[t->key[k]];
        *v = key->values[t->key[k]];
        if (mf_value_has_bytes(v)) {
            v->data = mf_memdup_a(arena, v->data ? v->data : "", v->len);
            ok = v->data != NULL;
        }
    }
    return ok;
}

int mf_result_missing(struct mf_window_result *r, const struct mf_table *t, const struct mf_row *key,
                      struct mf_error *err)
{
    struct mf_row copy;
    if (!r || !r->arena) {
        return mf_fail(err, MF_FATAL, "MFBUG", "a missing row has nowhere to be told");
    }
    if ((r->nmissing == r->cap && !grow_missing(r)) || !copy_key(r->arena, t, key, &copy)) {
        r->missing_lost = true;
        return 0;
    }
    r->missing[r->nmissing++] = (struct mf_missing){.table = t, .key = copy};
    return 0;
}

/* ---- quarantine ---- */

#define SHOWN_PART 200u /* of a value where there is no key */

/* Of what is told of it, what tells it from others. The reason is the entry's. */
static void put_refused_mark(struct mf_buf *b, const struct mf_value *v)
{
    const size_t mark = strlen(MF_REFUSED_MARK), n = mark + MF_REFUSED_DIGITS + 1;
    if (v->len > n && memcmp(v->data + v->len - n, MF_REFUSED_MARK, mark) == 0) {
        mf_buf_append(b, v->data + v->len - n, n);
    }
}

static void put_key_part(struct mf_buf *b, const struct mf_value *v, size_t max)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = mf_value_has_bytes(v) && v->len > max ? max : v->len;
    switch (v->kind) {
    case MF_NULL:
        mf_buf_puts(b, "NULL");
        break;
    case MF_TEXT:
        while (n > 0 && n < v->len && ((uint8_t)v->data[n] & 0xc0) == 0x80) {
            n--; /* not in the middle of a character */
        }
        for (size_t i = 0; i < n; i++) {
            mf_buf_putc(b, v->data[i] ? v->data[i] : ' '); /* not every database's texts can hold a NUL byte */
        }
        break;
    case MF_BINARY:
        mf_buf_puts(b, "0x");
        for (size_t i = 0; i < n; i++) {
            mf_buf_putc(b, hex[(uint8_t)v->data[i] >> 4]);
            mf_buf_putc(b, hex[v->data[i] & 15]);
        }
        break;
    case MF_REFUSED:
        mf_buf_puts(b, "?");
        put_refused_mark(b, v);
        break;
    case MF_UNCHANGED:
        mf_buf_puts(b, "?");
        break;
    }
}

void mf_put_key_text(struct mf_buf *b, const struct mf_table *t, const struct mf_row *row)
{
    uint16_t n = t->nkey ? t->nkey : t->ncolumns;
    bool first = true;
    if (row->named) {
        mf_buf_puts(b, row->named);
        return;
    }
    for (uint16_t i = 0; i < n; i++) {
        uint16_t col = t->nkey ? t->key[i] : i;
        if (t->columns[col].generated && !t->nkey) {
            continue;
        }
        mf_buf_puts(b, first ? "" : ", ");
        first = false;
        mf_buf_printf(b, "%s=", t->columns[col].name);
        put_key_part(b, &row->values[col], t->nkey ? SIZE_MAX : SHOWN_PART);
    }
}

void mf_key_short(const char *key, char *out, size_t n)
{
    char end[MF_KEY_SHORT_LEAST - 1];
    size_t len = strlen(key);
    if (len < n) {
        memcpy(out, key, len + 1);
        return;
    }
    XXH128_hash_t h = XXH3_128bits(key, len);
    int nend = snprintf(end, sizeof end, "… (%zu bytes, hash %016" PRIx64 "%016" PRIx64 ")", len, h.high64, h.low64);
    size_t cut = mf_utf8_cut(key, len, n - 1 - (size_t)nend);
    memcpy(out, key, cut);
    memcpy(out + cut, end, (size_t)nend + 1);
}

#define SHOWN_VALUE (64u << 10) /* longer values are cut: the whole row is still in the source */

/* "column NAME: …" or "column "NAME": …", behind whatever was being done. */
static bool names_column(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = text; (at = strstr(at, "column ")); at++) {
        const char *word = at + strlen("column ") + (at[strlen("column ")] == '"');
        if (strncmp(word, name, n) == 0 && (word[n] == '"' || word[n] == ':' || word[n] == ' ')) {
            return true;
        }
    }
    return false;
}

const char *mf_refused_column(const struct mf_table *t, const struct mf_row *row, const struct mf_error *why)
{
    int refused = mf_row_refused(row);
    if (refused >= 0 && refused < t->ncolumns) {
        return t->columns[refused].name;
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (names_column(why->text, t->columns[i].name)) {
            return t->columns[i].name;
        }
    }
    return NULL;
}

void mf_put_row_json(struct mf_buf *b, const struct mf_table *t, const struct mf_row *row)
{
    bool first = true;
    mf_buf_putc(b, '{');
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        const struct mf_value *v = &row->values[i];
        if (v->kind == MF_UNCHANGED || v->kind == MF_BINARY) {
            continue;
        }
        mf_buf_puts(b, first ? "\"" : ", \"");
        first = false;
        mf_json_escape(b, t->columns[i].name, strlen(t->columns[i].name));
        mf_buf_puts(b, "\": ");
        if (v->kind == MF_NULL) {
            mf_buf_puts(b, "null");
            continue;
        }
        mf_buf_puts(b, v->kind == MF_REFUSED ? "\"refused: " : "\"");
        mf_json_escape(b, v->data, v->len < SHOWN_VALUE ? v->len : SHOWN_VALUE);
        if (v->len > SHOWN_VALUE) {
            mf_buf_printf(b, "… (%u bytes)", v->len);
        }
        mf_buf_putc(b, '"');
    }
    mf_buf_putc(b, '}');
}
