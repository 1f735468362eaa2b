#include "cli/move.h"

int mf_cmd_complete(const struct mf_args *a)
{
    return mf_cli_end(a, "/v1/complete", MF_REQ_COMPLETE, "completed: nothing of midflight is left in either database");
}
