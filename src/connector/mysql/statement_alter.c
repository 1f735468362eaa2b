/* ALTER TABLE, as far as it decides anything: see statement.h. */
#include "connector/mysql/statement_internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

/* The token is a column's name: reads on. */
static void touch_column(struct my_st_reader *r, enum my_effect effect, const struct my_st_name *of)
{
    struct my_tokens *t = &r->t;
    struct my_touched x = {.effect = effect, .column = ""};
    char column[MY_TOKEN] = "";
    int depth = 0;
    if (effect != MY_FX_COLUMN_TEXTS && my_st_is_name(t) && !t->cut && (t->plain || r->sql->exact)) {
        mf_strlcpy(column, t->text, sizeof column);
        x.column = column;
    }
    mf_strlcpy(x.schema, of->schema, sizeof x.schema);
    mf_strlcpy(x.table, of->table, sizeof x.table);
    x.def = t->p;
    my_token_next(t);
    while (effect == MY_FX_COLUMN_MADE && t->kind != MY_TOKEN_END && (depth > 0 || !my_token_is_punct(t, ','))) {
        depth += my_token_is_punct(t, '(');
        depth -= my_token_is_punct(t, ')');
        my_token_next(t);
    }
    x.ndef = (size_t)(t->p - x.def) - (t->kind == MY_TOKEN_PUNCT);
    r->emit(r->ctx, &x);
}

/* DROP, RENAME, MODIFY, CHANGE were read: [COLUMN] [IF EXISTS]. */
static void skip_column(struct my_st_reader *r)
{
    my_token_skip(&r->t, "COLUMN");
    my_st_skip_if_exists(r);
}

static void tail_drop(struct my_st_reader *r, const struct my_st_name *of)
{
    static const char *const others[] = {"PRIMARY", "INDEX",   "KEY",    "FOREIGN", "CONSTRAINT",
                                         "CHECK",   "DEFAULT", "PERIOD", "SYSTEM",  "PARTITION"};
    for (size_t i = 0; i < MF_ARRAY_LEN(others); i++) {
        if (my_token_is(&r->t, others[i])) {
            return;
        }
    }
    skip_column(r);
    touch_column(r, MY_FX_COLUMN_GONE, of);
}

/* CHANGE a b: a is gone, unless b is the same name. */
static void tail_change(struct my_st_reader *r, const struct my_st_name *of)
{
    skip_column(r);
    struct my_tokens here = r->t, *t = &r->t;
    my_token_next(t);
    bool same = strcasecmp(here.text, t->text) == 0;
    if (!same) {
        r->t = here;
    }
    touch_column(r, same ? MY_FX_COLUMN_MADE : MY_FX_COLUMN_GONE, of);
}

/* ALTER TABLE … RENAME [TO | AS | =] name; not its columns and indexes. */
static void tail_rename(struct my_st_reader *r, const struct my_st_name *of)
{
    struct my_tokens *t = &r->t;
    struct my_st_name to;
    if (my_token_is(t, "INDEX") || my_token_is(t, "KEY")) {
        return;
    }
    if (my_token_is(t, "COLUMN")) {
        skip_column(r);
        touch_column(r, MY_FX_COLUMN_GONE, of);
        return;
    }
    if (!my_token_skip(t, "TO") && !my_token_skip(t, "AS") && my_token_is_punct(t, '=')) {
        my_token_next(t);
    }
    if (!my_st_read_name(r, &to)) {
        my_st_touch_all(r, MY_FX_SHAPE);
        return;
    }
    my_st_touch_name(r, MY_FX_GONE, of);
    my_st_touch_name(r, MY_FX_MADE, &to);
}

/* EXCHANGE PARTITION p WITH TABLE t; MariaDB: CONVERT PARTITION p TO TABLE t, CONVERT TABLE t TO PARTITION. */
static void tail_exchange(struct my_st_reader *r, const struct my_st_name *of)
{
    struct my_tokens *t = &r->t;
    while (t->kind != MY_TOKEN_END && !my_token_is(t, "TABLE")) {
        my_token_next(t);
    }
    my_st_touch_name(r, MY_FX_ROWS, of);
    if (my_token_skip(t, "TABLE")) {
        my_st_take_name(r, MY_FX_ROWS);
    }
}

static void alter_tail(struct my_st_reader *r, const struct my_st_name *of)
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
            } else if (my_token_skip(t, "TO")) {
                touch_column(r, MY_FX_COLUMN_TEXTS, of);
            }
        } else if (my_token_skip(t, "MODIFY")) {
            skip_column(r);
            touch_column(r, MY_FX_COLUMN_MADE, of);
        } else if (my_token_skip(t, "CHANGE")) {
            tail_change(r, of);
        } else if (my_token_is(t, "DROP") || my_token_is(t, "TRUNCATE")) {
            bool drop = my_token_is(t, "DROP");
            my_token_next(t);
            if (my_token_is(t, "PARTITION")) {
                my_st_touch_name(r, MY_FX_ROWS, of);
            } else if (drop) {
                tail_drop(r, of);
            }
        } else if (my_token_skip(t, "DISCARD") || my_token_skip(t, "IMPORT")) {
            if (my_token_is(t, "PARTITION") || my_token_is(t, "TABLESPACE")) {
                my_st_touch_name(r, MY_FX_ROWS, of);
            }
        } else {
            my_token_next(t);
        }
    }
}

/* The words that decide may stand behind strings: read once with backslashes that escape and once with ones that do not. */
void my_st_alter_table(struct my_st_reader *r, bool ignore)
{
    struct my_st_name of;
    my_st_skip_if_exists(r);
    if (!my_st_read_name(r, &of)) {
        my_st_touch_all(r, MY_FX_SHAPE);
        return;
    }
    my_st_touch_name(r, ignore ? MY_FX_ROWS : MY_FX_SHAPE,
                     &of); /* IGNORE: rows that a new unique key refuses are removed */
    my_st_skip_wait(r);
    struct my_tokens here = r->t;
    alter_tail(r, &of);
    if (memchr(here.p, '\\', (size_t)(here.end - here.p))) {
        r->t = here;
        r->t.backslash = false;
        alter_tail(r, &of);
    }
}
