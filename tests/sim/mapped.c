/* Histories with query tables: the target has other tables than the source, made of its rows. What they must hold is worked out here in the plainest way, row by
 * row from what is committed, and told as one digest, so that the checks of every other history serve: each commit of midflight's must leave the target with the
 * query tables of a state that the application made. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"
#include "sim.h"

/* One query table: as the map has it, and as the oracle makes it: of the columns of its table by their ordinals (CONSTANT, and of table a CUT and ALL), whose key has no NULL. Key columns
 * are in the order of the columns, as a server in memory has them. */
enum { CONSTANT = -1, CUT = -2, ALL = -3 };
struct spec {
    const char *yaml, *base, *name;
    int n, columns[5];
    int not_null; /* ordinal in the base; -1: none may be NULL there anyway */
};
static const struct spec specs[] = {
    {"{table: public.a, to: a_by_u, partition: [u], clustering: [id desc], columns: [u, id, v, big]}",
     "a",
     "a_by_u",
     4,
     {3, 0, 1, 2},
     3},
    {"{table: a, to: a_slim, partition: [key], columns: [{name: id, as: key}, v, {name: kind, value: const}]}",
     "a",
     "a_slim",
     3,
     {0, 1, CONSTANT},
     -1},
    {"{table: a, to: a_large, columns: [big, id]}", "a", "a_large", 2, {2, 0}, -1},
    {"{table: a, to: other.a_const, partition: [bucket, v], clustering: [id], columns: [{name: bucket, value: const}, "
     "v, "
     "id]}",
     "a",
     "a_const",
     3,
     {CONSTANT, 1, 0},
     1},
    {"{table: a, to: a_cut, partition: [cut], clustering: [id], columns: [{name: cut, expr: \"left(v, 2)\"}, id, big]}",
     "a",
     "a_cut",
     3,
     {CUT, 0, 2},
     1},
    {"{table: a, to: a_all, columns: [id, {name: all, expr: \"concat(v, '/', u, big)\"}]}",
     "a",
     "a_all",
     2,
     {0, ALL},
     -1},
    {"{table: b, to: b, columns: ['*'], drop: v}", "b", "b", 2, {0, 1}, -1},
    {"{table: b, to: b_by_v, partition: [v], clustering: [k2, k1], columns: [v, k2, k1]}",
     "b",
     "b_by_v",
     3,
     {2, 1, 0},
     2},
};
#define NSPECS (sizeof specs / sizeof specs[0])

void mapped_choose(struct world *w)
{
    struct mf_error err = {0};
    MF_CLEANUP_BUF struct mf_buf text = {.max = 8192};
    mf_buf_puts(&text, "source: mem://a\ntarget: mem://b\nmap:\n");
    w->chosen = (unsigned)(XXH3_64bits(&w->seed, sizeof w->seed) >> 7) & ((1u << NSPECS) - 1);
    w->chosen = w->chosen ? w->chosen : 1;
    for (size_t i = 0; i < NSPECS; i++) {
        if (w->chosen & (1u << i)) {
            mf_buf_printf(&text, "  - %s\n", specs[i].yaml);
        }
    }
    if (mf_config_parse(mf_buf_str(&text), text.len, "sim.yaml", NULL, &w->config, &err) < 0) {
        world_fail(w, "setup", "%s", err.text);
    }
}

/* ---- what the target must have ---- */

static bool is_chosen(const struct world *w, const struct spec *s)
{
    return w->chosen & (1u << (s - specs));
}

/* A table of the source that no entry is about. */
static bool passes(const struct world *w, const char *table)
{
    for (size_t i = 0; i < NSPECS; i++) {
        if (is_chosen(w, &specs[i]) && mf_streq(specs[i].base, table)) {
            return false;
        }
    }
    return true;
}

struct summing {
    const struct spec *s; /* NULL: rows as they are */
    const char *table;
    uint64_t sum;
};

static XXH64_hash_t mix(XXH64_hash_t h, const struct mf_value *v)
{
    h = XXH3_64bits_withSeed(&v->kind, sizeof v->kind, h);
    return mf_value_has_bytes(v) ? XXH3_64bits_withSeed(v->len ? v->data : "", v->len, h + v->len) : h;
}

/* What the expressions are worth, in the plainest way. */
static struct mf_value made(int what, const struct mf_row *row, char *out, size_t n)
{
    const struct mf_value *v = &row->values[1], *u = &row->values[3], *big = &row->values[2];
    if (what == CONSTANT) {
        return (struct mf_value){MF_TEXT, 5, "const"};
    }
    if (what == CUT) {
        return v->kind == MF_TEXT && v->len > 2 ? (struct mf_value){MF_TEXT, 2, v->data} : *v;
    }
    if (v->kind == MF_NULL || u->kind == MF_NULL || big->kind == MF_NULL) {
        return (struct mf_value){.kind = MF_NULL};
    }
    int len = snprintf(out, n, "%.*s/%.*s%.*s", (int)v->len, v->data, (int)u->len, u->data, (int)big->len, big->data);
    return (struct mf_value){MF_TEXT, (uint32_t)len, out};
}

static int add_row(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)err;
    struct summing *t = ctx;
    char text[4096];
    XXH64_hash_t h = XXH3_64bits(t->table, strlen(t->table));
    if (t->s && t->s->not_null >= 0 && row->values[t->s->not_null].kind == MF_NULL) {
        return 0;
    }
    for (int i = 0; i < (t->s ? t->s->n : row->n); i++) {
        int at = t->s ? t->s->columns[i] : i;
        struct mf_value is = at < 0 ? made(at, row, text, sizeof text) : row->values[at];
        h = mix(h, &is);
    }
    t->sum += h; /* rows may be equal, and come in any order */
    return 0;
}

static uint64_t sum_of(struct world *w, int side, const char *schema, const char *table, const struct spec *s,
                       const char *as)
{
    struct summing t = {.s = s, .table = as};
    mf_mem_table_rows(w->server[side], schema, table, add_row, &t);
    return t.sum;
}

uint64_t world_digest(struct world *w, int side)
{
    uint64_t sum = 0;
    if (!w->mapped) {
        return mf_mem_digest(w->server[side]);
    }
    for (size_t i = 0; i < NSPECS; i++) {
        const struct spec *s = &specs[i];
        const char *schema = strstr(s->yaml, "other.") ? "other" : "public";
        if (is_chosen(w, s)) {
            sum += side == MF_SOURCE ? sum_of(w, side, "public", s->base, s, s->name)
                                     : sum_of(w, side, schema, s->name, NULL, s->name);
        }
    }
    for (int i = 0; i < SIM_TABLES; i++) {
        sum += passes(w, sim_tables[i]) ? sum_of(w, side, "public", sim_tables[i], NULL, sim_tables[i]) : 0;
    }
    return sum;
}
