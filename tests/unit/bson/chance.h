/* Shapes by chance, of which both a map and the documents that fit it are made; and the map of one. */
#ifndef MF_TESTS_UNIT_BSON_CHANCE_H
#define MF_TESTS_UNIT_BSON_CHANCE_H

#include "doc.h"

struct chance {
    uint64_t state;
    struct mf_buf yaml;
    unsigned columns, depth;
};

static uint32_t any(struct chance *c, uint32_t n)
{
    c->state ^= c->state << 13;
    c->state ^= c->state >> 7;
    c->state ^= c->state << 17;
    return (uint32_t)(c->state >> 20) % n;
}

/* ---- a shape that both the map and the documents are made of ---- */

enum what { VALUE, DOCUMENT, ARRAY, MAP, ONE, IGNORED };

struct shape {
    enum what what;
    char name[24]; /* "": itself */
    int type;
    char missing, null, wrong, range; /* as in the rules' first letters; 0: reject */
    bool present, empty, null_empty;
    char present_null;
    unsigned n;
    struct shape *fields; /* of ARRAY, MAP: the element's; n 1 and name "": the element itself */
};

static const char *const types[] = {"int32",     "int64",     "int",  "double",   "decimal",     "string(8)",
                                    "string",    "bool",      "date", "objectid", "uuid",        "uuid_legacy",
                                    "binary(6)", "timestamp", "json", "id(200)",  "decimal(6,2)"};
static const char *const fallbacks[] = {"7",
                                        "-8",
                                        "9",
                                        "0.5",
                                        "1.25",
                                        "x",
                                        "",
                                        "true",
                                        "2001-02-03 04:05:06.7",
                                        "0123456789abcdef01234567",
                                        "123e4567-e89b-12d3-a456-426614174000",
                                        "123e4567-e89b-12d3-a456-426614174000",
                                        "00ff",
                                        "12",
                                        "{\"a\":null}",
                                        "5",
                                        "1.5"};

static const char *const names[] = {"a", "b", "c.d", "$x", "", "é", "g", "h"};

static void make_rules(struct chance *c, struct shape *s, bool element)
{
    static const char missing[] = {0, 0, 'n', 'd'}, null[] = {0, 'n', 'd', 'm'}, other[] = {0, 0, 'n', 'd', 'c'};
    s->present = any(c, 4) == 0 && !element;
    s->missing = element ? 0 : missing[any(c, 4)];
    s->null = null[any(c, 4)];
    s->wrong = other[any(c, 5)];
    s->range = other[any(c, 4)];
    if (s->null == 'm' && (element || (!s->missing && !s->present))) {
        s->null = 0;
    }
    bool tells = s->null == 'n' || (s->missing == 'n' && !s->present);
    s->wrong = s->wrong == 'n' && !tells ? 0 : s->wrong;
    s->range = s->range == 'n' && !tells ? 0 : s->range;
}

static void make_shape(struct chance *c, struct shape *s, struct mf_arena *a, unsigned depth, bool element);

static void make_fields(struct chance *c, struct shape *s, struct mf_arena *a, unsigned depth)
{
    unsigned first = any(c, 8);
    s->n = 1 + any(c, 4);
    s->fields = mf_alloc_array(a, s->n, sizeof *s->fields);
    for (unsigned i = 0; i < s->n; i++) {
        snprintf(s->fields[i].name, sizeof s->fields[i].name, "%s", names[(first + i) % 8]);
        make_shape(c, &s->fields[i], a, depth + 1, false);
    }
    s->fields[0].what = s->fields[0].what == IGNORED ? VALUE : s->fields[0].what;
}

static void make_shape(struct chance *c, struct shape *s, struct mf_arena *a, unsigned depth, bool element)
{
    uint32_t k = any(c, depth > 3 ? 4 : 10);
    s->what = k < 5 ? VALUE : k == 5 ? DOCUMENT : k == 6 ? ARRAY : k == 7 ? MAP : k == 8 ? ONE : IGNORED;
    if (element && (s->what == ONE || s->what == IGNORED)) {
        s->what = VALUE;
    }
    s->type = (int)any(c, MF_ARRAY_LEN(types));
    make_rules(c, s, element);
    if (s->what == DOCUMENT || s->what == ONE) {
        make_fields(c, s, a, depth);
        s->present_null = (char)(any(c, 3) == 0 ? 'n' : any(c, 2) ? 'm' : 0);
        s->present_null = element && s->present_null == 'm' ? 0 : s->present_null;
    }
    if (s->what == ARRAY || s->what == MAP) {
        s->n = 1;
        s->fields = mf_alloc_array(a, 1, sizeof *s->fields);
        make_shape(c, s->fields, a, depth + 1, true);
        s->empty = any(c, 2) == 0 && !s->present;
        s->null_empty = any(c, 2) == 0 && !s->present;
        s->present_null = s->present ? "nm"[any(c, 2)] : 0;
    }
}

/* ---- the map ---- */

struct path {
    const char *names[40];
    unsigned n;
};

static void put_path(struct chance *c, const struct path *p)
{
    if (p->n == 0) {
        mf_buf_puts(&c->yaml, "path: \".\"");
        return;
    }
    mf_buf_puts(&c->yaml, "path: [");
    for (unsigned i = 0; i < p->n; i++) {
        mf_buf_printf(&c->yaml, "%s\"%s\"", i ? ", " : "", p->names[i]);
    }
    mf_buf_puts(&c->yaml, "]");
}

static void put_rule(struct chance *c, const char *key, char rule)
{
    if (rule) {
        mf_buf_printf(&c->yaml, ", %s: %s", key,
                      rule == 'n'   ? "null"
                      : rule == 'd' ? "default"
                      : rule == 'c' ? "coerce"
                                    : "missing");
    }
}

static void put_columns(struct chance *c, const struct shape *s, struct path *p, unsigned indent);

static void put_value_column(struct chance *c, const struct shape *s, const struct path *p, unsigned indent)
{
    mf_buf_printf(&c->yaml, "%*s- {", (int)indent, "");
    put_path(c, p);
    mf_buf_printf(&c->yaml, ", column: c%u, type: \"%s\"", c->columns++, types[s->type]);
    put_rule(c, "missing", s->missing);
    put_rule(c, "null", s->null);
    put_rule(c, "wrong", s->wrong);
    put_rule(c, "range", s->range);
    if (s->missing == 'd' || s->null == 'd' || s->wrong == 'd' || s->range == 'd') {
        mf_buf_printf(&c->yaml, ", default: '%s'", fallbacks[s->type]);
    }
    if (s->present) {
        mf_buf_printf(&c->yaml, ", present: c%u", c->columns++);
    }
    if (s->type == 9 && c->columns % 3 == 0) {
        mf_buf_printf(&c->yaml, ", time: c%u", c->columns++);
    }
    mf_buf_puts(&c->yaml, "}\n");
}

static void put_columns(struct chance *c, const struct shape *s, struct path *p, unsigned indent)
{
    if (s->what == VALUE) {
        put_value_column(c, s, p, indent);
        return;
    }
    if (s->what != IGNORED && s->present) {
        mf_buf_printf(&c->yaml, "%*s- {", (int)indent, "");
        put_path(c, p);
        mf_buf_printf(&c->yaml, ", present: c%u", c->columns++);
        put_rule(c, "null", s->present_null);
        mf_buf_puts(&c->yaml, "}\n");
    }
    for (unsigned i = 0; s->what == DOCUMENT && i < s->n; i++) {
        p->names[p->n++] = s->fields[i].name;
        put_columns(c, &s->fields[i], p, indent);
        p->n--;
    }
}

static bool has_columns(const struct shape *s)
{
    bool any_column = s->what == VALUE || (s->what != IGNORED && s->present);
    for (unsigned i = 0; s->what == DOCUMENT && i < s->n; i++) {
        any_column = any_column || has_columns(&s->fields[i]);
    }
    return any_column;
}

static bool has_tables(const struct shape *s)
{
    bool some = s->what == ARRAY || s->what == MAP || s->what == ONE;
    for (unsigned i = 0; s->what == DOCUMENT && i < s->n; i++) {
        some = some || has_tables(&s->fields[i]);
    }
    return some;
}

static void put_inside(struct chance *c, const struct shape *s, unsigned indent);

static void put_tables(struct chance *c, const struct shape *s, struct path *p, unsigned indent)
{
    if (s->what == DOCUMENT) {
        for (unsigned i = 0; i < s->n; i++) {
            p->names[p->n++] = s->fields[i].name;
            put_tables(c, &s->fields[i], p, indent);
            p->n--;
        }
        return;
    }
    if (s->what != ARRAY && s->what != MAP && s->what != ONE) {
        return;
    }
    mf_buf_printf(&c->yaml, "%*s- ", (int)indent, "");
    put_path(c, p);
    mf_buf_printf(&c->yaml, "\n%*sto: t%u\n%*skind: %s\n", (int)indent + 2, "", c->columns++, (int)indent + 2, "",
                  s->what == ARRAY ? "array"
                  : s->what == MAP ? "map"
                                   : "one");
    if (s->what != ONE && s->empty) {
        mf_buf_printf(&c->yaml, "%*smissing: empty\n", (int)indent + 2, "");
    }
    if (s->what != ONE && s->null_empty) {
        mf_buf_printf(&c->yaml, "%*snull: empty\n", (int)indent + 2, "");
    }
    struct shape inner = *s->fields;
    if (s->what == ONE) {
        inner = *s;
        inner.what = DOCUMENT;
        inner.present = false;
    }
    put_inside(c, &inner, indent + 2);
}

static void put_inside(struct chance *c, const struct shape *s, unsigned indent)
{
    struct path p = {.n = 0};
    if (has_columns(s)) {
        mf_buf_printf(&c->yaml, "%*scolumns:\n", (int)indent, "");
        put_columns(c, s, &p, indent + 2);
    }
    if (has_tables(s)) {
        mf_buf_printf(&c->yaml, "%*stables:\n", (int)indent, "");
        put_tables(c, s, &p, indent + 2);
    }
}

static void put_ignored(struct chance *c, const struct shape *s, struct path *p, bool *some)
{
    for (unsigned i = 0; (s->what == DOCUMENT || s->what == ONE) && i < s->n; i++) {
        p->names[p->n++] = s->fields[i].name;
        if (s->fields[i].what == IGNORED) {
            mf_buf_puts(&c->yaml, *some ? "" : "    ignore:\n");
            *some = true;
            mf_buf_puts(&c->yaml, "      - [");
            for (unsigned k = 0; k < p->n; k++) {
                mf_buf_printf(&c->yaml, "%s\"%s\"", k ? ", " : "", p->names[k]);
            }
            mf_buf_puts(&c->yaml, "]\n");
        } else {
            put_ignored(c, &s->fields[i], p, some);
        }
        p->n--;
    }
    if (s->what == ARRAY) {
        put_ignored(c, s->fields, p, some);
    }
}

#endif
