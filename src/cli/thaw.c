#include "cli/move.h"

int mf_cmd_thaw(const struct mf_args *a)
{
    return mf_cli_simple_post(a, "/v1/thaw", "writes go on");
}
