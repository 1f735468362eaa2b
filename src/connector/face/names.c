/* Names of schemas: what a name without a schema means differs from one kind of database to the next ("public", the database of the URL), so the two
 * defaults are shown under one name. The two names change places, so that no two schemas of one database are ever shown as one. */
#include "connector/face/internal.h"

#include "base/str.h"

const char *face_shown_schema(const struct face_db *f, const char *own)
{
    if (!f->own_schema[0]) {
        return own;
    }
    return mf_streq(own, f->own_schema) ? f->shown_schema : mf_streq(own, f->shown_schema) ? f->own_schema : own;
}

const char *face_own_schema(const struct face_db *f, const char *shown)
{
    return face_shown_schema(f, shown); /* they change places */
}

int face_name_usable(const struct face_db *f, const char *shown_schema, const char *name, struct mf_error *err)
{
    if (!f->own_schema[0] || mf_streq(f->own_schema, f->shown_schema) || !mf_streq(shown_schema, f->own_schema)) {
        return 0;
    }
    mf_fail(err, MF_FATAL, "MFNAMES",
            "table %s.%s has no name on the other side: schema %s of the source is called %s there already",
            shown_schema, name, f->shown_schema, f->own_schema);
    mf_hint(err, "name a database or schema in the target's URL that no schema of the source is called");
    return -1;
}

bool face_is_book(const char *schema)
{
    return mf_streq(schema, "midflight");
}
