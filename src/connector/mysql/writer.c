/*
 * Sessions that write what the other side has.
 *
 * Foreign keys are not checked: what is written was checked where it came from, and comes in another order. Nor do their
 * ON DELETE and ON UPDATE actions happen in such a session, which matters, because InnoDB does not write the changes of children
 * that an action makes to the binary log: the stream does not tell of them. check refuses tables with such actions.
 *
 * Triggers cannot be switched off in a session; check refuses tables that have any but the gate's, which lets @midflight pass.
 *
 * Whether a commit survives a crash of the server is the server's setting alone (innodb_flush_log_at_trx_commit, sync_binlog). A
 * chunk or window that is forgotten is forgotten with its record or checkpoint, which are rows of the same transaction; both
 * are asked for at every start.
 *
 * Waits for locks are long, because nobody else writes here: what stands in the way is an ALTER TABLE or a person, and ends. They
 * are bounded all the same, so that a session tells of it. wait_timeout is short: the lock of an applier whose machine is gone must not stay.
 * Messages are English: column and index are read from them.
 */
#include "connector/mysql/mysql_room.h"

int my_writer_session(MYSQL *c, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    return my_exec(c, err, "SET SESSION TRANSACTION READ WRITE") < 0 ||
                   my_execf(c, err,
                            "SET @midflight = '%s', SESSION foreign_key_checks = 0, SESSION unique_checks = 1,"
                            " SESSION innodb_lock_wait_timeout = 120, SESSION lock_wait_timeout = 120,"
                            " SESSION wait_timeout = 900, SESSION completion_type = 0, SESSION lc_messages = 'en_US'",
                            pipe->migration) < 0
               ? -1
               : 0;
}
