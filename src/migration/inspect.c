/* check and plan: they look at both databases and change nothing. */
#include "migration/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define SAMPLE_BYTES (64 << 20)
#define SAMPLE_US    2000000
#define DISK_RESERVE ((uint64_t)256 << 20) /* beside the spool: state.db, the schema's dump, a segment being begun */

struct ends {
    struct mf_db *source, *target;
    struct mf_db_facts source_facts, target_facts;
    struct mf_filter filter;
    bool
        bare; /* documents without a map: each side is opened by itself, and the two cannot be held against each other */
};

static void close_ends(struct ends *e)
{
    if (e->source) {
        e->source->connector->close(e->source);
    }
    if (e->target) {
        e->target->connector->close(e->target);
    }
}

/* With findings: what cannot be reached is a blocker with its reason, not an error. */
static int open_end(const struct mf_config *c, enum mf_side side, struct mf_db *source, struct mf_db **ret,
                    struct mf_db_facts *facts, bool bare, struct mf_findings *out, struct mf_error *err)
{
    if ((bare ? mf_end_open_bare(c, side, ret, facts, err)
              : mf_end_open(c, side, false, NULL, source, ret, facts, err)) < 0) {
        if (!out) {
            mf_error_prefix(err, "the %s", side == MF_SOURCE ? "source" : "target");
            return -1;
        }
        if (mf_streq(err->code, "MFMAP")) {
            mf_findings_add(out, MF_BLOCKER, side, "map", "map", err->hint[0] ? err->hint : "change the map", "%s",
                            err->text);
            return 0;
        }
        mf_findings_add(out, MF_BLOCKER, side, "connect", side == MF_SOURCE ? "the source" : "the target",
                        err->hint[0] ? err->hint : "check host, port, user, password and TLS settings in the URL", "%s",
                        err->text);
    }
    return 0;
}

static struct mf_filter filter_of(const struct mf_config *c)
{
    return (struct mf_filter){(const char *const *)c->include.items, c->include.n,
                              (const char *const *)c->exclude.items, c->exclude.n};
}

static int open_ends(const struct mf_config *c, struct ends *e, struct mf_findings *out, struct mf_error *err)
{
    *e = (struct ends){.filter = filter_of(c)};
    bool face;
    if (mf_connector_pair(c->source, c->target, &face, err) < 0) {
        return -1;
    }
    e->bare = out && !c->shred && mf_connector_for_url(c->source, err)->documents;
    if (e->bare) {
        mf_findings_add(
            out, MF_BLOCKER, MF_SOURCE, "map", "map",
            "midflight plan --write-map map.yaml proposes one: look it through, and put it into the "
            "configuration",
            "documents go into tables by a map, and the configuration has none: until it has, the target is "
            "only connected to");
    }
    return open_end(c, MF_SOURCE, NULL, &e->source, &e->source_facts, e->bare, out, err) < 0 ||
                   open_end(c, MF_TARGET, e->source, &e->target, &e->target_facts, e->bare, out, err) < 0
               ? -1
               : 0;
}

/* null: it was not come to, or could not be. */
static json_t *facts_json(const struct mf_db_facts *f)
{
    if (!f->engine[0]) {
        return json_null();
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "engine", f->engine, "version", f->version, "host", f->host,
                     "database", f->database, "user", f->user);
}

/* "a/b" to "a", "a" to ".", "/a" to "/". */
static void to_parent(char *dir)
{
    char *slash = strrchr(dir, '/');
    if (!slash) {
        dir[0] = '.';
        dir[1] = '\0';
    } else {
        slash[slash == dir] = '\0';
    }
}

/* Room for the spool where the state directory is, or will be made. Only a warning: the budget is a bound, not a forecast, and with
 * the disk full the source keeps its log instead. */
static void check_disk(const struct mf_config *c, struct mf_findings *out)
{
    MF_CLEANUP_FREE char *dir = mf_xstrdup(c->state_dir);
    struct statvfs v;
    while (statvfs(dir, &v) < 0) {
        if (errno != ENOENT || strcmp(dir, ".") == 0 || strcmp(dir, "/") == 0) {
            return; /* run says what is wrong with it */
        }
        to_parent(dir);
    }
    uint64_t room = (uint64_t)v.f_bavail * v.f_frsize, need = (uint64_t)c->spool.budget_bytes + DISK_RESERVE;
    char has[32], wants[32];
    if (room < need) {
        mf_findings_add(out, MF_WARNING, MF_SOURCE, "spool-disk", c->state_dir,
                        "free that much, put the state directory on a larger volume (state), or lower spool.budget",
                        "%s are free there, and the spool may take up to %s (spool.budget and a reserve): a full disk "
                        "stops the run, and the source keeps its log meanwhile",
                        mf_format_size(room, has, sizeof has), mf_format_size(need, wants, sizeof wants));
    }
}

static int check_queries(const struct mf_config *c, const struct ends *e, struct mf_findings *out, struct mf_error *err)
{
    struct mf_query_options o = {c->queries.max, c->queries.timeout_ms, c->queries.worse};
    return e->target->connector->target->check_queries(e->target, e->source, &e->filter, &o, out, err);
}

int mf_migration_check(const struct mf_config *config, bool queries, struct mf_findings *out, json_t **ret_facts,
                       struct mf_error *err)
{
    struct ends e;
    check_disk(config, out);
    int rc = open_ends(config, &e, out, err);
    if (rc == 0 && e.source) {
        rc = e.source->connector->source->check(e.source, &e.filter, out, err);
    }
    bool same = e.source && e.target && strcmp(e.source_facts.system_id, e.target_facts.system_id) == 0 &&
                strcmp(e.source_facts.database, e.target_facts.database) == 0;
    if (rc == 0 && same) { /* remedies for a target would be carried out on the source */
        mf_findings_add(out, MF_BLOCKER, MF_TARGET, "same-database", "both URLs",
                        "point the target at another database", "source and target are the same database");
    } else if (rc == 0 && e.source && e.target && e.bare) {
        rc = e.target->connector->documents /* it can only say that it is no target */
                 ? e.target->connector->target->check(e.target, e.source, &e.filter, out, err)
                 : 0;
    } else if (rc == 0 && e.source && e.target) { /* a target is looked at with its source in hand */
        rc = e.target->connector->target->check(e.target, e.source, &e.filter, out, err);
        rc = rc == 0 && queries ? check_queries(config, &e, out, err) : rc;
        mf_runbook_check(config, e.source, e.target, out);
        rc = rc == 0 ? mf_pair_check(config, e.source, e.target, &e.filter, out, err) : rc;
    }
    if (rc == 0 && e.source && e.target) {
        if (strcmp(e.source_facts.engine, e.target_facts.engine) == 0 &&
            e.target_facts.version_num / 10000 < e.source_facts.version_num / 10000) {
            mf_findings_add(out, MF_WARNING, MF_TARGET, "downgrade", "the target server",
                            "use a target of the same major version or later unless the downgrade is meant",
                            "this is a downgrade: %s %s to %s", e.source_facts.engine, e.source_facts.version,
                            e.target_facts.version);
        }
    }
    if (rc == 0) {
        *ret_facts =
            json_pack("{s:o, s:o}", "source", facts_json(&e.source_facts), "target", facts_json(&e.target_facts));
    }
    close_ends(&e);
    return rc;
}

/* ---- plan ---- */

struct sample {
    struct mf_reader *reader;
    const struct mf_table *table;
    struct mf_chunk chunk; /* the first of its plan */
    int64_t bytes, rows, start, us;
};

static int first_chunk(void *ctx, const struct mf_chunk *c, struct mf_error *err)
{
    (void)err;
    struct sample *s = ctx;
    if (c->ordinal == 0) {
        s->chunk = *c;
    }
    return 0;
}

static int count_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    struct sample *s = ctx;
    for (uint16_t i = 0; i < row->n; i++) {
        s->bytes += mf_value_has_bytes(&row->values[i]) ? row->values[i].len : 0;
    }
    s->rows++;
    return mf_now_us() - s->start > SAMPLE_US ? mf_fail(err, MF_ABANDONED, "MFENOUGH", "enough was read") : 0;
}

/* A database without a wire form of its own (mf_connector.wire) gives rows alone. */
static int measure_rows(const struct mf_source_ops *ops, struct sample *s, struct mf_error *err)
{
    struct mf_position after;
    int rc = ops->chunk_rows(s->reader, s->table, &s->chunk, count_row, s, &after, err);
    if (rc < 0 && mf_streq(err->code, "MFENOUGH")) {
        mf_error_clear(err);
        rc = 0;
    }
    return rc;
}

static int measure_bytes(const struct mf_source_ops *ops, struct sample *s, struct mf_error *err)
{
    struct mf_position after;
    const void *data;
    size_t len = 1;
    int rc = ops->chunk_open(s->reader, s->table, &s->chunk, err);
    while (rc == 0 && (rc = ops->chunk_read(s->reader, &data, &len, err)) == 0 && len > 0) {
        s->bytes += (int64_t)len;
        if (mf_now_us() - s->start > SAMPLE_US) {
            break;
        }
    }
    return rc == 0 && len == 0 ? ops->chunk_close(s->reader, &after, &s->rows, err) : rc;
}

/* Reads up to SAMPLE_BYTES of the largest table, for at most SAMPLE_US: bytes a second that one reader gets here and now. */
static int measure(struct ends *e, const struct mf_catalog *tables, struct sample *s, struct mf_error *err)
{
    const struct mf_source_ops *ops = e->source->connector->source;
    for (size_t i = 0; i < tables->n; i++) {
        const struct mf_table *t = &tables->tables[i];
        s->table = t->nkey > 0 && !t->made && (!s->table || t->bytes > s->table->bytes) ? t : s->table;
    }
    if (!s->table) {
        return 0;
    }
    int rc = ops->reader_open(e->source, NULL, &s->reader, err);
    if (rc == 0) {
        rc = ops->chunk_plan(s->reader, s->table, 200000, SAMPLE_BYTES, first_chunk, s, err);
    }
    s->start = mf_now_us();
    if (rc == 0) {
        rc = mf_db_behind(e->source)->connector->wire ? measure_bytes(ops, s, err) : measure_rows(ops, s, err);
    }
    s->us = mf_now_us() - s->start;
    ops->reader_close(s->reader);
    return rc;
}

static json_t *tables_json(const struct mf_catalog *tables, int64_t *ret_bytes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tables->n; i++) {
        const struct mf_table *t = &tables->tables[i];
        char key[512] = "", label[300];
        for (uint16_t k = 0; k < t->nkey; k++) {
            size_t at = strlen(key);
            snprintf(key + at, sizeof key - at, "%s%s", k ? ", " : "", t->columns[t->key[k]].name);
        }
        mf_table_label(t, label, sizeof label);
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:i, s:s, s:s}", "name", label, "rows", (json_int_t)t->rows_estimate,
                            "bytes", (json_int_t)t->bytes, "columns", (int)t->ncolumns, "key", key, "copied",
                            t->identity == MF_IDENTITY_FULL ? "from one exact snapshot, matched on whole rows"
                                                            : "in chunks of its key"));
        *ret_bytes += t->bytes > 0 ? t->bytes : 0;
    }
    return list;
}

static int ddl_json(struct ends *e, const struct mf_config *c, const struct mf_catalog *tables, json_t *out,
                    struct mf_error *err)
{
    static const struct {
        enum mf_schema_stage stage;
        const char *name;
    } stages[] = {
        {MF_SCHEMA_BEFORE_ROWS, "before_rows"}, {MF_SCHEMA_KEYS, "keys"}, {MF_SCHEMA_AFTER_SYNC, "after_sync"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(stages); i++) {
        MF_CLEANUP_BUF struct mf_buf text = {.max = 64 << 20};
        struct mf_schema_job job = {.stage = stages[i].stage,
                                    .tables = tables,
                                    .filter = &e->filter,
                                    .jobs = (int)c->copy.jobs,
                                    .accounts = c->accounts == MF_ACCOUNTS_COPY};
        if (e->target->connector->target->schema_plan(e->target, e->source, &job, &text, err) < 0) {
            return -1;
        }
        json_t *s = json_stringn(mf_buf_str(&text), text.len);
        json_object_set_new(out, stages[i].name, s ? s : json_string("(not UTF-8)"));
    }
    return 0;
}

static int plan(const struct mf_config *config, struct ends *e, json_t **ret, struct mf_error *err)
{
    struct mf_catalog tables = {0};
    struct sample s = {0};
    int64_t bytes = 0;
    json_t *ddl = json_object(), *modelling = NULL;
    int rc = e->source->connector->source->catalog(e->source, &e->filter, &tables, err);
    rc = rc == 0 ? measure(e, &tables, &s, err) : rc;
    rc = rc == 0 ? ddl_json(e, config, &tables, ddl, err) : rc;
    rc = rc == 0 ? mf_modelling(config, e->source, e->target, &tables, &modelling, err) : rc;
    if (rc == 0) {
        json_t *list = tables_json(&tables, &bytes);
        double rate = s.us > 0 ? (double)s.bytes * 1e6 / (double)s.us : 0;
        /* One reader was measured without a writer; jobs share one server's cores, so no more than two readers' worth is promised. */
        double together = rate * (config->copy.jobs > 1 ? 2 : 1) / 2;
        *ret = json_pack("{s:s, s:o, s:o, s:o, s:O, s:{s:I, s:f, s:f}, s:o, s:I}", "migration", config->migration,
                         "source", facts_json(&e->source_facts), "target", facts_json(&e->target_facts), "tables", list,
                         "ddl", ddl, "estimate", "bytes", (json_int_t)bytes, "measured_bytes_per_second", rate,
                         "copy_seconds", together > 0 ? (double)bytes / together : 0.0, "runbook",
                         mf_runbook(config, e->source, e->target), "expected_pause_ms_at_most",
                         (json_int_t)config->cutover.max_pause_ms);
        if (mf_way_back_between(config, e->source, e->target) == MF_BACK_BY_PASSES) {
            json_object_set_new(*ret, "rollback_pause_ms_at_most", json_integer(config->reverse.max_pause_ms));
        }
        if (modelling) {
            json_object_set_new(*ret, "modelling", modelling);
        }
    }
    json_decref(ddl);
    mf_catalog_free(&tables);
    return rc;
}

int mf_migration_plan(const struct mf_config *config, const struct mf_plan_options *o, json_t **ret,
                      struct mf_error *err)
{
    const struct mf_plan_options none = {0};
    const struct mf_filter filter = filter_of(config);
    struct mf_documents documents;
    struct ends e;
    if (mf_documents_plan(config, o ? o : &none, &filter, &documents, err) < 0) {
        return -1;
    }
    struct mf_config planned = *config; /* nothing in it is freed: it is config's, or the proposal's */
    if (documents.proposed) {
        planned.documents = documents.proposed->documents;
        planned.shred = documents.proposed->shred;
    }
    int rc = open_ends(&planned, &e, NULL, err);
    rc = rc == 0 ? plan(&planned, &e, ret, err) : rc;
    if (rc == 0 && documents.facts) {
        json_object_set(*ret, "documents", documents.facts);
    }
    close_ends(&e);
    mf_documents_free(&documents);
    return rc;
}
