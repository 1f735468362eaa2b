/* A plan's part for a target that spreads rows by key: keys and query tables that the source's keys, foreign keys and statements suggest, and how large their partitions
 * would be by the data itself. With a `map:` nothing is proposed: the partitions of that one are measured.
 *
 * What cannot be asked of the source (no statistics, a measurement that takes too long) is told in its place, and the plan goes on without. */
#include "migration/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "map/partitions.h"
#include "map/propose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKED_MOST    2000 /* ways of finding rows that are told apart */
#define WARNINGS_MOST 8    /* of one table */
#define MAP_BYTES     ((size_t)16 << 20)

struct modelling {
    const struct mf_config *config;
    struct mf_db *source;
    struct mf_asked *asked;
    size_t nasked;
    json_t *tables, *warnings, *notes;
    struct mf_buf map;
};

/* ---- statements ---- */

static int take_statement(void *ctx, const struct mf_statement *s, struct mf_error *err)
{
    (void)err;
    struct modelling *m = ctx;
    struct mf_access a;
    if (!mf_access_parse(s->text, s->len, &a)) {
        return 0;
    }
    if (!a.schema.text[0] && s->schema && strlen(s->schema) < sizeof a.schema.text) {
        mf_strlcpy(a.schema.text, s->schema, sizeof a.schema.text);
    }
    for (size_t i = 0; i < m->nasked; i++) {
        if (mf_access_same(&m->asked[i].access, &a)) {
            m->asked[i].calls += s->calls;
            return 0;
        }
    }
    if (m->nasked < ASKED_MOST) {
        m->asked = mf_xreallocarray(m->asked, m->nasked + 1, sizeof *m->asked);
        m->asked[m->nasked++] = (struct mf_asked){a, s->calls};
    }
    return 0;
}

static int by_calls(const void *a, const void *b)
{
    const struct mf_asked *x = a, *y = b;
    return x->calls < y->calls ? 1 : x->calls > y->calls ? -1 : strcmp(x->access.table.text, y->access.table.text);
}

static void add_note(json_t *list, const char *text)
{
    json_t *s = json_string(text);
    json_array_append_new(list, s ? s : json_string("(not UTF-8)"));
}

static int read_statements(struct modelling *m, struct mf_error *err)
{
    struct mf_db *db = m->source;
    if (db->connector->source->statements(db, m->config->queries.max, take_statement, m, err) < 0) {
        if (!mf_streq(err->code, "MFUNSUP")) {
            return -1;
        }
        char text[700];
        snprintf(text, sizeof text, "keys are proposed without regard to statements: %.*s", 600, err->text);
        add_note(m->notes, text);
        *err = (struct mf_error){0};
    }
    if (m->nasked) {
        qsort(m->asked, m->nasked, sizeof *m->asked, by_calls);
    }
    return 0;
}

/* ---- sizes ---- */

struct warned {
    struct modelling *m;
    const char *table, *to;
    size_t n;
    char *texts[WARNINGS_MOST];
};

static void warn(void *ctx, const char *text)
{
    struct warned *w = ctx;
    char whole[1200];
    if (w->n < WARNINGS_MOST) {
        w->texts[w->n++] = mf_xstrdup(text);
        snprintf(whole, sizeof whole, "%s, from %s: %s", w->to, w->table, text);
        add_note(w->m->warnings, whole);
    }
}

static void warned_free(struct warned *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->texts[i]);
    }
}

/* Adds the figures to the table's facts, and warns. */
static void measure(struct modelling *m, const struct mf_key_sizes_job *job, struct warned *w, json_t *facts)
{
    struct mf_key_sizes s;
    struct mf_error err = {0};
    const struct mf_partition_limits limits = {m->config->plan.partition_rows, m->config->plan.partition_bytes};
    if (m->source->connector->source->key_sizes(m->source, job, &s, &err) < 0) {
        char text[700];
        snprintf(text, sizeof text, "its partitions were not measured: %.*s", 600, err.text);
        warn(w, text);
        return;
    }
    mf_partitions_judge(&s, &limits, warn, w);
    json_object_set_new(facts, "partitions", json_integer(s.keys));
    json_object_set_new(facts, "largest_rows", json_integer(s.max_rows));
    json_object_set_new(facts, "largest_bytes", json_integer(s.max_bytes));
    json_object_set_new(facts, "p99_rows", json_integer(s.p99_rows));
    if (s.p99_bytes >= 0) {
        json_object_set_new(facts, "p99_bytes", json_integer(s.p99_bytes));
    }
    json_object_set_new(facts, "rows_with_null", json_integer(s.nulls));
    json_object_set_new(facts, "part_read", json_real(s.part));
}

static struct mf_key_sizes_job new_job(const struct modelling *m, const char *schema, const char *table)
{
    return (struct mf_key_sizes_job){.schema = schema,
                                     .table = table,
                                     .sample_bytes = m->config->plan.sample_bytes,
                                     .timeout_ms = m->config->plan.timeout_ms};
}

static json_t *texts_json(const char *const *texts, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        add_note(list, texts[i]);
    }
    return list;
}

static json_t *facts_of(const char *table, const char *to, const struct mf_buf *partition,
                        const struct mf_buf *clustering)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "table", table, "to", to, "partition", mf_buf_str(partition), "clustering",
                     mf_buf_str(clustering));
}

static void put_listed(struct mf_buf *b, const char *name, bool descending)
{
    mf_buf_printf(b, "%s%s%s", b->len ? ", " : "", name, descending ? " desc" : "");
}

/* ---- what is proposed ---- */

static void show_proposed(struct modelling *m, const struct mf_proposed *p)
{
    MF_CLEANUP_BUF struct mf_buf partition = {.max = 1 << 14}, clustering = {.max = 1 << 14};
    const char *names[MF_PROPOSE_KEY * 2];
    char label[300];
    struct mf_key_sizes_job job = new_job(m, p->of->schema, p->of->name);
    bool whole_key = true; /* nothing is in it but what tells rows apart */
    snprintf(label, sizeof label, "%s.%s", p->of->schema, p->of->name);
    for (uint16_t i = 0; i < p->npartition; i++) {
        names[job.n++] = p->of->columns[p->partition[i]].name;
        put_listed(&partition, names[i], false);
    }
    for (uint16_t i = 0; i < p->nclustering; i++) {
        const char *name = p->of->columns[p->clustering[i].column].name;
        whole_key = false;
        names[job.n + job.nmore++] = name;
        put_listed(&clustering, name, p->clustering[i].descending);
    }
    int moment = mf_proposed_moment(p);
    job.columns = names;
    job.moment = moment < 0 ? NULL : p->of->columns[moment].name;
    struct warned w = {.m = m, .table = label, .to = p->to};
    json_t *facts = facts_of(label, p->to, &partition, &clustering);
    json_object_set_new(facts, "calls", json_integer(p->calls));
    if (!whole_key) { /* else one row a partition */
        measure(m, &job, &w, facts);
    }
    json_object_set_new(facts, "why", texts_json(p->reasons, p->nreasons));
    json_object_set_new(facts, "warnings", texts_json((const char *const *)w.texts, w.n));
    json_array_append_new(m->tables, facts);
    mf_proposed_put_yaml(&m->map, p, (const char *const *)w.texts, w.n);
    warned_free(&w);
}

static int propose(struct modelling *m, const struct mf_db *target, const struct mf_catalog *tables,
                   struct mf_error *err)
{
    struct mf_schema schema = {0};
    struct mf_proposal p = {.n = 0};
    int rc = read_statements(m, err);
    rc = rc == 0 ? m->source->connector->describe(m->source, tables, &schema, err) : rc;
    rc = rc == 0 ? mf_propose(&schema, m->asked, m->nasked, &p, err) : rc;
    if (rc == 0) {
        mf_buf_puts(&m->map,
                    "# Proposed by `midflight plan`: change it, and put it into the configuration.\n"
                    "# See docs/guide/query-tables.md for what may stand here.\n"
                    "# WITH A MAP THERE IS NO ROLLBACK: what is written on the target after a cutover does not "
                    "come back,\n# and a cutover needs cutover.one_way: true. Reads may move and move back.\n"
                    "map:\n");
        if (mf_way_back_between(m->config, m->source, target) != MF_BACK_NEVER) {
            add_note(m->notes, "a map costs the rollback: with one, what is written on the target after a cutover does "
                               "not come back (cutover.one_way); without one it does");
        }
        for (size_t i = 0; i < p.n; i++) {
            show_proposed(m, &p.tables[i]);
        }
        for (size_t i = 0; i < p.nnotes; i++) {
            add_note(m->notes, p.notes[i]);
        }
    }
    mf_proposal_free(&p);
    mf_schema_free(&schema);
    return rc;
}

/* ---- what is in the configuration ---- */

static bool is_moment(const struct mf_column *c)
{
    const enum mf_kind kind = c->foreign ? c->foreign->type.kind : MF_KIND_OPAQUE;
    return kind == MF_KIND_DATE || kind == MF_KIND_DATETIME || kind == MF_KIND_INSTANT;
}

/* The source's column that a column of t is made of; NULL: none, it is a constant. */
static const struct mf_column *own_column(const struct mf_table *t, uint16_t i)
{
    if (!t->made) {
        return &t->columns[i];
    }
    const struct mf_made_column *c = &t->made->columns[i];
    return c->kind == MF_MADE_COLUMN ? &t->made->base->columns[c->of] : NULL;
}

static void show_table(struct modelling *m, const struct mf_table *t)
{
    MF_CLEANUP_BUF struct mf_buf partition = {.max = 1 << 14}, clustering = {.max = 1 << 14};
    const struct mf_table *base = t->made ? t->made->base : t;
    const char **names = mf_xcalloc(t->nkey + 1u, sizeof *names);
    char label[300], to[300];
    struct mf_key_sizes_job job = new_job(m, base->schema, base->name);
    uint16_t npartition = t->made && t->made->npartition ? t->made->npartition : t->npartition ? t->npartition : 1;
    bool bounded = false;
    for (uint16_t i = 0; i < t->nkey; i++) {
        const struct mf_column *c = own_column(t, t->key[i]);
        put_listed(i < npartition ? &partition : &clustering, t->columns[t->key[i]].name,
                   t->made && t->made->columns[t->key[i]].descending);
        if (c) {
            names[job.n + job.nmore] = c->name;
            job.n += i < npartition;
            job.nmore += i >= npartition;
            bounded |= i < npartition && is_moment(c);
            job.moment = !job.moment && i >= npartition && is_moment(c) ? c->name : job.moment;
        }
    }
    for (uint16_t i = 0; i < base->ncolumns && !job.moment; i++) {
        job.moment = base->columns[i].not_null && is_moment(&base->columns[i]) ? base->columns[i].name : NULL;
    }
    job.moment = bounded ? NULL : job.moment;
    job.columns = names;
    struct warned w = {
        .m = m, .table = mf_table_label(base, label, sizeof label), .to = mf_table_label(t, to, sizeof to)};
    json_t *facts = facts_of(label, to, &partition, &clustering);
    if (t->nkey > npartition) {
        measure(m, &job, &w, facts);
    }
    json_object_set_new(facts, "warnings", texts_json((const char *const *)w.texts, w.n));
    json_array_append_new(m->tables, facts);
    warned_free(&w);
    free(names);
}

int mf_modelling(const struct mf_config *c, struct mf_db *source, struct mf_db *target, const struct mf_catalog *tables,
                 json_t **ret, struct mf_error *err)
{
    if (!target->connector->spreads || !source->connector->describe) {
        *ret = NULL;
        return 0;
    }
    struct modelling m = {.config = c,
                          .source = source,
                          .tables = json_array(),
                          .warnings = json_array(),
                          .notes = json_array(),
                          .map = {.max = MAP_BYTES}};
    int rc = c->map ? 0 : propose(&m, target, tables, err);
    for (size_t i = 0; c->map && i < tables->n; i++) {
        show_table(&m, &tables->tables[i]);
    }
    if (rc == 0 && !mf_buf_ok(&m.map)) {
        rc = mf_fail(err, MF_FATAL, "MFMEM",
                     "the proposal of a map would be too large: leave tables out (tables.exclude)");
    }
    if (rc == 0) {
        *ret = json_pack("{s:O, s:O, s:O}", "tables", m.tables, "warnings", m.warnings, "notes", m.notes);
        if (!c->map) {
            json_t *text = json_stringn(mf_buf_str(&m.map), m.map.len);
            json_object_set_new(*ret, "map", text ? text : json_string("(not UTF-8)"));
        }
    }
    json_decref(m.tables);
    json_decref(m.warnings);
    json_decref(m.notes);
    mf_buf_free(&m.map);
    free(m.asked);
    return rc;
}
