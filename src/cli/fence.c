#include "cli/command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>

int mf_cmd_fence(const struct mf_args *a)
{
    MF_CLEANUP_FREE char *dir = NULL;
    struct mf_error err = {0};
    const char *timeout = mf_arg(a, "timeout");
    json_t *reply = NULL;
    int64_t us = 0;
    if (timeout && !mf_parse_duration(timeout, &us)) { /* what else may be wrong with it the run says */
        mf_fail(&err, MF_USAGE, "MFUSAGE", "--timeout takes a time, such as 500ms or 5s");
        return mf_cli_fail(a, &err);
    }
    MF_CLEANUP_FREE char *path =
        timeout ? mf_xasprintf("/v1/fence?timeout=%" PRId64 "ms", us / MF_US_PER_MS) : mf_xstrdup("/v1/fence");
    if (mf_cli_state_dir(a, &dir, &err) < 0 || mf_control(dir, "GET", path, NULL, &reply, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = mf_cli_reply(a, reply, "the other side has everything that was committed before");
    json_decref(reply);
    return status;
}
