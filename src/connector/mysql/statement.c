/* See statement.h. */
#include "connector/mysql/statement.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct reader {
    struct my_tokens t;
    const struct my_sql *sql;
    my_touched_sink *emit;
    void *ctx;
};

/* ---- names ---- */

static void touch(struct reader *r, enum my_effect effect, const char *schema, const char *table)
{
    struct my_touched x = {.effect = effect};
    mf_strlcpy(x.schema, schema, sizeof x.schema);
    mf_strlcpy(x.table, table, sizeof x.table);
    r->emit(r->ctx, &x);
}

static void touch_all(struct reader *r, enum my_effect effect)
{
    touch(r, effect, "", "");
}

static bool is_name(const struct my_tokens *t)
{
    return t->kind == MY_TOKEN_WORD || (t->kind == MY_TOKEN_QUOTED && t->quote != '\'');
}

struct name {
    char schema[MY_TOKEN], table[MY_TOKEN];
    bool sure;
};

/* `db`.`table`, table, .table: reads behind it. False when there is no name here. */
static bool read_name(struct reader *r, struct name *ret)
{
    struct my_tokens *t = &r->t;
    ret->sure = true;
    mf_strlcpy(ret->schema, r->sql->schema, sizeof ret->schema);
    for (int part = 0; part < 2; part++) {
        if (!is_name(t) || t->len == 0 || t->cut) {
            return false;
        }
        ret->sure &= t->plain || (r->sql->exact && mf_utf8_valid(t->text, t->len));
        mf_strlcpy(ret->table, t->text, sizeof ret->table);
        my_token_next(t);
        if (part == 1 || !my_token_is_punct(t, '.')) {
            return true;
        }
        my_token_next(t);
        mf_strlcpy(ret->schema, ret->table, sizeof ret->schema);
    }
    return true;
}

/* A name that may be written in another character set than ours may be any. */
static void touch_name(struct reader *r, enum my_effect effect, const struct name *n)
{
    touch(r, effect, n->schema, n->table);
    if (!n->sure && effect != MY_FX_THERE) {
        touch_all(r, MY_FX_SHAPE);
    }
}

/* Reads a name and tells of it; what is no name may be any table. */
static bool take_name(struct reader *r, enum my_effect effect)
{
    struct name n;
    if (!read_name(r, &n)) {
        touch_all(r, MY_FX_SHAPE);
        return false;
    }
    touch_name(r, effect, &n);
    return true;
}

static bool skip_if_exists(struct reader *r)
{
    if (!my_token_skip(&r->t, "IF")) {
        return false;
    }
    my_token_skip(&r->t, "NOT");
    my_token_skip(&r->t, "EXISTS");
    return true;
}

/* MariaDB: WAIT n, NOWAIT behind a table's name. */
static void skip_wait(struct reader *r)
{
    if (my_token_skip(&r->t, "WAIT")) {
        my_token_next(&r->t);
    } else {
        my_token_skip(&r->t, "NOWAIT");
    }
}

/* ---- ALTER TABLE ---- */

/* ALTER TABLE … RENAME [TO | AS | =] name; not its columns and indexes. */
static void tail_rename(struct reader *r, const struct name *of)
{
    struct my_tokens *t = &r->t;
    struct name to;
    if (my_token_is(t, "COLUMN") || my_token_is(t, "INDEX") || my_token_is(t, "KEY")) {
        return;
    }
    if (!my_token_skip(t, "TO") && !my_token_skip(t, "AS") && my_token_is_punct(t, '=')) {
        my_token_next(t);
    }
    if (!read_name(r, &to)) {
        touch_all(r, MY_FX_SHAPE);
        return;
    }
    touch_name(r, MY_FX_GONE, of);
    touch_name(r, MY_FX_MADE, &to);
}

/* EXCHANGE PARTITION p WITH TABLE t; MariaDB: CONVERT PARTITION p TO TABLE t, CONVERT TABLE t TO PARTITION. */
static void tail_exchange(struct reader *r, const struct name *of)
{
    struct my_tokens *t = &r->t;
    while (t->kind != MY_TOKEN_END && !my_token_is(t, "TABLE")) {
        my_token_next(t);
    }
    touch_name(r, MY_FX_ROWS, of);
    if (my_token_skip(t, "TABLE")) {
        take_name(r, MY_FX_ROWS);
    }
}

static void alter_tail(struct reader *r, const struct name *of)
{
    struct my_tokens *t = &r->t;
    int depth = 0;
    while (t->kind != MY_TOKEN_END) {
        depth += my_token_is_punct(t, '(');
        depth -= my_token_is_punct(t, ')');
        if (depth != 0) {
            my_token_next(t);
        } else if (my_token_skip(t, "RENAME")) {
            tail_rename(r, of);
        } else if (my_token_skip(t, "EXCHANGE") || my_token_skip(t, "CONVERT")) {
            if (my_token_is(t, "PARTITION") || my_token_is(t, "TABLE")) {
                tail_exchange(r, of);
            }
        } else if (my_token_skip(t, "DROP") || my_token_skip(t, "TRUNCATE")) {
            if (my_token_is(t, "PARTITION")) {
                touch_name(r, MY_FX_ROWS, of);
            }
        } else if (my_token_skip(t, "DISCARD") || my_token_skip(t, "IMPORT")) {
            if (my_token_is(t, "PARTITION") || my_token_is(t, "TABLESPACE")) {
                touch_name(r, MY_FX_ROWS, of);
            }
        } else {
            my_token_next(t);
        }
    }
}

/* The words that decide may stand behind strings: read once with backslashes that escape and once with ones that do not. */
static void alter_table(struct reader *r, bool ignore)
{
    struct name of;
    skip_if_exists(r);
    if (!read_name(r, &of)) {
        touch_all(r, MY_FX_SHAPE);
        return;
    }
    touch_name(r, ignore ? MY_FX_ROWS : MY_FX_SHAPE, &of); /* IGNORE: rows that a new unique key refuses are removed */
    skip_wait(r);
    struct my_tokens here = r->t;
    alter_tail(r, &of);
    if (memchr(here.p, '\\', (size_t)(here.end - here.p))) {
        r->t = here;
        r->t.backslash = false;
        alter_tail(r, &of);
    }
}

/* ---- CREATE, DROP, RENAME, TRUNCATE ---- */

/* Objects that are no tables, and whose statements change none. */
static bool is_other_object(const struct my_tokens *t)
{
    static const char *const words[] = {"VIEW",     "TRIGGER", "FUNCTION",   "PROCEDURE", "EVENT",    "USER",
                                        "ROLE",     "SERVER",  "TABLESPACE", "LOGFILE",   "SEQUENCE", "PACKAGE",
                                        "RESOURCE", "SPATIAL", "DEFINER",    "ALGORITHM", "SQL",      "AGGREGATE",
                                        "UNDO",     "LIBRARY", "INSTANCE",   "PREPARE",   "JSON",     "EXTERNAL"};
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        if (my_token_is(t, words[i])) {
            return true;
        }
    }
    return false;
}

/* … INDEX i [USING x] ON table */
static void index_on(struct reader *r)
{
    while (r->t.kind != MY_TOKEN_END && !my_token_is(&r->t, "ON")) {
        my_token_next(&r->t);
    }
    if (!my_token_skip(&r->t, "ON")) {
        touch_all(r, MY_FX_SHAPE);
        return;
    }
    take_name(r, MY_FX_SHAPE);
}

static bool skip_index_words(struct reader *r)
{
    struct my_tokens *t = &r->t;
    while (my_token_skip(t, "ONLINE") || my_token_skip(t, "OFFLINE") || my_token_skip(t, "UNIQUE") ||
           my_token_skip(t, "FULLTEXT")) {}
    struct my_tokens here = *t;
    if (my_token_skip(t, "SPATIAL") && !my_token_is(t, "INDEX")) {
        *t = here; /* SPATIAL REFERENCE SYSTEM */
    }
    return my_token_skip(t, "INDEX");
}

static enum my_statement_kind create(struct reader *r)
{
    struct my_tokens *t = &r->t;
    if (my_token_skip(t, "OR")) {
        my_token_skip(t, "REPLACE");
    }
    if (my_token_is(t, "TEMPORARY") || is_other_object(t)) {
        struct my_tokens here = *t;
        if (!my_token_skip(t, "SPATIAL") || !my_token_is(t, "INDEX")) {
            return MY_ST_NOTHING;
        }
        *t = here;
    }
    if (my_token_is(t, "DATABASE") || my_token_is(t, "SCHEMA")) {
        return MY_ST_NOTHING;
    }
    if (my_token_skip(t, "TABLE")) {
        take_name(r, skip_if_exists(r) ? MY_FX_THERE : MY_FX_MADE);
    } else if (skip_index_words(r)) {
        index_on(r);
    } else {
        touch_all(r, MY_FX_SHAPE);
    }
    return MY_ST_DDL;
}

static enum my_statement_kind drop(struct reader *r)
{
    struct my_tokens *t = &r->t;
    if (my_token_is(t, "TEMPORARY") || is_other_object(t)) {
        return MY_ST_NOTHING;
    }
    if (my_token_skip(t, "TABLE") || my_token_skip(t, "TABLES")) {
        skip_if_exists(r);
        while (take_name(r, MY_FX_GONE) && my_token_is_punct(t, ',')) {
            my_token_next(t);
        }
    } else if (my_token_skip(t, "DATABASE") || my_token_skip(t, "SCHEMA")) {
        struct name n;
        skip_if_exists(r);
        if (read_name(r, &n)) {
            touch(r, MY_FX_GONE, n.table, "");
        }
        if (t->kind != MY_TOKEN_END || !n.sure) {
            touch_all(r, MY_FX_SHAPE);
        }
    } else if (skip_index_words(r)) {
        index_on(r);
    } else {
        touch_all(r, MY_FX_SHAPE);
    }
    return MY_ST_DDL;
}

static enum my_statement_kind alter(struct reader *r)
{
    struct my_tokens *t = &r->t;
    bool ignore = false;
    while (my_token_skip(t, "ONLINE") || my_token_skip(t, "OFFLINE")) {}
    ignore = my_token_skip(t, "IGNORE");
    if (my_token_skip(t, "TABLE")) {
        alter_table(r, ignore);
    } else if (is_other_object(t) || my_token_is(t, "DATABASE") || my_token_is(t, "SCHEMA")) {
        return MY_ST_NOTHING;
    } else {
        touch_all(r, MY_FX_SHAPE);
    }
    return MY_ST_DDL;
}

static enum my_statement_kind rename_tables(struct reader *r)
{
    struct my_tokens *t = &r->t;
    if (my_token_is(t, "USER")) {
        return MY_ST_NOTHING;
    }
    if (!my_token_skip(t, "TABLE") && !my_token_skip(t, "TABLES")) {
        touch_all(r, MY_FX_SHAPE);
        return MY_ST_DDL;
    }
    skip_if_exists(r);
    for (;;) {
        if (!take_name(r, MY_FX_GONE)) {
            break;
        }
        skip_wait(r);
        if (!my_token_skip(t, "TO")) {
            touch_all(r, MY_FX_SHAPE);
            break;
        }
        if (!take_name(r, MY_FX_MADE) || !my_token_is_punct(t, ',')) {
            break;
        }
        my_token_next(t);
    }
    return MY_ST_DDL;
}

/* ---- statements that change rows ---- */

static void skip_modifiers(struct my_tokens *t)
{
    while (my_token_skip(t, "LOW_PRIORITY") || my_token_skip(t, "HIGH_PRIORITY") || my_token_skip(t, "DELAYED") ||
           my_token_skip(t, "QUICK") || my_token_skip(t, "IGNORE")) {}
}

/* The one table it writes, or any where there may be more. */
static enum my_statement_kind rows(struct reader *r, const char *verb)
{
    struct my_tokens *t = &r->t;
    struct name n;
    skip_modifiers(t);
    bool one = strcmp(verb, "UPDATE") == 0 || (strcmp(verb, "DELETE") == 0 && my_token_skip(t, "FROM"));
    if (strcmp(verb, "INSERT") == 0 || strcmp(verb, "REPLACE") == 0) {
        my_token_skip(t, "INTO");
        one = true;
    }
    if (!one || !read_name(r, &n) || !n.sure || my_token_is_punct(t, ',') || my_token_is(t, "USING") ||
        (strcmp(verb, "UPDATE") == 0 && !my_token_is(t, "SET"))) {
        touch_all(r, MY_FX_ROWS);
    } else {
        touch(r, MY_FX_ROWS, n.schema, n.table);
    }
    return MY_ST_ROWS;
}

/* ---- transactions ---- */

static enum my_statement_kind rollback(struct reader *r, struct my_statement *ret)
{
    my_token_skip(&r->t, "WORK");
    if (!my_token_skip(&r->t, "TO")) {
        return MY_ST_ROLLBACK;
    }
    my_token_skip(&r->t, "SAVEPOINT");
    mf_strlcpy(ret->id, r->t.text, sizeof ret->id);
    return MY_ST_ROLLBACK_TO;
}

static enum my_statement_kind xa(struct reader *r, struct my_statement *ret)
{
    static const struct {
        const char *word;
        enum my_statement_kind kind;
    } verbs[] = {{"START", MY_ST_XA_START},   {"BEGIN", MY_ST_XA_START},       {"END", MY_ST_XA_END},
                 {"COMMIT", MY_ST_XA_COMMIT}, {"ROLLBACK", MY_ST_XA_ROLLBACK}, {"PREPARE", MY_ST_XA_END}};
    for (size_t i = 0; i < MF_ARRAY_LEN(verbs); i++) {
        if (my_token_is(&r->t, verbs[i].word)) {
            my_xa_id(r->t.p, (size_t)(r->t.end - r->t.p), ret->id, sizeof ret->id);
            return verbs[i].kind;
        }
    }
    touch_all(r, MY_FX_SHAPE);
    return MY_ST_DDL;
}

/* ---- the first word ---- */

static bool of_tables(const struct my_tokens *t)
{
    return my_token_is(t, "TABLE") || my_token_is(t, "TABLES") || my_token_is(t, "LOCAL") ||
           my_token_is(t, "NO_WRITE_TO_BINLOG");
}

static enum my_statement_kind by_first_word(struct reader *r, const char *word, struct my_statement *ret)
{
    static const struct {
        const char *word;
        enum my_statement_kind kind;
    } plain[] = {
        {"BEGIN", MY_ST_BEGIN},    {"COMMIT", MY_ST_COMMIT}, {"RELEASE", MY_ST_NOTHING},  {"GRANT", MY_ST_NOTHING},
        {"REVOKE", MY_ST_NOTHING}, {"CHECK", MY_ST_NOTHING}, {"CHECKSUM", MY_ST_NOTHING}, {"OPTIMIZE", MY_ST_NOTHING},
        {"FLUSH", MY_ST_NOTHING},  {"USE", MY_ST_NOTHING},   {"INSTALL", MY_ST_NOTHING},  {"UNINSTALL", MY_ST_NOTHING},
        {"PURGE", MY_ST_NOTHING},  {"CACHE", MY_ST_NOTHING}, {"LOCK", MY_ST_NOTHING},     {"UNLOCK", MY_ST_NOTHING}};
    static const char *const writers[] = {"INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD",
                                          "CALL",   "DO",      "SELECT", "WITH",   "HANDLER"};
    for (size_t i = 0; i < MF_ARRAY_LEN(plain); i++) {
        if (strcasecmp(word, plain[i].word) == 0) {
            return plain[i].kind;
        }
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(writers); i++) {
        if (strcasecmp(word, writers[i]) == 0) {
            return rows(r, writers[i]);
        }
    }
    if (strcasecmp(word, "START") == 0 && my_token_is(&r->t, "TRANSACTION")) {
        return MY_ST_BEGIN;
    }
    if (strcasecmp(word, "SAVEPOINT") == 0) {
        mf_strlcpy(ret->id, r->t.text, sizeof ret->id);
        return MY_ST_SAVEPOINT;
    }
    touch_all(r, MY_FX_SHAPE);
    return MY_ST_DDL;
}

static enum my_statement_kind classify(struct reader *r, struct my_statement *ret);

/* MariaDB: SET STATEMENT variable = value, … FOR statement; it does not nest. */
static enum my_statement_kind set_statement(struct reader *r, struct my_statement *ret)
{
    while (r->t.kind != MY_TOKEN_END && !my_token_is(&r->t, "FOR")) {
        my_token_next(&r->t);
    }
    if (!my_token_skip(&r->t, "FOR") || my_token_is(&r->t, "SET")) {
        touch_all(r, MY_FX_SHAPE);
        return MY_ST_DDL;
    }
    return classify(r, ret);
}

static enum my_statement_kind classify(struct reader *r, struct my_statement *ret)
{
    struct my_tokens *t = &r->t;
    while (my_token_is_punct(t, '(') || my_token_is_punct(t, ';')) {
        my_token_next(t);
    }
    if (t->kind == MY_TOKEN_END) {
        return MY_ST_NOTHING;
    }
    if (my_token_skip(t, "CREATE")) {
        return create(r);
    }
    if (my_token_skip(t, "DROP")) {
        return drop(r);
    }
    if (my_token_skip(t, "ALTER")) {
        return alter(r);
    }
    if (my_token_skip(t, "RENAME")) {
        return rename_tables(r);
    }
    if (my_token_skip(t, "ROLLBACK")) {
        return rollback(r, ret);
    }
    if (my_token_skip(t, "XA")) {
        return xa(r, ret);
    }
    if (my_token_skip(t, "TRUNCATE")) {
        my_token_skip(t, "TABLE");
        take_name(r, MY_FX_EMPTIED);
        return MY_ST_DDL;
    }
    if (my_token_skip(t, "ANALYZE")) { /* MariaDB: ANALYZE and a statement runs it */
        return of_tables(t) ? MY_ST_NOTHING : rows(r, "ANALYZE");
    }
    if (my_token_skip(t, "SET")) {
        return my_token_is(t, "STATEMENT") ? set_statement(r, ret) : MY_ST_NOTHING;
    }
    char word[32] = "";
    if (t->kind == MY_TOKEN_WORD) {
        mf_strlcpy(word, t->text, sizeof word);
        my_token_next(t);
    }
    return by_first_word(r, word, ret);
}

void my_statement_read(const struct my_sql *sql, struct my_statement *ret, my_touched_sink *emit, void *ctx)
{
    struct reader r = {.sql = sql, .emit = emit, .ctx = ctx};
    *ret = (struct my_statement){.kind = MY_ST_NOTHING};
    my_tokens_init(&r.t, sql->text, sql->len, true);
    my_token_next(&r.t);
    ret->kind = classify(&r, ret);
}
