/* The application's side of a server: what tests and simulations write with. */
#include <string.h>

#include "base/cleanup.h"
#include "connector/memory/dialect.h"

struct mf_mem_txn *mf_mem_begin(struct mf_mem_server *s)
{
    MEM_LOCKED;
    return mem_txn_begin(s, false);
}

size_t mf_mem_count(struct mf_mem_txn *t, const char *schema, const char *table)
{
    MEM_LOCKED;
    struct mem_table *m = mem_table_find(t->server, schema, table);
    return m && !t->dead ? mem_txn_rows(t, m)->n : 0;
}

bool mf_mem_row_at(struct mf_mem_txn *t, const char *schema, const char *table, size_t i, struct mf_row *ret)
{
    MEM_LOCKED;
    struct mem_table *m = mem_table_find(t->server, schema, table);
    struct mem_rows *r = m && !t->dead ? mem_txn_rows(t, m) : NULL;
    if (!r || i >= r->n) {
        return false;
    }
    free(t->said_text);
    free(t->said);
    t->said = mem_row_said(m->shape, r->rows[i]->v, true, &t->said_text);
    *ret = (struct mf_row){.n = r->rows[i]->n, .values = t->said};
    return true;
}

static struct mem_table *table_for(struct mf_mem_txn *t, const char *schema, const char *table,
                                   const struct mf_row *row, struct mf_error *err)
{
    struct mem_table *m = mem_table_need(t->server, schema, table, err);
    if (m && row && row->n != m->shape->table.ncolumns) {
        mf_fail(err, MF_FATAL, "42601", "%s.%s has %u columns, not %u", schema, table, m->shape->table.ncolumns,
                row->n);
        return NULL;
    }
    if (m && t->dead) {
        mf_fail(err, MF_RETRY, "08006", "the transaction was ended by the server");
        return NULL;
    }
    return m;
}

int mf_mem_insert(struct mf_mem_txn *t, const char *schema, const char *table, const struct mf_row *row,
                  struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_table *m = table_for(t, schema, table, row, err);
    MF_CLEANUP_FREE char *text = NULL;
    MF_CLEANUP_FREE struct mf_value *v = m ? mem_row_said(m->shape, row->values, false, &text) : NULL;
    return m ? mem_txn_insert(t, m, v, err) : -1;
}

static size_t locate(struct mf_mem_txn *t, struct mem_table *m, const struct mf_row *old, struct mf_error *err)
{
    MF_CLEANUP_FREE char *text = NULL;
    MF_CLEANUP_FREE struct mf_value *v = mem_row_said(m->shape, old->values, false, &text);
    size_t at = mem_rows_by_all(mem_txn_rows(t, m), m->shape, v);
    if (at == SIZE_MAX) {
        mf_fail(err, MF_FATAL, "02000", "no such row in %s.%s", m->shape->table.schema, m->shape->table.name);
    }
    return at;
}

int mf_mem_update(struct mf_mem_txn *t, const char *schema, const char *table, const struct mf_row *old,
                  const struct mf_row *row, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_table *m = table_for(t, schema, table, row, err);
    size_t at = m ? locate(t, m, old, err) : SIZE_MAX;
    MF_CLEANUP_FREE char *text = NULL;
    MF_CLEANUP_FREE struct mf_value *v = m ? mem_row_said(m->shape, row->values, false, &text) : NULL;
    return at == SIZE_MAX ? -1 : mem_txn_update(t, m, at, v, err);
}

int mf_mem_delete(struct mf_mem_txn *t, const char *schema, const char *table, const struct mf_row *old,
                  struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_table *m = table_for(t, schema, table, old, err);
    size_t at = m ? locate(t, m, old, err) : SIZE_MAX;
    return at == SIZE_MAX ? -1 : mem_txn_delete(t, m, at, err);
}

int mf_mem_truncate(struct mf_mem_txn *t, const struct mf_mem_name *tables, size_t n, struct mf_error *err)
{
    MEM_LOCKED;
    struct mem_table *m[MEM_MAX_TABLES];
    for (size_t i = 0; i < n; i++) {
        m[i] = table_for(t, tables[i].schema, tables[i].table, NULL, err);
        if (!m[i]) {
            return -1;
        }
    }
    return mem_txn_truncate(t, m, n, err);
}

void mf_mem_savepoint(struct mf_mem_txn *t)
{
    MEM_LOCKED;
    if (!t->dead) {
        t->save = t->nchanges;
        t->subxid = ++t->server->next_xid;
    }
}

void mf_mem_rollback_to(struct mf_mem_txn *t)
{
    MEM_LOCKED;
    if (!t->dead && t->save != SIZE_MAX) {
        mem_txn_rollback_to(t, t->save);
        t->save = SIZE_MAX;
    }
}

void mf_mem_set_bypass(struct mf_mem_txn *t)
{
    t->bypass = true;
}

bool mf_mem_txn_dead(const struct mf_mem_txn *t)
{
    return t->dead;
}

int mf_mem_commit(struct mf_mem_txn *t, struct mf_position *ret_at, struct mf_error *err)
{
    MEM_LOCKED;
    uint64_t lsn;
    if (mem_txn_commit(t, &lsn, err)) {
        return -1;
    }
    if (ret_at) {
        *ret_at = mem_position(lsn);
    }
    return 0;
}

void mf_mem_abort(struct mf_mem_txn *t)
{
    MEM_LOCKED;
    mem_txn_abort(t);
}
