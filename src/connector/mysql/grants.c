/* See grants.h. */
#include "connector/mysql/grants.h"

#include "base/str.h"
#include "connector/mysql/sqltoken.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define GRANT_OPTION "GRANT OPTION" /* ALL does not have it in it */

void my_grants_init(struct my_grants *g)
{
    g->first = NULL;
    mf_arena_init(&g->arena, 8u << 20);
}

void my_grants_free(struct my_grants *g)
{
    mf_arena_free(&g->arena);
    g->first = NULL;
}

/* The words up to ON, as ",A,B C,". False when there is no ON, or a bracket (privileges on columns). */
static bool take_privileges(const char *p, size_t n, size_t *i, struct mf_buf *out)
{
    bool fresh = true;
    mf_buf_putc(out, ',');
    while (*i < n) {
        size_t from = *i, end = *i = my_sql_end(p, n, from, true);
        if (my_sql_is(p, from, end, "ON")) {
            mf_buf_putc(out, ',');
            return true;
        }
        if (p[from] == '(') { /* columns: not the whole table. The privilege is dropped again */
            while (out->len > 1 && out->data[out->len - 1] != ',') {
                out->len--;
            }
            while (*i < n && p[*i] != ')') {
                *i = my_sql_end(p, n, *i, true);
            }
            *i += *i < n;
        } else if (p[from] == ',') {
            mf_buf_putc(out, ',');
            fresh = true;
        } else if (p[from] != ' ') {
            mf_buf_puts(out, fresh ? "" : " ");
            mf_buf_append(out, p + from, end - from);
            fresh = false;
        }
    }
    return false;
}

/* A name or *: *ret NULL for the latter. */
static bool take_scope(struct my_grants *g, const char *p, size_t n, size_t *i, const char **ret)
{
    char name[600];
    *ret = NULL;
    while (*i < n && p[*i] == ' ') {
        ++*i;
    }
    if (*i < n && p[*i] == '*') {
        ++*i;
        return true;
    }
    if (!my_sql_name(p, n, i, name, sizeof name)) {
        return false;
    }
    *ret = mf_strdup_a(&g->arena, name);
    return *ret != NULL;
}

int my_grants_add(struct my_grants *g, const char *line, struct mf_error *err)
{
    size_t n = strlen(line), i = 0;
    struct mf_buf b = {.max = 8192};
    struct my_grant grant = {.next = g->first};
    if (!mf_starts_with(line, "GRANT ")) {
        return 0;
    }
    i = strlen("GRANT ");
    bool ok = take_privileges(line, n, &i, &b) && take_scope(g, line, n, &i, &grant.schema) && i < n &&
              line[i++] == '.' && take_scope(g, line, n, &i, &grant.table) && mf_buf_ok(&b);
    if (ok && strstr(line + i, " WITH GRANT OPTION")) {
        mf_buf_puts(&b, GRANT_OPTION ",");
        ok = mf_buf_ok(&b);
    }
    grant.privileges = ok ? mf_strdup_a(&g->arena, mf_buf_str(&b)) : NULL;
    mf_buf_free(&b);
    if (!ok) {
        return 0; /* a role, a routine, a proxy */
    }
    struct my_grant *kept = mf_alloc0(&g->arena, sizeof *kept);
    if (!kept || !grant.privileges) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the account has too many grants");
    }
    *kept = grant;
    g->first = kept;
    return 0;
}

/* As the server compares a granted database's name: % and _ are wildcards unless a backslash stands before them. */
static bool matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++, name++) {
        if (*pattern == '%') {
            for (;; name++) {
                if (matches(pattern + 1, name)) {
                    return true;
                }
                if (!*name) {
                    return false;
                }
            }
        }
        if (*pattern == '\\' && pattern[1]) {
            pattern++;
        } else if (*pattern == '_' && *name) {
            continue;
        }
        if (*pattern != *name) {
            return false;
        }
    }
    return !*name;
}

static bool lists(const char *privileges, const char *wanted)
{
    char word[80];
    snprintf(word, sizeof word, ",%s,", wanted);
    return strstr(privileges, word) || (strcmp(wanted, GRANT_OPTION) != 0 &&
                                        (strstr(privileges, ",ALL PRIVILEGES,") || strstr(privileges, ",ALL,")));
}

bool my_grants_have(const struct my_grants *g, const char *privilege, const char *schema, const char *table)
{
    for (const struct my_grant *k = g->first; k; k = k->next) {
        bool here = !k->schema || (schema && matches(k->schema, schema));
        bool all = !k->table || (table && strcasecmp(k->table, table) == 0);
        if (here && all && lists(k->privileges, privilege)) {
            return true;
        }
    }
    return false;
}
