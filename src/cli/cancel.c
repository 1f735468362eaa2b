#include "cli/move.h"

int mf_cmd_cancel(const struct mf_args *a)
{
    return mf_cli_end(a, "/v1/cancel", MF_REQ_CANCEL, "cancelled: nothing of midflight is left in either database");
}
