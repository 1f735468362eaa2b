/* Making the schema: described by the database that has it, in the model's terms; renamed; made by the one that lacks it. */
#include "connector/face/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static int names_usable(const struct face_db *f, const struct mf_catalog *shown, struct mf_error *err)
{
    for (size_t i = 0; i < shown->n; i++) {
        if (face_name_usable(f, shown->tables[i].schema, shown->tables[i].name, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int face_describe(struct mf_db *db, const struct mf_catalog *shown, struct mf_schema *ret, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_catalog own = {0};
    if (names_usable(f, shown, err) < 0 || face_catalog_own(f, shown, &own, err) < 0) {
        return -1;
    }
    int rc = f->canon->describe(f->own, &own, ret, err);
    mf_catalog_free(&own);
    if (rc == 0 && f->own_schema[0]) {
        mf_schema_rename(ret, f->own_schema, f->shown_schema);
    }
    return rc;
}

/* The tables of `shown`, a catalogue of src, as they are to be here. Those of documents have names of here already, some without a schema. */
static int describe(const struct face_db *f, struct mf_db *src, const struct mf_catalog *shown, struct mf_schema *ret,
                    struct mf_error *err)
{
    if (names_usable(f, shown, err) < 0 || src->connector->describe(src, shown, ret, err) < 0) {
        return -1;
    }
    if (src->connector->documents) {
        mf_schema_rename(ret, "", f->canon->default_schema(f->own));
    } else if (f->own_schema[0]) {
        mf_schema_rename(ret, f->shown_schema, f->own_schema);
    }
    return 0;
}

static int make(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                struct mf_buf *plan, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_schema s = {0};
    int rc = describe(f, src, job->tables, &s, err);
    rc = rc < 0 ? -1 : f->canon->make(f->own, &s, job->stage, job->jobs, out, plan, err);
    mf_schema_free(&s);
    return rc;
}

int face_schema_apply(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                      struct mf_error *err)
{
    return make(db, src, job, out, NULL, err);
}

int face_schema_plan(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                     struct mf_error *err)
{
    return make(db, src, job, NULL, out, err);
}

int face_schema_add_column(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                           int64_t stamp, struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_table one = *t;
    struct mf_catalog shown = {.tables = &one, .n = 1};
    struct mf_schema s = {0};
    int rc = describe(f, src, &shown, &s, err);
    const struct mf_schema_column *column = NULL;
    for (uint16_t i = 0; rc == 0 && s.ntables == 1 && i < s.tables[0].ncolumns; i++) {
        column = mf_streq(s.tables[0].columns[i].name, c->name) ? &s.tables[0].columns[i] : column;
    }
    if (rc == 0 && !column) {
        rc = mf_fail(err, MF_FATAL, "MFDDL", "column %s of %s.%s is not there any more", c->name, t->schema, t->name);
    }
    rc = rc < 0 ? -1 : f->canon->add_column(f->own, &s.tables[0], column, stamp, err);
    mf_schema_free(&s);
    return rc;
}

int face_check_target(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                      struct mf_error *err)
{
    struct face_db *f = face_of(db);
    struct mf_catalog tables = {0};
    if (src->connector->source->shapes(src, filter, &tables, err) < 0) {
        return -1;
    }
    for (size_t i = 0; i < tables.n; i++) {
        const struct mf_table *t = &tables.tables[i];
        char label[300];
        struct mf_error why = {0};
        if (face_name_usable(f, t->schema, t->name, &why) < 0) {
            mf_findings_add(out, MF_BLOCKER, MF_TARGET, "schema-name", mf_table_label(t, label, sizeof label), why.hint,
                            "%s", why.text);
        }
    }
    mf_catalog_free(&tables);
    return f->own->connector->target->check(f->own, src, filter, out, err);
}
