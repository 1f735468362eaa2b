/* complete and cancel: by the running migration, or here when none runs. */
#include "cli/move.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <unistd.h>

static int offline(const struct mf_args *a, const char *dir, enum mf_request_kind kind, json_t **ret,
                   struct mf_error *err)
{
    struct mf_config *c = NULL;
    MF_CLEANUP_FREE char *state = mf_xasprintf("%s/state.db", dir);
    const struct mf_request r = {.kind = kind, .force = mf_arg(a, "force") != NULL};
    if (mf_cli_config(a, &c, err) < 0) {
        mf_error_prefix(err, "no migration runs, so it is done from here");
        return -1;
    }
    if (!r.force && access(state, F_OK) < 0) {
        mf_fail(err, MF_USAGE, "MFNOSTATE", "there is no migration in %s: nothing was done", dir);
        mf_hint(err,
                "Name its state directory with --state. If that is lost: --force removes what is left of the migration "
                "in both databases.");
        mf_config_free(c);
        return -1;
    }
    int rc = mf_migration_offline(c, &r, ret, err);
    mf_config_free(c);
    return rc;
}

int mf_cli_end(const struct mf_args *a, const char *path, enum mf_request_kind kind, const char *done)
{
    struct mf_error err = {0};
    json_t *reply = NULL;
    MF_CLEANUP_FREE char *dir = NULL;
    mf_log_setup(MF_LOG_AUTO, MF_WARN, STDERR_FILENO);
    int rc = mf_cli_state_dir(a, &dir, &err);
    if (rc == 0) {
        rc = mf_control(dir, "POST", path, NULL, &reply, &err);
    }
    if (rc < 0 && mf_streq(err.code, "MFNORUN")) {
        mf_error_clear(&err);
        rc = offline(a, dir, kind, &reply, &err);
    }
    if (rc < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = mf_cli_reply(a, reply, done);
    json_decref(reply);
    return status;
}
