/* The join store: what was read of both sides of a table, each row as its key and a digest, until every row of the one is put to the row of
 * the other with the same key. Bounded in memory and on disk, whatever the size of the tables.
 *
 * Rows go to VF_PARTS partitions by the hash of their key. What does not fit in memory goes, partition by partition, to a temporary file
 * without a name in the state directory: it is gone with the process, and each piece of it has a checksum, which is kept in memory. When both
 * sides are complete (vf_store_seal), the store is cut into pieces: a share, by hash, of one partition, small enough for a hash table of its
 * origin's rows in the memory of one job. Pieces have nothing in common and are joined in any order, on any threads.
 *
 * Rows are added in attempts (a chunk of the table that is being read). One that fails is void: its rows are as if they had never been added.
 *
 * counted: rows have no key. A row is its digest, and what is joined are the numbers of copies. */
#ifndef MF_VERIFY_STORE_H
#define MF_VERIFY_STORE_H

#include "connector/types.h"

#define VF_PARTS   512
#define VF_KEY_MAX (1u << 20)

enum vf_side { VF_ORIGIN, VF_REPLICA };

struct vf_store;

struct vf_store_options {
    const char *dir;       /* NULL: memory alone */
    uint64_t memory, disk; /* bytes at most */
    int jobs;              /* pieces that are joined at one time */
    bool counted;
};

struct vf_store *vf_store_new(const struct vf_store_options *o);
void vf_store_free(struct vf_store *s); /* NULL is allowed */

/* ---- adding: each writer on a thread of its own ---- */

struct vf_writer {
    struct vf_store *store; /* NULL: not begun */
    enum vf_side side;
    uint32_t attempt;
    uint64_t rows;
    char *stage; /* records on their way, so that the store's lock is taken once for many */
    size_t len;
    uint32_t *recent; /* counted: records of the stage by digest */
};
void vf_writer_begin(struct vf_writer *w, struct vf_store *s, enum vf_side side);
/* MF_ABANDONED code MFDISK when the disk is full or the bound is reached. Any error: end it with keep = false. */
int vf_writer_add(struct vf_writer *w, const struct mf_digest *d, const void *key, size_t len, struct mf_error *err);
/* keep false: the attempt is void. With an error too. */
int vf_writer_end(struct vf_writer *w, bool keep, struct mf_error *err);
void vf_writer_free(struct vf_writer *w);

/* ---- joining ---- */

/* Nothing is being added any more, and will not be. */
int vf_store_seal(struct vf_store *s, struct mf_error *err);
uint32_t vf_store_pieces(const struct vf_store *s);

struct vf_unmatched {
    struct mf_digest digest; /* of one side's row; of the origin's when both have it */
    const char *key;
    uint32_t len;
    int64_t count; /* counted: copies of the origin less copies of the replica. Else 0 */
};
typedef int vf_unmatched_sink(void *ctx, const struct vf_unmatched *u, struct mf_error *err);
struct vf_joined {
    uint64_t rows[2]; /* of the piece, by side */
};
/* Emits each key that has not exactly one row on each side with equal digests. Any thread. MF_RETRY code MFSPILL when the disk gives back
 * other bytes than it was given: read both sides again. */
int vf_store_join(struct vf_store *s, uint32_t piece, vf_unmatched_sink *emit, void *ctx, struct vf_joined *ret,
                  struct mf_error *err);

struct vf_store_stats {
    uint64_t rows[2]; /* of attempts that were kept */
    uint64_t memory, disk;
};
void vf_store_stats(struct vf_store *s, struct vf_store_stats *ret); /* any thread */
int vf_store_file(const struct vf_store *s); /* for tests: its descriptor, -1 while nothing is spilled */

/* The hash that says where a row goes, and whether it is in a sample. */
uint64_t vf_store_hash(const struct mf_digest *d, const void *key, size_t len);

#endif
