#include "cli/command.h"

#include "base/str.h"

int mf_cmd_reads(const struct mf_args *a)
{
    struct mf_error err = {0};
    json_t *reply = NULL;
    uint64_t per_cent;
    if (!mf_parse_u64(a->words[0], &per_cent) || per_cent > 100) {
        mf_fail(&err, MF_USAGE, "MFUSAGE", "reads takes a share from 0 to 100 per cent");
        return mf_cli_fail(a, &err);
    }
    json_t *body = json_pack("{s:I}", "percent", (json_int_t)per_cent);
    if (mf_control_post(a, "/v1/reads", body, &reply, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = mf_cli_reply(a, reply, "the share of reads is set");
    json_decref(reply);
    return status;
}
