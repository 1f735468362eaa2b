/* What a database must be able to do to be a source, a target, or both.
 *
 * A connector is one folder and one row in connector/registry.c. The pipeline, verify and cutover know databases only through
 * these tables. Optional operations that a connector lacks are filled by the defaults in connector/defaults.c, which fail with MFUNSUP
 * (or answer "no") — callers never test for NULL.
 *
 * Objects and threads:
 *   mf_db       one database; made once a side. Operations on it may be called from any thread: they open or
 *               lock a connection of their own and block.
 *   mf_stream   a change stream; one thread (capture).
 *   mf_reader   reads chunks and digests; one thread each (copy and verify workers).
 *   mf_loader   writes chunks; one thread each (copy workers).
 *   mf_applier  applies windows; one thread (apply).
 *   mf_hold     writers held back at a cutover; one thread (migration).
 *   mf_run_lock the right to run a migration; one thread (migration).
 * All of them block, with the timeouts of the connection options; a network that is dead is an MF_RETRY error in bounded
 * time (keepalives), never a hang. Every object's destructor accepts NULL and a broken connection.
 *
 * `err` is never NULL: an operation may look at what a server said in it. (The helpers of base/error.h do accept NULL.)
 *
 * Each engine's object embeds the generic struct as its first member.
 */
#ifndef MF_CONNECTOR_CONNECTOR_H
#define MF_CONNECTOR_CONNECTOR_H

#include "base/error.h"
#include "change/window.h"
#include "connector/canon.h"
#include "connector/types.h" /* the nouns */

struct mf_source_ops {
    /* -- catalogue: run, plan, check -- */
    int (*catalog)(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
    /* The same without figures (rows_estimate -1, bytes 0; cascades it has): asked every few seconds, also while writers are held, so it is cheap and waits for no
     * table's lock. */
    int (*shapes)(struct mf_db *db, const struct mf_filter *filter, struct mf_catalog *ret, struct mf_error *err);
    /* What became of a table (by t->id) that the catalogue does not give any more under its name, as the end of a sentence: "was renamed to
     * public.b", "was made UNLOGGED", "was dropped" (*ret_dropped). */
    int (*what_became)(struct mf_db *db, const struct mf_table *t, char *ret, size_t n, bool *ret_dropped,
                       struct mf_error *err);
    /* Facts and findings about this database as the source of a migration. */
    int (*check)(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err);

    /* -- change stream -- */
    /* Makes what the stream needs (publication, slot, identity settings of keyless tables) for these tables; idempotent. On first creation
     * *ret_start is the position before which nothing is streamed; when it exists, where it stands acknowledged.
     * Bookkeeping tables are part of every stream. */
    int (*stream_prepare)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                          struct mf_position *ret_start, struct mf_error *err);
    /* Adds tables to a prepared stream (a table created on the source while the migration runs). */
    int (*stream_add_tables)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                             struct mf_error *err);
    /* The stream was not read for a while, and will be opened at `to`: what of its tables is remembered from before does not hold from there on. */
    int (*stream_skip)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *to,
                       struct mf_error *err);
    /* from: durable on our side, it may be acknowledged at once. MF_FATAL code MFSLOT when more than that was acknowledged already.
     * commits_wait: sessions of this database are to be answered their COMMIT only when stream_confirm has covered it; whether they are is the
     * database's to say (commits_wait). MFUNSUP where mf_connector.commits_can_wait is false. */
    int (*stream_open)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_position *from,
                       bool commits_wait, struct mf_stream **ret, struct mf_error *err);
    /* Waits at most timeout_ms. A lost slot is MF_FATAL code MFSLOT and says what to do. Where commits wait, MF_RETRY code MFALONE: what comes next
     * needs a commit of the stream's own or a lock that a waiting commit has, and would wait for itself; it gets past that when it is left and opened without. */
    int (*stream_next)(struct mf_stream *st, int timeout_ms, struct mf_item *ret, struct mf_error *err);
    /* Everything up to position is durable on our side. Only ever the end of a commit or a progress position. */
    int (*stream_ack)(struct mf_stream *st, const struct mf_position *durable, struct mf_error *err);
    void (*stream_close)(struct mf_stream *st);
    /* -- a stream that commits wait for -- */
    /* Commits up to here need wait for us no longer. Any position that the stream has told or that lies before it. */
    int (*stream_confirm)(struct mf_stream *st, const struct mf_position *upto, struct mf_error *err);
    /* Any thread, while the stream is open: a stream_next that waits returns at once. */
    void (*stream_wake)(struct mf_stream *st);
    /* Before stream_close, when the stream will not be opened again at once: commits go on without us from here on, also those that wait. Without it (we
     * die, the network does) they wait as long as the database's own settings say. Bounded to seconds. */
    int (*stream_leave)(struct mf_stream *st, struct mf_error *err);
    /* Whether commits wait for our stream, asked on another session while it is open. Bounded to seconds. Any thread. */
    int (*commits_wait)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_commit_wait *ret,
                        struct mf_error *err);
    /* No stream of this migration that commits wait for is open, and nobody else may open one (run_lock): what was arranged for such a stream in the
     * database, and outlived a run that was killed, is put back. Nothing to do is success. *ret_said: a sentence for the log, "" as a rule. */
    int (*waits_end)(struct mf_db *db, const struct mf_pipe_id *pipe, char *ret_said, size_t n, struct mf_error *err);
    /* Findings: what stands in the way of making commits wait, or makes the wait worthless. A blocker that is only ours to say is none here. */
    int (*check_waiting)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_wait_policy *p,
                         struct mf_findings *out, struct mf_error *err);
    int (*stream_drop)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err); /* absent is success */

    /* Commits a bookkeeping row with this marker (NULL: a plain beat) in the schema midflight; *ret_after (may be NULL) is a
     * position that the stream reaches only with or after this row, and after every commit that had returned before the call. */
    int (*heartbeat)(struct mf_db *db, const struct mf_pipe_id *pipe, const char *marker, struct mf_position *ret_after,
                     struct mf_error *err);
    /* A position not before any commit that has returned. */
    int (*position)(struct mf_db *db, struct mf_position *ret, struct mf_error *err);
    /* The server's clock, microseconds since 1970: where stamps begin. Of several servers the earliest of those that are up; ret_latest_us (may be NULL): the
     * latest, of the same look. */
    int (*clock)(struct mf_db *db, int64_t *ret_us, int64_t *ret_latest_us, struct mf_error *err);
    /* Whom sessions of ours wait for on this server, as a sentence for the log; "" when they wait for nobody. Asked while another call
     * of ours blocks for long (a slot is made only when every transaction open at that moment has ended). */
    int (*waits_for)(struct mf_db *db, char *ret, size_t n, struct mf_error *err);
    /* How loaded the server is by others: 0 idle, 1 as much as it should bear. For copy.max_load. */
    int (*load)(struct mf_db *db, double *ret, struct mf_error *err);
    /* Whether a reader that begins now sees all these transactions (mf_item.shown of their COMMITs, or else txn). A stream may tell of a commit that nobody else sees
     * yet: PostgreSQL sends what is in its log while COMMIT still waits for a synchronous standby. Once seen, always seen. */
    int (*visible)(struct mf_db *db, const uint64_t *txns, size_t n, bool *ret, struct mf_error *err);

    /* -- for a plan: what a table's keys should be -- */
    /* The statements that were asked most often, most often first, at most `most` of them: those that read. MFUNSUP, with why, where the server keeps no list
     * or does not show it. */
    int (*statements)(struct mf_db *db, int64_t most, mf_statement_sink *emit, void *ctx, struct mf_error *err);
    /* Bounded as the job says: MF_ABANDONED when it takes longer. MFUNSUP where it cannot be asked. Names are this database's own, also behind a face. */
    int (*key_sizes)(struct mf_db *db, const struct mf_key_sizes_job *job, struct mf_key_sizes *ret,
                     struct mf_error *err);

    /* -- reading rows: copy and verify -- */
    /* An exact snapshot: sees every transaction with position <= ret->position and none after. Held until closed; the
     * holder keeps it for minutes at most (copying keyless tables is the stated exception). readers: at most so many will be open on it at
     * one time (an engine that cannot share a snapshot between sessions opens them now); 0: only its position is wanted. */
    int (*snapshot_open)(struct mf_db *db, const struct mf_pipe_id *pipe, int readers, struct mf_snapshot **ret,
                         struct mf_error *err);
    /* A snapshot of whatever is committed now, position not known: the target's side of verify while apply stands still. */
    int (*snapshot_now)(struct mf_db *db, int readers, struct mf_snapshot **ret, struct mf_error *err);
    void (*snapshot_close)(struct mf_snapshot *s);

    /* snapshot NULL: each call reads in a short transaction of its own. MF_RETRY code MFREADERS when more are asked for on a snapshot than
     * it was opened for. A reader may be closed after its snapshot was. */
    int (*reader_open)(struct mf_db *db, const struct mf_snapshot *snapshot, struct mf_reader **ret,
                       struct mf_error *err);
    void (*reader_close)(struct mf_reader *r);
    /* MFSHAPE when the table, as the reader sees it, has other columns than t, which has all those of this very database. */
    int (*shape_same)(struct mf_reader *r, const struct mf_table *t, struct mf_error *err);
    /* Cuts a table into chunks of about target_rows rows / target_bytes bytes by sampled quantiles of its key (heap ranges where there is none); emits them in
     * order, numbered from 0; the first has no lower and the last no upper bound. An empty table is one chunk. */
    int (*chunk_plan)(struct mf_reader *r, const struct mf_table *t, int64_t target_rows, int64_t target_bytes,
                      mf_chunk_sink *emit, void *ctx, struct mf_error *err);
    /* Streams a chunk as wire bytes (mf_connector.wire). Fails with MFSHAPE when the table no longer has t's shape. */
    int (*chunk_open)(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_error *err);
    /* *ret_len == 0: the end. Data is valid until the next call. */
    int (*chunk_read)(struct mf_reader *r, const void **ret_data, size_t *ret_len, struct mf_error *err);
    /* Ends the read. *ret_after is a position not before any commit the chunk may show; *ret_rows what it had (-1 unknown). */
    int (*chunk_close)(struct mf_reader *r, struct mf_position *ret_after, int64_t *ret_rows, struct mf_error *err);
    /* The same rows one by one as text values (the slow way: quarantine, engines that differ, repair). */
    int (*chunk_rows)(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_row_sink *emit,
                      void *ctx, struct mf_position *ret_after, struct mf_error *err);
    /* Rows by key, as text values; keys that are not there are not emitted. A key, here and wherever one travels as a row, is a row as
     * wide as t with the key columns at their places and the others MF_UNCHANGED. */
    int (*read_rows)(struct mf_reader *r, const struct mf_table *t, const struct mf_row *keys, size_t n,
                     mf_row_sink *emit, void *ctx, struct mf_position *ret_after, struct mf_error *err);

    /* Count and order-independent digest of a chunk's rows, computed inside the database over the columns of t by name,
     * equal on both sides exactly when the multisets of rows are equal (but for chance of 2^-64). t has columns of this very
     * database's table: MFSHAPE when one of them is no longer there or is another. */
    int (*digest)(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, struct mf_digest *ret,
                  struct mf_error *err);
    /* One digest for each row of the chunk, with its key (identity FULL: the digest alone, key.n == 0). */
    int (*digest_rows)(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, mf_digest_sink *emit,
                       void *ctx, struct mf_error *err);
    /* Of documents: the rows of each table that those of the reader's last digest_rows are made of, or would make; both sides name the tables as the map does.
     * Nothing is emitted for other tables. */
    int (*parts)(struct mf_reader *r, mf_part_sink *emit, void *ctx, struct mf_error *err);
    /* Splits a chunk into about n smaller ones of the same snapshot; emits one (itself) when it cannot be split further. */
    int (*chunk_split)(struct mf_reader *r, const struct mf_table *t, const struct mf_chunk *c, int n,
                       mf_chunk_sink *emit, void *ctx, struct mf_error *err);

    int (*sequences)(struct mf_db *db, const struct mf_filter *filter, mf_sequence_sink *emit, void *ctx,
                     struct mf_error *err);
};

struct mf_target_ops {
    /* Findings about this database as the target for that source; src is any connector's database. */
    int (*check)(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, struct mf_findings *out,
                 struct mf_error *err);

    /* Findings about how this database takes the statements that the source has seen, by the source's own list without literals: which it does not parse, and
     * which it plans worse, once it has the schema. None of them is executed on either side, and planning them is bounded. */
    int (*check_queries)(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter,
                         const struct mf_query_options *o, struct mf_findings *out, struct mf_error *err);
    /* Findings: what could undo a commit here that has returned, when the server or its machine dies. For dual writes. */
    int (*check_durable)(struct mf_db *db, struct mf_findings *out, struct mf_error *err);
    /* Findings about accounts, for an engine that has them in the server: whose the source's objects become here. copy: the job will ask for accounts
     * (mf_schema_job.accounts), and what that needs is looked at on both sides. */
    int (*check_accounts)(struct mf_db *db, struct mf_db *src, const struct mf_filter *filter, bool copy,
                          struct mf_findings *out, struct mf_error *err);

    /* -- schema -- */
    /* One stage of making the schema: BEFORE_ROWS (types, tables, functions), KEYS (what replay needs to find rows), AFTER_SYNC
     * (secondary indexes, unique constraints, foreign keys, triggers, materialised views). Restartable: what exists already from an earlier try is
     * left. Objects left out or changed (owner or role missing, ...) are reported to the findings, not failures. */
    int (*schema_apply)(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_findings *out,
                        struct mf_error *err);
    /* The statements schema_apply would run, in order, to a text (plan). */
    int (*schema_plan)(struct mf_db *db, struct mf_db *src, const struct mf_schema_job *job, struct mf_buf *out,
                       struct mf_error *err);
    /* Adds a column of src's table t as it is there now, so that rows which are here already get what the same rows have there (on_ddl:
     * additive). MF_FATAL MFDDL where that cannot be known: a default that differs from row to row, an identity, a generated column.
     * stamp: of what is written to those rows; every change that knows the column has a greater one. */
    int (*schema_add_column)(struct mf_db *db, struct mf_db *src, const struct mf_table *t, const struct mf_column *c,
                             int64_t stamp, struct mf_error *err);

    /* -- copy -- */
    int (*loader_open)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_loader **ret, struct mf_error *err);
    void (*loader_close)(struct mf_loader *l);
    /* A chunk is one transaction: begin, data or rows, commit with its record. Anything else aborts it. t is the target's table.
     * stamp: of its rows. The same for every chunk of the table and every try, smaller than that of any change to it that will be applied. Where
     * last_write_wins: a NULL is not written, rows may stay of what was aborted, and the record is written when the rows are durable. */
    int (*load_begin)(struct mf_loader *l, const struct mf_table *t, const struct mf_table *source_shape, int64_t stamp,
                      struct mf_error *err);
    int (*load_data)(struct mf_loader *l, const void *data, size_t len, struct mf_error *err);
    /* One row; MF_ROW error: this row was refused and left out, the transaction goes on. */
    int (*load_row)(struct mf_loader *l, const struct mf_row *row, struct mf_error *err);
    /* All of them, or (MF_ROW, MF_CONFLICT) none: the transaction goes on, and the caller gives them one by one to learn which. As strict as load_row. */
    int (*load_rows)(struct mf_loader *l, const struct mf_row *rows, size_t n, struct mf_error *err);
    /* What writes rows of any tables in the chunk's own transaction, all new: between load_begin and load_commit, in the place of rows and data. It may be asked window_batch,
     * window_mark, _settle, _back, quarantine_put and _clear; it is the loader's. */
    int (*load_applier)(struct mf_loader *l, struct mf_applier **ret, struct mf_error *err);
    int (*load_quarantine)(struct mf_loader *l, const struct mf_quarantined *q, struct mf_error *err);
    int (*load_commit)(struct mf_loader *l, const struct mf_chunk_done *done, struct mf_error *err);
    void (*load_abort)(struct mf_loader *l);
    /* Chunks recorded as loaded; the truth about how far the copy is. */
    int (*chunks_done)(struct mf_db *db, const struct mf_pipe_id *pipe, mf_chunk_done_sink *emit, void *ctx,
                       struct mf_error *err);
    /* Empties a table of ours-to-be and forgets its chunks, in one transaction (a keyless table that must be begun again). */
    int (*table_reset)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_table *t, struct mf_error *err);
    /* Statistics for the planner once a table is copied (ANALYZE); those that only its later indexes have are AFTER_SYNC's. */
    int (*table_finish)(struct mf_db *db, const struct mf_table *t, struct mf_error *err);

    /* -- apply -- */
    /* A row is found by its key: by the database's own equality, but by the bytes of columns that say so (mf_column.by_bytes). One that is merely equal is
     * another row, which stays; what does not fit beside it is refused. */
    /* Makes the bookkeeping schema if it is missing (also on a source). Idempotent. */
    int (*prepare)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
    int (*applier_open)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_applier **ret, struct mf_error *err);
    void (*applier_close)(struct mf_applier *a);
    /* The last window committed on this target; order 0 when none. */
    int (*checkpoint)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_position *ret, struct mf_error *err);
    /* A window is one transaction whose first write is its checkpoint row. begin and batch may only queue; errors of earlier
     * calls may surface at any later one, and then the window is lost as a whole: call window_abort and decide by err->cls: MF_RETRY (again, on a
     * new applier; code MFLOCK: a session of somebody's has a table that we must change, so again for as long as it has), MF_CONFLICT or MF_ROW (again in
     * source order: careful), MF_FATAL.
     *
     * Where last_write_wins (docs/internals/stamps.md has the argument) a window is no transaction. Its rows are written with their own stamps, and of two
     * writes to a value the one with the greater stamp stays, in whichever order they arrive. Then this holds instead:
     *
     *  begin   writes nothing. mode->fuzzy always: nobody knows what was there, so nothing is ever MFDIVERGED.
     *  batch   rows may be written at once and in any order, with those of other batches of this window and of earlier ones that failed: stamps keep what
     *          must come last. INSERT writes the row with mf_rowchange.stamp; no NULLs where it is plain (what was there under the key was
     *          deleted, with a smaller stamp), else NULLs as deletions of the value. REPLACE, and an UPDATE whose new row is whole: the same, all of the row. An UPDATE that is not whole writes
     *          what is known of it, MF_UNCHANGED not at all. DELETE deletes the row with its stamp, found or not. An UPDATE that changes the key is a DELETE
     *          of the old one, and of the new one all of the row when it is whole; else nothing is written of that, and it is reported missing, always.
     *          TRUNCATE deletes everything with a smaller stamp. A database that cannot say that waits until what came before is written, and empties the
     *          table: what it takes of later changes is given again, since their checkpoint is not written.
     *  commit  returns when every row of the window is as durable as the user asked, and then, after that, the checkpoint; what was left out into
     *          quarantine before the checkpoint too, once for a (table, key) however often it comes. It may wait for the answers of many requests, and sends a
     *          failed one again by itself where that can help: writing twice is writing once.
     *  abort   (and a crash, and an error) leaves what was written, and what is on its way may arrive at any time later. The window comes again from the
     *          checkpoint, in the same or another division into windows, with the same stamps.
     *  The checkpoint's own row is not ordered by these stamps (several checkpoints may have the same): by mf_position.order, or a condition. It never
     *  goes back: one that is smaller than what is there is a sign of a second process, MF_FATAL code MFTWICE.
     *  Tables without a key (identity FULL) cannot be taken: check blocks.
     *
     * So P1 holds for a row (a partition, where the database writes one at once): it goes through states that the source had, and the tables agree with each
     * other whenever a window is committed. */
    int (*window_begin)(struct mf_applier *a, const struct mf_position *checkpoint, const struct mf_window_mode *mode,
                        struct mf_error *err);
    int (*window_batch)(struct mf_applier *a, const struct mf_batch *b, struct mf_window_result *result,
                        struct mf_error *err);
    /* What the origin's server did by itself to rows of t (mf_batch.cascades), before the batch with its cause is given: rows whose `columns` have the
     * values of one of `was` (rows of n values) are deleted; or, with `now` (then was is one row), get its values there but for those that are MF_UNCHANGED. stamp: of what is written. emit (may be NULL): each row that was there, as wide as
     * t with the columns of its key, as it was. *ret_more: there are more; call again. With emit it waits for the
     * answer. */
    int (*window_cascade)(struct mf_applier *a, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                          const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp,
                          mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err);
    /* -- inside a window: rows of several tables, all of them or none (connector/shred: the rows of a document). Batches between a mark and its settle have
     * whole rows and no result, and the window is not careful. -- */
    /* A place in the window's transaction to come back to; the one before is forgotten. What was given before it is done when this returns. */
    int (*window_mark)(struct mf_applier *a, struct mf_error *err);
    /* Returns when everything given since the mark is done. MF_ROW, MF_CONFLICT (of window_batch since the mark, too): some of it was refused, and nothing of it may
     * stay: window_back, or the window is lost. The column, where the server names one, is in the text. */
    int (*window_settle)(struct mf_applier *a, struct mf_error *err);
    /* To the mark, as if nothing had been given since. The window goes on. */
    int (*window_back)(struct mf_applier *a, struct mf_error *err);
    /* Entries of the quarantine, in the window's transaction, for a table that is not there as such: only its names and its key mean anything. put: in the
     * place of the key's entry, if it has one; q->key is made of the key, and result (may be NULL) is told. clear: entries of these keys leave; keys NULL: all of the
     * table. ret_had (may be NULL): how many there were, for which it waits. */
    int (*quarantine_put)(struct mf_applier *a, const struct mf_table *t, const struct mf_row *key,
                          const struct mf_quarantined *q, struct mf_window_result *result, struct mf_error *err);
    int (*quarantine_clear)(struct mf_applier *a, const struct mf_table *t, const struct mf_row *const *keys, size_t n,
                            uint64_t *ret_had, struct mf_error *err);
    int (*window_commit)(struct mf_applier *a, struct mf_error *err);
    void (*window_abort)(struct mf_applier *a);
    /* Writes rows read from the source over whatever is there (repair, and rows a fuzzy update did not find), deletes those in
     * `gone`; its own transaction with the checkpoint left as it is but marked as ours. stamp: of the position that apply has come to (see
     * mf_window_mode.stamp), which is the one verify compared at, or the end of the window that missed the rows. */
    int (*repair_rows)(struct mf_applier *a, const struct mf_table *t, const struct mf_row *whole, size_t nwhole,
                       const struct mf_row *gone, size_t ngone, int64_t stamp, struct mf_error *err);
    /* identity FULL: makes the table hold exactly these many copies. Used by repair only. */

    int (*sequences_set)(struct mf_db *db, const struct mf_sequence *seqs, size_t n, struct mf_error *err);
    /* Counters of columns go on behind the largest value that is there: rows have come from a side that has none. Where the engine does it by itself,
     * or has none, the default, which does nothing. */
    int (*sequences_follow)(struct mf_db *db, const struct mf_filter *filter, struct mf_error *err);

    /* Foreign keys of which one side is among those tables are looked at as rows stand, those that the server holds rows to: what applies rows does not have
     * them checked. 0: none is broken; -1 MF_ABANDONED code MFGUARD with the key, the table and one row's values (mf_fail_orphan). An engine
     * without foreign keys has the default, which finds nothing. Takes as long as joining the tables, within what traffic->hurry allows. */
    int (*references_whole)(struct mf_db *db, const struct mf_catalog *tables, struct mf_error *err);

    /* -- triggers that fire for whoever writes, ours too: they stand only on the side that takes the application's writes. (An engine whose sessions can be
     * spared them makes them with the schema, and has the defaults here.) -- */
    /* Remembers in this database the triggers that src's tables have now, in place of those learnt before, beside those that are this side's own, which are
     * taken down where they stand. Before anybody waits; locks of tables are asked for as in gate_install. out (may be NULL): a warning for each of this
     * side's own that src's takes the place of. */
    int (*triggers_learn)(struct mf_db *db, struct mf_db *src, const struct mf_pipe_id *pipe,
                          const struct mf_catalog *tables, const struct mf_gate_options *o, struct mf_findings *out,
                          struct mf_error *err);
    /* Makes what is remembered, in a cutover's pause: everything is applied here and the application does not write yet. Gives up after o->total_ms
     * (MF_ABANDONED); locks of tables are asked for as in gate_install. When the cutover does not come about, whatever of ours writes here
     * next takes them down first. The epoch that opens this side makes those that are its own forgotten. */
    int (*triggers_up)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err);

    /* -- quarantine: kept in the target, written in the transaction that left the row out -- */
    int (*quarantine_list)(struct mf_db *db, const struct mf_pipe_id *pipe, mf_quarantine_sink *emit, void *ctx,
                           struct mf_error *err);
    int (*quarantine_drop)(struct mf_db *db, const struct mf_pipe_id *pipe, int64_t id, struct mf_error *err);
};

/* Whose the migration is, and who may write: the same for both sides. */
struct mf_traffic_ops {
    /* Whom this migration belongs to in this database, as text; "" when nobody has claimed it. claim (may be NULL: only asked): claims
     * it, unless another owner has. Texts with the same first word are of one owner, and the later one stands. To claim, the
     * bookkeeping must be there (prepare). */
    int (*owner)(struct mf_db *db, const struct mf_pipe_id *pipe, const char *claim, char *ret, size_t n,
                 struct mf_error *err);
    /* The right to run this migration: one process at a time has it, for as long as its session lives. Waits at most wait_ms (a session
     * left by a process that was killed ends by itself); MF_FATAL code MFTWICE when another keeps it. */
    int (*run_lock)(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_run_lock **ret,
                    struct mf_error *err);
    /* Is it held still? MF_RETRY when it was lost with its session: release it and take it again. Does not block. */
    int (*run_lock_check)(struct mf_run_lock *l, struct mf_error *err);
    void (*run_lock_release)(struct mf_run_lock *l); /* NULL is allowed */
    /* Installs the gate on every table: cheap while open, closed for all but midflight when the epoch says so. Takes each table's lock for
     * a moment, never two at once; gives up on a table after lock_ms and tries again until total_ms, and does not queue for a lock that a
     * transaction older than lock_ms stands in the way of. Idempotent. open: how it starts. */
    int (*gate_install)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_catalog *tables,
                        const struct mf_gate_options *o, struct mf_error *err);
    int (*gate_remove)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o,
                       struct mf_error *err);
    /* Writers wait from here on; returns when transactions in flight have ended, within o->max_wait_ms (MF_ABANDONED after that, and writers go on). If this process dies, the
     * server releases the hold by itself and everything is as it was. */
    int (*hold)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_gate_options *o, struct mf_hold **ret,
                struct mf_error *err);
    /* Records epoch and writer on this side in one commit and lets waiting writers go: through when open says this side may write, else into the
     * gate's clear error. Consumes the hold whatever happens; on error the caller reads the epoch to learn what is true. */
    int (*hold_decide)(struct mf_hold *h, const struct mf_epoch *e, struct mf_error *err);
    /* Lets writers go on as if nothing had been. NULL is allowed. */
    void (*hold_release)(struct mf_hold *h);
    int (*epoch_read)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_epoch *ret, struct mf_error *err);
    /* Returns when no decision of this migration is on its way in this database any more: one whose process died, or whose answer did not come, has
     * been committed or undone and epoch_read tells which. MF_RETRY when that takes longer than wait_ms: nothing may be concluded yet. */
    int (*settle)(struct mf_db *db, const struct mf_pipe_id *pipe, int wait_ms, struct mf_error *err);
    /* Records an epoch without a hold (opening the side that nobody could write to). Neither this nor hold_decide ever replaces a newer epoch: MF_RETRY
     * code MFEPOCH. */
    int (*epoch_write)(struct mf_db *db, const struct mf_pipe_id *pipe, const struct mf_epoch *e, struct mf_error *err);
    /* Short operations that the calling thread asks of this database fail (MF_RETRY) rather than take longer than `within_ms` from now, all together,
     * until it is called with 0. For the pause, which has a bound. */
    void (*hurry)(struct mf_db *db, int within_ms);
    /* Removes everything of this migration from the database: streams, bookkeeping, gates, settings. Idempotent. */
    int (*cleanup)(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err);
};

/* The servers' own replication in place of a stream and apply (mode: native): the target follows the source by itself, midflight sets it up,
 * watches it and ends it. Optional: what a connector lacks is mf_default_replication, whose check is a blocker. pipe is the forward one. */
struct mf_replication_ops {
    /* Findings: whether this target can be made to follow that source. The same filter as the migration's. */
    int (*check)(struct mf_db *target, struct mf_db *source, const struct mf_filter *filter, struct mf_findings *out,
                 struct mf_error *err);
    /* The target holds exactly what was committed up to job->from, and its checkpoint says so. Makes it follow from there, standing still.
     * May be called again after a stop at any instant. */
    int (*attach)(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                  const struct mf_replication_job *job, struct mf_error *err);
    /* Lets it go on; until (order 0: for ever): it stops exactly there by itself. MF_RETRY once detach has begun. */
    int (*resume)(struct mf_db *target, struct mf_db *source, const struct mf_pipe_id *pipe,
                  const struct mf_position *until, struct mf_error *err);
    /* Returns when nothing is being written by it. */
    int (*pause)(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err);
    int (*status)(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_replication_status *ret,
                  struct mf_error *err);
    /* Promotes: it follows nobody any more, and the checkpoint of pipe is where it stood, so that a stream can go on from there. What it
     * had taken and not executed is forgotten. A target that does not follow: success. */
    int (*detach)(struct mf_db *target, const struct mf_pipe_id *pipe, struct mf_error *err);
};

struct mf_connector {
    const char *name;           /* "postgres" */
    const char *const *schemes; /* URL schemes, NULL-terminated */
    bool in_memory;             /* for tests: no user is told of it */
    const char *wire; /* chunks pass through unread between connectors with the same wire form; NULL: rows only */
    bool can_source, can_target; /* both: the pipe can turn round */
    bool order_is_bytes;         /* positions count bytes of the log; else commits, or */
    bool order_is_time;          /* they are moments, and a difference of two is no amount of anything */
    bool commits_can_wait;       /* as a source it can let commits wait for a stream */
    bool streams; /* it tells of its changes (stream_*): it can be followed. A target that cannot has no stream back */
    bool
        soft_hold; /* its hold keeps nobody out: writers are asked to stay away, and are given time to hear of it (cutover.flag_delay) */
    bool
        documents; /* its tables are collections: rows of an id and a document (bson/shred.h). As a source it needs a map, as a target it is only that source again */
    bool spreads;  /* rows are spread over its nodes by a part of their key (mf_table.npartition) */
    bool last_write_wins; /* as a target it takes rows by their stamps: see window_begin */
    bool
        reads_unordered; /* its rows come in an order that nobody else knows (by token): the bounds of its chunks are its own, also behind a face, and
                           * another database's mean nothing to it; and snapshot_now may be MFUNSUP. verify reads it whole and joins */
    bool
        retells; /* its stream may give a transaction more or fewer changes when it tells of it again: stamps must not be given twice */
    bool
        shows_newer; /* what it tells of a row, in its stream or in a snapshot, may be newer than the position it is told at, never older. As an origin: what is
                      * applied is never strict, a snapshot may be no more than its position, and verify looks again at what differs */
    bool
        puts_whole; /* as a replica a window is no transaction: whole rows are put in order, the checkpoint last, and all of it again after a failure. Fuzzy always */
    bool confirms_acknowledge; /* stream_confirm is stream_ack as well: what is confirmed must be durable on our side */
    int (*open)(const struct mf_db_options *o, struct mf_db **ret,
                struct mf_error *err); /* connects once to see that it can */
    void (*close)(struct mf_db *db);
    int (*facts)(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err);
    const struct mf_source_ops *source;
    const struct mf_target_ops *target;
    const struct mf_traffic_ops *traffic;
    const struct mf_replication_ops *replication;
    const struct mf_canon_ops
        *canon; /* NULL: only a database of the same kind can stand opposite (connector/canon.h) */
    /* Only of a database that shows another (connector/face, connector/view); NULL: it is a real one. The one it shows, and the schema of tables (of its
     * catalogue) in the model's terms, under the names it shows. */
    struct mf_db *(*behind)(struct mf_db *db);
    int (*describe)(struct mf_db *db, const struct mf_catalog *shown, struct mf_schema *ret, struct mf_error *err);
};

/* The real database behind what is shown; db itself when it is one. NULL for NULL. */
struct mf_db *mf_db_behind(struct mf_db *db);

/* The connector for a URL's scheme, or MF_USAGE with the schemes known. */
const struct mf_connector *mf_connector_for_url(const char *url, struct mf_error *err);
/* Whether rows of the one may go into the other: MF_USAGE code MFPAIR where they may not, or either URL has no connector. *ret_face: they are of
 * different kinds, and each is to be opened behind a face (connector/face/face.h); so are two of one kind with query tables (mf_db_options.map). */
int mf_connector_pair(const char *source_url, const char *target_url, bool *ret_face, struct mf_error *err);

/* Connects to one side of a pair (o->side), behind a face where they are of different kinds. source: that side as it was opened, for the target; NULL. */
int mf_connector_open(const struct mf_db_options *o, const char *source_url, const char *target_url,
                      struct mf_db *source, struct mf_db **ret, struct mf_error *err);

#endif
