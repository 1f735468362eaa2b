/* Shared by the files of this folder: the handle and the few lines of SQLite that every call needs. */
#ifndef MF_STATE_INTERNAL_H
#define MF_STATE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "state/state.h"

#define MF_STATE_STATEMENTS 64

struct mf_state {
    sqlite3 *db;
    char *dir;            /* NULL in memory */
    int lock_fd;          /* -1: not locked */
    pthread_mutex_t lock; /* guards everything below and the connection */
    struct {
        const char *sql; /* a literal of this folder: compared by address */
        sqlite3_stmt *st;
    } cache[MF_STATE_STATEMENTS];
};

/* Runs one statement with its parameters. `types`: i = int64_t, s = const char * (NULL allowed), d = double. Lock held. */
int mf_state_run(struct mf_state *s, struct mf_error *err, const char *sql, const char *types, ...);
/* Prepares (or reuses) and binds; step it with mf_state_next. Lock held. NULL on error. */
sqlite3_stmt *mf_state_query(struct mf_state *s, struct mf_error *err, const char *sql, const char *types, ...);
/* 1: a row; 0: no more; -1: error. */
int mf_state_next(struct mf_state *s, sqlite3_stmt *st, struct mf_error *err);
int mf_state_fail(struct mf_state *s, struct mf_error *err, const char *doing);
void mf_state_text(sqlite3_stmt *st, int column, char *out, size_t n);

#endif
