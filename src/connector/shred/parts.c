/* Rows of each table that documents are made of, or make: what a verification counts. */
#include "connector/shred/internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

void docs_parts_begin(struct docs_parts *p, const struct mf_shred_collection *of)
{
    docs_parts_free(p);
    p->of = of;
    p->rows = of ? mf_xcalloc(of->ntables, sizeof *p->rows) : NULL;
}

void docs_parts_add(struct docs_parts *p, const struct mf_shred_rows *rows)
{
    for (uint16_t i = 0; p->of && i < p->of->ntables; i++) {
        p->rows[i] += (int64_t)rows->of[i].n;
    }
}

int docs_parts_emit(const struct docs_parts *p, mf_part_sink *emit, void *ctx, struct mf_error *err)
{
    char label[300];
    for (uint16_t i = 0; p->of && i < p->of->ntables; i++) {
        const struct mf_table *t = p->of->tables[i].table;
        if (emit(ctx, t->schema[0] ? mf_table_label(t, label, sizeof label) : t->name, p->rows[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

void docs_parts_free(struct docs_parts *p)
{
    free(p->rows);
    *p = (struct docs_parts){0};
}
