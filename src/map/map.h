/* From the source's shape of a table to the target's. Pure: no I/O but through the catalogues it is given.
 *
 * A relation version seen in the stream is matched by name to a target table; each of its columns to a target column
 * or, with on_ddl: ignore, to none. A version whose shape differs from the one planned is a schema change:
 * mf_map_relation says so and the stage that owns the work acts by policy. Later maps rename, convert, flatten and
 * merge here; for the same engine on both sides values pass as they are. */
#ifndef MF_MAP_MAP_H
#define MF_MAP_MAP_H

#include "change/change.h"
#include "config/config.h"
#include "connector/types.h"

struct mf_map;

/* origin and replica: catalogues of both ends of the pipe, copied. Thread-safe after creation (one mutex). */
int mf_map_new(const struct mf_catalog *origin, const struct mf_catalog *replica, enum mf_on_ddl on_ddl,
               struct mf_map **ret, struct mf_error *err);
void mf_map_free(struct mf_map *m);
enum mf_on_ddl mf_map_policy(const struct mf_map *m);

enum mf_map_verdict {
    MF_MAP_SAME,      /* as planned */
    MF_MAP_OLDER,     /* as planned but for columns at the end that came later: a version from before they were added,
                       * or from after they were dropped. The names alone do not tell; see mf_map_names */
    MF_MAP_ADDITIVE,  /* columns were added at the end: *ret_added names how many */
    MF_MAP_NEW_TABLE, /* not in the plan */
    MF_MAP_CHANGED,   /* anything else; err text says what, exactly, and what to do */
};
/* err is filled for every verdict but SAME (MF_FATAL, code MFDDL): what the run stops with when the policy
 * is not to carry the change over; for OLDER, what it says if the column was dropped. With on_ddl: ignore, what can be left out (a column or a table the replica has not,
 * a column the origin has no more) is SAME. */
enum mf_map_verdict mf_map_relation(struct mf_map *m, const struct mf_table *seen, int *ret_added,
                                    struct mf_error *err);
/* Takes the new shape as planned from now on, after the target was changed to match; replica is its new shape. Its cascades stay as they are. */
int mf_map_accept(struct mf_map *m, const struct mf_table *seen, const struct mf_table *replica, struct mf_error *err);
/* The cascades of the origin's tables are those of this catalogue from now on; tables that it has not keep theirs. What was resolved before stays as it
 * was: who holds it sees by mf_map_edition that it is to be resolved again. Not while changes are applied. */
int mf_map_cascades(struct mf_map *m, const struct mf_catalog *origin, struct mf_error *err);
/* Grows with every mf_map_cascades that found other ones. */
uint64_t mf_map_edition(const struct mf_map *m);

/* Number and hash of the names of the first n travelling columns of t (n < 0: all). Two versions where one's names
 * begin with the other's differ only by columns added at the end. */
struct mf_map_names {
    int32_t n;
    uint64_t hash;
};
void mf_map_names_of(const struct mf_map *m, const struct mf_table *t, int32_t n, struct mf_map_names *ret);

/* The replica's table for an origin's table, with identity and key as the replica finds rows. NULL: none. Lives as
 * long as the map. */
const struct mf_table *mf_map_target(struct mf_map *m, const struct mf_table *origin);
/* The origin's own table as it was planned or accepted last, whichever side `like` is of. NULL: none. */
const struct mf_table *mf_map_origin(struct mf_map *m, const struct mf_table *like);

/* How changes of one relation version are written: immutable, lives as long as the map, so that the hot path takes no
 * lock. */
struct mf_map_rel {
    const struct mf_table
        *table;            /* the shape written: the replica's columns that travel, with the key rows are found by */
    uint16_t seen_columns; /* what a row must have */
    bool straight;         /* columns are the same in the same order: rows pass as they are */
    bool full;             /* old rows are whole: they fill what an update left unchanged */
    const uint16_t *from;  /* value i written is value from[i] seen; table->ncolumns of them */
};
/* For a version found SAME or OLDER (or accepted). *ret NULL: its changes are left out (on_ddl: ignore). */
int mf_map_resolve(struct mf_map *m, const struct mf_table *seen, const struct mf_map_rel **ret, struct mf_error *err);
/* A change of one row as the replica takes it. New rows in arena when they differ. Any thread; pure. */
int mf_map_project(const struct mf_map_rel *rel, struct mf_arena *arena, const struct mf_change *in,
                   struct mf_change *ret, struct mf_error *err);

/* Both sides of one table as far as they share it: the columns both have and neither computes, in the origin's order,
 * each side with its own types. The key is `like`'s (an origin's or replica's table, found by name); identity FULL when it
 * has none. Copies in arena. What verify compares, and what rows are read and written through when they do not come
 * from the stream. Error MF_FATAL MFMAP when either side has no such table. */
int mf_map_pair(struct mf_map *m, struct mf_arena *arena, const struct mf_table *like, struct mf_table **ret_origin,
                struct mf_table **ret_replica, struct mf_error *err);

#endif
