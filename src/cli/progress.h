/* Progress of a run: a line redrawn at the bottom of a terminal with the log scrolling above it, or a log line now and
 * then elsewhere. */
#ifndef MF_CLI_PROGRESS_H
#define MF_CLI_PROGRESS_H

#include "base/log.h"
#include "cli/command.h"
#include "migration/migration.h"

struct mf_progress;

/* Sets the log up (so: before other threads start) and, on a terminal, takes it over. */
int mf_progress_new(const struct mf_config *c, struct mf_progress **ret, struct mf_error *err);
/* Begins to watch; m must outlive mf_progress_free. */
void mf_progress_watch(struct mf_progress *p, struct mf_migration *m);
/* Writes out what is left; the log goes to standard error again. NULL is allowed. */
void mf_progress_free(struct mf_progress *p);
/* Is the log for people (text), not for machines? */
bool mf_progress_for_people(const struct mf_config *c);

#endif
