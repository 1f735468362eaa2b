/* A `map:` of collections that is another one than when the rows were made.
 *
 * What the map says no more is written no more: a table or a column of it keeps its rows as they are, nobody compares them, and an application reads them as if they
 * followed. So that ends the run as long as it stands on the target. Whatever else was changed (a rule, a type, a path) may ask for other rows than there are: verification finds
 * them, and no cutover is made before one. Once the target takes the writes its rows become documents by the map, and none but the one that made them tells which. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define HASH_KEY    "map.hash"
#define COLUMNS_KEY "map.columns"
#define COLUMNS_MAX ((size_t)8 << 20)

/* Each column that the map makes, a line: schema, table and column with tabs between, and one at its beginning. */
static int put_columns(const struct mf_migration *m, struct mf_buf *b, struct mf_error *err)
{
    const struct mf_shred *map = m->config->shred;
    struct mf_db *real = mf_db_behind(m->target);
    const char *unnamed = real->connector->canon->default_schema(real);
    for (size_t i = 0; i < mf_shred_count(map); i++) {
        const struct mf_shred_collection *c = mf_shred_at(map, i);
        for (uint16_t t = 0; t < c->ntables; t++) {
            const struct mf_table *is = c->tables[t].table;
            for (uint16_t k = 0; k < is->ncolumns; k++) {
                mf_buf_printf(b, "\t%s\t%s\t%s\n", *is->schema || !unnamed ? is->schema : unnamed, is->name,
                              is->columns[k].name);
            }
        }
    }
    return mf_buf_ok(b) ? 0
                        : mf_fail(err, MF_FATAL, "MFBIG", "the map has more columns than can be remembered (%zu MB)",
                                  COLUMNS_MAX >> 20);
}

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++) {
        if ((at == text || at[-1] == '\n') && at[n] == '\n') {
            return true;
        }
    }
    return false;
}

/* now: whether the map has another column of the table still. */
static int still_there(const char *now, const char *schema, const char *table, const char *column, struct mf_error *err)
{
    MF_CLEANUP_FREE char *others = mf_xasprintf("\t%s\t%s\t", schema, table);
    bool alone = strstr(now, others) != NULL;
    mf_fail(
        err, MF_FATAL, "MFMAP",
        "the map does not have %s%s%stable %s.%s any more, which it had in the run before: it stands on the target, "
        "and what is in it would follow nothing",
        alone ? "column \"" : "", alone ? column : "", alone ? "\" of " : "", schema, table);
    mf_hint(err, "put it back into the map, or drop it on the target; then start midflight again");
    return -1;
}

/* None of what was left out stands on the target. */
static int check_gone(struct mf_migration *m, char *before, const char *now, struct mf_error *err)
{
    static const struct mf_filter everything;
    struct mf_db *real = mf_db_behind(m->target);
    struct mf_catalog all = {0};
    bool read = false;
    int rc = 0;
    char *rest = NULL;
    for (char *line = strtok_r(before, "\n", &rest); rc == 0 && line; line = strtok_r(NULL, "\n", &rest)) {
        char *schema = line + (*line == '\t'), *table = strchr(schema, '\t');
        char *column = table ? strchr(table + 1, '\t') : NULL;
        if (!column || has_line(now, line)) {
            continue;
        }
        *table++ = *column++ = '\0';
        if (!read && real->connector->source->shapes(real, &everything, &all, err) < 0) {
            return -1;
        }
        read = true;
        const struct mf_table *t = mf_catalog_find(&all, schema, table);
        rc = t && mf_table_column(t, column) >= 0 ? still_there(now, schema, table, column, err) : 0;
    }
    mf_catalog_free(&all);
    return rc;
}

static int changed(struct mf_migration *m, const char *now, struct mf_error *err)
{
    MF_CLEANUP_FREE char *before = mf_xcalloc(1, COLUMNS_MAX);
    bool found = false;
    if (mf_writes_on_target(m)) {
        mf_fail(
            err, MF_FATAL, "MFMAP",
            "the map is another one than that by which the documents became rows, and writes are on the target: what "
            "changed there would come back as other documents");
        mf_hint(err, "put the map back as it was, then start midflight again. It may be changed once writes are on the "
                     "source (midflight rollback)");
        return -1;
    }
    if (mf_state_get(m->state, COLUMNS_KEY, before, COLUMNS_MAX, &found, err) < 0 ||
        check_gone(m, before, now, err) < 0) {
        return -1;
    }
    mf_log(MF_WARN, "schema",
           "the map is another one than in the run before: rows that were made by that one may differ. Run midflight "
           "verify --repair; no cutover is made before a verification");
    return mf_state_set_int(m->state, "schema_accepted_us", mf_wall_us(), err);
}

int mf_documents_kept(struct mf_migration *m, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf now = {.max = COLUMNS_MAX - 1};
    char hash[32], before[32];
    bool found = false;
    if (!m->config->shred) {
        return 0;
    }
    snprintf(hash, sizeof hash, "%016" PRIx64, mf_doc_map_hash(m->config->documents));
    if (put_columns(m, &now, err) < 0 || mf_state_get(m->state, HASH_KEY, before, sizeof before, &found, err) < 0) {
        return -1;
    }
    if (found && mf_streq(before, hash)) {
        return 0;
    }
    if (found && changed(m, mf_buf_str(&now), err) < 0) {
        return -1;
    }
    const struct mf_fact facts[] = {{HASH_KEY, hash}, {COLUMNS_KEY, mf_buf_str(&now)}};
    return mf_state_set_all(m->state, facts, MF_ARRAY_LEN(facts), err);
}
