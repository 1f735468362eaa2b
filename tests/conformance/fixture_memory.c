/* The fixture of the memory connector. */
#include "conformance.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/memory/memory.h"

static struct mf_mem_server *server[2];

struct conf_tx {
    struct mf_mem_txn *txn;
};

static void create_table(enum mf_side side, const char *table, const struct conf_column *c, size_t n)
{
    struct mf_mem_column columns[16] = {0};
    struct mf_error err = {0};
    for (size_t i = 0; i < n; i++) {
        columns[i] = (struct mf_mem_column){
            .name = c[i].name, .text = c[i].text, .in_key = c[i].key, .toast = c[i].toast, .unique = c[i].unique};
    }
    assert_int_equal(mf_mem_create_table(server[side], "public", table, columns, n, &err), 0);
}

static void add_column(enum mf_side side, const char *table, const char *column)
{
    struct mf_error err = {0};
    struct mf_mem_column c = {.name = column, .text = true};
    assert_int_equal(mf_mem_add_column(server[side], "public", table, &c, &err), 0);
}

static void drop_table(enum mf_side side, const char *table)
{
    struct mf_error err = {0};
    if (mf_mem_table_exists(server[side], "public", table)) {
        mf_mem_drop_table(server[side], "public", table, &err);
    }
}

static void narrow(enum mf_side side, const char *table, const char *column, int max_len)
{
    mf_mem_set_max_len(server[side], "public", table, column, (uint32_t)max_len);
}

static struct conf_tx *begin(enum mf_side side)
{
    struct conf_tx *t = calloc(1, sizeof *t);
    t->txn = mf_mem_begin(server[side]);
    return t;
}

static struct mf_value value(const char *s)
{
    return s ? (struct mf_value){MF_TEXT, (uint32_t)strlen(s), s} : (struct mf_value){.kind = MF_NULL};
}

static int ended(struct conf_tx *t, int rc, const struct mf_error *err, bool *waits)
{
    if (rc && waits) {
        *waits = strcmp(err->code, "MFHOLD") == 0;
    }
    if (rc) {
        mf_mem_abort(t->txn);
        free(t);
    }
    return rc;
}

static int insert(struct conf_tx *t, const char *table, size_t n, const char *const *values, bool *waits)
{
    struct mf_value v[16];
    struct mf_error err = {0};
    for (size_t i = 0; i < n; i++) {
        v[i] = value(values[i]);
    }
    return ended(t, mf_mem_insert(t->txn, "public", table, &(struct mf_row){(uint16_t)n, v}, &err), &err, waits);
}

static int column_of(const char *table, const char *name)
{
    static const struct {
        const char *table, *columns[4];
    } all[] = {{"t", {"id", "a", "big"}}, {"u", {"id", "v"}}, {"w", {"a", "b"}}, {"two", {"k1", "k2", "n"}}};
    for (size_t i = 0; i < MF_ARRAY_LEN(all); i++) {
        for (int c = 0; mf_streq(all[i].table, table) && c < 4; c++) {
            if (all[i].columns[c] && mf_streq(all[i].columns[c], name)) {
                return c;
            }
        }
    }
    fail_msg("no column %s.%s", table, name);
    return -1;
}

static bool is_text(const struct mf_value *v, const char *s)
{
    return v->kind == MF_TEXT && v->len == strlen(s) && memcmp(v->data, s, v->len) == 0;
}

/* Calls for each row that matches, like a statement. */
static int each(struct conf_tx *t, const char *table, const char *where, const char *is, const char *column,
                const char *to)
{
    struct mf_error err = {0};
    int at = column_of(table, where), set = column ? column_of(table, column) : -1, rc = 0;
    size_t n = mf_mem_count(t->txn, "public", table);
    for (size_t k = 0; rc == 0 && k < n; k++) {
        size_t i = column ? k : n - 1 - k; /* deleting from the end moves nothing that is still to be looked at */
        struct mf_row row;
        struct mf_value v[16];
        if (!mf_mem_row_at(t->txn, "public", table, i, &row) || !is_text(&row.values[at], is)) {
            continue;
        }
        for (uint16_t c = 0; c < row.n; c++) {
            v[c] = c == set ? value(to) : (struct mf_value){.kind = MF_UNCHANGED};
        }
        rc = column ? mf_mem_update(t->txn, "public", table, &row, &(struct mf_row){row.n, v}, &err)
                    : mf_mem_delete(t->txn, "public", table, &row, &err);
    }
    return ended(t, rc, &err, NULL);
}

static int update(struct conf_tx *t, const char *table, const char *where, const char *is, const char *column,
                  const char *to)
{
    return each(t, table, where, is, column, to);
}

static int remove_rows(struct conf_tx *t, const char *table, const char *where, const char *is)
{
    return each(t, table, where, is, NULL, NULL);
}

static int truncate_tables(struct conf_tx *t, const char *a, const char *b)
{
    struct mf_error err = {0};
    struct mf_mem_name names[2] = {{"public", a}, {"public", b}};
    return ended(t, mf_mem_truncate(t->txn, names, b ? 2 : 1, &err), &err, NULL);
}

static void savepoint(struct conf_tx *t)
{
    mf_mem_savepoint(t->txn);
}

static void rollback_to(struct conf_tx *t)
{
    mf_mem_rollback_to(t->txn);
}

static int commit(struct conf_tx *t)
{
    struct mf_error err = {0};
    int rc = mf_mem_commit(t->txn, NULL, &err);
    free(t);
    return rc;
}

static void abort_tx(struct conf_tx *t)
{
    mf_mem_abort(t->txn);
    free(t);
}

struct lines {
    size_t n;
    char *text[256];
};

static int add_line(void *ctx, const struct mf_row *row, struct mf_error *err)
{
    (void)err;
    struct lines *l = ctx;
    struct mf_buf b = {.max = 4096};
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        mf_buf_puts(&b, i ? "|" : "");
        if (v->kind == MF_NULL) {
            mf_buf_puts(&b, "\\N");
        } else if (v->len > 40) {
            mf_buf_printf(&b, "[%u]", v->len);
        } else {
            mf_buf_append(&b, v->data, v->len);
        }
    }
    l->text[l->n++] = mf_buf_steal(&b, NULL);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void dump(enum mf_side side, const char *table, struct mf_buf *out)
{
    struct lines l = {0};
    assert_int_equal(mf_mem_table_rows(server[side], "public", table, add_line, &l), 0);
    qsort(l.text, l.n, sizeof l.text[0], compare);
    for (size_t i = 0; i < l.n; i++) {
        mf_buf_printf(out, "%s\n", l.text[i]);
        free(l.text[i]);
    }
}

static void stream_large(enum mf_side side, bool on)
{
    mf_mem_knobs(server[side])->stream_after = on ? 5 : 0;
}

static size_t residue(enum mf_side side)
{
    assert_string_equal(mf_mem_violation(server[side]), "");
    return mf_mem_residue(server[side]);
}

static void nextval(enum mf_side side, const char *sequence, int times)
{
    while (times-- > 0) {
        mf_mem_nextval(server[side], "public", sequence);
    }
}

static struct conf_fixture fixture = {.name = "memory",
                                      .url = {"mem://conf-source", "mem://conf-target"},
                                      .schema = "public",
                                      .truncates_together = true,
                                      .create_table = create_table,
                                      .add_column = add_column,
                                      .drop_table = drop_table,
                                      .narrow = narrow,
                                      .begin = begin,
                                      .insert = insert,
                                      .update = update,
                                      .remove = remove_rows,
                                      .truncate = truncate_tables,
                                      .savepoint = savepoint,
                                      .rollback_to = rollback_to,
                                      .commit = commit,
                                      .abort = abort_tx,
                                      .dump = dump,
                                      .stream_large = stream_large,
                                      .residue = residue,
                                      .nextval = nextval};

const struct conf_fixture *conf_memory(bool faces, bool stamped)
{
    server[MF_SOURCE] = mf_mem_server_new("conf-source");
    server[MF_TARGET] = mf_mem_server_new("conf-target");
    mf_mem_knobs(server[MF_SOURCE])->wire_rows = 2;
    if (faces) {
        mf_mem_knobs(server[MF_TARGET])->other = fixture.faces = true;
        mf_strlcpy(fixture.url[MF_TARGET], "memx://conf-target", sizeof fixture.url[MF_TARGET]);
    }
    if (stamped) {
        mf_mem_knobs(server[MF_TARGET])->stamped = 1;
        mf_strlcpy(fixture.url[MF_TARGET], "mems://conf-target", sizeof fixture.url[MF_TARGET]);
    }
    return &fixture;
}
