/*
 * How many rows, and how large: system.size_estimates, of which every node has those of its own primary ranges. A node that is down, or whose estimates do not
 * cover its ranges yet, is made up for by the share of the ring that the others cover.
 */
#include "connector/cassandra/catalog.h"

#include "base/mem.h"
#include "base/str.h"

#define RING 18446744073709551616.0 /* tokens */

struct figures {
    struct mf_catalog *cat;
    struct sum {
        double covered, rows, bytes;
    } * sums; /* one for each table */
    struct mf_arena arena;
};

static bool token_of(struct mf_arena *arena, struct cql_bytes cell, int64_t *ret)
{
    const char *text = cass_look_text(arena, cell);
    return text && mf_parse_i64(text, ret);
}

static int take(void *ctx, const struct cql_bytes *cells, struct mf_error *err)
{
    struct figures *f = ctx;
    int64_t start, end;
    (void)err;
    mf_arena_reset(&f->arena);
    const char *keyspace = cass_look_text(&f->arena, cells[0]), *name = cass_look_text(&f->arena, cells[1]);
    const struct mf_table *t = keyspace && name ? mf_catalog_find(f->cat, keyspace, name) : NULL;
    if (!t || !token_of(&f->arena, cells[2], &start) || !token_of(&f->arena, cells[3], &end)) {
        return 0;
    }
    struct sum *s = &f->sums[t - f->cat->tables];
    uint64_t width = (uint64_t)end - (uint64_t)start; /* a range that wraps, too */
    s->covered += width ? (double)width : RING;
    s->rows += (double)cass_look_number(cells[4]);
    s->bytes += (double)cass_look_number(cells[4]) * (double)cass_look_number(cells[5]);
    return 0;
}

static const char figures_cql[] = "SELECT keyspace_name, table_name, range_start, range_end, partitions_count,"
                                  " mean_partition_size FROM system.size_estimates";

int cass_figures_read(struct mf_cql *c, struct mf_catalog *cat, struct mf_error *err)
{
    MF_CLEANUP_FREE struct mf_cql_node *nodes = NULL;
    MF_CLEANUP_FREE struct sum *sums = mf_xcalloc(cat->n + 1, sizeof *sums);
    size_t n = 0;
    if (mf_cql_nodes(c, &nodes, &n, err) < 0) {
        return -1;
    }
    struct figures f = {.cat = cat, .sums = sums};
    mf_arena_init(&f.arena, 1u << 20);
    for (size_t i = 0; i < n; i++) {
        struct mf_error unasked;
        mf_error_clear(&unasked);
        if (nodes[i].up) { /* one that does not answer only makes the estimate a rougher one */
            (void)cass_look(c, figures_cql, 6, nodes[i].id, take, &f, &unasked);
        }
    }
    mf_arena_free(&f.arena);
    for (size_t i = 0; i < cat->n; i++) {
        const struct sum *s = &sums[i];
        double share = s->covered / RING;
        if (share > 0.001) {
            cat->tables[i].rows_estimate = (int64_t)(s->rows / share);
            cat->tables[i].bytes = (int64_t)(s->bytes / share);
        }
    }
    return 0;
}
