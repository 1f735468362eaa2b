/* Columns that midflight makes of others: they say nothing of the document's own, and no document is rebuilt of them. */
#include "bson/internal.h"

#include "base/str.h"

#include <string.h>

size_t made_time(const struct mf_value *v, char text[32])
{
    uint8_t bytes[12];
    size_t n;
    bool hex = v->kind == MF_TEXT;
    if (!mf_value_has_bytes(v) || v->len != (hex ? 24 : 12) ||
        (hex ? !hex_read(v->data, 24, bytes) : !memcpy(bytes, v->data, 12))) {
        return 0;
    }
    shred_instant_put((int64_t)mf_get_u32be(bytes) * 1000, text, &n);
    return n;
}

static int check_times(const struct mf_shred_collection *c, const struct plan_node *n, const struct mf_shred_rows *rows,
                       struct mf_error *err)
{
    const struct mf_shred_list *list = n->column && n->column->time >= 0 ? &rows->of[n->table] : NULL;
    for (size_t i = 0; list && i < list->n; i++) {
        char text[32];
        const struct mf_value *is = &list->rows[i].values[n->column->time];
        size_t len = made_time(&list->rows[i].values[n->column->at], text);
        if (len ? !mf_value_equal(is, &(struct mf_value){MF_TEXT, (uint32_t)len, text}) : is->kind != MF_NULL) {
            const struct mf_table *t = c->tables[n->table].table;
            return mf_fail(err, MF_ROW, "MFDOC", "table %s, column %s: it is not the time of column %s", t->name,
                           t->columns[n->column->time].name, t->columns[n->column->at].name);
        }
    }
    for (uint16_t i = 0; i < n->nchildren; i++) {
        if (check_times(c, n->children[i], rows, err) < 0) {
            return -1;
        }
    }
    return n->list ? check_times(c, n->list->element, rows, err) : 0;
}

int mf_shred_check_made(const struct mf_shred_collection *c, const struct mf_shred_rows *rows, struct mf_error *err)
{
    return check_times(c, c->plan->root, rows, err);
}
