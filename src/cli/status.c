#include "cli/command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "migration/migration.h"

#include <string.h>
#include <unistd.h>

/* From the running migration, else from what its state directory remembers. */
static int fetch(const char *dir, json_t **ret, struct mf_error *err)
{
    if (mf_control(dir, "GET", "/v1/status", NULL, ret, err) == 0) {
        return 0;
    }
    if (!mf_streq(err->code, "MFNORUN")) {
        return -1;
    }
    mf_error_clear(err);
    return mf_migration_status_from_state(dir, ret, err);
}

static void show(const struct mf_args *a, const json_t *doc, bool clear)
{
    if (mf_arg(a, "json")) {
        json_dumpf(doc, stdout, mf_arg(a, "watch") ? JSON_COMPACT : JSON_INDENT(2));
        putchar('\n');
    } else {
        if (clear) {
            fputs("\033[H\033[2J", stdout);
        }
        mf_status_print(doc, stdout);
    }
    fflush(stdout);
}

static bool over(const json_t *doc)
{
    const char *phase = mf_json_str(doc, "phase");
    return mf_streq(phase, "completed") || mf_streq(phase, "cancelled");
}

int mf_cmd_status(const struct mf_args *a)
{
    struct mf_error err = {0};
    MF_CLEANUP_FREE char *dir = NULL;
    bool watch = mf_arg(a, "watch");
    bool clear = watch && isatty(STDOUT_FILENO);
    if (mf_cli_state_dir(a, &dir, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    for (;;) {
        json_t *doc = NULL;
        if (fetch(dir, &doc, &err) < 0) {
            return mf_cli_fail(a, &err);
        }
        show(a, doc, clear);
        bool end = !watch || over(doc) || ferror(stdout);
        json_decref(doc);
        if (end) {
            return MF_EXIT_OK;
        }
        mf_sleep_us(MF_US_PER_SEC);
    }
}
