/* Of documents: rows of each of their tables, counted on both sides as they are read. What is equal is said by the documents' digests; these are for people. */
#include "verify/internal.h"

#include <string.h>

struct taking {
    struct mf_verify *v;
    struct vf_table *t;
    enum vf_side side;
};

/* Under mu. */
static struct vf_part *part_of(struct mf_verify *v, struct vf_table *t, const char *table)
{
    struct vf_part **at = &t->parts;
    while (*at && strcmp((*at)->table, table) != 0) {
        at = &(*at)->next;
    }
    if (!*at) {
        struct vf_part *p = mf_alloc0(&v->arena, sizeof *p);
        if (p) {
            p->table = mf_strdup_a(&v->arena, table);
            *at = p->table ? p : NULL;
        }
    }
    return *at;
}

static int take(void *ctx, const char *table, int64_t rows, struct mf_error *err)
{
    struct taking *g = ctx;
    struct vf_part *p = part_of(g->v, g->t, table);
    if (!p) {
        return mf_fail(err, MF_FATAL, "MFMEM", "there is no memory left for the counts of %s", table);
    }
    p->rows[g->side] += rows;
    return 0;
}

int vf_parts_take(struct mf_verify *v, struct vf_table *t, enum vf_side side, struct mf_reader *r, struct mf_error *err)
{
    struct taking g = {.v = v, .t = t, .side = side};
    pthread_mutex_lock(&v->mu);
    int rc = r->db->connector->source->parts(r, take, &g, err);
    pthread_mutex_unlock(&v->mu);
    return rc;
}

void vf_parts_forget(struct vf_table *t)
{
    for (struct vf_part *p = t->parts; p; p = p->next) {
        p->rows[VF_ORIGIN] = p->rows[VF_REPLICA] = 0;
    }
}

int mf_verify_parts(struct mf_verify *v, mf_verify_part_sink *emit, void *ctx)
{
    int rc = 0;
    pthread_mutex_lock(&v->mu);
    for (size_t i = 0; rc == 0 && i < v->ntables; i++) {
        for (const struct vf_part *p = v->tables[i].parts; rc == 0 && p; p = p->next) {
            rc = emit(ctx, v->tables[i].named, p->table, p->rows[VF_ORIGIN], p->rows[VF_REPLICA]);
        }
    }
    pthread_mutex_unlock(&v->mu);
    return rc;
}
