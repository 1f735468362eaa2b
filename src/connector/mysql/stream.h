/* The change stream's own header: stream_open.c (opening), stream.c (waiting, items), stream_events.c (what each event means), stream_rows.c (rows), xa.c (XA
 * transactions that are prepared), stream_mark.c (what was read; what the last of it looked like). */
#ifndef MF_CONNECTOR_MYSQL_STREAM_H
#define MF_CONNECTOR_MYSQL_STREAM_H

#include "connector/mysql/dump.h"
#include "connector/mysql/moved.h"
#include "connector/mysql/mysql_room.h"
#include "connector/mysql/resume.h"
#include "connector/mysql/savepoint.h"
#include "connector/mysql/scout.h"
#include "connector/mysql/versions.h"

#define MY_QUEUE  8
#define MY_XA_MAX 10000

/* A transaction of the log, from its GTID on. */
struct my_txn {
    bool open;
    bool grouped;        /* several events, up to one that ends it; else the one statement that follows */
    bool skip;           /* contained in where the stream began */
    bool again;          /* contained there too, but it was prepared and had not ended: its rows are handed out again */
    bool brought;        /* by this server's own replication, from the other side: its rows are nothing new */
    bool begun;          /* its BEGIN was handed out */
    bool changed_tables; /* and that is to be remembered before it is passed */
    bool changed_all;
    uint64_t id, sub;            /* sub: what comes now is undone together (a savepoint) */
    uint64_t shown;              /* XA COMMIT: mf_item.shown; 0: id */
    struct my_gtid gtid, before; /* before: MariaDB, the last one of its domain */
    uint64_t at;                 /* the order of the place where it begins */
    int64_t time_us;
    /* what it looks like (my_mark) */
    uint64_t commit_us, seconds;
    uint32_t sum;
    struct my_place start; /* behind its GTID: where a look ahead begins, which needs every table's description */
};

/* XA: prepared, neither committed nor rolled back so far. */
struct my_prepared {
    char id[MY_TOKEN];
    uint64_t txn;
    bool begun;
    struct my_again self;
    struct my_gtid before;
};

/* Somebody's COMMIT waits for this place of the log to be replied, which may be done when everything up to this order is confirmed. */
struct my_wanted {
    uint64_t order;
    struct my_place place;
};
#define MY_WANTED_MAX 32

struct my_stream {
    struct mf_stream base;
    struct my_db *db;
    struct mf_pipe_id pipe;
    struct my_dump *dump;
    struct my_binlog *log;
    struct my_relations rels;
    struct my_scout *scout;
    struct my_gtid_set *done; /* NULL: positions are places in files */
    struct my_gtid_set *seen; /* the same without what is still to come again */
    struct my_gtid_set *
        from; /* of where it was opened, as are `again`, those prepared transactions that did not come yet, and `due` */
    struct my_again *again;
    size_t nagain;
    struct my_mark mark, due; /* of what was read; unit 0: nothing (more) is to be compared */
    struct my_gtid own;       /* the server's own uuid, or number */
    bool heard;               /* a transaction has come since it was opened */
    struct my_gtid_set *brought,
        *others; /* stream back of a target that followed by itself: known servers of the source, and those
                                           * that are not; NULL: it never did */
    struct my_place place;
    struct mf_position told; /* the last one handed out */
    uint64_t opened;         /* the order it began at */
    char changed_by[MY_WHY]; /* the statement that may have changed every table */
    struct my_txn x;
    struct my_savepoints savepoints;
    struct my_moves moves; /* of the open transaction */
    uint64_t next_sub;
    uint64_t undo, undo_end; /* subs whose undoing is still to be told */
    struct my_prepared *prepared;
    size_t nprepared;
    /* tables of the statement being read */
    struct {
        uint64_t id;
        struct my_rel *rel; /* NULL: not ours */
    } * maps;
    size_t nmaps, maps_cap;
    /* handed out before anything is read */
    struct mf_item queue[MY_QUEUE];
    size_t at, nqueue;
    const struct mf_table *emptied; /* the table of the truncation in the queue */
    struct my_rel *rows;            /* a rows event is being handed out */
    enum my_rows_kind rows_kind;
    bool rows_cascade;     /* foreign keys acted */
    struct mf_arena arena; /* of one row */
    struct mf_value *old_values, *new_values;
    const void *raw; /* the event that came, whole; NULL: out of a compressed one */
    size_t nraw;
    uint32_t next_sum; /* of the GTID that came */
    uint64_t came_at;  /* the order of the place where it begins */
    bool in_payload;
    /* an event that waits until the shape of a table is known */
    struct my_rel *learning;
    bool learnt; /* the catalogue was read; it holds when nothing comes before `until` */
    struct my_place until;
    struct my_event waiting;
    /* stream_wait.c: commits wait for us */
    bool waits;
    bool wanted; /* a reply, for an event of the transaction that is open */
    struct my_place wanted_at;
    struct my_wanted wants[MY_WANTED_MAX];
    size_t nwants;
};

/* What an event means; items go into the queue. An event that needs a shape not known yet is put aside (st->learning) and comes again. */
int my_stream_event(struct my_stream *st, const struct my_event *e, struct mf_error *err);
void my_stream_put(struct my_stream *st, const struct mf_item *item);
/* stream_ddl.c. A change of tables. */
int my_stream_ddl(struct my_stream *st, const struct my_event *e, struct mf_error *err);
/* It comes again when the shape is known. */
void my_stream_put_aside(struct my_stream *st, struct my_rel *rel, const struct my_event *e);
int my_stream_not_that_table(const struct my_rel *rel, struct mf_error *err); /* -1, MFDDL */
/* Where the stream is: behind the transaction that ends now. stream_mark.c */
int my_stream_here(const struct my_stream *st, struct mf_position *ret, struct mf_error *err);
/* PROGRESS, when there is any and no transaction is open. */
int my_stream_progress(struct my_stream *st, struct mf_error *err);
/* BEGIN and RELATION where they are due before a change of this table. */
void my_stream_lead(struct my_stream *st, struct my_rel *rel);

/* The next row of st->rows; *ret_got false: the event has no more. */
int my_stream_row(struct my_stream *st, struct mf_item *ret, bool *ret_got, struct mf_error *err);

/* stream_wait.c. After an event: what it asks for. */
void my_stream_note_wanted(struct my_stream *st);
/* MFALONE, where commits wait for us. */
int my_stream_alone(const struct my_stream *st, const char *what, struct mf_error *err);
/* brought.c: sets x->brought */
int my_stream_who_wrote(struct my_stream *st, struct my_txn *x, struct mf_error *err);

/* xa.c */
int my_xa_prepared(struct my_stream *st, const struct my_event *e, struct mf_error *err);
int my_xa_end(struct my_stream *st, const char *id, bool commit, struct mf_error *err);

/* stream_open.c. The log was refused: it is asked for without the marked transaction, if nothing else was heard. */
int my_stream_without_mark(struct my_stream *st, struct mf_error *err);

/* stream_mark.c. An event that came, for what its transaction looks like. */
void my_stream_look(struct my_stream *st, const struct my_event *e);
/* The open transaction ends and counts as executed from here on. MF_FATAL code MFSLOT when another one was read under its number. */
int my_stream_count(struct my_stream *st, struct mf_error *err);
/* Ends the open transaction: COMMIT, or PROGRESS when it had nothing for us. */
int my_stream_commit(struct my_stream *st, struct mf_error *err);

#endif
