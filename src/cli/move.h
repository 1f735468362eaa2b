/* Commands that are one request to the running migration. */
#ifndef MF_CLI_MOVE_H
#define MF_CLI_MOVE_H

#include "cli/command.h"
#include "migration/migration.h"

/* cutover, rollback: with --dry-run and --max-pause. */
int mf_cli_move(const struct mf_args *a, const char *path, const char *done, const char *rehearsed);
/* No options. */
int mf_cli_simple_post(const struct mf_args *a, const char *path, const char *done);
/* complete, cancel: asks the running migration; where none runs, does it here. */
int mf_cli_end(const struct mf_args *a, const char *path, enum mf_request_kind kind, const char *done);

#endif
