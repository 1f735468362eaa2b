/* Shared by the files of the repair. */
#ifndef MF_VERIFY_REPAIR_INTERNAL_H
#define MF_VERIFY_REPAIR_INTERNAL_H

#include "verify/internal.h"

/* What became of a row of a batch that was given with care, in a pass. */
enum vf_fate { VF_WRITTEN, VF_LATER, VF_REFUSED };

/* The rounds of a pass: each row; what others stood in the way of, which are taken away; what is refused then. */
enum vf_turn { VF_ALL, VF_MAKE_WAY, VF_LAST };

enum vf_repair_stage { RP_START, RP_WAIT, RP_READ, RP_WRITING, RP_END };

struct vf_repair {
    struct mf_verify *v;
    enum vf_repair_stage stage;
    size_t table;           /* which one */
    struct vf_fault *next;  /* of its faults */
    struct vf_fault *batch; /* where the batch at hand began: done again when it fails */
    bool batch_full;        /* the batch is a whole table without a key */
    int64_t since_us;       /* apply has been held for this round since */
    struct mf_reader *o;    /* in the snapshot */
    struct mf_arena arena;  /* of one batch */
    struct vf_rows whole;
    struct mf_row *gone;
    size_t ngone, asked;
    size_t single;  /* the target refused a row of a batch: so many are given one by one */
    size_t told_of; /* the table of which a refusal was told, + 1 */
    struct mf_apply_job job;
    bool submitted;
    struct mf_position fresh; /* order 0: not asked for yet */
    enum vf_turn turn;        /* pass */
    bool
        careful; /* the batch at hand is given row by row, in one window; refusal is of the first that is not written */
    enum vf_fate *fates; /* one for each of `whole`; NULL: all written */
    char refusal[400];
};

static inline struct vf_table *vf_repair_table(struct vf_repair *p)
{
    return &p->v->tables[p->table];
}

/* repair_full.c: a table without a key */
int vf_repair_read_full(struct vf_repair *p, struct mf_error *err);

/* repair_refused.c: of a pass. The batch at hand is given in one window, what is refused of it goes to quarantine. */
void vf_repair_carefully(struct vf_repair *p);
/* It is committed: what is to be given once more, and what was refused. */
void vf_repair_sort(struct vf_repair *p);
/* All faults are gone through: those for later come again. False: there are none. */
bool vf_repair_again(struct vf_repair *p);
/* The row stays a difference. why NULL: it was written, and the replica shows it otherwise. */
void vf_repair_left(struct vf_repair *p, const struct mf_row *row, const char *why);

#endif
