/* Between the files of inference. */
#ifndef MF_BSON_INFER_INTERNAL_H
#define MF_BSON_INFER_INTERNAL_H

#include "bson/elem.h"
#include "bson/infer.h"

#include "base/mem.h"

struct mf_infer {
    size_t paths_most, paths;
    size_t unique_most, unique_bytes; /* of the sets of values that are past INFER_EXACT */
    bool full;                        /* a path found no place: the widest object is folded before the next document */
    uint64_t made, made_then;         /* paths, up to now, and when one was last looked for to be folded */
    size_t n;
    struct mf_infer_collection **collections;
};

/* ---- how many different values (infer_values.c) ---- */

#define INFER_EXACT     256  /* so many are told apart whatever they are */
#define INFER_REGISTERS 1024 /* of HyperLogLog: an error of 3 % */
#define INFER_UNIQUE    (1U << 20)

struct infer_values {
    uint64_t *set; /* hashes, in a table of `cap` places, 0: free; NULL: registers only */
    uint32_t n, cap;
    uint64_t seen;
    bool repeats, given_up;
    uint8_t *registers;
};
/* unique: it is worth knowing whether any comes twice. */
void infer_values_add(struct mf_infer *f, struct infer_values **v, uint64_t hash, bool unique);
void infer_values_merge(struct mf_infer *f, struct infer_values **into, const struct infer_values *from, bool unique);
void infer_values_free(struct mf_infer *f, struct infer_values *v);
uint64_t infer_values_count(const struct infer_values *v, bool *ret_exact);

/* ---- values kept to be looked up elsewhere (infer_refs.c) ---- */

struct infer_ref {
    uint8_t type, len;
    uint8_t bytes[MF_INFER_REF];
};
struct infer_refs {
    uint64_t seen, dice;
    unsigned n;
    struct infer_ref all[MF_INFER_REFS];
};
void infer_refs_add(struct infer_refs **r, const struct elem *e);
void infer_refs_merge(struct infer_refs **into, const struct infer_refs *from);

/* ---- one value (infer_stats.c) ---- */

unsigned infer_type(uint8_t bson_type);
bool infer_is_scalar(uint8_t bson_type); /* none that holds others, and not null */
/* The path is one that a document has at most once. */
bool infer_is_single(const struct mf_infer_path *p);
void infer_stats_add(struct mf_infer *f, struct mf_infer_path *p, const struct elem *e);
void infer_stats_merge(struct mf_infer *f, struct mf_infer_path *into, const struct mf_infer_path *from);

/* ---- folding (infer_fold.c) ---- */

/* By what was seen up to now its keys are data; last: nothing more comes. */
bool infer_folds(const struct mf_infer_path *object, bool last);
void infer_fold(struct mf_infer *f, struct mf_infer_path *object);
/* The object with most fields, of all; NULL: none has two. */
void infer_fold_widest(struct mf_infer *f);
void infer_fold_all(struct mf_infer *f, struct mf_infer_path *p);

/* ---- the tree (infer.c) ---- */
struct mf_infer_path *infer_path_new(struct mf_infer *f, struct mf_infer_path *above, enum mf_infer_kind kind,
                                     const char *name, uint32_t n);
void infer_path_free(struct mf_infer *f, struct mf_infer_path *p);
/* NULL: there is none yet and no place for one, which is counted. */
struct mf_infer_path *infer_field(struct mf_infer *f, struct mf_infer_path *object, const char *name, uint32_t n,
                                  uint32_t *hint);
void infer_path_merge(struct mf_infer *f, struct mf_infer_path *into, const struct mf_infer_path *from);
void infer_key_add(struct mf_infer *f, struct mf_infer_path *any, const char *name, uint32_t n);

#endif
