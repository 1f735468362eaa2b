/*
 * Whose a migration is, and the right to run it.
 *
 * A cluster has no locks of sessions: the right is a lease (connector/lease.h), here a row that ends by itself after MF_LEASE_S, written by conditional statements. Two that both
 * believe to have it for a moment do no harm to rows: every write has its stamp, and an older checkpoint hides no newer one.
 */
#include "connector/cassandra/cass.h"
#include "connector/lease.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define TRIES 5

/* ---- owner ---- */

static int write_owner(struct cass_db *db, const char *migration, const char *claim, const char *theirs,
                       struct mf_error *err)
{
    const char *fresh[] = {migration, claim}, *later[] = {claim, migration, theirs};
    return theirs[0] ? cass_ask(db, CASS_IF,
                                "UPDATE midflight.settings SET value = ? WHERE migration = ? AND kind = 'owner' AND"
                                " object = 'state' IF value = ?",
                                later, 3, NULL, err)
                     : cass_ask(db, CASS_IF,
                                "INSERT INTO midflight.settings (migration, kind, object, value)"
                                " VALUES (?, 'owner', 'state', ?) IF NOT EXISTS",
                                fresh, 2, NULL, err);
}

int cass_owner(struct mf_db *base, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
               struct mf_error *err)
{
    struct cass_db *db = cass_db_of(base);
    char theirs[4096];
    for (int i = 0; i < TRIES; i++) {
        if (cass_kept(db, pipe->migration, "owner", "state", theirs, sizeof theirs, err) < 0) {
            return -1;
        }
        size_t word = strcspn(theirs, " ");
        bool ours = claim && strcspn(claim, " ") == word && strncmp(claim, theirs, word) == 0;
        if (!claim || (theirs[0] && !ours) || strcmp(theirs, claim) == 0) {
            mf_strlcpy(ret, theirs, n);
            return 0;
        }
        if (write_owner(db, pipe->migration, claim, theirs, err) < 0) {
            return -1;
        }
    }
    return mf_fail(err, MF_RETRY, "MFTWICE", "the owner of this migration (%s) is being changed by another session",
                   pipe->migration);
}

/* ---- the right to run ---- */

static int take(struct mf_lease *l, bool renew, char *ret_who, size_t n, struct mf_error *err)
{
    MF_CLEANUP_CQL_ANSWER struct mf_cql_answer *a = NULL;
    struct cass_db *db = cass_db_of(l->base.db);
    const struct cql_bytes *cells;
    const char *fresh[] = {l->migration, l->holder, l->host}, *again[] = {l->holder, l->host, l->migration, l->holder};
    int rc = renew ? cass_ask(db, CASS_IF,
                              "UPDATE midflight.run_lock USING TTL " MF_LEASE_TEXT " SET holder = ?, host = ?"
                              " WHERE migration = ? IF holder = ?",
                              again, 4, &a, err)
                   : cass_ask(db, CASS_IF,
                              "INSERT INTO midflight.run_lock (migration, holder, host) VALUES (?, ?, ?) IF NOT EXISTS"
                              " USING TTL " MF_LEASE_TEXT,
                              fresh, 3, &a, err);
    if (rc < 0 || (rc = cass_first(a, &cells, err)) < 0) {
        return -1;
    }
    mf_strlcpy(ret_who, "", n);
    if (rc == 1 && cass_cell_true(cells, 0)) {
        return 0;
    }
    /* An attempt of ours whose answer was lost has put us there: the row's columns follow [applied]. */
    char holder[64] = "", host[128] = "?";
    for (int i = 1; rc == 1 && i < a->columns->n; i++) {
        if (strcmp(a->columns->columns[i].name, "holder") == 0) {
            cass_cell_text(a, cells, i, holder, sizeof holder);
        } else if (strcmp(a->columns->columns[i].name, "host") == 0) {
            cass_cell_text(a, cells, i, host, sizeof host);
        }
    }
    if (strcmp(holder, l->holder) == 0) {
        return renew ? mf_fail(err, MF_RETRY, "MFLOST", "the right to run was not renewed")
                     : take(l, true, ret_who, n, err);
    }
    snprintf(ret_who, n, "%s", holder[0] ? host : renew ? "nobody" : "?");
    return 0;
}

/* The first of all asks before anything is made. What a migration that has begun had there is not made anew. */
static int make_book(struct mf_lease *l, struct mf_error *err)
{
    if (!cass_no_book(err)) {
        return 0;
    }
    mf_error_clear(err);
    return cass_book(cass_db_of(l->base.db), err) == 0 ? 1 : -1;
}

static void drop(struct mf_lease *l)
{
    struct mf_error ignored = {0};
    const char *args[] = {l->migration, l->holder};
    cass_ask(cass_db_of(l->base.db), CASS_IF, "DELETE FROM midflight.run_lock WHERE migration = ? IF holder = ?", args,
             2, NULL, &ignored);
}

static const char *host_of(struct mf_db *db)
{
    return cass_db_of(db)->facts.host;
}

static const struct mf_lease_how how = {
    .fault = "cassandra.running",
    .where = "the cluster of",
    .into = "into the cluster of",
    .take = take,
    .mend = make_book,
    .drop = drop,
    .host = host_of,
};

int cass_run_lock(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                  struct mf_error *err)
{
    return mf_lease_take(db, pipe, &how, wait_ms, ret, err);
}
