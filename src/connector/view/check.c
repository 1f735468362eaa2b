/* What the map asks of the source, told before anything is made. */
#include "connector/view/internal.h"

#include "base/str.h"

/* The source's own check has found that its log has no whole old rows. */
static bool has_partial_rows(const struct mf_findings *out)
{
    for (size_t i = 0; i < mf_findings_count(out); i++) {
        if (mf_streq(mf_findings_at(out, i)->code, "binlog-row-image")) {
            return true;
        }
    }
    return false;
}

static void say_old_rows(const struct mf_table *t, struct mf_findings *out)
{
    char label[300];
    mf_table_label(t, label, sizeof label);
    if (has_partial_rows(out)) {
        mf_findings_add(
            out, MF_BLOCKER, MF_SOURCE, "map-old-rows", label,
            "SET GLOBAL binlog_row_image = 'FULL' (sessions that are open keep what they had)",
            "a query table of it has columns in its key that its own key has not, or it stands in a query table with "
            "another's columns, and the source's log does not tell what they were before a change");
        return;
    }
    mf_findings_add(
        out, MF_NOTE, MF_SOURCE, "map-old-rows", label,
        "nothing is to be done; leave its settings alone while the migration runs",
        "a query table of it has columns in its key that its own key has not, or it stands in a query table with "
        "another's columns: its updates and deletes must be logged with the whole old row (PostgreSQL: REPLICA "
        "IDENTITY "
        "FULL, set by run and put back at the end; MySQL: binlog_row_image=FULL), which makes more log for each");
}

/* ---- parents ---- */

/* An index begins with the columns, in whatever order. */
static bool has_index(const struct mf_schema_table *s, const struct mf_table *base, const struct mf_made_parent *p)
{
    for (size_t i = 0; i < s->nindexes; i++) {
        const struct mf_schema_index *x = &s->indexes[i];
        uint16_t met = 0;
        for (uint16_t k = 0; k < p->table->nkey && x->n >= p->table->nkey; k++) {
            for (uint16_t c = 0; c < p->table->nkey; c++) {
                met += mf_streq(s->columns[x->columns[c].column].name, base->columns[p->by[k]].name);
            }
        }
        if (met == p->table->nkey) {
            return true;
        }
    }
    return false;
}

static void say_parent(const struct mf_made *made, const struct mf_made_parent *p, const struct mf_schema *s,
                       struct mf_findings *out)
{
    char base[300], parent[300];
    const struct mf_schema_table *is = mf_schema_find(s, made->base->schema, made->base->name);
    mf_table_label(made->base, base, sizeof base);
    mf_table_label(p->table, parent, sizeof parent);
    if (is && !has_index(is, made->base, p)) {
        mf_findings_add(out, MF_WARNING, MF_SOURCE, "map-parent-index", base,
                        "make an index on the columns that refer to it (\"by\")",
                        "columns of %s are shown in its query tables: when a row there changes, all rows here that "
                        "refer to it are looked for, and there is no index that finds them",
                        parent);
    }
}

static int check_parents(struct view_db *v, const struct mf_catalog *shown, const struct mf_catalog *real,
                         struct mf_findings *out, struct mf_error *err)
{
    struct mf_schema s = {0};
    if (!mf_query_map_parents(v->map)) {
        return 0;
    }
    if (v->own->connector->describe(v->own, real, &s, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < shown->n; i++) {
        const struct mf_made *made = shown->tables[i].made;
        for (uint16_t p = 0; made && p < made->nparents; p++) {
            say_parent(made, &made->parents[p], &s, out);
        }
    }
    mf_schema_free(&s);
    return 0;
}

int view_check(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    struct view_db *v = view_of(db);
    struct mf_catalog shown = {0}, real = {0};
    static const struct mf_filter all;
    if (view_own(v)->check(v->own, v->map->only ? &all : filter, out, err) < 0 ||
        view_catalog_read(v, VIEW_SHAPES, filter, &shown, err) < 0) {
        return -1;
    }
    int rc = view_catalog_own(v, &shown, VIEW_WHOLE_SETS | VIEW_PARENTS, &real, err);
    if (rc < 0 && mf_streq(err->code, "MFMAP")) {
        mf_findings_add(out, MF_BLOCKER, MF_SOURCE, "map", "map", "change the map, or what is left out", "%s",
                        err->text);
        mf_error_clear(err);
        mf_catalog_free(&shown);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < real.n; i++) {
        if (real.tables[i].old_whole) {
            say_old_rows(&real.tables[i], out);
        }
    }
    rc = rc < 0 ? -1 : check_parents(v, &shown, &real, out, err);
    mf_catalog_free(&shown);
    mf_catalog_free(&real);
    return rc;
}
