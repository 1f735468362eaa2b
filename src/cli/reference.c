/* The reference pages, as docs/reference keeps them. */
#include "cli/command.h"

#include "api/api.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cutover/cutover.h"

int mf_cmd_reference(const struct mf_args *a)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } pages[] = {
        {"config", mf_config_reference},   {"commands", mf_cli_reference},    {"api", mf_api_reference},
        {"metrics", mf_metrics_reference}, {"cutover", mf_cutover_reference},
    };
    struct mf_error err = {0};
    for (size_t i = 0; i < MF_ARRAY_LEN(pages); i++) {
        if (mf_streq(pages[i].name, a->words[0])) {
            pages[i].print(stdout);
            return MF_EXIT_OK;
        }
    }
    mf_fail(&err, MF_USAGE, "MFUSAGE", "there is no page \"%.40s\"", a->words[0]);
    mf_hint(&err, "config, commands, api, metrics or cutover");
    return mf_cli_fail(a, &err);
}
