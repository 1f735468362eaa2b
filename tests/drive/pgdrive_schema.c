/* The commands of pgdrive about schemas, checks and counters: those that may need both databases. */
#include "pgdrive.h"

#include <string.h>

#include "base/str.h"

static json_t *json_findings(const struct mf_findings *f)
{
    json_t *a = json_array();
    for (size_t i = 0; i < mf_findings_count(f); i++) {
        const struct mf_finding *x = mf_findings_at(f, i);
        json_array_append_new(a, json_pack("{s:i, s:i, s:s, s:s, s:s, s:s}", "severity", (int)x->severity, "side",
                                           (int)x->side, "code", x->code, "object", x->object ? x->object : "",
                                           "reason", x->reason ? x->reason : "", "remedy", x->remedy ? x->remedy : ""));
    }
    return a;
}

static struct mf_filter filter_of(const json_t *o)
{
    const json_t *in = json_object_get(o, "include"), *out = json_object_get(o, "exclude");
    struct mf_filter f = {.ninclude = json_array_size(in), .nexclude = json_array_size(out)};
    const char **i = pd_zeroed((f.ninclude + 1) * sizeof(*i)), **x = pd_zeroed((f.nexclude + 1) * sizeof(*x));
    for (size_t k = 0; k < f.ninclude; k++) {
        i[k] = pd_keep(json_string_value(json_array_get(in, k)));
    }
    for (size_t k = 0; k < f.nexclude; k++) {
        x[k] = pd_keep(json_string_value(json_array_get(out, k)));
    }
    f.include = i;
    f.exclude = x;
    return f;
}

static int do_schema(struct mf_db *db, struct mf_db *other, const json_t *o, json_t *reply, struct mf_error *err)
{
    static const char *const stages[] = {"before", "keys", "after"};
    struct mf_filter f = filter_of(o);
    struct mf_catalog c = {0};
    struct mf_schema_job job = {
        .tables = &c, .filter = &f, .jobs = json_object_get(o, "jobs") ? (int)pd_number(o, "jobs") : 2};
    struct mf_findings *found = mf_findings_new();
    struct mf_buf plan = {.max = 64u << 20};
    int rc = other->connector->source->catalog(other, &f, &c, err);
    for (int i = 0; rc == 0 && i < 3; i++) {
        job.stage = (enum mf_schema_stage)i;
        if (pd_flag(o, "plan")) {
            rc = db->connector->target->schema_plan(db, other, &job, &plan, err);
        } else if (mf_streq(pd_text(o, "stage"), stages[i])) {
            rc = db->connector->target->schema_apply(db, other, &job, found, err);
        }
    }
    json_object_set_new(reply, "findings", json_findings(found));
    json_object_set_new(reply, "plan", json_string(plan.data ? plan.data : ""));
    mf_findings_free(found);
    mf_buf_free(&plan);
    mf_catalog_free(&c);
    return rc;
}

static int do_check(struct mf_db *db, struct mf_db *other, const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_filter f = filter_of(o);
    struct mf_findings *found = mf_findings_new();
    struct mf_query_options q = {pd_number(o, "queries"), 2000, 10};
    int rc = q.max ? db->connector->target->check_queries(db, other, &f, &q, found, err)
                   : db->connector->target->check(db, other, &f, found, err);
    rc = rc == 0 && pd_flag(o, "accounts")
             ? db->connector->target->check_accounts(db, other, &f, pd_flag(o, "copy"), found, err)
             : rc;
    rc = rc == 0 && pd_flag(o, "durable") ? db->connector->target->check_durable(db, found, err) : rc;
    json_object_set_new(reply, "findings", json_findings(found));
    mf_findings_free(found);
    return rc;
}

/* A column of the other side's table as it is there now. */
static int do_add_column(struct mf_db *db, struct mf_db *other, const json_t *o, json_t *reply, struct mf_error *err)
{
    struct mf_catalog c = {0};
    (void)reply;
    int rc = other->connector->source->catalog(other, NULL, &c, err);
    const struct mf_table *t = rc < 0 ? NULL : mf_catalog_find(&c, pd_text(o, "schema"), pd_text(o, "table"));
    int at = t ? mf_table_column(t, pd_text(o, "column")) : -1;
    if (rc == 0) {
        rc = at < 0 ? mf_fail(err, MF_USAGE, "MFTEST", "no such column")
                    : db->connector->target->schema_add_column(db, other, t, &t->columns[at], 1, err);
    }
    mf_catalog_free(&c);
    return rc;
}

static int do_sequences(struct mf_db *db, struct mf_db *other, const json_t *o, json_t *reply, struct mf_error *err)
{
    const json_t *a = json_object_get(o, "sequences");
    size_t n = json_array_size(a);
    struct mf_sequence *s = pd_zeroed((n + 1) * sizeof(*s));
    (void)reply;
    (void)other;
    for (size_t i = 0; i < n; i++) {
        const json_t *q = json_array_get(a, i);
        mf_strlcpy(s[i].schema, pd_text(q, "schema"), sizeof(s[i].schema));
        mf_strlcpy(s[i].name, pd_text(q, "name"), sizeof(s[i].name));
        mf_strlcpy(s[i].table, pd_text(q, "table"), sizeof(s[i].table));
        mf_strlcpy(s[i].column, pd_text(q, "column"), sizeof(s[i].column));
        s[i].increment = json_object_get(q, "increment") ? pd_number(q, "increment") : 1;
        s[i].last_value = pd_number(q, "last_value");
        s[i].is_called = pd_flag(q, "is_called");
    }
    return db->connector->target->sequences_set(db, s, n, err);
}

static int list_sequence(void *ctx, const struct mf_sequence *s, struct mf_error *err)
{
    (void)err;
    return json_array_append_new(ctx, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "schema", s->schema, "name",
                                                s->name, "table", s->table, "column", s->column, "increment",
                                                (json_int_t)s->increment, "last_value", (json_int_t)s->last_value,
                                                "is_called", s->is_called));
}

static int do_counters(struct mf_db *db, struct mf_db *other, const json_t *o, json_t *reply, struct mf_error *err)
{
    json_t *list = json_array();
    (void)o;
    (void)other;
    json_object_set_new(reply, "sequences", list);
    return db->connector->source->sequences(db, NULL, list_sequence, list, err);
}

static const struct {
    const char *op;
    int (*run)(struct mf_db *db, struct mf_db *other, const json_t *o, json_t *reply, struct mf_error *err);
} commands[] = {
    {"schema", do_schema},       {"check", do_check},       {"add_column", do_add_column},
    {"sequences", do_sequences}, {"counters", do_counters},
};

void pd_schema_command(struct mf_db *db, struct mf_db *other, const char *op, const json_t *o, json_t *reply,
                       int *ret_rc, struct mf_error *err)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (mf_streq(op, commands[i].op)) {
            mf_error_clear(err);
            *ret_rc = commands[i].run(db, other, o, reply, err);
        }
    }
}
