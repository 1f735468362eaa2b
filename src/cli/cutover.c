#include "cli/move.h"

int mf_cmd_cutover(const struct mf_args *a)
{
    return mf_cli_move(a, "/v1/cutover", "writes are on the target", "a cutover would go through; nothing has moved");
}
