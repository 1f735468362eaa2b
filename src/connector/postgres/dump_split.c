/* The text of pg_dump into entries: see dump.h. */
#include "connector/postgres/dump.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a lexer that knows only what may hide a semicolon or a comment ---- */

static bool ident_char(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || u == '_' || u == '$' ||
           u >= 0x80;
}

static size_t skip_quoted(const char *s, size_t at, size_t n, char quote, bool backslashes)
{
    for (at++; at < n; at++) {
        if (backslashes && s[at] == '\\') {
            at++;
        } else if (s[at] == quote) {
            if (at + 1 < n && s[at + 1] == quote) {
                at++;
            } else {
                return at + 1;
            }
        }
    }
    return n;
}

static size_t skip_dollar(const char *s, size_t at, size_t n)
{
    size_t tag = at + 1;
    while (tag < n && ident_char(s[tag]) && s[tag] != '$') {
        tag++;
    }
    bool digit = at + 1 < n && s[at + 1] >= '0' && s[at + 1] <= '9'; /* $1 is a parameter */
    if (tag >= n || s[tag] != '$' || digit) {
        return at + 1;
    }
    size_t len = tag - at + 1;
    const char *end = memmem(s + tag + 1, n - tag - 1, s + at, len);
    return end ? (size_t)(end - s) + len : n;
}

static size_t skip_block_comment(const char *s, size_t at, size_t n)
{
    int depth = 0;
    while (at + 1 < n) {
        if (s[at] == '/' && s[at + 1] == '*') {
            depth++;
            at += 2;
        } else if (s[at] == '*' && s[at + 1] == '/') {
            at += 2;
            if (--depth == 0) {
                return at;
            }
        } else {
            at++;
        }
    }
    return n;
}

static size_t skip_line(const char *s, size_t at, size_t n)
{
    const char *nl = at < n ? memchr(s + at, '\n', n - at) : NULL;
    return nl ? (size_t)(nl - s) + 1 : n;
}

/* Past the token at `at`; comments are tokens, other characters go one by one. */
static size_t skip_token(const char *s, size_t at, size_t n)
{
    bool after_ident = at > 0 && ident_char(s[at - 1]);
    switch (s[at]) {
    case '\'': {
        bool e = at > 0 && (s[at - 1] == 'E' || s[at - 1] == 'e') && !(at > 1 && ident_char(s[at - 2]));
        return skip_quoted(s, at, n, '\'', e);
    }
    case '"':
        return skip_quoted(s, at, n, '"', false);
    case '$':
        return after_ident ? at + 1 : skip_dollar(s, at, n);
    case '-':
        return at + 1 < n && s[at + 1] == '-' ? skip_line(s, at, n) : at + 1;
    case '/':
        return at + 1 < n && s[at + 1] == '*' ? skip_block_comment(s, at, n) : at + 1;
    default:
        return at + 1;
    }
}

size_t pg_sql_statement(const char *sql, size_t n)
{
    for (size_t at = 0; at < n;) {
        if (sql[at] == ';') {
            return at + 1;
        }
        at = skip_token(sql, at, n);
    }
    return n;
}

/* ---- entries ---- */

/* The first of these ends what comes before the rows: pg_dump sorts, so that all that follows belongs after them, whatever it
 * is (a view that needs a primary key, for one). */
static const char *const post_types[] = {
    "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "INDEX",         "TRIGGER", "INDEX ATTACH",
    "POLICY",     "ROW SECURITY",  "STATISTICS",       "EVENT TRIGGER", "RULE",    "DEFAULT ACL"};
static const char *const following_types[] = {"COMMENT", "ACL", "SECURITY LABEL"};

static bool one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The last field of a header line that begins with `key`; cuts the line there. */
static const char *last_field(char *line, const char *key)
{
    char *found = NULL;
    for (char *p = line; (p = strstr(p, key)); p++) {
        found = p;
    }
    if (!found) {
        return "-";
    }
    *found = 0;
    return found + strlen(key);
}

static bool starts_with(const char *s, size_t at, size_t n, const char *word, size_t len)
{
    return at < n && n - at >= len && memcmp(s + at, word, len) == 0;
}

/* `--` / `-- TOC entry 215 (class 1259 OID 16385)` / [`-- Dependencies: …`] / `-- Name: …; Type: …; Schema: …; Owner: …` /
 * `--`. Returns the offset past it, or 0 when there is no header at `at`. */
static size_t parse_header(struct pg_dump *d, size_t at, struct pg_entry *e)
{
    static const char mark[] = "--\n-- TOC entry ";
    const char *s = d->text.data;
    size_t n = d->text.len;
    char numbers[80]; /* sscanf measures its whole input */
    if (!starts_with(s, at, n, mark, sizeof(mark) - 1)) {
        return 0;
    }
    size_t left = n - at - (sizeof(mark) - 1);
    snprintf(numbers, sizeof(numbers), "%.*s", left < sizeof(numbers) ? (int)left : (int)sizeof(numbers) - 1,
             s + at + sizeof(mark) - 1);
    if (sscanf(numbers, "%d (class %u OID %u)", &e->id, &e->class_id, &e->oid) != 3) {
        return 0;
    }
    static const char name[] = "-- Name: ";
    size_t line = skip_line(s, skip_line(s, at, n), n);
    while (line < n && s[line] == '-' && !starts_with(s, line, n, name, sizeof(name) - 1)) {
        line = skip_line(s, line, n);
    }
    size_t end = skip_line(s, line, n);
    if (!starts_with(s, line, n, name, sizeof(name) - 1) || end - line <= sizeof(name)) {
        return 0;
    }
    char *copy = mf_memdup_a(&d->arena, s + line + sizeof(name) - 1, end - line - sizeof(name));
    if (!copy) {
        return 0;
    }
    last_field(copy, "; Tablespace: ");
    e->owner = last_field(copy, "; Owner: ");
    e->schema = last_field(copy, "; Schema: ");
    e->type = last_field(copy, "; Type: ");
    e->name = copy;
    return skip_line(s, end, n);
}

static struct pg_piece trimmed(struct pg_piece p)
{
    while (p.n > 0 && strchr(" \n\t\r", p.p[0])) {
        p.p++;
        p.n--;
    }
    while (p.n > 0 && strchr(" \n\t\r", p.p[p.n - 1])) {
        p.n--;
    }
    return p;
}

/* Without the comments before it; what is only a comment becomes empty. */
static struct pg_piece uncommented(struct pg_piece p)
{
    p = trimmed(p);
    while (p.n > 1 && p.p[0] == '-' && p.p[1] == '-') {
        size_t line = skip_line(p.p, 0, p.n);
        p = trimmed((struct pg_piece){p.p + line, p.n - line});
    }
    return p;
}

static bool begins(struct pg_piece p, const char *word)
{
    size_t n = strlen(word);
    return p.n >= n && memcmp(p.p, word, n) == 0;
}

/* The last statements of an entry's text: settings for the entries that follow stand at the very end, and before them who
 * owns the object. */
static void split_tail(struct pg_entry *e, struct pg_piece *ret_next_set)
{
    struct pg_piece last[3] = {{0}}, text = trimmed(e->sql);
    size_t count = 0;
    for (size_t at = 0; at < text.n;) {
        size_t n = pg_sql_statement(text.p + at, text.n - at);
        struct pg_piece one = uncommented((struct pg_piece){text.p + at, n});
        at += n;
        if (one.n > 0) {
            last[0] = last[1];
            last[1] = last[2];
            last[2] = one;
            count++;
        }
    }
    int k = 2;
    *ret_next_set = (struct pg_piece){0};
    while (k >= 0 && count > 0 && begins(last[k], "SET default_")) {
        *ret_next_set = (struct pg_piece){last[k].p, (size_t)(text.p + text.n - last[k].p)};
        count--;
        k--;
    }
    if (ret_next_set->n) {
        text.n = (size_t)(ret_next_set->p - text.p);
    }
    bool owned = !one_of(e->type, following_types, MF_ARRAY_LEN(following_types));
    if (owned && k >= 0 && count > 1 && begins(last[k], "ALTER ") && memmem(last[k].p, last[k].n, " OWNER TO ", 10)) {
        e->own = last[k];
        text.n = (size_t)(last[k].p - text.p);
    } else if (owned && k >= 0 && count == 1 && begins(last[k], "ALTER ") && strcmp(e->type, "SCHEMA") == 0) {
        e->own = last[k]; /* the schema public: only who owns it */
        text.n = 0;
    }
    e->sql = trimmed(text);
}

static int finish_entry(struct pg_dump *d, size_t end, bool *post, struct pg_piece *set)
{
    struct pg_entry *e = &d->entries[d->n - 1];
    struct pg_piece next = {0};
    e->sql.n = (size_t)(d->text.data + end - e->sql.p);
    e->set = *set;
    split_tail(e, &next);
    *set = next;
    *post = *post || one_of(e->type, post_types, MF_ARRAY_LEN(post_types));
    e->post = *post;
    return 0;
}

/* psql's commands (\restrict, \unrestrict) are for psql. */
static void blank_line(struct pg_dump *d, size_t at)
{
    while (at < d->text.len && d->text.data[at] != '\n') {
        d->text.data[at++] = ' ';
    }
}

static int add_entry(struct pg_dump *d, size_t *cap, const struct pg_entry *e, struct mf_error *err)
{
    if (d->n == *cap) {
        *cap = *cap ? *cap * 2 : 256;
        struct pg_entry *more = realloc(d->entries, *cap * sizeof(*more));
        if (!more) {
            return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
        }
        d->entries = more;
    }
    d->entries[d->n++] = *e;
    return 0;
}

int pg_dump_split(struct pg_dump *d, struct mf_error *err)
{
    size_t n = d->text.len, cap = 0;
    bool line_start = true, post = false;
    struct pg_piece set = {0};
    mf_arena_init(&d->arena, (size_t)1 << 30);
    d->preamble.p = d->text.data;
    for (size_t at = 0; at < n;) {
        const char *s = d->text.data;
        if (line_start && s[at] == '\\') {
            blank_line(d, at);
        }
        struct pg_entry e = {0};
        size_t past = line_start && s[at] == '-' ? parse_header(d, at, &e) : 0;
        if (past) {
            if (d->n == 0) {
                d->preamble.n = at;
            } else {
                finish_entry(d, at, &post, &set);
            }
            e.sql.p = s + past;
            if (add_entry(d, &cap, &e, err) < 0) {
                return -1;
            }
            at = past;
            continue;
        }
        size_t next = skip_token(s, at, n);
        line_start = next > 0 && s[next - 1] == '\n';
        at = next;
    }
    if (d->n == 0 && memmem(d->text.data, n, "PostgreSQL database dump complete", 33)) {
        d->preamble.n = n;
        return 0; /* nothing to make */
    }
    if (d->n == 0) {
        return mf_fail(err, MF_FATAL, "MFDUMP", "pg_dump's output is not in the form expected");
    }
    return finish_entry(d, n, &post, &set);
}

void pg_dump_free(struct pg_dump *d)
{
    if (d) {
        free(d->entries);
        mf_arena_free(&d->arena);
        mf_buf_free(&d->text);
        memset(d, 0, sizeof(*d));
    }
}
