#include "change/bookkeeping.h"

#include "base/str.h"

#include <string.h>

enum mf_book mf_bookkeeping(const struct mf_table *t)
{
    if (!mf_streq(t->schema, "midflight")) {
        return MF_BOOK_NONE;
    }
    if (mf_streq(t->name, "checkpoint")) {
        return MF_BOOK_CHECKPOINT;
    }
    if (mf_streq(t->name, "heartbeat")) {
        return MF_BOOK_HEARTBEAT;
    }
    return mf_streq(t->name, "epoch") ? MF_BOOK_EPOCH : MF_BOOK_OTHER;
}

int mf_book_text(const struct mf_change *c, const char *column, char *out, size_t n)
{
    if (c->op != MF_INSERT && c->op != MF_UPDATE) {
        return -1;
    }
    int i = mf_table_column(c->table, column);
    if (i < 0 || i >= c->new_row.n) {
        return -1;
    }
    const struct mf_value *v = &c->new_row.values[i];
    if (v->kind != MF_TEXT || v->len >= n || memchr(v->data, '\0', v->len)) {
        return -1;
    }
    memcpy(out, v->data, v->len);
    out[v->len] = '\0';
    return 0;
}
