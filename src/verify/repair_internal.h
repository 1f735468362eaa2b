/* Shared by the files of the repair. */
#ifndef MF_VERIFY_REPAIR_INTERNAL_H
#define MF_VERIFY_REPAIR_INTERNAL_H

#include "verify/internal.h"

/* What becomes of a row that was refused alone, in a pass; done as a job on apply's connection. */
struct vf_left_out {
    struct mf_verify *v;
    struct vf_table *t;
    const struct mf_row *row;
    bool under_way;
};

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
    bool second;              /* pass: rows that were refused are given once more, one by one */
    struct vf_left_out left_out;
};

static inline struct vf_table *vf_repair_table(struct vf_repair *p)
{
    return &p->v->tables[p->table];
}

/* repair_full.c: a table without a key */
int vf_repair_read_full(struct vf_repair *p, struct mf_error *err);

/* repair_refused.c: of a pass. The job that takes the row out of the way (or, the second time, to quarantine) is submitted. */
void vf_repair_leave_out(struct vf_repair *p);
/* It is done: 0, or -1 with the failure. */
int vf_repair_left_out(struct vf_repair *p, struct mf_error *err);
/* All faults are gone through once: those that were refused come again. False: there are none. */
bool vf_repair_second(struct vf_repair *p);

#endif
