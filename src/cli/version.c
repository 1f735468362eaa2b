#include "cli/command.h"

int mf_cmd_version(const struct mf_args *a)
{
    if (mf_arg(a, "json")) {
        printf("{\"version\": \"%s\"}\n", MIDFLIGHT_VERSION);
    } else {
        puts("midflight " MIDFLIGHT_VERSION);
    }
    return MF_EXIT_OK;
}
