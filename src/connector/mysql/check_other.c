/*
 * Findings about this server as the target of a source of another kind: what concerns it alone, names that it cannot have, what is there already, and all that
 * making the schema would tell.
 */
#include "connector/mysql/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/conversion.h"

#include <ctype.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RENAME     "rename it on the source, or leave the table out (tables.exclude)"
#define PACKET_LOW (64 << 20)

/* ---- names ---- */

static const char *wrong_name(const char *name)
{
    size_t n = strlen(name);
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p >= 0xf0) {
            return "it has a character past U+FFFF in its name, which no name may have here";
        }
    }
    return n && name[n - 1] == ' ' ? "its name ends with a blank, which no name may here" : NULL;
}

static void check_name(struct my_check *k, const char *what, const char *name)
{
    const char *why = wrong_name(name);
    if (why) {
        my_check_say(k, MF_BLOCKER, "conversion-name", what, RENAME, "%s", why);
    }
}

static void check_columns(struct my_check *k, const struct mf_schema_table *t)
{
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        MF_CLEANUP_FREE char *object = mf_xasprintf("column %s.%s.%s", t->schema, t->name, t->columns[i].name);
        check_name(k, object, t->columns[i].name);
        for (uint16_t j = 0; j < i; j++) {
            if (strcasecmp(t->columns[i].name, t->columns[j].name) == 0) {
                my_check_say(k, MF_BLOCKER, "conversion-name", object, RENAME,
                             "its name differs from column \"%s\" in case only, and is the same here",
                             t->columns[j].name);
            }
        }
    }
}

static void check_database(struct my_check *k, const char *name)
{
    static const char *const theirs[] = {"mysql", "information_schema", "performance_schema", "sys", MY_BOOK};
    MF_CLEANUP_FREE char *object = mf_xasprintf("database %s", name);
    check_name(k, object, name);
    for (size_t i = 0; i < MF_ARRAY_LEN(theirs); i++) {
        if (strcasecmp(name, theirs[i]) == 0) {
            my_check_say(k, MF_BLOCKER, "conversion-name", object, "rename the schema on the source",
                         "a database of that name is the server's own, or midflight's");
        }
    }
}

static bool has_capital(const char *name)
{
    for (; *name; name++) {
        if (*name >= 'A' && *name <= 'Z') {
            return true;
        }
    }
    return false;
}

static void check_names(struct my_check *k, const struct mf_schema *s)
{
    bool folds = my_check_number(k, "lower_case_table_names") != 0;
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mf_schema_table *t = &s->tables[i];
        MF_CLEANUP_FREE char *object = mf_xasprintf("table %s.%s", t->schema, t->name);
        bool first = true;
        for (size_t j = 0; j < i && first; j++) {
            first = !mf_streq(s->tables[j].schema, t->schema);
        }
        if (first) {
            check_database(k, t->schema);
        }
        check_name(k, object, t->name);
        check_columns(k, t);
        if (folds && (has_capital(t->name) || has_capital(t->schema))) {
            my_check_say(k, MF_BLOCKER, "lower-case-names", object,
                         "make the target anew with lower_case_table_names = 0, or rename it on the source",
                         "its name has capital letters, which the target does not keep (lower_case_table_names)");
        }
    }
}

/* ---- reserved words ---- */

static bool is_bare(const char *name)
{
    if (isdigit((unsigned char)*name)) {
        return false;
    }
    for (; *name; name++) {
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '$') {
            return false;
        }
    }
    return true;
}

#define AT_ONCE 100

/* Whether the server takes all these names without quotes: the one judge that is right about every version. */
static int asked(struct my_check *k, const char *const *names, size_t n, bool *ret_taken, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf sql = {.max = MY_SQL_MAX};
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    mf_buf_puts(&sql, "SELECT ");
    for (size_t i = 0; i < n; i++) {
        mf_buf_printf(&sql, "%s1 AS %s", i ? ", " : "", names[i]);
    }
    *ret_taken = my_query(k->c, &r, err, mf_buf_str(&sql)) == 0;
    if (!*ret_taken && !my_is_error(err, ER_PARSE_ERROR)) {
        return -1;
    }
    mf_error_clear(err);
    return 0;
}

static int reserved_among(struct my_check *k, const char *const *names, size_t n, struct mf_buf *out, size_t *count,
                          struct mf_error *err)
{
    bool taken = true;
    if (n == 0 || asked(k, names, n, &taken, err) < 0) {
        return n ? -1 : 0;
    }
    for (size_t i = 0; !taken && i < n; i++) {
        bool fine = true;
        if (asked(k, &names[i], 1, &fine, err) < 0) {
            return -1;
        }
        if (!fine && (*count)++ < 20) {
            mf_buf_printf(out, "%s%s", out->len ? ", " : "", names[i]);
        }
    }
    return 0;
}

static int check_words(struct my_check *k, const struct mf_schema *s, struct mf_error *err)
{
    const char *names[AT_ONCE];
    size_t n = 0, count = 0;
    MF_CLEANUP_BUF struct mf_buf words = {.max = 8192};
    for (size_t i = 0; i < s->ntables; i++) {
        const struct mf_schema_table *t = &s->tables[i];
        for (int c = -1; c < t->ncolumns; c++) {
            const char *name = c < 0 ? t->name : t->columns[c].name;
            names[n] = name;
            n += is_bare(name);
            if (n == AT_ONCE) {
                if (reserved_among(k, names, n, &words, &count, err) < 0) {
                    return -1;
                }
                n = 0;
            }
        }
    }
    if (reserved_among(k, names, n, &words, &count, err) < 0) {
        return -1;
    }
    if (count) {
        my_check_say(k, MF_NOTE, "conversion-reserved", mf_buf_str(&words), "quote them: `name`",
                     "%zu names are reserved words here: statements must quote them", count);
    }
    return 0;
}

/* ---- the server ---- */

static void check_settings(struct my_check *k, const struct mf_schema *s)
{
    if (!k->db->params.database) {
        my_check_say(k, MF_NOTE, "database-name", k->db->facts.host, "name a database in the target's URL",
                     "the URL names no database: the source's default schema becomes one of its own name");
    }
    if (k->db->max_packet < PACKET_LOW) {
        my_check_say(k, MF_NOTE, "max-allowed-packet", "max_allowed_packet",
                     "SET GLOBAL max_allowed_packet = 1073741824; -- and in the configuration",
                     "it is %lld bytes: a row that is larger cannot be written", (long long)k->db->max_packet);
    }
    for (size_t i = 0; i < s->ntables && my_check_on(k, "sql_require_primary_key"); i++) {
        const struct mf_schema_table *t = &s->tables[i];
        bool has = false;
        for (size_t x = 0; x < t->nindexes; x++) {
            has = has || t->indexes[x].primary;
        }
        if (!has) {
            MF_CLEANUP_FREE char *object = mf_xasprintf("table %s.%s", t->schema, t->name);
            my_check_say(k, MF_BLOCKER, "primary-key", object,
                         "SET GLOBAL sql_require_primary_key = OFF; -- or give the table a primary key",
                         "it has no primary key, and the server takes no table without one");
        }
    }
}

static int check(struct my_check *k, struct mf_db *src, struct mf_schema *s, struct mf_error *err)
{
    if (mf_conversion_read(&k->db->base, src, k->filter, s, &k->tables, err) < 0) {
        return -1;
    }
    check_names(k, s);
    check_settings(k, s);
    return check_words(k, s, err) < 0 || my_check_server(k, err) < 0 || my_check_rights(k, err) < 0 ||
                   my_check_contents(k, err) < 0 || mf_conversion_rehearse(&k->db->base, s, k->out, err) < 0
               ? -1
               : 0;
}

int my_check_other(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                   struct mf_error *err)
{
    struct my_check k = {0};
    struct mf_schema s = {0};
    int rc = my_check_open(&k, my_db_of(db), filter, out, err);
    rc = rc == 0 ? check(&k, src, &s, err) : rc;
    mf_schema_free(&s);
    my_check_close(&k);
    return rc;
}
