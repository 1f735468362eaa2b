/*
 * Whether readers see what the stream has told: a server sends a transaction to its replicas when it is in the log, a moment before the engine commits
 * it, or as long before as a semi-synchronous replica takes to answer.
 *
 * MySQL with GTIDs: gtid_executed has it only then; the number the stream gave a transaction is how many there are with it. Else: the log
 * is committed in its order, so a commit of ours that returns now came after it. It leaves nothing behind.
 */
#include "connector/mysql/mysql_room.h"

static int count_executed(MYSQL *c, uint64_t *ret, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    if (my_query(c, &r, err, "SELECT @@global.gtid_executed") < 0) {
        return -1;
    }
    MYSQL_ROW row = mysql_fetch_row(r);
    struct my_gtid_set *s = my_gtid_set_new(false);
    int rc = row && row[0] ? my_gtid_set_parse(s, row[0], err) : 0;
    *ret = my_gtid_set_count(s);
    my_gtid_set_free(s);
    return rc;
}

static int commit_something(MYSQL *c, struct mf_error *err)
{
    return my_exec(c, err, "START TRANSACTION") < 0 ||
                   my_exec(c, err,
                           "INSERT INTO midflight.heartbeat (migration, side, marker, beat)"
                           " VALUES ('', CONCAT('v', CONNECTION_ID()), NULL, 0)") < 0 ||
                   my_exec(c, err,
                           "DELETE FROM midflight.heartbeat WHERE migration = ''"
                           " AND side = CONCAT('v', CONNECTION_ID())") < 0 ||
                   my_exec(c, err, "COMMIT") < 0
               ? -1
               : 0;
}

int my_visible(struct mf_db *base, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err)
{
    MY_LEASE(my_db_of(base), l);
    uint64_t most = 0, have = 0;
    *ret = true;
    for (size_t i = 0; i < n; i++) {
        most = txns[i] > most ? txns[i] : most;
    }
    if (n == 0) {
        return 0;
    }
    if (my_lease(l.db, &l.conn, err) < 0) {
        return -1;
    }
    if (!l.db->gtid || l.db->mariadb) {
        return commit_something(l.conn, err);
    }
    if (count_executed(l.conn, &have, err) < 0) {
        return -1;
    }
    *ret = have >= most;
    return 0;
}
