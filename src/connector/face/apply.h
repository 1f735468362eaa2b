/* The face's applier, shared by apply.c and cascade.c. One thread. */
#ifndef MF_CONNECTOR_FACE_APPLY_H
#define MF_CONNECTOR_FACE_APPLY_H

#include "connector/face/internal.h"

struct face_written;

struct face_applier {
    struct mf_applier base;
    struct mf_applier *own;
    struct mf_arena tables; /* written */
    struct face_written *written;
    struct mf_arena batch;
    bool careful;
    struct mf_window_result *result; /* of this window */
    size_t missing_done, told_done;  /* what of it is the caller's already */
};

/* A face of an applier that is somebody else's. */
struct face_applier *face_applier_of(struct mf_db *db, struct mf_applier *own);
void face_applier_free(struct face_applier *a); /* not own; NULL is allowed */

/* The real database's table for one that is written through; it stays for as long as the applier. */
const struct mf_table *face_written_own(struct face_applier *a, const struct mf_table *shown, struct mf_error *err);

#endif
