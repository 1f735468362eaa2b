/* Types from texts: CQL's own ("frozen<map<text, int>>") and the server's class names ("…marshal.VectorType(…FloatType , 3)"). Both are one
 * small grammar: a word, and parts in brackets. */
#include "connector/cassandra/cqltype_internal.h"

#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *p, *end;
    struct cql_making *m;
    cql_udt_lookup *lookup;
    void *ctx;
};

static void skip_blanks(struct text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' || *t->p == '\n')) {
        t->p++;
    }
}

static bool take(struct text *t, char c)
{
    skip_blanks(t);
    if (t->p == t->end || *t->p != c) {
        return false;
    }
    t->p++;
    return true;
}

static char *copy(struct text *t, const char *p, size_t n)
{
    char *s = mf_memdup_a(t->m->arena, p, n);
    t->m->full |= !s;
    return s;
}

static bool take_number(struct text *t, uint32_t *ret)
{
    skip_blanks(t);
    uint64_t v = 0;
    const char *from = t->p;
    for (; t->p < t->end && isdigit((unsigned char)*t->p) && v <= UINT32_MAX; t->p++) {
        v = v * 10 + (uint64_t)(*t->p - '0');
    }
    *ret = (uint32_t)v;
    return t->p > from && v > 0 && v <= INT32_MAX;
}

static bool is(const char *word, const char *s, size_t n)
{
    return strlen(word) == n && strncasecmp(word, s, n) == 0;
}

/* ---- CQL -- */

static const struct cql_type *cql_text(struct text *t);

/* The parts in angle brackets; their number is found first, by a look ahead that counts commas at this depth. */
static uint32_t count_parts(const struct text *t)
{
    uint32_t n = 1;
    int depth = 0;
    bool quoted = false;
    char quote = 0;
    for (const char *s = t->p; s < t->end && depth >= 0; s++) {
        if (quoted) {
            quoted = *s != quote;
        } else if (*s == '"' || *s == '\'') {
            quoted = true;
            quote = *s;
        } else {
            depth += *s == '<' ? 1 : *s == '>' ? -1 : 0;
            n += *s == ',' && depth == 0;
        }
    }
    return n;
}

static const struct cql_type *with_parts(struct text *t, enum cql_kind kind)
{
    if (!take(t, '<')) {
        return NULL;
    }
    uint32_t n = kind == CQL_K_VECTOR ? 1 : count_parts(t);
    if ((kind == CQL_K_MAP && n != 2) || ((kind == CQL_K_LIST || kind == CQL_K_SET) && n != 1)) {
        return NULL;
    }
    struct cql_type *made = cql_type_enter(t->m, kind, n);
    if (!made) {
        return NULL;
    }
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = (i == 0 || take(t, ',')) && (cql_type_subs(made)[i] = cql_text(t));
    }
    ok = ok && (kind != CQL_K_VECTOR || (take(t, ',') && take_number(t, &made->dimension))) && take(t, '>');
    cql_type_leave(t->m);
    return ok ? made : NULL;
}

static const struct cql_type *frozen(struct text *t)
{
    if (!take(t, '<') || t->m->depth >= CQL_TYPE_DEPTH) {
        return NULL;
    }
    t->m->depth++; /* frozen within frozen is one type, but not without end */
    const struct cql_type *inner = cql_text(t);
    t->m->depth--;
    if (!inner || !take(t, '>')) {
        return NULL;
    }
    struct cql_type *made = mf_alloc(t->m->arena, sizeof(*made));
    if (!made) {
        t->m->full = true;
        return NULL;
    }
    *made = *inner;
    made->frozen = true;
    return made;
}

static const struct cql_type *leaf(struct text *t, enum cql_kind kind)
{
    struct cql_type *made = cql_type_enter(t->m, kind, 0);
    if (made) {
        cql_type_leave(t->m);
    }
    return made;
}

/* The rest of a text in quotes, which are doubled within. NULL: it has no end, or a NUL. */
static const char *quoted(struct text *t, char quote)
{
    char *s = copy(t, t->p, (size_t)(t->end - t->p));
    size_t n = 0;
    while (s && t->p < t->end) {
        char c = *t->p++;
        if (c == quote && (t->p == t->end || *t->p != quote)) {
            s[n] = '\0';
            return n > 0 && mf_utf8_valid(s, n) ? s : NULL;
        }
        if (c == quote) {
            t->p++;
        }
        if (c == '\0') {
            return NULL;
        }
        s[n++] = c;
    }
    return NULL;
}

static const struct cql_type *user_type(struct text *t, const char *name)
{
    if (!name || !t->lookup || t->m->parts >= CQL_TYPE_PARTS) {
        return NULL;
    }
    t->m->parts++;
    return t->lookup(t->ctx, name);
}

static const struct cql_type *cql_text(struct text *t)
{
    static const struct {
        const char *word;
        enum cql_kind kind;
    } words[] = {
        {"list", CQL_K_LIST}, {"set", CQL_K_SET}, {"map", CQL_K_MAP}, {"tuple", CQL_K_TUPLE}, {"vector", CQL_K_VECTOR}};
    if (take(t, '"')) {
        return user_type(t, quoted(t, '"'));
    }
    if (take(t, '\'')) {
        const char *name = quoted(t, '\'');
        return name ? cql_type_in_class(t->m, name, strlen(name)) : NULL;
    }
    skip_blanks(t);
    const char *s = t->p;
    while (t->p < t->end && (isalnum((unsigned char)*t->p) || *t->p == '_')) {
        t->p++;
    }
    size_t n = (size_t)(t->p - s);
    struct text after = *t;
    bool parts = take(&after, '<');
    if (n == 0) {
        return NULL;
    }
    if (parts && is("frozen", s, n)) {
        return frozen(t);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && parts; i++) {
        if (is(words[i].word, s, n)) {
            return with_parts(t, words[i].kind);
        }
    }
    enum cql_kind kind;
    if (!parts && cql_kind_of_name(s, n, &kind)) {
        return leaf(t, kind);
    }
    if (parts) {
        return NULL;
    }
    char *name = copy(t, s, n);
    for (size_t i = 0; name && i < n; i++) {
        name[i] = (char)tolower((unsigned char)name[i]);
    }
    return user_type(t, name);
}

int cql_type_parse(const char *text, size_t n, cql_udt_lookup *lookup, void *ctx, struct mf_arena *arena,
                   const struct cql_type **ret, struct mf_error *err)
{
    struct cql_making m = {.arena = arena};
    struct text t = {.p = text, .end = text + n, .m = &m, .lookup = lookup, .ctx = ctx};
    const struct cql_type *made = cql_text(&t);
    skip_blanks(&t);
    if (m.full) {
        return mf_fail(err, MF_FATAL, "MFBIG", "a type of CQL is too large for the memory that it may take");
    }
    if (!made || t.p != t.end) {
        int shown = n < 200 && mf_utf8_valid(text, n) ? (int)n : 0;
        return mf_fail(err, MF_FATAL, "MFTYPE", "\"%.*s\" is no type of CQL that is known", shown, text);
    }
    *ret = made;
    return 0;
}

/* ---- class names -- */

static const struct cql_type *class_text(struct text *t);

/* Behind an opening bracket, past the closing one that belongs to it. */
static bool skip_parts(struct text *t)
{
    for (int depth = 1; depth > 0; t->p++) {
        if (t->p == t->end) {
            return false;
        }
        depth += *t->p == '(' ? 1 : *t->p == ')' ? -1 : 0;
    }
    return true;
}

static uint32_t count_class_parts(const struct text *t)
{
    uint32_t n = 1;
    int depth = 0;
    for (const char *s = t->p; s < t->end && depth >= 0; s++) {
        depth += *s == '(' ? 1 : *s == ')' ? -1 : 0;
        n += *s == ',' && depth == 0;
    }
    return n;
}

/* A name in hex digits, up to what no digit is. */
static const char *hex_name(struct text *t)
{
    skip_blanks(t);
    const char *from = t->p;
    while (t->p < t->end && isxdigit((unsigned char)*t->p)) {
        t->p++;
    }
    size_t n = (size_t)(t->p - from) / 2;
    char *s = (t->p - from) % 2 == 0 ? copy(t, from, n) : NULL;
    for (size_t i = 0; s && i < n; i++) {
        char two[3] = {from[2 * i], from[2 * i + 1], '\0'};
        s[i] = (char)strtol(two, NULL, 16);
    }
    return s && n > 0 && mf_utf8_valid(s, n) && !memchr(s, 0, n) ? s : NULL;
}

/* UserType(keyspace,hex of its name,hex of a field:type,…) */
static const struct cql_type *user_class(struct text *t)
{
    uint32_t n = count_class_parts(t);
    struct cql_type *made = n < 2 ? NULL : cql_type_enter(t->m, CQL_K_UDT, n - 2);
    const char **fields = made ? mf_alloc_array(t->m->arena, n, sizeof(*fields)) : NULL;
    if (!fields) {
        t->m->full |= made != NULL;
        return NULL;
    }
    skip_blanks(t);
    const char *from = t->p;
    while (t->p < t->end && *t->p != ',') {
        t->p++;
    }
    made->keyspace = copy(t, from, (size_t)(t->p - from));
    made->name = take(t, ',') ? hex_name(t) : NULL;
    made->fields = fields;
    bool ok = made->keyspace && made->name;
    for (uint32_t i = 0; i < made->nsub && ok; i++) {
        ok = take(t, ',') && (fields[i] = hex_name(t)) && take(t, ':') && (cql_type_subs(made)[i] = class_text(t));
    }
    cql_type_leave(t->m);
    return ok && take(t, ')') ? made : NULL;
}

static const struct cql_type *class_parts(struct text *t, enum cql_kind kind, uint32_t n)
{
    struct cql_type *made = cql_type_enter(t->m, kind, n);
    bool ok = made != NULL;
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = (i == 0 || take(t, ',')) && (cql_type_subs(made)[i] = class_text(t));
    }
    if (made) {
        cql_type_leave(t->m);
    }
    ok = ok && (kind != CQL_K_VECTOR || (take(t, ',') && take_number(t, &made->dimension)));
    return ok && take(t, ')') ? made : NULL;
}

/* The one part of a class that only says how the type is kept. */
static const struct cql_type *wrapped(struct text *t)
{
    if (t->m->depth >= CQL_TYPE_DEPTH) {
        return NULL;
    }
    t->m->depth++;
    const struct cql_type *inner = class_text(t);
    t->m->depth--;
    return inner && take(t, ')') ? inner : NULL;
}

static const struct cql_type *class_text(struct text *t)
{
    skip_blanks(t);
    const char *s = t->p;
    while (t->p < t->end && !strchr("(),: ", *t->p)) {
        t->p++;
    }
    const char *whole = s;
    size_t n = (size_t)(t->p - s), prefix = strlen(CQL_CLASSES);
    if (n > prefix && strncmp(s, CQL_CLASSES, prefix) == 0) {
        s += prefix;
        n -= prefix;
    }
    enum cql_kind kind;
    if (n == 0) {
        return NULL;
    }
    if (!take(t, '(')) {
        if (cql_kind_of_class(s, n, &kind)) {
            return leaf(t, kind);
        }
    } else if (is("ListType", s, n) || is("SetType", s, n)) {
        return class_parts(t, is("ListType", s, n) ? CQL_K_LIST : CQL_K_SET, 1);
    } else if (is("MapType", s, n)) {
        return class_parts(t, CQL_K_MAP, 2);
    } else if (is("VectorType", s, n)) {
        return class_parts(t, CQL_K_VECTOR, 1);
    } else if (is("TupleType", s, n)) {
        return class_parts(t, CQL_K_TUPLE, count_class_parts(t));
    } else if (is("UserType", s, n)) {
        return user_class(t);
    } else if (is("FrozenType", s, n) || is("ReversedType", s, n)) {
        return wrapped(t);
    } else if (!skip_parts(t)) {
        return NULL;
    }
    struct cql_type *made = cql_type_enter(t->m, CQL_K_CUSTOM, 0);
    if (!made) {
        return NULL;
    }
    cql_type_leave(t->m);
    const char *end = t->p;
    while (end > whole && end[-1] == ' ') {
        end--;
    }
    made->name = copy(t, whole, (size_t)(end - whole));
    return made->name ? made : NULL;
}

const struct cql_type *cql_type_in_class(struct cql_making *m, const char *name, size_t n)
{
    struct text t = {.p = name, .end = name + n, .m = m};
    const struct cql_type *made = memchr(name, '\'', n) || memchr(name, 0, n) ? NULL : class_text(&t);
    skip_blanks(&t);
    return t.p == t.end ? made : NULL;
}
