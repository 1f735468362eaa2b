/* What snapshot.c and snapshot_lock.c share. */
#ifndef MF_CONNECTOR_MYSQL_SNAPSHOT_H
#define MF_CONNECTOR_MYSQL_SNAPSHOT_H

#include "connector/mysql/reader.h"

/* Begins, or begins anew, the consistent read of all its sessions, as close together as can be. */
int my_snapshot_begin(struct my_snapshot *s, struct mf_error *err);
/* The position while no commit is on its way (the caller holds commits back). anywhere: it may be none. */
int my_position_locked(struct my_db *db, MYSQL *c, bool anywhere, struct mf_position *ret, struct mf_error *err);
/* Holds commits back for the moment in which the sessions begin. MF_RETRY when that would make writers wait for something long. */
int my_snapshot_locked(struct my_snapshot *s, struct my_db *db, MYSQL *control, struct mf_error *err);

#endif
