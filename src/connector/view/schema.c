/* The schema of what is shown: that of the real tables, described by what is behind, with the query tables made of it. Indexes and foreign keys of a table are
 * not its query tables': what they are asked by is their key. */
#include "connector/view/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

struct describing {
    const struct mf_schema *from; /* of the real tables, parents too */
    struct mf_schema *to;
    struct mf_error *err;
};

static int full(const struct describing *d)
{
    return view_no_memory(d->err, "the schema is too large");
}

static int missing(const struct describing *d, const struct mf_table *t, const char *column)
{
    return mf_fail(d->err, MF_FATAL, "MFSHAPE", "%s%s%s of %s.%s is not there any more", column ? "column \"" : "",
                   column ? column : "the table", column ? "\"" : "", t->schema, t->name);
}

/* The column as the real table has it. */
static const struct mf_schema_column *real_column(const struct describing *d, const struct mf_table *t, uint16_t at)
{
    const struct mf_schema_table *s = mf_schema_find(d->from, t->schema, t->name);
    for (uint16_t i = 0; s && i < s->ncolumns; i++) {
        if (mf_streq(s->columns[i].name, t->columns[at].name)) {
            return &s->columns[i];
        }
    }
    missing(d, t, s ? t->columns[at].name : NULL);
    return NULL;
}

static int make_column(const struct describing *d, const struct mf_table *t, const struct mf_made_column *m,
                       struct mf_schema_column *ret)
{
    const struct mf_made *made = t->made;
    if (m->kind == MF_MADE_CONSTANT) {
        *ret = (struct mf_schema_column){.type = {.kind = MF_KIND_TEXT}, .own_type = "text", .not_null = true};
    } else if (m->kind == MF_MADE_EXPR) {
        const struct mf_column *c = &t->columns[mf_table_column(t, m->name)];
        const struct mf_type *type = mf_type_copy(&d->to->arena, &c->foreign->type);
        *ret = (struct mf_schema_column){.own_type = mf_strdup_a(&d->to->arena, c->type)};
        if (!type || !ret->own_type) {
            return full(d);
        }
        ret->type = *type;
    } else {
        bool parent = m->kind == MF_MADE_PARENT;
        const struct mf_schema_column *is = real_column(d, parent ? made->parents[m->parent].table : made->base, m->of);
        if (!is) {
            return -1;
        }
        *ret = *is;
        ret->not_null = is->not_null && !parent;
    }
    ret->name = mf_strdup_a(&d->to->arena, m->name);
    ret->wanted_type = m->wanted_type ? mf_strdup_a(&d->to->arena, m->wanted_type) : ret->wanted_type;
    if (m->shape) {
        const struct mf_type *shape = mf_type_copy(&d->to->arena, m->shape);
        if (!shape) {
            return full(d);
        }
        ret->type = *shape;
    }
    ret->is_static = m->is_static;
    ret->counter = false; /* its numbers come from the source's table */
    ret->defaulted = MF_DEFAULT_NONE;
    ret->default_text = NULL;
    ret->on_update_now = false;
    return ret->name && (ret->wanted_type || !m->wanted_type) ? 0 : full(d);
}

static int make_key(const struct describing *d, const struct mf_table *t, struct mf_schema_table *ret)
{
    struct mf_arena *a = &d->to->arena;
    struct mf_schema_index *x = mf_alloc_array(a, 1, sizeof *x);
    struct mf_schema_index_column *c = mf_alloc_array(a, t->nkey + 1u, sizeof *c);
    char name[MF_SCHEMA_NAME];
    mf_schema_name(t->name, "pkey", false, name);
    const char *kept = mf_strdup_a(a, name);
    if (!x || !c || !kept) {
        return full(d);
    }
    for (uint16_t k = 0; k < t->nkey; k++) {
        c[k].column = t->key[k];
        c[k].descending = t->made->columns[t->key[k]].descending;
        ret->columns[t->key[k]].not_null = true;
    }
    *x = (struct mf_schema_index){
        .name = kept, .unique = true, .primary = true, .is_key = true, .n = t->nkey, .columns = c};
    ret->indexes = x;
    ret->nindexes = 1;
    ret->npartition = t->made->npartition;
    return 0;
}

static int make_table(const struct describing *d, const struct mf_table *t, struct mf_schema_table *ret)
{
    struct mf_arena *a = &d->to->arena;
    *ret = (struct mf_schema_table){.schema = mf_strdup_a(a, t->schema),
                                    .name = mf_strdup_a(a, t->name),
                                    .ncolumns = t->ncolumns,
                                    .columns = mf_alloc_array(a, t->ncolumns + 1u, sizeof *ret->columns)};
    if (!ret->schema || !ret->name || !ret->columns) {
        return full(d);
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        int at = mf_made_column(t->made, t->columns[i].name);
        if (at < 0 || make_column(d, t, &t->made->columns[at], &ret->columns[i]) < 0) {
            return at < 0 ? missing(d, t, t->columns[i].name) : -1;
        }
    }
    return make_key(d, t, ret);
}

static bool leave(struct mf_schema *s, const struct mf_schema_table *t, const struct mf_schema_foreign *f)
{
    struct mf_schema_left *l = &s->left[s->nleft];
    l->object = mf_printf_a(&s->arena, "foreign key %s of %s.%s", f->name, t->schema, t->name);
    l->why = "the table it refers to migrates as query tables";
    s->nleft += l->object != NULL;
    return l->object != NULL;
}

/* A foreign key to a table that is not there under its own name goes. */
static int drop_foreign(struct describing *d, const struct mf_catalog *shown)
{
    struct mf_schema *s = d->to;
    for (size_t i = 0; i < s->ntables; i++) {
        struct mf_schema_table *t = &s->tables[i];
        size_t kept = 0;
        for (size_t k = 0; k < t->nforeign; k++) {
            const struct mf_schema_foreign *f = &t->foreign[k];
            const struct mf_table *to = mf_catalog_find(shown, f->ref_schema, f->ref_table);
            bool real = mf_schema_find(d->from, f->ref_schema, f->ref_table) != NULL;
            if (real && (!to || to->made)) {
                if (!leave(s, t, f)) {
                    return full(d);
                }
            } else {
                t->foreign[kept++] = *f;
            }
        }
        t->nforeign = kept;
    }
    return 0;
}

static int make_all(struct describing *d, const struct mf_catalog *shown)
{
    struct mf_schema *s = d->to;
    size_t nforeign = 0;
    s->tables = mf_alloc_array(&s->arena, shown->n + 1, sizeof *s->tables);
    for (; s->tables && s->ntables < shown->n; s->ntables++) {
        const struct mf_table *t = &shown->tables[s->ntables];
        const struct mf_schema_table *is = t->made ? NULL : mf_schema_find(d->from, t->schema, t->name);
        if (t->made ? make_table(d, t, &s->tables[s->ntables]) < 0 : !is && missing(d, t, NULL) < 0) {
            return -1;
        }
        if (is) {
            s->tables[s->ntables] = *is;
            nforeign += is->nforeign;
        }
    }
    struct mf_schema_left *left = mf_alloc_array(&s->arena, s->nleft + nforeign + 1, sizeof *left);
    if (!s->tables || !left) {
        return full(d);
    }
    if (s->nleft) {
        memcpy(left, s->left, s->nleft * sizeof *left);
    }
    s->left = left;
    return drop_foreign(d, shown);
}

/* The query tables are put beside the real ones in the same schema, whose texts they share. */
int view_describe(struct mf_db *db, const struct mf_catalog *shown, struct mf_schema *ret, struct mf_error *err)
{
    const struct view_db *v = view_of(db);
    struct mf_catalog own = {0};
    struct mf_schema s = {0};
    if (view_catalog_own(v, shown, VIEW_PARENTS, &own, err) < 0) {
        return -1;
    }
    int rc = v->own->connector->describe(v->own, &own, &s, err);
    mf_catalog_free(&own);
    if (rc < 0) {
        return -1;
    }
    const struct mf_schema from = {.ntables = s.ntables, .tables = s.tables};
    struct describing d = {.from = &from, .to = &s, .err = err};
    s.ntables = 0;
    s.arena.max_bytes = VIEW_TABLE_BYTES;
    if (make_all(&d, shown) < 0) {
        mf_schema_free(&s);
        return -1;
    }
    *ret = s;
    return 0;
}
