/*
 * The binary log's events, decoded. Pure: bytes in, events out; nothing here reads a socket or asks a server. Fuzzed
 * (tests/fuzz/fuzz_binlog.c).
 *
 * Formats: MySQL's "Binary Log Event" and "Replication Protocol" pages of its source documentation; MariaDB's
 * "Replication Protocol" pages for its own events (160 and on).
 *
 * A decoder follows one stream: it remembers the format description (post-header lengths, checksum algorithm), the table
 * maps of the statement it is in, and the type of every column those maps told. It does not know names of columns: rows are
 * wide as the table map says, and what their values look like in text also depends on the column (sign, character set, members
 * of an ENUM), which the server tells in the table map's optional metadata only when it is set to. So the caller gives a
 * struct my_type for each column (from the catalogue), and the decoder holds them against the map: a kind or width that
 * does not fit is MF_FATAL code MFSHAPE, and no row is handed out.
 */
#ifndef MF_CONNECTOR_MYSQL_BINLOG_H
#define MF_CONNECTOR_MYSQL_BINLOG_H

#include "base/arena.h"
#include "base/error.h"
#include "connector/mysql/coltype.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum my_event_kind {
    MY_EV_OTHER,      /* nothing to us */
    MY_EV_FORMAT,     /* format description */
    MY_EV_ROTATE,     /* rotate.file, rotate.position */
    MY_EV_GTID,       /* gtid: a transaction begins; anonymous ones too */
    MY_EV_QUERY,      /* query */
    MY_EV_XID,        /* the transaction commits */
    MY_EV_XA_PREPARE, /* XA: the transaction is prepared (one_phase: committed) under xa.id */
    MY_EV_TABLE_MAP,
    MY_EV_ROWS,           /* rows; my_rows_next hands them out */
    MY_EV_HEARTBEAT,      /* nothing has been written since rotate.position of rotate.file */
    MY_EV_STOP,           /* the server was shut down */
    MY_EV_INCIDENT,       /* the server says that events were lost: incident.message */
    MY_EV_PAYLOAD,        /* a compressed transaction: my_payload_next hands out the events in it */
    MY_EV_INTVAR_OR_LIKE, /* INTVAR, RAND, USER_VAR, or a statement's LOAD DATA events: the log is not in row format */
};

enum my_rows_kind { MY_ROWS_INSERT, MY_ROWS_UPDATE, MY_ROWS_DELETE };

#define MY_GTID_TAG 33 /* 32 characters */

struct my_gtid {
    bool anonymous;
    uint8_t uuid[16];      /* MySQL */
    char tag[MY_GTID_TAG]; /* MySQL 8.3 on; "": none */
    uint64_t number;
    bool mariadb;
    uint32_t domain, server; /* MariaDB: domain-server-number */
    bool standalone;         /* MariaDB: a statement of its own without a commit event (DDL) */
};

/* What a table map tells. */
struct my_table_map {
    uint64_t id;
    char schema[260], table[260];
    uint16_t ncolumns;
    const uint8_t *types; /* one byte a column: the server's field type; in the decoder's memory, as meta is */
    const uint8_t *meta;  /* packed metadata */
    size_t meta_len;
    bool has_names;     /* binlog_row_metadata=FULL: the columns' names are known */
    const char **names; /* in the decoder's memory, good until the next table map of this id */
};

struct my_event {
    enum my_event_kind kind;
    uint8_t type;       /* the server's number of it */
    uint32_t timestamp; /* seconds since 1970 */
    uint32_t server_id;
    uint32_t next_position; /* end of this event in its file; 0 for one that is not in the file */
    bool artificial;
    uint64_t commit_us; /* MY_EV_GTID: when it was first committed, as MySQL 8.0 keeps it over replicas; 0: not told */
    union {
        struct {
            char file[512];
            uint64_t position;
        } rotate;
        struct my_gtid gtid;
        struct {
            char schema[260]; /* the session's default database */
            const char *text; /* not NUL-terminated */
            size_t len;
            uint64_t sql_mode;
            bool has_sql_mode;
            bool utf8; /* it is UTF-8, or was made so; else in a character set that is not known */
            uint16_t error;
        } query;
        struct {
            bool one_phase;
            char id[300]; /* printable form of format, gtrid and bqual */
        } xa;
        struct my_table_map map;
        struct {
            uint64_t table_id;
            enum my_rows_kind kind;
            bool statement_end;   /* table maps end with it */
            bool no_foreign_keys; /* the session had foreign_key_checks off: nothing cascaded */
        } rows;
        struct {
            char message[512];
        } incident;
    };
};

struct my_binlog; /* the decoder; one thread */

struct my_binlog *my_binlog_new(void); /* never NULL */
void my_binlog_free(struct my_binlog *d);
/* A connection begins anew: forgets table maps and the format. */
void my_binlog_reset(struct my_binlog *d);

/* One event as the server sent it, header and checksum included. Checks the checksum where there is one (MF_FATAL code MFBINLOG: the bytes are not
 * what the server wrote). `bytes` must stay until the next call: ret and rows are views into them. */
int my_binlog_event(struct my_binlog *d, const void *bytes, size_t n, struct my_event *ret, struct mf_error *err);

/* Events have a checksum at their end. */
bool my_binlog_checksums(const struct my_binlog *d);

/* After MY_EV_PAYLOAD: the events inside, one a call, decoded as my_binlog_event would; *ret_more false when there are none left. Decompresses in
 * pieces; memory is bounded by the largest event inside (MFBIG beyond 1 GiB). */
int my_payload_next(struct my_binlog *d, struct my_event *ret, bool *ret_more, struct mf_error *err);

/* The columns of a table map by id, as the caller has understood it; types are copied, members stay the caller's. Needed before rows of it are read.
 * MFSHAPE when they do not fit the map. */
int my_binlog_columns(struct my_binlog *d, uint64_t table_id, const struct my_type *types, uint16_t n,
                      struct mf_error *err);

/* After MY_EV_ROWS: the rows of the event, one a call; values in the arena, or views into the event (and an ENUM's into the caller's
 * members): good until the arena is emptied or the next event is decoded, whichever comes first. An insert, too, may have columns left
 * out (binlog_row_image MINIMAL: those that got their default); they are MF_UNCHANGED there. old_row: update, delete; new_row: insert, update. Columns the
 * image leaves out (binlog_row_image MINIMAL, NOBLOB) are MF_UNCHANGED in the old row; in the new row of an update they are MF_UNCHANGED,
 * too. A partial JSON update is put together with the old row's document when it is there, else the column is MF_UNCHANGED and *ret_partial
 * says so. *ret_more false: no further row, and the rows are not filled. */
int my_rows_next(struct my_binlog *d, struct mf_arena *arena, struct mf_row *old_row, struct mf_row *new_row,
                 bool *ret_partial, bool *ret_more, struct mf_error *err);

/* ---- JSON's binary form (jsonb.c), fuzzed by itself ---- */

struct mf_buf;
/* Appends the text of a binary JSON document as a server of version 8.0 prints it (5.7 prints the double 1.0 as 1; rows of its log are decoded
 * so, too). MFBINLOG when it is malformed; nesting is bounded. */
int my_json_text(struct mf_buf *out, const void *bytes, size_t n, struct mf_error *err);
/* Appends the text of the document that the diffs (the value of a PARTIAL_UPDATE_ROWS column) make of the binary document `base`. MFBINLOG when
 * they do not fit it. */
int my_json_patch(struct mf_buf *out, const void *base, size_t nbase, const void *diffs, size_t ndiffs,
                  struct mf_error *err);

#endif
