/* The fixture of a pair: a source of one kind and a target of another, each with its own fixture, behind faces (connector/face). */
#include "conformance.h"

#include "base/cleanup.h"

static const struct conf_fixture *of[2];

/* Whose an open transaction is. */
static struct {
    struct conf_tx *t;
    const struct conf_fixture *f;
} open[16];

static const struct conf_fixture *whose(const struct conf_tx *t, bool ends)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(open); i++) {
        if (open[i].t == t) {
            const struct conf_fixture *f = open[i].f;
            if (ends) {
                open[i].t = NULL;
            }
            return f;
        }
    }
    fail_msg("a transaction that was never begun");
    return of[0];
}

static void create_table(enum mf_side side, const char *table, const struct conf_column *c, size_t n)
{
    of[side]->create_table(side, table, c, n);
}

static void add_column(enum mf_side side, const char *table, const char *column)
{
    of[side]->add_column(side, table, column);
}

static void drop_table(enum mf_side side, const char *table)
{
    of[side]->drop_table(side, table);
}

static void narrow(enum mf_side side, const char *table, const char *column, int max_len)
{
    of[side]->narrow(side, table, column, max_len);
}

static struct conf_tx *begin(enum mf_side side)
{
    struct conf_tx *t = of[side]->begin(side);
    for (size_t i = 0; i < MF_ARRAY_LEN(open); i++) {
        if (!open[i].t) {
            open[i].t = t;
            open[i].f = of[side];
            return t;
        }
    }
    fail_msg("too many transactions");
    return NULL;
}

/* A failed write ends the transaction. */
static int write_with(struct conf_tx *t, int rc)
{
    if (rc) {
        whose(t, true);
    }
    return rc;
}

static int insert(struct conf_tx *t, const char *table, size_t n, const char *const *values, bool *waits)
{
    return write_with(t, whose(t, false)->insert(t, table, n, values, waits));
}

static int update(struct conf_tx *t, const char *table, const char *where, const char *is, const char *column,
                  const char *value)
{
    return write_with(t, whose(t, false)->update(t, table, where, is, column, value));
}

static int remove_rows(struct conf_tx *t, const char *table, const char *where, const char *is)
{
    return write_with(t, whose(t, false)->remove(t, table, where, is));
}

static int truncate_tables(struct conf_tx *t, const char *a, const char *b)
{
    return write_with(t, whose(t, false)->truncate(t, a, b));
}

static void savepoint(struct conf_tx *t)
{
    whose(t, false)->savepoint(t);
}

static void rollback_to(struct conf_tx *t)
{
    whose(t, false)->rollback_to(t);
}

static int commit(struct conf_tx *t)
{
    return whose(t, true)->commit(t);
}

static void abort_tx(struct conf_tx *t)
{
    whose(t, true)->abort(t);
}

static void dump(enum mf_side side, const char *table, struct mf_buf *out)
{
    of[side]->dump(side, table, out);
}

static void stream_large(enum mf_side side, bool on)
{
    of[side]->stream_large(side, on);
}

static size_t residue(enum mf_side side)
{
    return of[side]->residue(side);
}

static void nextval(enum mf_side side, const char *sequence, int times)
{
    of[side]->nextval(side, sequence, times);
}

const struct conf_fixture *conf_pair(const struct conf_fixture *source, const struct conf_fixture *target)
{
    static struct conf_fixture f;
    of[MF_SOURCE] = source;
    of[MF_TARGET] = target;
    f = (struct conf_fixture){.name = source->name,
                              .faces = true,
                              .needs_keys = target->needs_keys,
                              .books_stamped = target->books_stamped,
                              .large_refused = target->large_refused,
                              .schema = source->schema,
                              .images = source->images,
                              .truncates_together = source->truncates_together,
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
    memcpy(f.url[MF_SOURCE], source->url[MF_SOURCE], sizeof f.url[MF_SOURCE]);
    memcpy(f.url[MF_TARGET], target->url[MF_TARGET], sizeof f.url[MF_TARGET]);
    return &f;
}
