/* See schema_mend.h. Everything walks over tokens, so that nothing inside a quoted name or text is taken for a clause. */
#include "connector/mysql/schema_mend.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/put.h"
#include "connector/mysql/sqltoken.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- tables: clauses that stay behind ---- */

static const struct {
    const char *words[2];
    const char *value; /* only this value; NULL: any */
    const char *told;  /* NULL: nobody needs to know */
} clauses[] = {
    /* The counter is set from the source's at the cutover; until then it follows the rows. */
    {{"AUTO_INCREMENT", NULL}, NULL, NULL},
    /* Places in the source's file system. */
    {{"DATA", "DIRECTORY"}, NULL, "DATA DIRECTORY"},
    {{"INDEX", "DIRECTORY"}, NULL, "INDEX DIRECTORY"},
    {{"TABLESPACE", NULL}, NULL, "TABLESPACE"},
    /* InnoDB never had it: older servers said so in a warning, newer ones refuse. */
    {{"ROW_FORMAT", NULL}, "FIXED", "ROW_FORMAT=FIXED"},
};

static void tell(char *told, size_t n, const char *what)
{
    if (strstr(told, what)) {
        return;
    }
    size_t used = strlen(told);
    snprintf(told + used, n - used, "%s%s", used ? ", " : "", what);
}

/* The end of the clause `k` if it begins at p[i]; 0 if it does not. */
static size_t clause_end(size_t k, const char *p, size_t n, size_t i)
{
    for (size_t w = 0; w < 2 && clauses[k].words[w]; w++) {
        while (i < n && p[i] == ' ') {
            i++;
        }
        size_t end = i < n ? my_sql_end(p, n, i, true) : i;
        if (end == i || !my_sql_is(p, i, end, clauses[k].words[w])) {
            return 0;
        }
        i = end;
    }
    bool equals = false;
    while (i < n && (p[i] == ' ' || p[i] == '=')) {
        equals = equals || p[i] == '=';
        i++;
    }
    if (i >= n || (!equals && p[i] != '`' && p[i] != '\'')) {
        return 0; /* a name that only looks like it */
    }
    size_t end = my_sql_end(p, n, i, true);
    return !clauses[k].value || my_sql_is(p, i, end, clauses[k].value) ? end : 0;
}

void my_mend_tail(const struct my_mend *m, struct my_piece tail, struct mf_buf *out, char *ret_told, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf kept = {.max = out->max};
    ret_told[0] = 0;
    for (size_t i = 0; i < tail.n;) {
        size_t end = 0;
        for (size_t k = 0; k < MF_ARRAY_LEN(clauses) && !end; k++) {
            end = clause_end(k, tail.p, tail.n, i);
            if (end && clauses[k].told) {
                tell(ret_told, n, clauses[k].told);
            }
        }
        if (!end) {
            end = my_sql_end(tail.p, tail.n, i, true);
            mf_buf_append(&kept, tail.p + i, end - i);
        } else if (end < tail.n && tail.p[end] == ' ' && kept.len && kept.data[kept.len - 1] == ' ') {
            end++;
        }
        i = end;
    }
    my_mend_names(m, (struct my_piece){mf_buf_str(&kept), kept.len}, out);
    out->failed = out->failed || kept.failed;
}

/* ---- collations ---- */

bool my_collation_other(const char *name, char *out, size_t n)
{
    if (strncasecmp(name, "utf8mb3_", 8) == 0) {
        snprintf(out, n, "utf8_%s", name + 8);
    } else if (strncasecmp(name, "utf8_", 5) == 0) {
        snprintf(out, n, "utf8mb3_%s", name + 5);
    } else {
        return false;
    }
    return true;
}

static void put_collation(const struct my_mend *m, const char *name, struct mf_buf *out)
{
    char other[72];
    bool known = !m->has_collation || m->has_collation(m->ctx, name);
    bool renamed = !known && my_collation_other(name, other, sizeof other) && m->has_collation(m->ctx, other);
    mf_buf_puts(out, renamed ? other : name);
}

/* The word at p[i..end), if it is short enough to be a name of a character set or collation. */
static bool take_name(struct my_piece t, size_t i, size_t end, char out[65])
{
    if (end - i > 64 || t.p[i] == '\'' || t.p[i] == '`') {
        return false;
    }
    memcpy(out, t.p + i, end - i);
    out[end - i] = 0;
    return true;
}

static size_t past(struct my_piece t, size_t i, const char *bytes)
{
    while (i < t.n && strchr(bytes, t.p[i])) {
        i++;
    }
    return i;
}

static bool word_at(struct my_piece t, size_t i, const char *word)
{
    return i < t.n && my_sql_is(t.p, i, my_sql_end(t.p, t.n, i, true), word);
}

/* At a character set's name: where it begins, and what stands between the word COLLATE and its name ("=" in a table's options). 0: no. */
static size_t charset_at(struct my_piece t, size_t i, const char **ret_sign)
{
    size_t end = my_sql_end(t.p, t.n, i, true);
    if (my_sql_is(t.p, i, end, "CHARSET") && end < t.n && t.p[end] == '=') {
        *ret_sign = "=";
        return end + 1;
    }
    size_t set = past(t, end, " ");
    if (my_sql_is(t.p, i, end, "CHARACTER") && word_at(t, set, "SET")) {
        *ret_sign = " ";
        return past(t, my_sql_end(t.p, t.n, set, true), " ");
    }
    return 0;
}

/* Appends a character set, and its collation where the text does not say it. Returns where to go on. */
static size_t put_charset(const struct my_mend *m, struct my_piece t, size_t i, size_t name_at, const char *sign,
                          struct mf_buf *out)
{
    char name[65];
    size_t end = my_sql_end(t.p, t.n, name_at, true);
    mf_buf_append(out, t.p + i, end - i);
    if (!m->default_collation || word_at(t, past(t, end, " "), "COLLATE") || !take_name(t, name_at, end, name)) {
        return end;
    }
    const char *collation = m->default_collation(m->ctx, name);
    if (collation && strcasecmp(name, "binary") != 0) {
        mf_buf_printf(out, " COLLATE%s", sign);
        put_collation(m, collation, out);
    }
    return end;
}

void my_mend_names(const struct my_mend *m, struct my_piece text, struct mf_buf *out)
{
    for (size_t i = 0; i < text.n;) {
        size_t end = my_sql_end(text.p, text.n, i, true);
        const char *sign = "";
        char name[65], unused[72];
        size_t charset = charset_at(text, i, &sign);
        if (charset && charset < text.n) {
            i = put_charset(m, text, i, charset, sign, out);
            continue;
        }
        if (take_name(text, i, end, name) && my_collation_other(name, unused, sizeof unused)) {
            put_collation(m, name, out);
        } else {
            mf_buf_append(out, text.p + i, end - i);
        }
        i = end;
    }
}

/* ---- SQL modes of routines and events ---- */

enum { MODE_NOT_8 = 1, MODE_NOT_MYSQL = 2, MODE_NOT_MARIADB = 4, MODE_NOT_57 = 8 };
static const struct {
    const char *name;
    int where;
} modes[] = {
    /* Removed in 8.0. The combined ones are also written out in the list, so what they meant stays but for what they said about SHOW. */
    {"NO_AUTO_CREATE_USER", MODE_NOT_8},
    {"NO_FIELD_OPTIONS", MODE_NOT_8},
    {"NO_KEY_OPTIONS", MODE_NOT_8},
    {"NO_TABLE_OPTIONS", MODE_NOT_8},
    {"DB2", MODE_NOT_8},
    {"MAXDB", MODE_NOT_8},
    {"MSSQL", MODE_NOT_8},
    {"MYSQL323", MODE_NOT_8},
    {"MYSQL40", MODE_NOT_8},
    {"ORACLE", MODE_NOT_8},
    {"POSTGRESQL", MODE_NOT_8},
    /* MariaDB's own. */
    {"IGNORE_BAD_TABLE_OPTIONS", MODE_NOT_MYSQL},
    {"EMPTY_STRING_IS_NULL", MODE_NOT_MYSQL},
    {"SIMULTANEOUS_ASSIGNMENT", MODE_NOT_MYSQL},
    {"TIME_ROUND_FRACTIONAL", MODE_NOT_MYSQL},
    /* 8.0's own. */
    {"TIME_TRUNCATE_FRACTIONAL", MODE_NOT_MARIADB | MODE_NOT_57},
};

static bool mode_unknown(const struct my_mend *m, const char *name, size_t n)
{
    int target = m->mariadb ? MODE_NOT_MARIADB : MODE_NOT_MYSQL | (m->version >= 80000 ? MODE_NOT_8 : MODE_NOT_57);
    for (size_t i = 0; i < MF_ARRAY_LEN(modes); i++) {
        if (strlen(modes[i].name) == n && strncasecmp(modes[i].name, name, n) == 0) {
            return (modes[i].where & target) != 0;
        }
    }
    return false;
}

void my_mend_modes(const struct my_mend *m, const char *list, struct mf_buf *out, char *ret_told, size_t n)
{
    bool any = false;
    ret_told[0] = 0;
    while (*list) {
        size_t len = strcspn(list, ",");
        if (mode_unknown(m, list, len)) {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)len, list);
            if (strcasecmp(name, "NO_AUTO_CREATE_USER") !=
                0) { /* every 5.7 has it, and nothing but GRANT asks for it */
                tell(ret_told, n, name);
            }
        } else if (len) {
            mf_buf_puts(out, any ? "," : "");
            mf_buf_append(out, list, len);
            any = true;
        }
        list += len + (list[len] == ',');
    }
}

/* ---- views, routines, events ---- */

/* Where DEFINER=… stands; false when it does not before the first bracket or the body. */
static bool find_definer(const char *text, size_t *ret_from, size_t *ret_end, char *account, size_t max)
{
    size_t n = strlen(text);
    for (size_t i = 0, end; i < n && text[i] != '('; i = end) {
        end = my_sql_end(text, n, i, true);
        if (my_sql_is(text, i, end, "AS") || my_sql_is(text, i, end, "DO")) {
            return false;
        }
        if (!my_sql_is(text, i, end, "DEFINER") || text[end] != '=') {
            continue;
        }
        size_t from = end + 1, at = my_sql_end(text, n, from < n ? from : n - 1, true);
        if (from >= n) {
            return false;
        }
        if (text[at] == '@' && at + 1 < n) {
            at = my_sql_end(text, n, at + 1, true);
        }
        snprintf(account, max, "%.*s", (int)(at - from), text + from);
        *ret_from = i;
        *ret_end = at;
        return true;
    }
    return false;
}

void my_definer(const char *text, char *out, size_t n)
{
    size_t from, end;
    out[0] = 0;
    find_definer(text, &from, &end, out, n);
}

void my_without_definer(const char *text, struct mf_buf *out)
{
    size_t from = 0, end = 0;
    char account[512];
    if (find_definer(text, &from, &end, account, sizeof account)) {
        mf_buf_append(out, text, from);
        end += text[end] == ' ';
    }
    mf_buf_puts(out, text + end);
}

int my_event_disabled(const char *text, struct mf_buf *out, bool *ret_was_enabled, struct mf_error *err)
{
    size_t n = strlen(text), i = 0, end = 0;
    bool preserve = false;
    for (; i < n; i = end) {
        end = my_sql_end(text, n, i, true);
        if (my_sql_is(text, i, end, "PRESERVE")) {
            preserve = true;
        } else if (preserve && (my_sql_is(text, i, end, "ENABLE") || my_sql_is(text, i, end, "DISABLE"))) {
            break;
        } else if (preserve && text[i] != ' ') {
            i = n;
            break;
        }
    }
    if (i >= n) {
        return mf_fail(err, MF_FATAL, "MFDDL", "the server's text of an event has another form: %.300s", text);
    }
    *ret_was_enabled = my_sql_is(text, i, end, "ENABLE");
    static const char replica[] = " ON SLAVE", newer[] = " ON REPLICA";
    if (!*ret_was_enabled && strncmp(text + end, replica, strlen(replica)) == 0) {
        end += strlen(replica);
    } else if (!*ret_was_enabled && strncmp(text + end, newer, strlen(newer)) == 0) {
        end += strlen(newer);
    }
    mf_buf_append(out, text, i);
    mf_buf_puts(out, "DISABLE");
    mf_buf_puts(out, text + end);
    return 0;
}

/* ---- what it was made with ---- */

bool my_said_in_utf8(const char *text, const char *charset)
{
    for (const char *s = text; *s; s++) {
        if ((unsigned char)*s >= 0x80) {
            return mf_starts_with(charset, "utf8");
        }
    }
    return true;
}

void my_put_made_with(struct mf_buf *out, const char *mode, const char *text, const char *charset,
                      const char *collation)
{
    mf_buf_puts(out, "SET SESSION sql_mode = ");
    my_put_literal(out, mode);
    if (charset && collation && my_said_in_utf8(text, charset)) {
        mf_buf_printf(out, ", character_set_client = %s, collation_connection = %s", charset, collation);
    }
}
