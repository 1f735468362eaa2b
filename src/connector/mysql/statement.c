/* See statement.h. */
#include "connector/mysql/statement_internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- names ---- */

void my_st_touch(struct my_st_reader *r, enum my_effect effect, const char *schema, const char *table)
{
    struct my_touched x = {.effect = effect};
    mf_strlcpy(x.schema, schema, sizeof x.schema);
    mf_strlcpy(x.table, table, sizeof x.table);
    r->emit(r->ctx, &x);
}

void my_st_touch_all(struct my_st_reader *r, enum my_effect effect)
{
    my_st_touch(r, effect, "", "");
}

bool my_st_is_name(const struct my_tokens *t)
{
    return t->kind == MY_TOKEN_WORD || (t->kind == MY_TOKEN_QUOTED && t->quote != '\'');
}

bool my_st_read_name(struct my_st_reader *r, struct my_st_name *ret)
{
    struct my_tokens *t = &r->t;
    ret->sure = true;
    mf_strlcpy(ret->schema, r->sql->schema, sizeof ret->schema);
    for (int part = 0; part < 2; part++) {
        if (!my_st_is_name(t) || t->len == 0 || t->cut) {
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

void my_st_touch_name(struct my_st_reader *r, enum my_effect effect, const struct my_st_name *n)
{
    my_st_touch(r, effect, n->schema, n->table);
    if (!n->sure && effect != MY_FX_THERE) {
        my_st_touch_all(r, MY_FX_SHAPE);
    }
}

bool my_st_take_name(struct my_st_reader *r, enum my_effect effect)
{
    struct my_st_name n;
    if (!my_st_read_name(r, &n)) {
        my_st_touch_all(r, MY_FX_SHAPE);
        return false;
    }
    my_st_touch_name(r, effect, &n);
    return true;
}

bool my_st_skip_if_exists(struct my_st_reader *r)
{
    if (!my_token_skip(&r->t, "IF")) {
        return false;
    }
    my_token_skip(&r->t, "NOT");
    my_token_skip(&r->t, "EXISTS");
    return true;
}

void my_st_skip_wait(struct my_st_reader *r)
{
    if (my_token_skip(&r->t, "WAIT")) {
        my_token_next(&r->t);
    } else {
        my_token_skip(&r->t, "NOWAIT");
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
static void index_on(struct my_st_reader *r)
{
    while (r->t.kind != MY_TOKEN_END && !my_token_is(&r->t, "ON")) {
        my_token_next(&r->t);
    }
    if (!my_token_skip(&r->t, "ON")) {
        my_st_touch_all(r, MY_FX_SHAPE);
        return;
    }
    my_st_take_name(r, MY_FX_SHAPE);
}

static bool skip_index_words(struct my_st_reader *r)
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

static enum my_statement_kind create(struct my_st_reader *r)
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
        my_st_take_name(r, my_st_skip_if_exists(r) ? MY_FX_THERE : MY_FX_MADE);
    } else if (skip_index_words(r)) {
        index_on(r);
    } else {
        my_st_touch_all(r, MY_FX_SHAPE);
    }
    return MY_ST_DDL;
}

static enum my_statement_kind drop(struct my_st_reader *r)
{
    struct my_tokens *t = &r->t;
    if (my_token_is(t, "TEMPORARY") || is_other_object(t)) {
        return MY_ST_NOTHING;
    }
    if (my_token_skip(t, "TABLE") || my_token_skip(t, "TABLES")) {
        my_st_skip_if_exists(r);
        while (my_st_take_name(r, MY_FX_GONE) && my_token_is_punct(t, ',')) {
            my_token_next(t);
        }
    } else if (my_token_skip(t, "DATABASE") || my_token_skip(t, "SCHEMA")) {
        struct my_st_name n;
        my_st_skip_if_exists(r);
        bool named = my_st_read_name(r, &n);
        if (named) {
            my_st_touch(r, MY_FX_GONE, n.table, "");
        }
        if (!named || t->kind != MY_TOKEN_END || !n.sure) {
            my_st_touch_all(r, MY_FX_SHAPE);
        }
    } else if (skip_index_words(r)) {
        index_on(r);
    } else {
        my_st_touch_all(r, MY_FX_SHAPE);
    }
    return MY_ST_DDL;
}

static enum my_statement_kind alter(struct my_st_reader *r)
{
    struct my_tokens *t = &r->t;
    bool ignore = false;
    while (my_token_skip(t, "ONLINE") || my_token_skip(t, "OFFLINE")) {}
    ignore = my_token_skip(t, "IGNORE");
    if (my_token_skip(t, "TABLE")) {
        my_st_alter_table(r, ignore);
    } else if (is_other_object(t) || my_token_is(t, "DATABASE") || my_token_is(t, "SCHEMA")) {
        return MY_ST_NOTHING;
    } else {
        my_st_touch_all(r, MY_FX_SHAPE);
    }
    return MY_ST_DDL;
}

static enum my_statement_kind rename_tables(struct my_st_reader *r)
{
    struct my_tokens *t = &r->t;
    if (my_token_is(t, "USER")) {
        return MY_ST_NOTHING;
    }
    if (!my_token_skip(t, "TABLE") && !my_token_skip(t, "TABLES")) {
        my_st_touch_all(r, MY_FX_SHAPE);
        return MY_ST_DDL;
    }
    my_st_skip_if_exists(r);
    for (;;) {
        if (!my_st_take_name(r, MY_FX_GONE)) {
            break;
        }
        my_st_skip_wait(r);
        if (!my_token_skip(t, "TO")) {
            my_st_touch_all(r, MY_FX_SHAPE);
            break;
        }
        if (!my_st_take_name(r, MY_FX_MADE) || !my_token_is_punct(t, ',')) {
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
static enum my_statement_kind rows(struct my_st_reader *r, const char *verb)
{
    struct my_tokens *t = &r->t;
    struct my_st_name n;
    skip_modifiers(t);
    bool one = strcmp(verb, "UPDATE") == 0 || (strcmp(verb, "DELETE") == 0 && my_token_skip(t, "FROM"));
    if (strcmp(verb, "INSERT") == 0 || strcmp(verb, "REPLACE") == 0) {
        my_token_skip(t, "INTO");
        one = true;
    }
    if (!one || !my_st_read_name(r, &n) || !n.sure || my_token_is_punct(t, ',') || my_token_is(t, "USING") ||
        (strcmp(verb, "UPDATE") == 0 && !my_token_is(t, "SET"))) {
        my_st_touch_all(r, MY_FX_ROWS);
    } else {
        my_st_touch(r, MY_FX_ROWS, n.schema, n.table);
    }
    return MY_ST_ROWS;
}

/* ---- transactions ---- */

static enum my_statement_kind rollback(struct my_st_reader *r, struct my_statement *ret)
{
    my_token_skip(&r->t, "WORK");
    if (!my_token_skip(&r->t, "TO")) {
        return MY_ST_ROLLBACK;
    }
    my_token_skip(&r->t, "SAVEPOINT");
    mf_strlcpy(ret->id, r->t.text, sizeof ret->id);
    return MY_ST_ROLLBACK_TO;
}

static enum my_statement_kind xa(struct my_st_reader *r, struct my_statement *ret)
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
    my_st_touch_all(r, MY_FX_SHAPE);
    return MY_ST_DDL;
}

/* ---- the first word ---- */

static bool of_tables(const struct my_tokens *t)
{
    return my_token_is(t, "TABLE") || my_token_is(t, "TABLES") || my_token_is(t, "LOCAL") ||
           my_token_is(t, "NO_WRITE_TO_BINLOG");
}

static enum my_statement_kind by_first_word(struct my_st_reader *r, const char *word, struct my_statement *ret)
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
    my_st_touch_all(r, MY_FX_SHAPE);
    return MY_ST_DDL;
}

static enum my_statement_kind classify(struct my_st_reader *r, struct my_statement *ret);

/* MariaDB: SET STATEMENT variable = value, … FOR statement; it does not nest. */
static enum my_statement_kind set_statement(struct my_st_reader *r, struct my_statement *ret)
{
    while (r->t.kind != MY_TOKEN_END && !my_token_is(&r->t, "FOR")) {
        my_token_next(&r->t);
    }
    if (!my_token_skip(&r->t, "FOR") || my_token_is(&r->t, "SET")) {
        my_st_touch_all(r, MY_FX_SHAPE);
        return MY_ST_DDL;
    }
    return classify(r, ret);
}

static enum my_statement_kind classify(struct my_st_reader *r, struct my_statement *ret)
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
        my_st_take_name(r, MY_FX_EMPTIED);
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
    struct my_st_reader r = {.sql = sql, .emit = emit, .ctx = ctx};
    *ret = (struct my_statement){.kind = MY_ST_NOTHING};
    my_tokens_init(&r.t, sql->text, sql->len, true);
    my_token_next(&r.t);
    ret->kind = classify(&r, ret);
}
