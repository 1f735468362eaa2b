/* See query_text.h. A walk over tokens that keeps a little of what it has passed: which column a literal is compared with, how wide a list is. */
#include "connector/mysql/query_text.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/query_walk.h"
#include "connector/mysql/sqltoken.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEPTH     64
#define MAX_WIDTH 4096 /* columns of a list */

struct walk {
    struct my_walk t;
    my_stand_in *give; /* NULL: markers */
    void *ctx;
    struct mf_buf *out;
    char name[MY_QUERY_NAME], table[MY_QUERY_NAME]; /* the last name, and what qualifies it */
    bool qualified;                                 /* a dot was read after a name */
    bool subject;                                   /* the name is what literals are compared with */
    bool between;                                   /* the next AND belongs to BETWEEN */
    size_t depth, commas[DEPTH];                    /* of the brackets that are open */
    size_t width;                                   /* of the list in the brackets that were closed last */
    size_t in_width;                                /* of the rows in IN (…) */
    bool type;                                      /* after CAST (… AS */
};

static void put(struct walk *w, const char *s)
{
    if (w->out->len) {
        mf_buf_putc(w->out, ' ');
    }
    mf_buf_puts(w->out, s);
}

static void put_token(struct walk *w)
{
    /* "@@" and the name after it, the two signs of an operator: nothing may come between. */
    char last = w->out->len ? w->out->data[w->out->len - 1] : ' ';
    bool tight = last == '@' || (strchr("<>!:|&=", last) && strchr("<>=|&", w->t.word[0]) && w->t.p < w->t.word &&
                                 w->t.word[-1] == last);
    if (w->out->len && !tight) {
        mf_buf_putc(w->out, ' ');
    }
    mf_buf_append(w->out, w->t.word, w->t.len);
}

/* ---- literals ---- */

/* "? = `a`": the column that comes after it. */
static bool column_after(const struct walk *w, char *out, size_t size)
{
    size_t i = w->t.i;
    while (i < w->t.n && strchr(" =<>!", w->t.p[i])) {
        i++;
    }
    return i > w->t.i && i < w->t.n && w->t.p[i] == '`' && memchr(w->t.p + w->t.i, '=', i - w->t.i) &&
           my_sql_name(w->t.p, w->t.n, &i, out, size);
}

static void put_literal(struct walk *w)
{
    char column[MY_QUERY_NAME] = "";
    if (!w->give) {
        put(w, "?");
    } else if (strcasecmp(w->t.before, "BY") == 0) {
        put(w, "NULL"); /* ORDER BY NULL; a number would be a column */
    } else if (strcasecmp(w->t.before, "LIMIT") == 0 || strcasecmp(w->t.before, "OFFSET") == 0) {
        put(w, "10");
    } else if (strcasecmp(w->t.before, "INTERVAL") == 0) {
        put(w, "1");
    } else {
        put(w, "");
        if (w->subject) {
            w->give(w->ctx, w->table, w->name, w->out);
        } else {
            w->give(w->ctx, "", column_after(w, column, sizeof column) ? column : "", w->out);
        }
    }
}

static void put_list(struct walk *w, size_t width)
{
    put(w, "(");
    for (size_t i = 0; i < width; i++) {
        if (i) {
            put(w, ",");
        }
        mf_strlcpy(w->t.before, ",", sizeof w->t.before);
        put_literal(w);
    }
    put(w, ")");
}

static bool is_type(const char *word)
{
    static const char *const types[] = {"DECIMAL", "NUMERIC",  "CHARACTER",    "CHAR",    "BINARY", "NCHAR",
                                        "TIME",    "DATETIME", "VARCHARACTER", "VARCHAR", "FLOAT",  "DOUBLE"};
    for (size_t i = 0; i < MF_ARRAY_LEN(types); i++) {
        if (strcasecmp(word, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* At an opening bracket: what stands for a list, (...) or (?) of a type. False: it is a bracket. */
static bool put_folded(struct walk *w)
{
    bool list = my_walk_follows(&w->t, "...)"), type = w->type && is_type(w->t.before);
    bool rows = strcasecmp(w->t.before, "VALUES") == 0 || strcasecmp(w->t.before, "VALUE") == 0;
    if (type && (list || my_walk_follows(&w->t, "?)"))) {
        put(w, list                                                                               ? "( 10 , 2 )"
               : strcasecmp(w->t.before, "TIME") == 0 || strcasecmp(w->t.before, "DATETIME") == 0 ? "( 3 )"
                                                                                                  : "( 10 )");
    } else if (list) {
        bool row_of_in = w->depth > 0 && strcmp(w->t.before, "(") == 0;
        put_list(w, rows && w->width > 1 ? w->width : row_of_in && w->in_width > 1 ? w->in_width : 2);
    } else {
        return false;
    }
    my_walk_skip(&w->t, list ? "...)" : "?)");
    return true;
}

/* DATE ?, TIME ?, TIMESTAMP ? and (_charset) ?: literals of a form of their own. */
static bool put_typed(struct walk *w)
{
    const char *value = my_walk_is(&w->t, "DATE")        ? "DATE '2020-01-01'"
                        : my_walk_is(&w->t, "TIME")      ? "TIME '00:00:00'"
                        : my_walk_is(&w->t, "TIMESTAMP") ? "TIMESTAMP '2020-01-01 00:00:00'"
                                                         : NULL;
    if (!value || !my_walk_follows(&w->t, "?")) {
        return false;
    }
    put(w, value);
    my_walk_skip(&w->t, "?");
    return true;
}

/* ---- the walk ---- */

static void take_name(struct walk *w)
{
    size_t i = (size_t)(w->t.word - w->t.p);
    if (w->qualified) {
        mf_strlcpy(w->table, w->name, sizeof w->table);
    } else {
        w->table[0] = 0;
    }
    if (!my_sql_name(w->t.p, w->t.n, &i, w->name, sizeof w->name)) {
        w->name[0] = 0;
    }
    w->subject = w->name[0] && !my_walk_follows(&w->t, "(");
    w->qualified = false;
}

/* After these the last name is still what a literal is compared with. */
static bool keeps_subject(struct walk *w)
{
    static const char *const keep[] = {"LIKE", "RLIKE", "REGEXP", "IN", "NOT", "BETWEEN", "BINARY", "IS"};
    if (my_walk_is(&w->t, "BETWEEN")) {
        w->between = true;
    } else if (my_walk_is(&w->t, "AND") && w->between) {
        w->between = false;
        return true;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(keep); i++) {
        if (my_walk_is(&w->t, keep[i])) {
            return true;
        }
    }
    return false;
}

static void open_bracket(struct walk *w)
{
    if (++w->depth < DEPTH) {
        w->commas[w->depth] = 0;
    }
    w->subject = w->subject && strcasecmp(w->t.before, "IN") == 0;
}

static void close_bracket(struct walk *w)
{
    if (w->depth > 0) {
        w->width = w->depth < DEPTH ? w->commas[w->depth] + 1 : 2;
        w->width = w->width < MAX_WIDTH ? w->width : MAX_WIDTH;
        w->depth--;
    }
    w->subject = w->type = false;
}

static void punctuation(struct walk *w)
{
    char c = w->t.word[0];
    if (c == '(') {
        open_bracket(w);
    } else if (c == ')') {
        close_bracket(w);
    } else if (c == ',') {
        w->commas[w->depth < DEPTH ? w->depth : 0]++;
        w->subject = w->subject && w->depth > 0; /* within IN (…) */
    }
    w->qualified = c == '.' && w->name[0];
}

static void step(struct walk *w)
{
    char c = w->t.word[0];
    if (c == '?') {
        put_literal(w);
        if (my_walk_follows(&w->t, ",...")) { /* two or more of them */
            my_walk_skip(&w->t, ",...");
            put(w, ",");
            put_literal(w);
        }
    } else if (c == '@' && my_walk_follows(&w->t, "?")) {
        my_walk_skip(&w->t, "?");
        put(w, "@a");
    } else if (c == '(' && my_walk_follows(&w->t, "_charset)")) {
        my_walk_skip(&w->t, "_charset)");
    } else if (c == '(' && put_folded(w)) {
        w->subject = w->type = false;
    } else if (c == '`') {
        take_name(w);
        put_token(w);
    } else if (!my_walk_is_word(&w->t)) {
        punctuation(w);
        put_token(w);
    } else if (!put_typed(w)) {
        w->in_width = my_walk_is(&w->t, "IN") ? (strcmp(w->t.before, ")") == 0 ? w->width : 1) : w->in_width;
        w->type = my_walk_is(&w->t, "AS") || (w->type && is_type(w->t.before)) ||
                  (w->type && strcasecmp(w->t.before, "AS") == 0);
        w->subject = w->subject && keeps_subject(w);
        put_token(w);
    }
}

void my_query_markers(const char *text, size_t n, struct mf_buf *out)
{
    struct walk w = {.t = {.p = text, .n = n}, .out = out};
    while (my_walk_next(&w.t)) {
        step(&w);
    }
}

/* FOR UPDATE, LOCK IN SHARE MODE: passed over, for a plan locks nothing. */
static bool skip_locks(struct walk *w)
{
    if (my_walk_is(&w->t, "FOR") && my_walk_follows(&w->t, "UPDATE")) {
        my_walk_skip(&w->t, "UPDATE");
        return true;
    }
    if (my_walk_is(&w->t, "LOCK") && my_walk_follows(&w->t, "INSHAREMODE")) {
        my_walk_skip(&w->t, "INSHAREMODE");
        return true;
    }
    return false;
}

enum my_query_plan my_query_literals(const char *text, size_t n, my_stand_in *give, void *ctx, struct mf_buf *out)
{
    enum my_query_plan plan;
    size_t from = my_query_planned(text, n, &plan);
    struct walk w = {.t = {.p = text, .n = n, .i = from}, .give = give, .ctx = ctx, .out = out};
    while (plan != MY_PLAN_NONE && my_walk_next(&w.t)) {
        if (!skip_locks(&w)) {
            step(&w);
        }
    }
    return plan;
}
