/* See schema_split.h. One pass, no recursion: quotes and brackets are counted, words decide what an item is. */
#include "connector/mysql/schema_split.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/sqltoken.h"

#include <string.h>
#include <strings.h>

#define MAX_ITEMS 16384

/* ---- tokens ---- */

static size_t token_end(struct my_piece t, size_t i)
{
    return my_sql_end(t.p, t.n, i, true);
}

/* The next token that is no space. False at the end. */
static bool next_token(struct my_piece t, size_t *i, size_t *ret_from, size_t *ret_end)
{
    while (*i < t.n && my_sql_space(t.p[*i])) {
        ++*i;
    }
    if (*i >= t.n) {
        return false;
    }
    *ret_from = *i;
    *i = *ret_end = token_end(t, *i);
    return true;
}

static bool take_word(struct my_piece t, size_t *i, const char *word)
{
    size_t at = *i, from, end;
    if (!next_token(t, &at, &from, &end) || !my_sql_is(t.p, from, end, word)) {
        return false;
    }
    *i = at;
    return true;
}

/* ---- items ---- */

static struct my_piece trimmed(const char *p, size_t from, size_t to)
{
    while (from < to && my_sql_space(p[from])) {
        from++;
    }
    while (to > from && my_sql_space(p[to - 1])) {
        to--;
    }
    return (struct my_piece){p + from, to - from};
}

/* From the bracket at or after *i to the one that closes it. */
static bool take_brackets(struct my_piece t, size_t *i, struct my_piece *ret)
{
    size_t from, end, depth = 0, open = 0;
    while (next_token(t, i, &from, &end)) {
        if (t.p[from] == '(' && depth++ == 0) {
            open = end;
        } else if (t.p[from] == ')' && depth > 0 && --depth == 0) {
            *ret = (struct my_piece){t.p + open, from - open};
            return true;
        }
    }
    return false;
}

static bool name_into(struct mf_arena *arena, struct my_piece t, size_t *i, const char **ret)
{
    char name[257];
    if (!my_sql_name(t.p, t.n, i, name, sizeof name)) {
        return false;
    }
    *ret = mf_strdup_a(arena, name);
    return *ret != NULL;
}

static bool take_foreign(struct mf_arena *arena, struct my_item *it, size_t i)
{
    it->kind = MY_ITEM_FOREIGN;
    if (!take_brackets(it->text, &i, &it->inner) || !take_word(it->text, &i, "REFERENCES") ||
        !name_into(arena, it->text, &i, &it->ref_table)) {
        return false;
    }
    if (take_word(it->text, &i, ".")) {
        it->ref_schema = it->ref_table;
        return name_into(arena, it->text, &i, &it->ref_table);
    }
    return true;
}

static const struct {
    const char *first; /* NULL: the KEY itself */
    enum my_item_kind kind;
} keys[] = {
    {"PRIMARY", MY_ITEM_PRIMARY}, {"UNIQUE", MY_ITEM_UNIQUE}, {"FULLTEXT", MY_ITEM_FULLTEXT},
    {"SPATIAL", MY_ITEM_SPATIAL}, {NULL, MY_ITEM_KEY},
};

static bool take_key(struct mf_arena *arena, struct my_item *it)
{
    for (size_t k = 0; k < MF_ARRAY_LEN(keys); k++) {
        size_t i = 0;
        if ((keys[k].first && !take_word(it->text, &i, keys[k].first)) ||
            (!take_word(it->text, &i, "KEY") && !take_word(it->text, &i, "INDEX"))) {
            continue;
        }
        it->kind = keys[k].kind;
        it->name = "PRIMARY";
        return (it->kind == MY_ITEM_PRIMARY || name_into(arena, it->text, &i, &it->name)) &&
               take_brackets(it->text, &i, &it->inner);
    }
    return true; /* something else */
}

/* False: it looks like something we know and is not. */
static bool understand(struct mf_arena *arena, struct my_item *it)
{
    size_t i = 0;
    it->kind = MY_ITEM_OTHER;
    it->name = "";
    if (it->text.n == 0) {
        return false;
    }
    if (it->text.p[0] == '`') {
        it->kind = MY_ITEM_COLUMN;
        return name_into(arena, it->text, &i, &it->name);
    }
    bool named = take_word(it->text, &i, "CONSTRAINT");
    if (named && !name_into(arena, it->text, &i, &it->name)) {
        return false;
    }
    if (take_word(it->text, &i, "FOREIGN")) {
        return take_word(it->text, &i, "KEY") && take_foreign(arena, it, i);
    }
    if (take_word(it->text, &i, "CHECK")) {
        it->kind = MY_ITEM_CHECK;
        return true;
    }
    return named ? false : take_key(arena, it);
}

static int malformed(const char *text, const char *why, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFDDL", "the server's text of a table cannot be taken apart (%s): %.300s", why,
                   text);
}

/* Appends the item of body[from..to). */
static int add_item(struct mf_arena *arena, struct my_create *c, size_t *cap, const char *text, struct my_piece piece,
                    struct mf_error *err)
{
    if (c->nitems == *cap) {
        size_t more = *cap ? *cap * 2 : 32;
        struct my_item *items = more > MAX_ITEMS ? NULL : mf_alloc_array(arena, more, sizeof *items);
        if (!items) {
            return malformed(text, "it has too many columns and keys", err);
        }
        if (c->nitems) {
            memcpy(items, c->items, c->nitems * sizeof *items);
        }
        c->items = items;
        *cap = more;
    }
    struct my_item *it = &c->items[c->nitems++];
    *it = (struct my_item){.text = piece};
    return understand(arena, it) ? 0 : malformed(text, "a column or key has another form", err);
}

int my_create_split(const char *text, struct mf_arena *arena, struct my_create *ret, struct mf_error *err)
{
    struct my_piece t = {text, strlen(text)};
    size_t i = 0, from, end, depth = 1, start, cap = 0;
    *ret = (struct my_create){0};
    bool temporary = take_word(t, &i, "CREATE") && take_word(t, &i, "TEMPORARY");
    (void)temporary;
    if (!take_word(t, &i, "TABLE") || !name_into(arena, t, &i, &ret->name) || !take_word(t, &i, "(")) {
        return malformed(text, "it does not begin as one", err);
    }
    start = i;
    while (next_token(t, &i, &from, &end)) {
        char c = text[from];
        if (c == '(') {
            depth++;
        } else if (c == ')') {
            depth--;
        }
        if (depth == 0 || (c == ',' && depth == 1)) {
            if (add_item(arena, ret, &cap, text, trimmed(text, start, from), err) < 0) {
                return -1;
            }
            start = end;
        }
        if (depth == 0) {
            ret->tail = trimmed(text, end, t.n);
            return 0;
        }
    }
    return malformed(text, "a bracket or a quote is not closed", err);
}

const struct my_item *my_create_find(const struct my_create *c, int kind, const char *name)
{
    for (size_t i = 0; i < c->nitems; i++) {
        const struct my_item *it = &c->items[i];
        if ((kind < 0 || it->kind == (enum my_item_kind)kind) && strcasecmp(it->name, name) == 0) {
            return it;
        }
    }
    return NULL;
}

bool my_key_column(struct my_piece inner, size_t *pos, char name[257], bool *ret_whole)
{
    size_t from, end, depth = 0;
    name[0] = 0;
    *ret_whole = false;
    if (!next_token(inner, pos, &from, &end)) {
        return false;
    }
    size_t at = from;
    *ret_whole = inner.p[from] == '`' && my_sql_name(inner.p, inner.n, &at, name, 257);
    *pos = from;
    while (next_token(inner, pos, &from, &end)) {
        char c = inner.p[from];
        if (c == ',' && depth == 0) {
            break;
        }
        depth += c == '(';
        depth -= c == ')' && depth > 0;
        *ret_whole =
            *ret_whole && (from < at || my_sql_is(inner.p, from, end, "ASC") || my_sql_is(inner.p, from, end, "DESC"));
    }
    return true;
}

/* ---- columns ---- */

bool my_item_says(const struct my_item *it, const char *first, const char *second)
{
    size_t i = 0, from, end;
    bool before = false;
    while (next_token(it->text, &i, &from, &end)) {
        if (before && my_sql_is(it->text.p, from, end, second)) {
            return true;
        }
        before = my_sql_is(it->text.p, from, end, first);
        if (before && !second) {
            return true;
        }
    }
    return false;
}

/* NULL, 5, -1.5, 'text', b'01', x'FF', _utf8mb4'text'. */
static bool is_constant(struct my_piece t, size_t from, size_t end)
{
    char c = t.p[from];
    if (c == '\'' || c == '-' || c == '+' || (c >= '0' && c <= '9') || my_sql_is(t.p, from, end, "NULL")) {
        return true;
    }
    return end < t.n && t.p[end] == '\'' &&
           (c == '_' || ((c == 'b' || c == 'B' || c == 'x' || c == 'X') && end - from == 1));
}

bool my_default_is_constant(const struct my_item *column)
{
    size_t i = 0, from, end;
    while (next_token(column->text, &i, &from, &end)) {
        if (my_sql_is(column->text.p, from, end, "DEFAULT")) {
            return next_token(column->text, &i, &from, &end) && is_constant(column->text, from, end);
        }
    }
    return true;
}
