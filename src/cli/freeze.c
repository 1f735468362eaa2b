#include "cli/move.h"

int mf_cmd_freeze(const struct mf_args *a)
{
    return mf_cli_simple_post(a, "/v1/freeze", "writes are frozen; `midflight thaw` ends it");
}
