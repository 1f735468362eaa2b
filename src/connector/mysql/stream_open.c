/*
 * Opening a stream: the server has what was read from it and, as far as can be told, has not become another; it is asked for what was not read,
 * and again for what is prepared and for the transaction that is marked (resume.h).
 */
#include "connector/mysql/replica.h"
#include "connector/mysql/stream.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES ((size_t)3 << 30) /* a row of 1 GB as text, old and new */

static int lost(const char *why, struct mf_error *err)
{
    mf_fail(err, MF_FATAL, "MFSLOT", "%s", why);
    mf_hint(err, "cancel and begin the migration again");
    return -1;
}

static int read_start(struct my_stream *st, MYSQL *c, char *token, size_t n, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    bool book = false;
    if (my_book_exists(c, &book, err) < 0) {
        return -1;
    }
    if (book && my_queryf(c, &r, err,
                          "SELECT value FROM midflight.settings WHERE migration = '%s' AND kind = 'stream %s'"
                          " AND object = 'start'",
                          st->pipe.migration, my_direction(st->pipe.direction)) < 0) {
        return -1;
    }
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (!row || !row[0] || !mf_strlcpy(token, row[0], n)) {
        return lost("the change stream was never made, or was dropped: its start is not in midflight.settings", err);
    }
    return 0;
}

/* A server that has not what it has already sent is not the one that sent it, or is an earlier state of it. */
static int check_history(struct my_stream *st, MYSQL *c, struct mf_error *err)
{
    struct mf_position seen;
    char text[256], from[MF_POSITION_TOKEN];
    my_resume_plain(st->told.token, from);
    if (my_position_seen(c, st->db, &seen, err) < 0) {
        return -1;
    }
    struct my_gtid_set *have = my_gtid_set_new(st->db->mariadb);
    int rc = my_gtid_set_parse(have, seen.token, err);
    if (rc == 0 && !my_gtid_set_contains(have, st->done)) {
        mf_fail(
            err, MF_FATAL, "MFSLOT",
            "the server's history (%.300s) does not contain what has been read from it (%.300s): it was restored to an "
            "earlier moment or reset, or is a replica that took over without the last changes",
            seen.token, from);
        mf_hint(err, "what is lost there may be on the other side already: cancel and begin the migration again");
        rc = -1;
    }
    my_gtid_set_free(have);
    if (rc < 0 || st->db->mariadb) {
        return rc;
    }
    MF_CLEANUP_BUF struct mf_buf b = {.max = 64u << 10};
    mf_buf_puts(&b, "SELECT GTID_SUBTRACT(@@global.gtid_purged, ");
    my_put_literal(&b, from);
    mf_buf_puts(&b, ")");
    if (!mf_buf_ok(&b) || my_query_text(c, text, sizeof text, err, mf_buf_str(&b)) < 0) {
        return -1;
    }
    if (text[0]) {
        mf_fail(err, MF_FATAL, "MFSLOT",
                "the server has thrown away transactions of its log that the stream still needs: %s", text);
        mf_hint(err, "cancel and begin the migration again; let the server keep its log longer "
                     "(binlog_expire_logs_seconds or expire_logs_days) than a standstill can take");
        return -1;
    }
    return 0;
}

/* Without GTIDs: the file is there and as long. */
static int check_file(const struct my_place *at, MYSQL *c, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    MYSQL_ROW row;
    if (my_query(c, &r, err, "SHOW BINARY LOGS") < 0) {
        return -1;
    }
    while ((row = mysql_fetch_row(r))) {
        if (mf_streq(row[0], at->file)) {
            return (uint64_t)my_get_i64(row, 1) >= at->offset
                       ? 0
                       : lost(
                             "the server's log file is shorter than what has been read of it: it was reset or restored",
                             err);
        }
    }
    mf_fail(err, MF_FATAL, "MFSLOT", "the server has no log file %.200s any more, and the stream needs it", at->file);
    mf_hint(err, "cancel and begin the migration again; let the server keep its log longer");
    return -1;
}

/* ---- what it is asked for ---- */

/* What the stream has when it begins: everything, but for what is to come again. */
static void begin_before(struct my_stream *st)
{
    const struct my_mark *m = &st->due;
    my_gtid_set_free(st->seen);
    st->seen = my_gtid_set_clone(st->from ? st->from : st->done);
    for (size_t i = 0; i < st->nagain; i++) {
        my_gtid_set_remove(st->seen, &st->again[i].gtid);
    }
    if (m->unit) {
        my_gtid_set_remove(st->seen, &m->gtid);
        my_gtid_set_lower(st->seen, m->gtid.domain, &m->before);
    }
}

static int dump(struct my_stream *st, struct mf_error *err)
{
    struct my_dump_start at = {.file = st->place.file, .offset = st->place.offset, .set = st->seen, .waits = st->waits};
    int rc = my_dump_open(st->db, &st->pipe, "stream", &at, &st->dump, err);
    if (st->done) {
        st->place = (struct my_place){0}; /* the server tells where that is */
    }
    return rc;
}

/* The server does not send what is marked: its log begins behind it, or it was made from a backup. Then it cannot be compared. */
int my_stream_without_mark(struct my_stream *st, struct mf_error *err)
{
    if (!st->due.unit || st->heard || strcmp(err->code, "MFSLOT") != 0) {
        return -1;
    }
    my_dump_close(st->dump);
    st->dump = NULL;
    my_binlog_reset(st->log);
    st->due.unit = 0;
    begin_before(st);
    mf_error_clear(err);
    return dump(st, err);
}

/* Who writes there: a number of its own that comes again may be another transaction. */
static int who(struct my_stream *st, MYSQL *c, struct mf_error *err)
{
    char text[sizeof st->db->facts.system_id + 8];
    int64_t id = 0;
    if (st->db->mariadb) {
        st->own = (struct my_gtid){.mariadb = true};
        if (my_query_i64(c, &id, err, "SELECT @@global.server_id") < 0) {
            return -1;
        }
        st->own.server = (uint32_t)id;
        return 0;
    }
    snprintf(text, sizeof text, "%s:1", st->db->facts.system_id);
    return my_gtid_parse(text, false, &st->own)
               ? 0
               : mf_fail(err, MF_FATAL, "MFGTID", "the server's server_uuid is none: %.100s", st->db->facts.system_id);
}

static int open_dump(struct my_stream *st, const struct my_place *end, struct mf_error *err)
{
    MY_LEASE(st->db, l);
    if (my_lease(l.db, &l.conn, err) < 0 || my_relations_read(&st->rels, l.conn, err) < 0 ||
        my_versions_read(&st->rels, l.conn, st->told.order, err) < 0 ||
        (st->done ? check_history(st, l.conn, err) < 0 || who(st, l.conn, err) < 0
                  : check_file(&st->place, l.conn, err) < 0 || check_file(end, l.conn, err) < 0)) {
        return -1;
    }
    if (st->done) {
        begin_before(st);
    }
    return dump(st, err);
}

static int begin_at(struct my_stream *st, const char *token, struct my_resume *r, struct mf_error *err)
{
    if (!st->db->gtid && token[strcspn(token, ".")] == 0) {
        return lost("the stream's position is no place in a log file: the server's gtid_mode was changed", err);
    }
    if (my_resume_read(token, st->db->gtid, st->db->mariadb, r, err) < 0 || my_resume_position(r, &st->told, err) < 0) {
        return -1;
    }
    st->opened = st->told.order;
    st->place = r->place;
    my_resume_first_place(r, &r->place, &st->place);
    st->done = r->done;
    st->from = r->from;
    st->again = r->xa;
    st->nagain = r->nxa;
    st->due = st->mark = r->mark;
    *r = (struct my_resume){.place = r->place}; /* the rest is the stream's */
    return 0;
}

int my_stream_open(struct mf_db *base, const struct mf_pipe_id *pipe, const struct mf_position *from, bool commits_wait,
                   struct mf_stream **ret, struct mf_error *err)
{
    char token[MF_POSITION_TOKEN] = "";
    struct my_resume at = {0};
    struct my_stream *st = mf_xcalloc(1, sizeof *st);
    st->base.db = base;
    st->db = my_db_of(base);
    st->pipe = *pipe;
    st->waits = commits_wait;
    st->rels = (struct my_relations){.db = st->db, .pipe = *pipe};
    st->log = my_binlog_new();
    st->scout = my_scout_new(&st->rels);
    st->next_sub = UINT64_C(1) << 63; /* apart from the ids of transactions */
    mf_arena_init(&st->arena, ROW_BYTES);
    MY_LEASE(st->db, l);
    if (my_lease(l.db, &l.conn, err) < 0 || read_start(st, l.conn, token, sizeof token, err) < 0 ||
        (pipe->direction == MF_REVERSE && my_replica_past(l.conn, pipe, &st->brought, err) < 0)) {
        my_stream_close(&st->base);
        return -1;
    }
    if (from && !mf_position_none(from)) {
        mf_strlcpy(token, from->token, sizeof token);
    }
    if (begin_at(st, token, &at, err) < 0 || open_dump(st, &at.place, err) < 0) {
        mf_error_prefix(err, "opening the change stream at %.200s", token);
        my_resume_free(&at);
        my_stream_close(&st->base);
        return -1;
    }
    *ret = &st->base;
    return 0;
}
