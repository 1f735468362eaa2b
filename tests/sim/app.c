/* The application: up to three transactions at once, on few keys, so that everything collides with everything. */
#include <string.h>

#include "base/str.h"
#include "sim.h"

const char *const sim_tables[SIM_TABLES] = {"a", "b", "w", "c"};

static const struct mf_mem_column columns[SIM_TABLES][4] = {
    {{.name = "id", .in_key = true},
     {.name = "v", .text = true},
     {.name = "big", .text = true, .toast = true},
     {.name = "u", .text = true, .unique = true}},
    {{.name = "k1", .in_key = true},
     {.name = "k2", .text = true, .in_key = true},
     {.name = "v", .text = true, .toast = true}},
    {{.name = "x"}, {.name = "y", .text = true}, {.name = "z", .text = true, .toast = true}},
    {{.name = "k", .text = true, .in_key = true}},
};
static const uint16_t ncolumns[SIM_TABLES] = {4, 3, 3, 1};

/* ---- rows ---- */

enum { LARGE_MAX = 1500 };

struct made {
    struct mf_value v[4];
    char text[4][LARGE_MAX + 24];
};

static void set(struct made *m, int c, const char *fmt, unsigned n)
{
    snprintf(m->text[c], sizeof m->text[c], "%s%u", fmt, n);
    m->v[c] = (struct mf_value){MF_TEXT, (uint32_t)strlen(m->text[c]), m->text[c]};
}

/* A value that takes a block of the spool and more. */
static void pad(struct world *w, struct made *m, int c)
{
    size_t n = strlen(m->text[c]), more = 100 + sim_below(w, LARGE_MAX - 100);
    memset(m->text[c] + n, 'x', more);
    m->text[c][n + more] = 0;
    m->v[c].len = (uint32_t)(n + more);
}

static void set_null(struct made *m, int c)
{
    m->v[c] = (struct mf_value){.kind = MF_NULL};
}

/* One that only one kind of server has. */
static bool make_unknown(struct world *w, struct made *m, int table, int c)
{
    if (!w->refusals || !columns[table][c].text || table == 2 || !sim_chance(w, 80)) {
        return false;
    }
    set(m, c, columns[table][c].in_key ? "k!" : "!",
        columns[table][c].in_key ? 1 + sim_below(w, 2) : (unsigned)++w->values);
    return true;
}

/* A value for one column. Keys and unique values are few; the others are new each time, so that no wrong value looks right. */
static void make(struct world *w, struct made *m, int table, int c)
{
    const struct mf_mem_column *col = &columns[table][c];
    if (make_unknown(w, m, table, c)) {
        return;
    }
    if (col->in_key) {
        set(m, c, col->text ? "k" : "", 1 + sim_below(w, col->text ? 3 : 8));
    } else if (col->unique) {
        set(m, c, "u", 1 + sim_below(w, 6));
        if (sim_chance(w, 400)) {
            set_null(m, c);
        }
    } else if (table == 2) { /* no key: equal rows on purpose */
        set(m, c, col->text ? "d" : "", 1 + sim_below(w, 3));
        if (sim_chance(w, 100) && !(w->stamped && c == 0)) {
            set_null(m, c);
        }
    } else if (sim_chance(w, 100)) {
        set_null(m, c);
    } else {
        set(m, c, col->text ? (col->toast ? "B" : "v") : "", (unsigned)++w->values);
        if (w->large && col->toast && sim_chance(w, 150)) {
            pad(w, m, c);
        }
    }
}

static void keep(struct made *m, int table)
{
    for (int c = 0; c < ncolumns[table]; c++) {
        m->v[c] = (struct mf_value){.kind = MF_UNCHANGED};
    }
}

void app_create_tables(struct world *w)
{
    struct mf_error err = {0};
    struct mf_mem_txn *t;
    for (int i = 0; i < SIM_TABLES; i++) {
        struct mf_mem_column c[4];
        memcpy(c, columns[i], sizeof c);
        for (int k = 0; k < 4; k++) { /* a row that was refused comes back when the stream has it whole */
            c[k].toast &= !w->refusals;
        }
        c[0].in_key |= w->stamped;    /* rows without a key cannot be there */
        for (int k = 0; k < 4; k++) { /* nobody there keeps a value unique, and the source would refuse it */
            c[k].unique &= !w->silent;
        }
        mf_mem_create_table(w->server[MF_SOURCE], "public", sim_tables[i], c, ncolumns[i], &err);
    }
    t = mf_mem_begin(w->server[MF_SOURCE]);
    for (unsigned n = sim_below(w, 24); n > 0; n--) {
        int table = (int)sim_below(w, SIM_TABLES);
        struct made m;
        for (int c = 0; c < ncolumns[table]; c++) {
            make(w, &m, table, c);
        }
        mf_mem_insert(t, "public", sim_tables[table], &(struct mf_row){ncolumns[table], m.v}, &err);
    }
    mf_mem_commit(t, NULL, &err);
}

/* ---- statements ---- */

static int insert(struct world *w, struct app_tx *t, int table, struct mf_error *err)
{
    struct made m;
    for (int c = 0; c < ncolumns[table]; c++) {
        make(w, &m, table, c);
    }
    return mf_mem_insert(t->txn, "public", sim_tables[table], &(struct mf_row){ncolumns[table], m.v}, err);
}

/* A copy of a row it sees: the row's own memory goes with the next write. */
static bool pick(struct world *w, struct app_tx *t, int table, struct made *m, struct mf_row *ret)
{
    size_t n = mf_mem_count(t->txn, "public", sim_tables[table]);
    struct mf_row row;
    if (n == 0 || !mf_mem_row_at(t->txn, "public", sim_tables[table], sim_below(w, (unsigned)n), &row)) {
        return false;
    }
    for (uint16_t c = 0; c < row.n; c++) {
        m->v[c] = row.values[c];
        if (row.values[c].kind == MF_TEXT) {
            memcpy(m->text[c], row.values[c].data, row.values[c].len);
            m->v[c].data = m->text[c];
        }
    }
    *ret = (struct mf_row){row.n, m->v};
    return true;
}

static int update(struct world *w, struct app_tx *t, int table, struct mf_error *err)
{
    struct made old, m;
    struct mf_row row;
    if (!pick(w, t, table, &old, &row)) {
        return 0;
    }
    keep(&m, table);
    bool key = sim_chance(w, 350);
    for (int c = 0; c < ncolumns[table]; c++) {
        if (columns[table][c].in_key ? key : sim_chance(w, 400)) {
            make(w, &m, table, c);
        }
    }
    return mf_mem_update(t->txn, "public", sim_tables[table], &row, &(struct mf_row){row.n, m.v}, err);
}

static int delete_row(struct world *w, struct app_tx *t, int table, struct mf_error *err)
{
    struct made old;
    struct mf_row row;
    return pick(w, t, table, &old, &row) ? mf_mem_delete(t->txn, "public", sim_tables[table], &row, err) : 0;
}

/* Two rows of `a` exchange their unique values, or their keys, by way of a third. */
static int swap(struct world *w, struct app_tx *t, struct mf_error *err)
{
    struct made a, b, m;
    struct mf_row ra, rb;
    int c = sim_chance(w, 600) ? 3 : 0;
    if (!pick(w, t, 0, &a, &ra) || !pick(w, t, 0, &b, &rb) || mf_value_equal(&a.v[0], &b.v[0])) {
        return 0;
    }
    struct mf_value va = a.v[c], vb = b.v[c];
    keep(&m, 0);
    if (c == 0) {
        set(&m, c, "", 99);
    } else {
        set_null(&m, c);
    }
    if (mf_mem_update(t->txn, "public", "a", &ra, &(struct mf_row){4, m.v}, err)) {
        return -1;
    }
    struct made third = a;
    third.v[c] = m.v[c];
    m.v[c] = va;
    if (mf_mem_update(t->txn, "public", "a", &rb, &(struct mf_row){4, m.v}, err)) {
        return -1;
    }
    m.v[c] = vb;
    return mf_mem_update(t->txn, "public", "a", &(struct mf_row){4, third.v}, &(struct mf_row){4, m.v}, err);
}

static int truncate_some(struct world *w, struct app_tx *t, struct mf_error *err)
{
    struct mf_mem_name names[2];
    size_t n = 0;
    for (int i = 0; i < SIM_TABLES && n < 2; i++) {
        if (i != w->untouched && sim_chance(w, 400)) {
            names[n++] = (struct mf_mem_name){"public", sim_tables[i]};
        }
    }
    return n ? mf_mem_truncate(t->txn, names, n, err) : 0;
}

static int statement(struct world *w, struct app_tx *t, struct mf_error *err)
{
    unsigned k = sim_below(w, 1000);
    int table = (int)sim_below(w, SIM_TABLES);
    if (sim_chance(w, 300)) {
        table = 0;
    }
    if (table == w->untouched) {
        return 0;
    }
    if (k < 340) {
        return insert(w, t, table, err);
    }
    if (k < 700) {
        return update(w, t, table, err);
    }
    if (k < 900) {
        return delete_row(w, t, table, err);
    }
    if (k < 960) {
        return w->untouched == 0 ? 0 : swap(w, t, err);
    }
    if (k < 975) {
        return truncate_some(w, t, err);
    }
    if (!t->saved) {
        mf_mem_savepoint(t->txn);
    } else {
        mf_mem_rollback_to(t->txn);
    }
    t->saved = !t->saved;
    return 0;
}

/* ---- transactions ---- */

static void end(struct app_tx *t, bool commit)
{
    struct mf_error err = {0};
    if (commit) {
        mf_mem_commit(t->txn, NULL, &err);
    } else {
        mf_mem_abort(t->txn);
    }
    *t = (struct app_tx){0};
}

static void next_value(struct world *w)
{
    if (!mf_mem_writable(w->server[w->app_side], "public", "a")) {
        return;
    }
    int64_t v = mf_mem_nextval(w->server[w->app_side], "public", "seq");
    if (v <= w->sequence) {
        world_fail(w, "P6", "the sequence gave %lld again", (long long)v);
    }
    w->sequence = v;
}

static void one_statement(struct world *w, struct app_tx *t)
{
    struct mf_error err = {0};
    t->ops++;
    if (statement(w, t, &err) == 0) {
        return;
    }
    if (mf_streq(err.code, "MFGATE")) {
        end(t, false);
        w->app_side = w->app_side == MF_SOURCE ? MF_TARGET : MF_SOURCE; /* as a hook or a new address would tell it */
    } else if (mf_streq(err.code, "MFHOLD") || mf_mem_txn_dead(t->txn)) {
        end(t, false); /* it waits: with one thread that is to come again later */
    }
}

void app_flag(struct world *w, int side)
{
    w->flag = side;
}

/* What it goes by: the last answer, for as long as it may. */
static int flag_known(struct world *w)
{
    if (w->now_us - w->flag_asked_us >= FLAG_DELAY_US || w->flag_known == FLAG_NONE) {
        w->flag_asked_us = w->now_us;
        w->flag_known = w->flag;
    }
    return w->flag_known;
}

/* The target keeps nobody out: nothing is written there that the flag does not allow. The source has its gate. */
static bool may_write(struct world *w)
{
    int side = w->silent ? flag_known(w) : FLAG_NONE;
    if (side != FLAG_NONE) {
        w->app_side = (enum mf_side)side;
    }
    for (int i = 0; w->silent && i < SIM_OPEN; i++) {
        if (w->open[i].txn && w->open[i].side == MF_TARGET && side != MF_TARGET) {
            end(&w->open[i], false);
        }
    }
    return !w->silent || w->app_side == MF_SOURCE || side == MF_TARGET;
}

void app_step(struct world *w)
{
    /* An application that writes faster than the stream is applied is never caught up with: it has an allowance for each goal, and then
     * only ends what it began. */
    if (w->app_stopped) {
        return;
    }
    if (!may_write(w)) {
        return;
    }
    struct app_tx *t = &w->open[sim_below(w, SIM_OPEN)];
    if (t->txn && (mf_mem_txn_dead(t->txn) || (t->side != w->app_side && t->ops == 0))) {
        end(t, false);
    }
    if (!t->txn && w->allowance <= 0) {
        return;
    }
    if (!t->txn) {
        w->allowance--;
        if (sim_chance(w, 60)) {
            next_value(w);
        }
        t->txn = mf_mem_begin(w->server[w->app_side]);
        t->side = w->app_side;
    }
    int n = sim_chance(w, 50) ? 12 : 1 + (int)sim_below(w, 3);
    if (w->large && sim_chance(w, 60)) {
        n = 60;
    }
    for (int i = 0; i < n && t->txn; i++) {
        one_statement(w, t);
    }
    if (t->txn && sim_chance(w, 550)) {
        end(t, !sim_chance(w, 150));
        w->commits++;
    }
}

void app_finish(struct world *w)
{
    w->app_stopped = true;
    app_pause(w);
}

void app_pause(struct world *w)
{
    for (int i = 0; i < SIM_OPEN; i++) {
        if (w->open[i].txn) {
            bool commit = sim_chance(w, 500) && (may_write(w) || w->open[i].side == MF_SOURCE);
            if (w->open[i].txn) {
                end(&w->open[i], commit);
            }
        }
    }
}

bool app_bypass(struct world *w, enum mf_side side)
{
    struct app_tx t = {.txn = mf_mem_begin(w->server[side])};
    struct mf_error err = {0};
    struct made m;
    mf_mem_set_bypass(t.txn);
    for (int c = 0; c < 3; c++) {
        make(w, &m, 2, c);
    }
    if (mf_mem_insert(t.txn, "public", "w", &(struct mf_row){3, m.v}, &err)) {
        mf_mem_abort(t.txn);
        return false;
    }
    return mf_mem_commit(t.txn, NULL, &err) == 0;
}

void app_foreign(struct world *w, enum mf_side side)
{
    struct app_tx t = {.txn = mf_mem_begin(w->server[side]), .side = side};
    struct mf_error err = {0};
    mf_mem_set_bypass(t.txn);
    for (unsigned n = 1 + sim_below(w, 3); n > 0; n--) {
        statement(w, &t, &err);
    }
    w->foreign = true;
    mf_mem_commit(t.txn, NULL, &err);
    w->foreign = false;
}
