#include "cli/command.h"

#include "base/log.h"
#include "cli/document.h"
#include "migration/migration.h"

#include <unistd.h>

int mf_cmd_plan(const struct mf_args *a)
{
    struct mf_error err = {0};
    struct mf_config *c = NULL;
    json_t *doc = NULL;
    mf_log_setup(MF_LOG_AUTO, MF_WARN, STDERR_FILENO);
    if (mf_cli_config(a, &c, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    if (mf_migration_plan(c, &doc, &err) < 0) {
        mf_cli_blame(c, &err);
        mf_config_free(c);
        return mf_cli_fail(a, &err);
    }
    if (mf_arg(a, "json")) {
        mf_print_json(doc);
    } else {
        mf_document_print(doc, 0, stdout);
    }
    json_decref(doc);
    mf_config_free(c);
    return MF_EXIT_OK;
}
