/* See query_text.h. A walk over tokens that keeps a little of what it has passed: which column a literal is compared with, how wide a list is. */
#include "connector/mysql/query_text.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/schema_split.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME      257
#define DEPTH     64
#define MAX_WIDTH 4096 /* columns of a list */

struct walk {
    const char *p;
    size_t n, i;      /* the next token */
    const char *word; /* the token that was read last, as it stands */
    size_t len;
    char before[NAME]; /* the word before it; "" when it was none */
    my_stand_in *give; /* NULL: markers */
    void *ctx;
    struct mf_buf *out;
    char name[NAME], table[NAME]; /* the last name, and what qualifies it */
    bool qualified;               /* a dot was read after a name */
    bool subject;                 /* the name is what literals are compared with */
    bool between;                 /* the next AND belongs to BETWEEN */
    size_t depth, commas[DEPTH];  /* of the brackets that are open */
    size_t width;                 /* of the list in the brackets that were closed last */
    size_t in_width;              /* of the rows in IN (…) */
    bool type;                    /* after CAST (… AS */
};

static bool is(const struct walk *w, const char *word)
{
    return my_ddl_token_is(w->word, 0, w->len, word);
}

/* Reads the next token over blanks and comments. */
static bool next(struct walk *w)
{
    mf_strlcpy(w->before, "", sizeof w->before);
    if (w->word && w->len < sizeof w->before && w->word[0] != '`') {
        memcpy(w->before, w->word, w->len);
        w->before[w->len] = 0;
    }
    for (;;) {
        while (w->i < w->n && (unsigned char)w->p[w->i] <= ' ') {
            w->i++;
        }
        if (w->n - w->i >= 2 && w->p[w->i] == '/' && w->p[w->i + 1] == '*') {
            const char *end = memmem(w->p + w->i + 2, w->n - w->i - 2, "*/", 2);
            w->i = end ? (size_t)(end - w->p) + 2 : w->n;
            continue;
        }
        break;
    }
    if (w->i >= w->n) {
        w->len = 0;
        return false;
    }
    w->word = w->p + w->i;
    size_t end = my_ddl_token_end(w->p, w->n, w->i);
    w->len = end - w->i;
    w->i = end;
    return true;
}

static bool follows(const struct walk *w, const char *what)
{
    size_t i = w->i;
    for (; *what; what++) {
        while (i < w->n && w->p[i] == ' ') {
            i++;
        }
        if (i >= w->n || w->p[i++] != *what) {
            return false;
        }
    }
    return true;
}

/* Moves over what follows(). */
static void skip(struct walk *w, const char *what)
{
    for (; *what; what++) {
        while (w->i < w->n && w->p[w->i] == ' ') {
            w->i++;
        }
        w->i += w->i < w->n;
    }
}

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
    bool tight = last == '@' ||
                 (strchr("<>!:|&=", last) && strchr("<>=|&", w->word[0]) && w->p < w->word && w->word[-1] == last);
    if (w->out->len && !tight) {
        mf_buf_putc(w->out, ' ');
    }
    mf_buf_append(w->out, w->word, w->len);
}

/* ---- literals ---- */

/* "? = `a`": the column that comes after it. */
static bool column_after(const struct walk *w, char *out, size_t size)
{
    size_t i = w->i;
    while (i < w->n && strchr(" =<>!", w->p[i])) {
        i++;
    }
    return i > w->i && i < w->n && w->p[i] == '`' && memchr(w->p + w->i, '=', i - w->i) &&
           my_ddl_token_name(w->p, w->n, &i, out, size);
}

static void put_literal(struct walk *w)
{
    char column[NAME] = "";
    if (!w->give) {
        put(w, "?");
    } else if (strcasecmp(w->before, "BY") == 0) {
        put(w, "NULL"); /* ORDER BY NULL; a number would be a column */
    } else if (strcasecmp(w->before, "LIMIT") == 0 || strcasecmp(w->before, "OFFSET") == 0) {
        put(w, "10");
    } else if (strcasecmp(w->before, "INTERVAL") == 0) {
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
        mf_strlcpy(w->before, ",", sizeof w->before);
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
    bool list = follows(w, "...)"), type = w->type && is_type(w->before);
    bool rows = strcasecmp(w->before, "VALUES") == 0 || strcasecmp(w->before, "VALUE") == 0;
    if (type && (list || follows(w, "?)"))) {
        put(w, list                                                                           ? "( 10 , 2 )"
               : strcasecmp(w->before, "TIME") == 0 || strcasecmp(w->before, "DATETIME") == 0 ? "( 3 )"
                                                                                              : "( 10 )");
    } else if (list) {
        bool row_of_in = w->depth > 0 && strcmp(w->before, "(") == 0;
        put_list(w, rows && w->width > 1 ? w->width : row_of_in && w->in_width > 1 ? w->in_width : 2);
    } else {
        return false;
    }
    skip(w, list ? "...)" : "?)");
    return true;
}

/* DATE ?, TIME ?, TIMESTAMP ? and (_charset) ?: literals of a form of their own. */
static bool put_typed(struct walk *w)
{
    const char *value = is(w, "DATE")        ? "DATE '2020-01-01'"
                        : is(w, "TIME")      ? "TIME '00:00:00'"
                        : is(w, "TIMESTAMP") ? "TIMESTAMP '2020-01-01 00:00:00'"
                                             : NULL;
    if (!value || !follows(w, "?")) {
        return false;
    }
    put(w, value);
    skip(w, "?");
    return true;
}

/* ---- the walk ---- */

static void take_name(struct walk *w)
{
    size_t i = (size_t)(w->word - w->p);
    if (w->qualified) {
        mf_strlcpy(w->table, w->name, sizeof w->table);
    } else {
        w->table[0] = 0;
    }
    if (!my_ddl_token_name(w->p, w->n, &i, w->name, sizeof w->name)) {
        w->name[0] = 0;
    }
    w->subject = w->name[0] && !follows(w, "(");
    w->qualified = false;
}

/* After these the last name is still what a literal is compared with. */
static bool keeps_subject(struct walk *w)
{
    static const char *const keep[] = {"LIKE", "RLIKE", "REGEXP", "IN", "NOT", "BETWEEN", "BINARY", "IS"};
    if (is(w, "BETWEEN")) {
        w->between = true;
    } else if (is(w, "AND") && w->between) {
        w->between = false;
        return true;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(keep); i++) {
        if (is(w, keep[i])) {
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
    w->subject = w->subject && strcasecmp(w->before, "IN") == 0;
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
    char c = w->word[0];
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

static bool is_word(const struct walk *w)
{
    unsigned char c = (unsigned char)w->word[0];
    return c == '_' || c == '$' || c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static void step(struct walk *w)
{
    char c = w->word[0];
    if (c == '?') {
        put_literal(w);
        if (follows(w, ",...")) { /* two or more of them */
            skip(w, ",...");
            put(w, ",");
            put_literal(w);
        }
    } else if (c == '@' && follows(w, "?")) {
        skip(w, "?");
        put(w, "@a");
    } else if (c == '(' && follows(w, "_charset)")) {
        skip(w, "_charset)");
    } else if (c == '(' && put_folded(w)) {
        w->subject = w->type = false;
    } else if (c == '`') {
        take_name(w);
        put_token(w);
    } else if (!is_word(w)) {
        punctuation(w);
        put_token(w);
    } else if (!put_typed(w)) {
        w->in_width = is(w, "IN") ? (strcmp(w->before, ")") == 0 ? w->width : 1) : w->in_width;
        w->type = is(w, "AS") || (w->type && is_type(w->before)) || (w->type && strcasecmp(w->before, "AS") == 0);
        w->subject = w->subject && keeps_subject(w);
        put_token(w);
    }
}

void my_query_markers(const char *text, size_t n, struct mf_buf *out)
{
    struct walk w = {.p = text, .n = n, .out = out};
    while (next(&w)) {
        step(&w);
    }
}

/* ---- what may be planned ---- */

struct shape {
    bool select, join, using_, into, comma; /* a comma outside brackets before SET */
    size_t select_at;                       /* where the first SELECT stands */
};

static struct shape look(const char *text, size_t n)
{
    struct walk w = {.p = text, .n = n};
    struct shape s = {0};
    bool set = false;
    size_t depth = 0;
    while (next(&w)) {
        if (is(&w, "SELECT") && !s.select) {
            s.select = true;
            s.select_at = depth == 0 ? (size_t)(w.word - text) : n;
        }
        s.join = s.join || is(&w, "JOIN") || is(&w, "STRAIGHT_JOIN");
        s.using_ = s.using_ || is(&w, "USING");
        s.into = s.into || is(&w, "INTO");
        set = set || is(&w, "SET") || is(&w, "WHERE");
        s.comma = s.comma || (w.word[0] == ',' && depth == 0 && !set);
        depth += w.word[0] == '(';
        depth -= w.word[0] == ')' && depth > 0;
    }
    return s;
}

/* Where the part to be planned begins; n: nowhere. */
static size_t planned(const char *text, size_t n, enum my_query_plan *ret)
{
    struct walk w = {.p = text, .n = n};
    *ret = MY_PLAN_NONE;
    if (!next(&w)) {
        return n;
    }
    struct shape s = look(text, n);
    size_t at = (size_t)(w.word - text);
    if ((is(&w, "SELECT") || is(&w, "WITH") || w.word[0] == '(') && !s.into) {
        *ret = MY_PLAN_READ;
        return at;
    }
    if ((is(&w, "INSERT") || is(&w, "REPLACE")) && s.select && s.select_at < n &&
        !memmem(text, n, "DUPLICATE", strlen("DUPLICATE"))) {
        *ret = MY_PLAN_READ;
        return s.select_at;
    }
    if (is(&w, "UPDATE") || is(&w, "DELETE")) {
        bool delete = is(&w, "DELETE");
        while (next(&w) && (is(&w, "LOW_PRIORITY") || is(&w, "QUICK") || is(&w, "IGNORE"))) {}
        bool one = !s.select && !s.join && !s.using_ && !s.comma && (!delete || is(&w, "FROM"));
        *ret = one ? MY_PLAN_WRITE : MY_PLAN_NONE;
        return one ? at : n;
    }
    return n;
}

/* FOR UPDATE, LOCK IN SHARE MODE: passed over, for a plan locks nothing. */
static bool skip_locks(struct walk *w)
{
    if (is(w, "FOR") && follows(w, "UPDATE")) {
        skip(w, "UPDATE");
        return true;
    }
    if (is(w, "LOCK") && follows(w, "INSHAREMODE")) {
        skip(w, "INSHAREMODE");
        return true;
    }
    return false;
}

enum my_query_plan my_query_literals(const char *text, size_t n, my_stand_in *give, void *ctx, struct mf_buf *out)
{
    enum my_query_plan plan;
    size_t from = planned(text, n, &plan);
    struct walk w = {.p = text, .n = n, .i = from, .give = give, .ctx = ctx, .out = out};
    while (plan != MY_PLAN_NONE && next(&w)) {
        if (!skip_locks(&w)) {
            step(&w);
        }
    }
    return plan;
}

void my_query_names(const char *text, size_t n, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct walk w = {.p = text, .n = n};
    char name[NAME];
    while (next(&w)) {
        size_t i = (size_t)(w.word - w.p);
        if (w.word[0] == '`' && my_ddl_token_name(w.p, w.n, &i, name, sizeof name)) {
            each(ctx, name);
        }
    }
}

/* ---- functions ---- */

/* Without effect, and done in no time that depends on anything but their arguments. Sorted. */
static const char *const pure[] = {"abs",
                                   "acos",
                                   "adddate",
                                   "addtime",
                                   "aes_decrypt",
                                   "aes_encrypt",
                                   "any_value",
                                   "ascii",
                                   "asin",
                                   "atan",
                                   "atan2",
                                   "avg",
                                   "bin",
                                   "bit_and",
                                   "bit_count",
                                   "bit_length",
                                   "bit_or",
                                   "bit_xor",
                                   "cast",
                                   "ceil",
                                   "ceiling",
                                   "char",
                                   "char_length",
                                   "character",
                                   "character_length",
                                   "charset",
                                   "coalesce",
                                   "coercibility",
                                   "collation",
                                   "compress",
                                   "concat",
                                   "concat_ws",
                                   "conv",
                                   "convert",
                                   "convert_tz",
                                   "cos",
                                   "cot",
                                   "count",
                                   "crc32",
                                   "curdate",
                                   "current_date",
                                   "current_time",
                                   "current_timestamp",
                                   "current_user",
                                   "curtime",
                                   "database",
                                   "date",
                                   "date_add",
                                   "date_format",
                                   "date_sub",
                                   "datediff",
                                   "day",
                                   "dayname",
                                   "dayofmonth",
                                   "dayofweek",
                                   "dayofyear",
                                   "default",
                                   "degrees",
                                   "elt",
                                   "exp",
                                   "export_set",
                                   "extract",
                                   "extractvalue",
                                   "field",
                                   "find_in_set",
                                   "floor",
                                   "format",
                                   "from_base64",
                                   "from_days",
                                   "from_unixtime",
                                   "get_format",
                                   "greatest",
                                   "group_concat",
                                   "hex",
                                   "hour",
                                   "if",
                                   "ifnull",
                                   "inet6_aton",
                                   "inet6_ntoa",
                                   "inet_aton",
                                   "inet_ntoa",
                                   "insert",
                                   "instr",
                                   "interval",
                                   "is_ipv4",
                                   "is_ipv4_compat",
                                   "is_ipv4_mapped",
                                   "is_ipv6",
                                   "isnull",
                                   "json_array",
                                   "json_array_append",
                                   "json_array_insert",
                                   "json_arrayagg",
                                   "json_contains",
                                   "json_contains_path",
                                   "json_depth",
                                   "json_extract",
                                   "json_insert",
                                   "json_keys",
                                   "json_length",
                                   "json_merge",
                                   "json_merge_patch",
                                   "json_merge_preserve",
                                   "json_object",
                                   "json_objectagg",
                                   "json_pretty",
                                   "json_quote",
                                   "json_remove",
                                   "json_replace",
                                   "json_search",
                                   "json_set",
                                   "json_storage_size",
                                   "json_type",
                                   "json_unquote",
                                   "json_valid",
                                   "last_day",
                                   "lcase",
                                   "least",
                                   "left",
                                   "length",
                                   "ln",
                                   "localtime",
                                   "localtimestamp",
                                   "locate",
                                   "log",
                                   "log10",
                                   "log2",
                                   "lower",
                                   "lpad",
                                   "ltrim",
                                   "make_set",
                                   "makedate",
                                   "maketime",
                                   "match",
                                   "max",
                                   "mbrcontains",
                                   "mbrcoveredby",
                                   "mbrcovers",
                                   "mbrdisjoint",
                                   "mbrequals",
                                   "mbrintersects",
                                   "mbroverlaps",
                                   "mbrtouches",
                                   "mbrwithin",
                                   "md5",
                                   "microsecond",
                                   "mid",
                                   "min",
                                   "minute",
                                   "mod",
                                   "month",
                                   "monthname",
                                   "name_const",
                                   "now",
                                   "nullif",
                                   "oct",
                                   "octet_length",
                                   "ord",
                                   "period_add",
                                   "period_diff",
                                   "pi",
                                   "point",
                                   "position",
                                   "pow",
                                   "power",
                                   "quarter",
                                   "quote",
                                   "radians",
                                   "rand",
                                   "random_bytes",
                                   "repeat",
                                   "replace",
                                   "reverse",
                                   "right",
                                   "round",
                                   "rpad",
                                   "rtrim",
                                   "schema",
                                   "sec_to_time",
                                   "second",
                                   "session_user",
                                   "sha",
                                   "sha1",
                                   "sha2",
                                   "sign",
                                   "sin",
                                   "soundex",
                                   "space",
                                   "sqrt",
                                   "st_area",
                                   "st_asbinary",
                                   "st_asgeojson",
                                   "st_astext",
                                   "st_buffer",
                                   "st_centroid",
                                   "st_contains",
                                   "st_crosses",
                                   "st_dimension",
                                   "st_disjoint",
                                   "st_distance",
                                   "st_distance_sphere",
                                   "st_envelope",
                                   "st_equals",
                                   "st_geohash",
                                   "st_geometrytype",
                                   "st_geomfromgeojson",
                                   "st_geomfromtext",
                                   "st_geomfromwkb",
                                   "st_intersects",
                                   "st_isvalid",
                                   "st_length",
                                   "st_overlaps",
                                   "st_pointfromtext",
                                   "st_srid",
                                   "st_touches",
                                   "st_within",
                                   "st_x",
                                   "st_y",
                                   "std",
                                   "stddev",
                                   "stddev_pop",
                                   "stddev_samp",
                                   "str_to_date",
                                   "strcmp",
                                   "subdate",
                                   "substr",
                                   "substring",
                                   "substring_index",
                                   "subtime",
                                   "sum",
                                   "sysdate",
                                   "system_user",
                                   "tan",
                                   "time",
                                   "time_format",
                                   "time_to_sec",
                                   "timediff",
                                   "timestamp",
                                   "timestampadd",
                                   "timestampdiff",
                                   "to_base64",
                                   "to_days",
                                   "to_seconds",
                                   "trim",
                                   "truncate",
                                   "ucase",
                                   "uncompress",
                                   "uncompressed_length",
                                   "unhex",
                                   "unix_timestamp",
                                   "updatexml",
                                   "upper",
                                   "user",
                                   "utc_date",
                                   "utc_time",
                                   "utc_timestamp",
                                   "uuid",
                                   "values",
                                   "var_pop",
                                   "var_samp",
                                   "variance",
                                   "version",
                                   "week",
                                   "weekday",
                                   "weekofyear",
                                   "weight_string",
                                   "year",
                                   "yearweek"};

/* Words that may stand before a bracket in a view's text and call nothing. */
static const char *const plain[] = {
    "all",   "and",   "any",  "as",    "by",  "case",    "div",     "else",   "exists",  "from",     "having", "in",
    "is",    "join",  "like", "not",   "on",  "or",      "over",    "regexp", "rlike",   "select",   "some",   "then",
    "union", "using", "when", "where", "xor", "between", "decimal", "binary", "against", "distinct", "with"};

static bool is_listed(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(list[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool my_query_calls_unknown(const char *text, size_t n, bool any, char *ret, size_t size)
{
    struct walk w = {.p = text, .n = n};
    char name[NAME];
    bool columns = false; /* after INTO the name of a table and its columns */
    while (next(&w)) {
        size_t i = (size_t)(w.word - w.p);
        bool quoted = w.word[0] == '`', word = !quoted && is_word(&w);
        columns = is(&w, "INTO") || (columns && (quoted || w.word[0] == '.'));
        if ((!quoted && !(any && word)) || !follows(&w, "(") || columns) {
            continue;
        }
        if (!my_ddl_token_name(w.p, w.n, &i, name, sizeof name) ||
            (!is_listed(pure, MF_ARRAY_LEN(pure), name) && (quoted || !is_listed(plain, MF_ARRAY_LEN(plain), name)))) {
            mf_strlcpy(ret, name, size);
            return true;
        }
    }
    return false;
}
