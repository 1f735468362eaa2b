/* What cutover and rollback have in common: options to body, reply to text. */
#include "cli/move.h"

#include "base/str.h"

int mf_cli_move(const struct mf_args *a, const char *path, const char *done, const char *rehearsed)
{
    struct mf_error err = {0};
    json_t *reply = NULL;
    json_t *body = json_object();
    const char *pause = mf_arg(a, "max-pause");
    int64_t us = 0;
    if (pause && (!mf_parse_duration(pause, &us) || us < 1000)) {
        json_decref(body);
        mf_fail(&err, MF_USAGE, "MFUSAGE", "--max-pause takes a time like 500ms or 2s");
        return mf_cli_fail(a, &err);
    }
    if (us) {
        json_object_set_new(body, "max_pause_ms", json_integer(us / 1000));
    }
    if (mf_arg(a, "dry-run")) {
        json_object_set_new(body, "dry_run", json_true());
    }
    if (mf_arg(a, "accept-differences")) {
        json_object_set_new(body, "accept_differences", json_true());
    }
    if (mf_control_post(a, path, body, &reply, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = mf_cli_reply(a, reply, mf_arg(a, "dry-run") ? rehearsed : done);
    json_decref(reply);
    return status;
}

int mf_cli_simple_post(const struct mf_args *a, const char *path, const char *done)
{
    struct mf_error err = {0};
    json_t *reply = NULL;
    if (mf_control_post(a, path, json_object(), &reply, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = mf_cli_reply(a, reply, done);
    json_decref(reply);
    return status;
}
