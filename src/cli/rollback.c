#include "cli/move.h"

int mf_cmd_rollback(const struct mf_args *a)
{
    return mf_cli_move(a, "/v1/rollback", "writes and reads are on the source",
                       "a rollback would go through; nothing has moved");
}
