/* The bookkeeping tables: ordinary tables in the schema midflight, so that the streams show them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "connector/memory/internal.h"

static const struct mf_mem_column checkpoint_columns[] = {
    {.name = "migration", .text = true, .in_key = true},
    {.name = "direction", .text = true, .in_key = true},
    {.name = "position_order", .text = true},
    {.name = "position_token", .text = true},
    {.name = "touched", .text = true},
};
static const struct mf_mem_column heartbeat_columns[] = {
    {.name = "migration", .text = true, .in_key = true},
    {.name = "side", .text = true, .in_key = true},
    {.name = "marker", .text = true},
    {.name = "beat"},
};
static const struct mf_mem_column epoch_columns[] = {
    {.name = "migration", .text = true, .in_key = true},
    {.name = "epoch"},
    {.name = "writer", .text = true},
    {.name = "open", .text = true},
};

int mem_book_prepare(struct mf_mem_server *s, struct mf_error *err)
{
    (void)err;
    if (!mem_table_find(s, "midflight", "checkpoint")) {
        mem_table_add(s, "midflight", "checkpoint", checkpoint_columns, 5);
    }
    if (!mem_table_find(s, "midflight", "heartbeat")) {
        mem_table_add(s, "midflight", "heartbeat", heartbeat_columns, 4);
    }
    if (!mem_table_find(s, "midflight", "epoch")) {
        mem_table_add(s, "midflight", "epoch", epoch_columns, 4);
    }
    return 0;
}

static struct mf_value text(const char *s)
{
    return (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(s), .data = s};
}

static const char *direction_name(enum mf_direction d)
{
    return d == MF_FORWARD ? "forward" : "reverse";
}

static int upsert(struct mf_mem_txn *t, const char *table, const struct mf_value *v, struct mf_error *err)
{
    struct mem_table *m = mem_table_need(t->server, "midflight", table, err);
    if (!m) {
        return -1;
    }
    size_t at = mem_rows_by_key(mem_txn_rows(t, m), m->shape, v);
    return at == SIZE_MAX ? mem_txn_insert(t, m, v, err) : mem_txn_update(t, m, at, v, err);
}

static int64_t number(const struct mf_value *v)
{
    char s[32] = {0};
    memcpy(s, v->data, v->kind == MF_NULL ? 0 : v->len < 31 ? v->len : 31);
    return strtoll(s, NULL, 10);
}

int mem_book_checkpoint(struct mf_mem_txn *t, const struct mf_pipe_id *pipe, const struct mf_position *p,
                        struct mf_error *err)
{
    char order[32], touched[32];
    struct mf_position old = {0};
    if (!p) {
        mem_book_read_checkpoint(t->server, pipe, &old);
        p = &old;
    }
    snprintf(order, sizeof order, "%" PRIu64, p->order);
    snprintf(touched, sizeof touched, "%" PRIu64, t->xid);
    struct mf_value v[5] = {text(pipe->migration), text(direction_name(pipe->direction)), text(order), text(p->token),
                            text(touched)};
    return upsert(t, "checkpoint", v, err);
}

int mem_book_heartbeat(struct mf_mem_txn *t, const struct mf_pipe_id *pipe, enum mf_side side, const char *marker,
                       struct mf_error *err)
{
    char beat[32];
    snprintf(beat, sizeof beat, "%" PRIu64, t->xid);
    struct mf_value v[4] = {text(pipe->migration), text(side == MF_SOURCE ? "source" : "target"),
                            marker ? text(marker) : (struct mf_value){.kind = MF_NULL}, text(beat)};
    return upsert(t, "heartbeat", v, err);
}

int mem_book_epoch(struct mf_mem_txn *t, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err)
{
    char epoch[32];
    snprintf(epoch, sizeof epoch, "%" PRIu64, e->epoch);
    struct mf_value v[4] = {text(pipe->migration), text(epoch), text(e->writer), text(e->open ? "true" : "false")};
    return upsert(t, "epoch", v, err);
}

static const struct mem_row *find(struct mf_mem_server *s, const char *table, const struct mf_value *key)
{
    const struct mem_table *m = mem_table_find(s, "midflight", table);
    size_t at = m ? mem_rows_by_key(m->rows, m->shape, key) : SIZE_MAX;
    return at == SIZE_MAX ? NULL : m->rows->rows[at];
}

static void copy_text(const struct mf_value *v, char *out, size_t n)
{
    size_t len = v->kind == MF_NULL ? 0 : v->len < n - 1 ? v->len : n - 1;
    memcpy(out, v->data ? v->data : "", len);
    out[len] = 0;
}

int mem_book_read_checkpoint(struct mf_mem_server *s, const struct mf_pipe_id *pipe, struct mf_position *ret)
{
    struct mf_value key[5] = {text(pipe->migration), text(direction_name(pipe->direction))};
    const struct mem_row *r = find(s, "checkpoint", key);
    *ret = (struct mf_position){0};
    if (r) {
        ret->order = (uint64_t)number(&r->v[2]);
        copy_text(&r->v[3], ret->token, sizeof ret->token);
    }
    return 0;
}

int mem_book_read_epoch(struct mf_mem_server *s, const struct mf_pipe_id *pipe, struct mf_epoch *ret)
{
    struct mf_value key[4] = {text(pipe->migration)};
    const struct mem_row *r = find(s, "epoch", key);
    *ret = (struct mf_epoch){0};
    if (r) {
        char open[8];
        ret->epoch = (uint64_t)number(&r->v[1]);
        copy_text(&r->v[2], ret->writer, sizeof ret->writer);
        copy_text(&r->v[3], open, sizeof open);
        ret->open = mf_streq(open, "true");
    }
    return 0;
}

void mem_book_drop(struct mf_mem_server *s, const struct mf_pipe_id *pipe)
{
    (void)pipe; /* one migration a server: the tables go with it */
    for (size_t i = 0; i < s->ntables; i++) {
        if (s->tables[i]->book) {
            s->tables[i]->dropped = true;
        }
    }
}
