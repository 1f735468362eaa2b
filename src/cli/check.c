#include "cli/command.h"

#include "base/log.h"
#include "base/str.h"
#include "migration/migration.h"

#include <unistd.h>

static const char *const severities[] = {[MF_NOTE] = "note", [MF_WARNING] = "warning", [MF_BLOCKER] = "blocker"};

static json_t *finding_json(const struct mf_finding *f)
{
    json_t *o = json_object();
    json_object_set_new(o, "severity", json_string(severities[f->severity]));
    json_object_set_new(o, "side", json_string(f->side == MF_SOURCE ? "source" : "target"));
    json_object_set_new(o, "code", json_string(f->code ? f->code : ""));
    json_object_set_new(o, "object", json_string(f->object ? f->object : ""));
    json_object_set_new(o, "reason", json_string(f->reason ? f->reason : ""));
    json_object_set_new(o, "remedy", json_string(f->remedy ? f->remedy : ""));
    return o;
}

static json_t *findings_json(const struct mf_findings *all, json_t *facts)
{
    json_t *doc = json_object();
    json_t *list = json_array();
    for (int severity = MF_BLOCKER; severity >= MF_NOTE; severity--) {
        for (size_t i = 0; i < mf_findings_count(all); i++) {
            const struct mf_finding *f = mf_findings_at(all, i);
            if ((int)f->severity == severity) {
                json_array_append_new(list, finding_json(f));
            }
        }
    }
    json_object_set_new(doc, "ready", json_boolean(mf_findings_blockers(all) == 0));
    json_object_set_new(doc, "blockers", json_integer((json_int_t)mf_findings_blockers(all)));
    json_object_set_new(doc, "findings", list);
    if (facts) {
        json_object_set(doc, "facts", facts);
    }
    return doc;
}

static void print_indented(const char *label, const char *text)
{
    printf("    %s", label);
    for (; *text; text++) {
        if (*text == '\n') {
            fputs("\n    ", stdout);
        } else {
            putchar((unsigned char)*text < 0x20 ? ' ' : *text);
        }
    }
    putchar('\n');
}

static bool not_opened(const json_t *findings, const char *side)
{
    json_t *f;
    size_t i;
    json_array_foreach((json_t *)findings, i, f)
    {
        if (mf_streq(mf_json_str(f, "code"), "connect") && mf_streq(mf_json_str(f, "side"), side)) {
            return true;
        }
    }
    return false;
}

static void print_side(const json_t *doc, const char *side)
{
    const json_t *f = mf_json_at(mf_json_at(doc, "facts"), side);
    if (json_is_object(f)) {
        const char *user = mf_json_str(f, "user");
        printf("%s: %s %s, database %s on %s%s%s\n", side, mf_json_str(f, "engine"), mf_json_str(f, "version"),
               mf_json_str(f, "database"), mf_json_str(f, "host"), user[0] ? ", as " : "", user);
    } else if (not_opened(mf_json_at(doc, "findings"), side)) {
        printf("%s: not opened\n", side);
    }
}

static void print_findings(const json_t *doc)
{
    const json_t *list = mf_json_at(doc, "findings");
    json_t *f;
    size_t i;
    int counts[3] = {0};
    print_side(doc, "source");
    print_side(doc, "target");
    json_array_foreach((json_t *)list, i, f)
    {
        for (int k = 0; k < 3; k++) {
            counts[k] += mf_streq(severities[k], mf_json_str(f, "severity"));
        }
        printf("\n%s  %s: %s (%s)\n", mf_json_str(f, "severity"), mf_json_str(f, "side"), mf_json_str(f, "object"),
               mf_json_str(f, "code"));
        print_indented("", mf_json_str(f, "reason"));
        if (mf_json_str(f, "remedy")[0]) {
            print_indented("what to do: ", mf_json_str(f, "remedy"));
        }
    }
    printf("\n%s: %d to resolve first, %d warnings, %d notes\n", counts[MF_BLOCKER] ? "blocked" : "ready",
           counts[MF_BLOCKER], counts[MF_WARNING], counts[MF_NOTE]);
}

int mf_cmd_check(const struct mf_args *a)
{
    struct mf_error err = {0};
    struct mf_config *c = NULL;
    json_t *facts = NULL;
    mf_log_setup(MF_LOG_AUTO, MF_WARN, STDERR_FILENO);
    if (mf_cli_config(a, &c, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    struct mf_findings *found = mf_findings_new();
    int status = MF_EXIT_OK;
    if (mf_migration_check(c, mf_arg(a, "queries") != NULL, found, &facts, &err) < 0) {
        mf_cli_blame(c, &err);
        status = mf_cli_fail(a, &err);
    } else {
        json_t *doc = findings_json(found, facts);
        if (mf_arg(a, "json")) {
            mf_print_json(doc);
        } else {
            print_findings(doc);
        }
        json_decref(doc);
        status = mf_findings_blockers(found) ? MF_EXIT_REFUSED : MF_EXIT_OK;
    }
    json_decref(facts);
    mf_findings_free(found);
    mf_config_free(c);
    return status;
}
