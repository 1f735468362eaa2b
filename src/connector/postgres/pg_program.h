/* Running pg_dump: which one, how it connects, what it says. */
#ifndef MF_CONNECTOR_POSTGRES_PG_PROGRAM_H
#define MF_CONNECTOR_POSTGRES_PG_PROGRAM_H

#include "connector/postgres/connect.h"
#include "connector/postgres/dump.h"

/* The pg_dump to use between these server versions (150020): not older than the source, and of those the newest that is not newer than the
 * target, or the oldest. MF_FATAL code MFPGDUMP with the package to install when there is none. */
int pg_find_dump(int source_version, int target_version, char *ret_path, size_t n, int *ret_major,
                 struct mf_error *err);

/* Dumps src's schema without the schema `midflight` and the tables that the job's filter leaves out, into file (mode 0600, replaced whole).
 * With job->addition: the job's tables alone, and the partitioned tables and sequences they need that dst has not. */
int pg_dump_write(struct pg_db *src, struct pg_db *dst, const struct mf_schema_job *job, const char *file,
                  struct mf_error *err);
/* Reads and splits it. */
int pg_dump_read(const char *file, struct pg_dump *ret, struct mf_error *err);

#endif
