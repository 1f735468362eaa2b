/* Windows case by case: what ends a batch, what must be alone, what is refused, and that hot rows cost no memory. The
 * rules themselves are tested by test_window_model. */
#include "mf_test.h"

#include "change/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mf_column columns[] = {{.name = "id", .in_key = true}, {.name = "a"}, {.name = "b"}};
static struct mf_column other_columns[] = {{.name = "id", .in_key = true}, {.name = "a"}, {.name = "c"}};
static uint16_t key[] = {0};
static const struct mf_table table = {
    .id = 1, .schema = "s", .name = "t", .ncolumns = 3, .nkey = 1, .columns = columns, .key = key};
static const struct mf_table altered = {
    .id = 1, .schema = "s", .name = "t", .ncolumns = 3, .nkey = 1, .columns = other_columns, .key = key};
static const struct mf_table keyless = {
    .id = 2, .schema = "s", .name = "bag", .identity = MF_IDENTITY_FULL, .ncolumns = 3, .columns = columns};

/* Rows are written as "1,x,~": ~ is UNCHANGED, - is NULL. */
static struct mf_row row(const char *text)
{
    static struct mf_value pool[64][3];
    static unsigned next;
    struct mf_value *v = pool[next++ % 64];
    for (int i = 0; i < 3; i++) {
        size_t n = strcspn(text, ",");
        v[i] = (struct mf_value){.kind = *text == '~' ? MF_UNCHANGED : *text == '-' ? MF_NULL : MF_TEXT};
        if (v[i].kind == MF_TEXT) {
            v[i].len = (uint32_t)n;
            v[i].data = text;
        }
        text += n + (text[n] == ',');
    }
    return (struct mf_row){.n = 3, .values = v};
}

static const char *refers_to[] = {"id"};
static struct mf_cascade cascade = {.schema = "s",
                                    .table = "child",
                                    .n = 1,
                                    .from = refers_to,
                                    .to = refers_to,
                                    .on_delete = MF_CASCADE_DELETE,
                                    .on_update = MF_CASCADE_UPDATE};
static const struct mf_table parent = {.id = 3,
                                       .schema = "s",
                                       .name = "parent",
                                       .ncolumns = 3,
                                       .nkey = 1,
                                       .columns = columns,
                                       .key = key,
                                       .ncascades = 1,
                                       .cascades = &cascade};

static struct mf_change change_of(const struct mf_table *t, enum mf_op op, const char *old, const char *new)
{
    struct mf_change c = {.op = op, .rel = t->id, .table = t, .has_old = old != NULL};
    if (old) {
        c.old_row = row(old);
    }
    if (new) {
        c.new_row = row(new);
    }
    return c;
}

static enum mf_window_added add(struct mf_window *w, const struct mf_table *t, enum mf_op op, const char *old,
                                const char *new)
{
    struct mf_error err = {0};
    enum mf_window_added added;
    struct mf_change c = change_of(t, op, old, new);
    assert_mf_ok(mf_window_add(w, &c, &added, &err), &err);
    return added;
}

static void assert_row(const struct mf_row *r, const char *text)
{
    struct mf_row want = row(text);
    for (int i = 0; i < 3; i++) {
        assert_true(mf_value_equal(&r->values[i], &want.values[i]));
    }
}

static void test_merging(void **state)
{
    (void)state;
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, false);
    assert_int_equal(mf_window_batch(w)->ntables, 0);
    assert_int_equal(add(w, &table, MF_UPDATE, NULL, "1,one,~"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_UPDATE, NULL, "1,three,~"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_UPDATE, "1,~,~", "1,~,B"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "2,-,x"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_UPDATE, NULL, "2,now,~"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_DELETE, "3,~,~", NULL), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "3,n,n"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "4,n,n"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_DELETE, "4,~,~", NULL), MF_WINDOW_ADDED);
    const struct mf_batch *b = mf_window_batch(w);
    assert_int_equal(b->ntables, 1);
    assert_int_equal(b->rows, 3);
    assert_int_equal(b->tables[0].nupdates, 2);
    assert_int_equal(b->tables[0].ninserts, 1);
    assert_int_equal(b->tables[0].updates[0]->op, MF_ROW_UPDATE);
    assert_row(&b->tables[0].updates[0]->new_row, "1,three,B");
    assert_int_equal(b->tables[0].updates[1]->op, MF_ROW_REPLACE);
    assert_row(&b->tables[0].updates[1]->new_row, "3,n,n");
    assert_row(&b->tables[0].inserts[0]->new_row, "2,now,x");
    mf_window_free(w);
}

static void test_what_must_be_alone(void **state)
{
    (void)state;
    const struct mf_table *tables[] = {&table};
    uint32_t rels[] = {1};
    struct mf_error err = {0};
    enum mf_window_added added;
    struct mf_change truncate = {
        .op = MF_TRUNCATE, .rel = 1, .table = &table, .ntruncated = 1, .truncated = tables, .truncated_rels = rels};
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, false);
    add(w, &table, MF_INSERT, NULL, "1,a,b");
    assert_mf_ok(mf_window_add(w, &truncate, &added, &err), &err);
    assert_int_equal(added, MF_WINDOW_FULL);
    assert_int_equal(add(w, &table, MF_UPDATE, "7,~,~", "8,x,~"), MF_WINDOW_FULL);  /* a key move that is not whole */
    assert_int_equal(add(w, &table, MF_UPDATE, "1,~,~", "9,x,~"), MF_WINDOW_ADDED); /* but here the rest is known */
    assert_int_equal(mf_window_batch(w)->rows, 1);
    assert_row(&mf_window_batch(w)->tables[0].inserts[0]->new_row, "9,x,b");

    mf_window_reset(w, false, false);
    assert_mf_ok(mf_window_add(w, &truncate, &added, &err), &err);
    assert_int_equal(added, MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "1,a,b"), MF_WINDOW_FULL);
    assert_ptr_equal(mf_window_batch(w)->truncate->truncated[0], &table);

    mf_window_reset(w, false, false);
    assert_int_equal(add(w, &table, MF_UPDATE, "7,~,~", "8,x,~"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "1,a,b"), MF_WINDOW_FULL);
    const struct mf_rowchange *c = mf_window_batch(w)->tables[0].updates[0];
    assert_row(&c->old_row, "7,~,~");
    assert_row(&c->new_row, "8,x,~");

    mf_window_reset(w, true, false);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "1,a,b"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "2,a,b"), MF_WINDOW_FULL);
    mf_window_free(w);
}

/* A table altered in the middle ends the batch; the same shape under another pointer does not. */
static void test_shapes(void **state)
{
    (void)state;
    struct mf_table copy = table;
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, false);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "1,a,b"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &copy, MF_INSERT, NULL, "2,a,b"), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &altered, MF_INSERT, NULL, "3,a,b"), MF_WINDOW_FULL);
    assert_int_equal(add(w, &keyless, MF_INSERT, NULL, "3,a,b"), MF_WINDOW_ADDED);
    assert_int_equal(mf_window_batch(w)->ntables, 2);
    mf_window_free(w);
}

static void test_keyless_rows_are_counted(void **state)
{
    (void)state;
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, false);
    for (int i = 0; i < 3; i++) {
        add(w, &keyless, MF_INSERT, NULL, "1,a,-");
        add(w, &keyless, MF_DELETE, "2,-,b", NULL);
        add(w, &keyless, MF_UPDATE, "2,-,b", "1,a,-");
    }
    add(w, &keyless, MF_INSERT, NULL, "3,a,b");
    add(w, &keyless, MF_UPDATE, "3,a,b", "3,~,~");
    add(w, &keyless, MF_DELETE, "3,a,b", NULL);
    const struct mf_batch *b = mf_window_batch(w);
    assert_int_equal(b->rows, 2);
    assert_int_equal(b->tables[0].deletes[0]->count, 6);
    assert_row(&b->tables[0].deletes[0]->old_row, "2,-,b");
    assert_int_equal(b->tables[0].inserts[0]->count, 6);
    assert_row(&b->tables[0].inserts[0]->new_row, "1,a,-");
    mf_window_free(w);
}

static void test_bounded(void **state)
{
    (void)state;
    char text[32];
    unsigned n = 0;
    struct mf_window *w = mf_window_new(20000);
    mf_window_reset(w, false, false);
    do {
        snprintf(text, sizeof(text), "%u,aaaa,bbbb", n++);
    } while (add(w, &table, MF_INSERT, NULL, text) == MF_WINDOW_ADDED);
    assert_in_range(n, 50, 400);
    mf_window_reset(w, false, false);
    for (unsigned i = 0; i < 100000; i++) { /* one hot row never fills it */
        snprintf(text, sizeof(text), "1,%u,bbbb", 100000 + i);
        assert_int_equal(add(w, &table, MF_UPDATE, NULL, text), MF_WINDOW_ADDED);
    }
    assert_row(&mf_window_batch(w)->tables[0].updates[0]->new_row, "1,199999,bbbb");
    /* One change over the bound fits alone. */
    static char big[60000];
    memset(big, 'x', sizeof(big) - 1);
    big[0] = '5';
    big[1] = ',';
    big[30000] = ',';
    mf_window_reset(w, false, false);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, big), MF_WINDOW_ADDED);
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "1,a,b"), MF_WINDOW_FULL);
    mf_window_free(w);
}

static void refused(const struct mf_table *t, enum mf_op op, const char *old, const char *new, const char *why)
{
    struct mf_error err = {0};
    enum mf_window_added added;
    struct mf_change c = change_of(t, op, old, new);
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, false);
    assert_mf_fails(mf_window_add(w, &c, &added, &err), &err, MF_FATAL, why);
    assert_string_equal(err.code, "MFCHANGE");
    assert_int_equal(mf_window_batch(w)->ntables, 0);
    mf_window_free(w);
}

static void test_changes_that_make_no_sense(void **state)
{
    (void)state;
    refused(&table, MF_INSERT, NULL, "1,a,~", "without all columns");
    refused(&table, MF_UPDATE, NULL, "~,a,b", "without its key");
    refused(&table, MF_UPDATE, "~,a,b", "1,a,b", "without the old key");
    refused(&keyless, MF_DELETE, "1,a,~", NULL, "REPLICA IDENTITY FULL");
    refused(&keyless, MF_UPDATE, NULL, "1,a,b", "REPLICA IDENTITY FULL");
    refused(&table, MF_DELETE, NULL, NULL, "does not fit its shape");
}

/* What no history can do is left to the target to judge, in a batch of its own. */
static void test_impossible_orders_end_the_batch(void **state)
{
    (void)state;
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, false);
    add(w, &table, MF_INSERT, NULL, "1,a,b");
    assert_int_equal(add(w, &table, MF_INSERT, NULL, "1,c,d"), MF_WINDOW_FULL);
    add(w, &table, MF_DELETE, "2,~,~", NULL);
    assert_int_equal(add(w, &table, MF_UPDATE, NULL, "2,c,d"), MF_WINDOW_FULL);
    assert_int_equal(add(w, &table, MF_DELETE, "2,~,~", NULL), MF_WINDOW_FULL);
    assert_int_equal(add(w, &table, MF_UPDATE, "3,~,~", "1,c,d"), MF_WINDOW_FULL); /* onto a key that is there */
    assert_int_equal(mf_window_batch(w)->rows, 2);
    mf_window_free(w);
}

static enum mf_window_added add_acting(struct mf_window *w, enum mf_op op, const char *old, const char *new)
{
    struct mf_error err = {0};
    enum mf_window_added added;
    struct mf_change c = change_of(&parent, op, old, new);
    c.cascades = true;
    assert_mf_ok(mf_window_add(w, &c, &added, &err), &err);
    return added;
}

static void test_what_cascades_shares_its_batch_with_deletes_of_its_table_only(void **state)
{
    (void)state;
    struct mf_window *w = mf_window_new(1 << 20);
    assert_int_equal(MF_WINDOW_ADDED, add(w, &table, MF_INSERT, NULL, "1,x,y"));
    assert_int_equal(MF_WINDOW_FULL, add_acting(w, MF_DELETE, "5,~,~", NULL));
    assert_false(mf_window_batch(w)->cascades);
    mf_window_reset(w, false, false);
    assert_int_equal(MF_WINDOW_ADDED, add_acting(w, MF_DELETE, "5,~,~", NULL));
    assert_int_equal(MF_WINDOW_ADDED, add_acting(w, MF_DELETE, "6,~,~", NULL));
    assert_int_equal(MF_WINDOW_FULL, add(w, &parent, MF_DELETE, "7,~,~", NULL)); /* of a session without foreign keys */
    assert_int_equal(MF_WINDOW_FULL, add_acting(w, MF_INSERT, NULL, "5,x,y"));
    assert_int_equal(MF_WINDOW_FULL, add(w, &table, MF_INSERT, NULL, "2,x,y"));
    assert_true(mf_window_batch(w)->cascades);
    assert_int_equal(2, mf_window_batch(w)->tables[0].ndeletes);
    mf_window_reset(w, false, false);
    assert_int_equal(MF_WINDOW_ADDED, add_acting(w, MF_UPDATE, "5,~,~", "8,x,y")); /* whole, and still said as one */
    assert_int_equal(MF_WINDOW_FULL, add_acting(w, MF_DELETE, "6,~,~", NULL));
    assert_true(mf_window_batch(w)->cascades);
    assert_int_equal(1, mf_window_batch(w)->tables[0].nupdates);
    assert_int_equal(0, mf_window_batch(w)->tables[0].ndeletes);
    mf_window_reset(w, false, false);
    assert_int_equal(MF_WINDOW_ADDED, add(w, &table, MF_INSERT, NULL, "1,x,y"));
    assert_int_equal(MF_WINDOW_ADDED, add_acting(w, MF_UPDATE, NULL, "5,x,y")); /* the key stays: nothing cascades */
    assert_false(mf_window_batch(w)->cascades);
    mf_window_free(w);
}

static enum mf_window_added add_at(struct mf_window *w, int64_t stamp, enum mf_op op, const char *old, const char *new)
{
    struct mf_error err = {0};
    enum mf_window_added added;
    struct mf_change c = change_of(&table, op, old, new);
    c.stamp = stamp;
    assert_mf_ok(mf_window_add(w, &c, &added, &err), &err);
    return added;
}

static const struct mf_rowchange *of_row(struct mf_rowchange *const *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++) {
        const struct mf_row *r = list[i]->op == MF_ROW_DELETE ? &list[i]->old_row : &list[i]->new_row;
        if (r->values[0].data[0] == id[0]) {
            return list[i];
        }
    }
    fail_msg("row %s is not in the batch", id);
    return list[0];
}

/* A row has the stamp of the last change that came to it. Plain is an insert to which nothing else came: it may leave NULLs unwritten. */
static void test_stamps(void **state)
{
    (void)state;
    struct mf_window *w = mf_window_new(1 << 20);
    mf_window_reset(w, false, true);
    add_at(w, 10, MF_INSERT, NULL, "1,-,x");
    add_at(w, 11, MF_INSERT, NULL, "2,-,x");
    add_at(w, 12, MF_UPDATE, NULL, "2,-,-");
    add_at(w, 13, MF_UPDATE, NULL, "3,a,~");
    add_at(w, 14, MF_DELETE, "4,~,~", NULL);
    add_at(w, 15, MF_UPDATE, NULL, "3,~,b");
    add_at(w, 16, MF_DELETE, "5,~,~", NULL);
    add_at(w, 17, MF_INSERT, NULL, "5,n,n");
    add_at(w, 18, MF_INSERT, NULL, "6,n,n");
    add_at(w, 19, MF_DELETE, "6,~,~", NULL);
    add_at(w, 20, MF_UPDATE, "7,~,~", "8,n,n");
    const struct mf_batch_table *t = mf_window_batch(w)->tables;
    assert_int_equal(t->ninserts, 3);
    assert_int_equal(of_row(t->inserts, 3, "1")->stamp, 10);
    assert_true(of_row(t->inserts, 3, "1")->plain);
    assert_int_equal(of_row(t->inserts, 3, "2")->stamp, 12);
    assert_false(of_row(t->inserts, 3, "2")->plain);
    assert_int_equal(of_row(t->inserts, 3, "8")->stamp, 20);
    assert_true(of_row(t->inserts, 3, "8")->plain);
    assert_int_equal(t->nupdates, 2);
    assert_int_equal(of_row(t->updates, 2, "3")->stamp, 15);
    assert_int_equal(of_row(t->updates, 2, "5")->stamp, 17);
    assert_int_equal(of_row(t->updates, 2, "5")->op, MF_ROW_REPLACE);
    assert_false(of_row(t->updates, 2, "5")->plain);
    assert_int_equal(t->ndeletes, 3);
    assert_int_equal(of_row(t->deletes, 3, "4")->stamp, 14);
    assert_int_equal(of_row(t->deletes, 3, "6")->stamp, 19);
    assert_int_equal(of_row(t->deletes, 3, "7")->stamp, 20);
    mf_window_reset(w, false, true);
    add_at(w, 21, MF_UPDATE, "1,~,~", "2,x,~"); /* not whole: alone */
    assert_int_equal(mf_window_batch(w)->tables[0].updates[0]->stamp, 21);
    mf_window_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_what_must_be_alone),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_keyless_rows_are_counted),
        cmocka_unit_test(test_what_cascades_shares_its_batch_with_deletes_of_its_table_only),
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_changes_that_make_no_sense),
        cmocka_unit_test(test_impossible_orders_end_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
