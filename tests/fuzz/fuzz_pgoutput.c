/*
 * A stream of pgoutput messages, each with two bytes of length before it, from a server that lies: every item is well
 * formed or the stream ends with an error, and values never point outside the message.
 */
#include "fuzz.h"

#include "base/buf.h"
#include "connector/postgres/decode.h"
#include "connector/postgres/truncate.h"

#include <string.h>

struct message {
    const char *data;
    size_t len;
};

static void check_table(const struct mf_table *t)
{
    MF_FUZZ_CHECK(t && t->schema && t->name);
    MF_FUZZ_CHECK(t->nkey <= t->ncolumns);
    for (uint16_t i = 0; i < t->nkey; i++) {
        MF_FUZZ_CHECK(t->key[i] < t->ncolumns);
    }
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        MF_FUZZ_CHECK(t->columns[i].name);
    }
    mf_table_shape(t);
}

static void check_row(const struct mf_row *row, const struct mf_table *t, const struct message *m, bool any)
{
    MF_FUZZ_CHECK(row->n == t->ncolumns || (!any && row->n == 0));
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        if ((v->kind == MF_TEXT || v->kind == MF_BINARY) && v->len) {
            MF_FUZZ_CHECK(v->data >= m->data && v->len <= m->len - (size_t)(v->data - m->data));
        }
    }
}

static void check_change(const struct mf_change *c, const struct message *m)
{
    check_table(c->table);
    MF_FUZZ_CHECK(c->op >= MF_INSERT && c->op <= MF_TRUNCATE);
    if (c->op == MF_TRUNCATE) {
        MF_FUZZ_CHECK(c->ntruncated > 0);
        for (uint16_t i = 0; i < c->ntruncated; i++) {
            check_table(c->truncated[i]);
        }
        return;
    }
    MF_FUZZ_CHECK(c->op != MF_DELETE || c->has_old);
    check_row(&c->old_row, c->table, m, c->has_old);
    check_row(&c->new_row, c->table, m, c->op != MF_DELETE);
    MF_FUZZ_CHECK(c->op != MF_INSERT || mf_row_whole(&c->new_row));
    MF_FUZZ_CHECK(c->op == MF_INSERT || c->table->identity == MF_IDENTITY_KEY || !c->has_old ||
                  mf_row_whole(&c->old_row));
}

static void no_key_or_a_strange_one(void *ctx, const struct mf_table *t, const char *const **ret_names, size_t *ret_n)
{
    static const char *names[2];
    (void)ctx;
    *ret_names = names;
    *ret_n = t->id % 3;
    names[0] = t->ncolumns ? t->columns[t->ncolumns - 1].name : "none";
    names[1] = t->id & 4 && t->ncolumns ? t->columns[0].name : "nosuch";
}

static int the_same_again(void *ctx, struct mf_error *err)
{
    (void)ctx;
    (void)err;
    return 0;
}

/* The row with which an old server tells of a TRUNCATE. */
static void check_truncate(struct mf_item *item, const struct message *m)
{
    static struct mf_table known[] = {{.id = 7, .schema = "public", .name = "t"}};
    static const struct mf_catalog catalog = {.tables = known, .n = 1};
    struct pg_truncates t = {.catalog = &catalog, .reread = the_same_again};
    struct mf_error err = {0};
    if (pg_truncate_item(&t, "m", item, &err) == 0 && item->kind == MF_ITEM_CHANGE) {
        check_change(&item->change, m);
    }
    free(t.tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mf_cursor in;
    mf_cursor_init(&in, data, size);
    struct pg_decoder *d = pg_decoder_new(size & 1 ? no_key_or_a_strange_one : NULL, NULL);
    MF_FUZZ_CHECK(d);
    while (mf_cursor_left(&in)) {
        struct mf_error err = {0};
        struct mf_item item = {0};
        size_t want = mf_read_u16be(&in);
        size_t len = want < mf_cursor_left(&in) ? want : mf_cursor_left(&in);
        const void *bytes = in.failed ? NULL : mf_read_bytes(&in, len);
        /* A copy of exactly that size, so that a checker sees a read past the end. */
        char *copy = bytes ? malloc(len ? len : 1) : NULL;
        if (!copy) {
            break;
        }
        memcpy(copy, bytes, len);
        struct message m = {copy, len};
        int rc = pg_decode(d, copy, len, &item, &err);
        if (rc < 0) {
            MF_FUZZ_CHECK(err.cls == MF_FATAL && err.text[0]);
        } else if (item.kind == MF_ITEM_RELATION) {
            check_table(item.table);
        } else if (item.kind == MF_ITEM_CHANGE) {
            check_change(&item.change, &m);
            check_truncate(&item, &m);
        }
        pg_decoder_in_transaction(d);
        free(copy);
        if (rc < 0) {
            break;
        }
    }
    pg_decoder_free(d);
    return 0;
}
