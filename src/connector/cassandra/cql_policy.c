/* Retries and windows: see cql_policy.h. */
#include "connector/cassandra/cql_policy.h"

#include "base/clock.h"

/* base doubled n times, at most `most`, then a quarter more or less. */
static int64_t doubled(int64_t base, int n, int64_t most, uint32_t dice)
{
    int64_t us = base;
    for (int i = 0; i < n && us < most; i++) {
        us *= 2;
    }
    us = us < most ? us : most;
    return us - us / 4 + (int64_t)(dice % 1000) * us / 2000;
}

static struct cql_verdict again(const struct cql_trouble *t, bool allowed, enum cql_fate where, int64_t base_us,
                                bool shrink)
{
    if (!allowed || t->retries >= CQL_RETRIES_MAX) {
        return (struct cql_verdict){.fate = CQL_GIVE_UP, .shrink = shrink};
    }
    int64_t wait = base_us ? doubled(base_us, t->retries, 2 * MF_US_PER_SEC, t->dice) : 0;
    return (struct cql_verdict){.fate = where, .wait_us = wait, .shrink = shrink};
}

static struct cql_verdict of_server(const struct cql_trouble *t)
{
    const struct cql_server_error *e = t->error;
    switch ((enum cql_error_code)e->code) {
    case CQL_E_OVERLOADED: /* parts of a batch may have gone out before it said so */
        return again(t, t->idempotent, CQL_OTHER_NODE, 50 * MF_US_PER_MS, true);
    case CQL_E_BOOTSTRAPPING:
        return again(t, true, CQL_OTHER_NODE, t->retries ? 100 * MF_US_PER_MS : 0, false);
    case CQL_E_UNAVAILABLE: /* refused before anything was done; another coordinator may see more nodes, or the same a little later */
        return again(t, true, CQL_OTHER_NODE, t->retries ? 200 * MF_US_PER_MS : 0, false);
    case CQL_E_READ_TIMEOUT: /* enough replicas answered, only the one with the data did not: it asks another one now */
        return again(t, t->idempotent, e->got >= e->required && !e->data_present ? CQL_SAME_NODE : CQL_OTHER_NODE,
                     50 * MF_US_PER_MS, true);
    case CQL_E_WRITE_TIMEOUT:
        return again(t, t->idempotent, CQL_OTHER_NODE, 100 * MF_US_PER_MS, true);
    case CQL_E_SERVER:
    case CQL_E_TRUNCATE:
        return again(t, t->idempotent, CQL_OTHER_NODE, 100 * MF_US_PER_MS, false);
    case CQL_E_READ_FAILURE:
    case CQL_E_WRITE_FAILURE: /* a replica could not; most causes come again */
        return again(t, t->idempotent && t->retries < 2, CQL_OTHER_NODE, 200 * MF_US_PER_MS, false);
    default:
        return (struct cql_verdict){.fate = CQL_GIVE_UP};
    }
}

struct cql_verdict cql_verdict(const struct cql_trouble *t)
{
    switch (t->kind) {
    case CQL_T_SERVER:
        return of_server(t);
    case CQL_T_UNWRITTEN:
        return again(t, true, CQL_OTHER_NODE, 0, false);
    case CQL_T_LOST:
        return again(t, t->idempotent, CQL_OTHER_NODE, 0, false);
    case CQL_T_BEHIND:
        return again(t, true, CQL_OTHER_NODE, t->retries ? 100 * MF_US_PER_MS : 0, false);
    case CQL_T_SILENT:
        break;
    }
    return again(t, t->idempotent, CQL_OTHER_NODE, 0, true);
}

int64_t cql_reconnect_us(int failures, uint32_t dice)
{
    return doubled(100 * MF_US_PER_MS, failures > 0 ? failures - 1 : 0, 10 * MF_US_PER_SEC, dice);
}

void cql_window_init(struct cql_window *w, double max, int64_t goal_us)
{
    max = max < CQL_WINDOW_MIN ? CQL_WINDOW_MIN : max;
    *w = (struct cql_window){.size = max < 64 ? max : 64, .max = max, .goal_us = goal_us};
}

static void new_round(struct cql_window *w)
{
    w->n = w->crowded = 0;
    w->sum_us = 0;
}

static void cut(struct cql_window *w, double factor, int64_t now_us)
{
    w->size = w->size * factor < CQL_WINDOW_MIN ? CQL_WINDOW_MIN : w->size * factor;
    w->cut_at_us = now_us;
    new_round(w);
}

void cql_window_answer(struct cql_window *w, int64_t sent_us, int64_t now_us, bool full)
{
    if (sent_us < w->cut_at_us) {
        return;
    }
    w->n++;
    w->crowded += full;
    w->sum_us += (double)(now_us - sent_us);
    if (w->n < w->size) {
        return;
    }
    if (w->sum_us / w->n > (double)w->goal_us) {
        cut(w, 0.8, now_us);
        return;
    }
    if (w->crowded * 2 > w->n) { /* a window nobody fills says nothing about a larger one */
        double more = w->size / 16 < 1 ? 1 : w->size / 16;
        w->size = w->size + more > w->max ? w->max : w->size + more;
    }
    new_round(w);
}

void cql_window_shrink(struct cql_window *w, int64_t sent_us, int64_t now_us)
{
    if (sent_us >= w->cut_at_us) {
        cut(w, 0.5, now_us);
    }
}
