#include "cli/command.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/document.h"

#include <string.h>

#define REASON_SHOWN 160 /* characters of the reasons in the list; `show` has all of them */

static int usage(const struct mf_args *a, const char *what)
{
    struct mf_error err = {0};
    mf_fail(&err, MF_USAGE, "MFUSAGE", "%s", what);
    mf_hint(&err, "midflight quarantine [list | show ID | retry ID|all | drop ID|all]");
    return mf_cli_fail(a, &err);
}

static int fetch(const struct mf_args *a, json_t **ret, struct mf_error *err)
{
    MF_CLEANUP_FREE char *dir = NULL;
    if (mf_cli_state_dir(a, &dir, err) < 0) {
        return -1;
    }
    int rc = mf_control(dir, "GET", "/v1/quarantine", NULL, ret, err);
    if (rc < 0 && mf_streq(err->code, "MFNORUN")) {
        mf_hint(
            err,
            "the rows are kept in the databases: `midflight run` lists them while it is alive (where it stopped for "
            "quarantine.max_rows: with more of them allowed); or name its state directory with --state");
    }
    return rc;
}

/* Lines as one, with "; " between them, cut. */
static char *one_line(const char *s, char *out, size_t n)
{
    size_t used = 0, shown = 0;
    for (; *s && used + 8 < n; s++) {
        bool ends = *s == '\n';
        if (ends && !s[strspn(s, "\n")]) {
            break;
        }
        if (((unsigned char)*s & 0xc0) != 0x80 && shown++ == REASON_SHOWN) {
            used += (size_t)snprintf(out + used, n - used, "…");
            break;
        }
        used += (size_t)snprintf(out + used, n - used, "%.*s", ends ? 2 : 1, ends ? "; " : s);
    }
    out[used] = '\0';
    return out;
}

static void print_list(const json_t *rows)
{
    struct mf_text_table t = {0};
    const char *head[] = {"id", "direction", "table", "key", "column", "reason"};
    json_t *row;
    size_t i;
    if (json_array_size(rows) == 0) {
        puts("no rows are in quarantine");
        return;
    }
    mf_table_add(&t, 6, head);
    json_array_foreach((json_t *)rows, i, row)
    {
        char id[32];
        char table[300];
        char reason[REASON_SHOWN * 4 + 16];
        snprintf(id, sizeof(id), "%lld", (long long)mf_json_int(row, "id"));
        snprintf(table, sizeof(table), "%s.%s", mf_json_str(row, "schema"), mf_json_str(row, "table"));
        const char *cells[] = {id,
                               mf_json_str(row, "direction"),
                               table,
                               mf_json_str(row, "key"),
                               mf_json_str(row, "column"),
                               one_line(mf_json_str(row, "reason"), reason, sizeof(reason))};
        mf_table_add(&t, 6, cells);
    }
    mf_table_print(&t, stdout, 1);
    mf_text_table_free(&t);
}

static bool of_direction(const struct mf_args *a, const json_t *row)
{
    const char *wanted = mf_arg(a, "direction");
    return !wanted || mf_streq(wanted, mf_json_str(row, "direction"));
}

static int show(const struct mf_args *a, const json_t *rows, uint64_t id)
{
    struct mf_error err = {0};
    json_t *row;
    size_t i;
    json_array_foreach((json_t *)rows, i, row)
    {
        if (mf_json_int(row, "id") == (int64_t)id && of_direction(a, row)) {
            if (mf_arg(a, "json")) {
                mf_print_json(row);
            } else {
                mf_document_print(row, 0, stdout);
            }
            return MF_EXIT_OK;
        }
    }
    mf_fail(&err, MF_FATAL, "MFNOROW", "there is no row %llu in quarantine", (unsigned long long)id);
    mf_hint(&err, "`midflight quarantine list`");
    return mf_cli_fail(a, &err);
}

static int list_or_show(const struct mf_args *a, bool one, uint64_t id)
{
    struct mf_error err = {0};
    json_t *doc = NULL;
    int status = MF_EXIT_OK;
    if (fetch(a, &doc, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    const json_t *rows = mf_json_at(doc, "rows");
    if (one) {
        status = show(a, rows, id);
    } else if (mf_arg(a, "json")) {
        mf_print_json(doc);
    } else {
        print_list(rows);
    }
    json_decref(doc);
    return status;
}

static int act(const struct mf_args *a, const char *path, uint64_t id, const char *done)
{
    struct mf_error err = {0};
    json_t *reply = NULL;
    json_t *body = json_object();
    if (id) {
        json_object_set_new(body, "id", json_integer((json_int_t)id));
    } else {
        json_object_set_new(body, "all", json_true());
    }
    if (mf_arg(a, "direction")) {
        json_object_set_new(body, "direction", json_string(mf_arg(a, "direction")));
    }
    if (mf_control_post(a, path, body, &reply, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    int status = mf_cli_reply(a, reply, done);
    json_decref(reply);
    return status;
}

int mf_cmd_quarantine(const struct mf_args *a)
{
    const char *verb = a->nwords ? a->words[0] : "list";
    const char *which = a->nwords > 1 ? a->words[1] : NULL;
    const char *direction = mf_arg(a, "direction");
    uint64_t id = 0;
    if (direction && !mf_streq(direction, "forward") && !mf_streq(direction, "reverse")) {
        return usage(a, "--direction is forward or reverse");
    }
    bool all = mf_streq(which, "all");
    if (which && !all && (!mf_parse_u64(which, &id) || id == 0 || id > INT64_MAX)) {
        return usage(a, "a row in quarantine is named by its number");
    }
    if (mf_streq(verb, "list") && !which) {
        return list_or_show(a, false, 0);
    }
    if (mf_streq(verb, "show") && id) {
        return list_or_show(a, true, id);
    }
    if (mf_streq(verb, "retry") && which) {
        return act(a, "/v1/quarantine/retry", id, "tried again");
    }
    if (mf_streq(verb, "drop") && which) {
        return act(a, "/v1/quarantine/drop", id, "dropped from quarantine");
    }
    if (!which && (mf_streq(verb, "retry") || mf_streq(verb, "drop"))) {
        return usage(a, "say which row: its ID, or all");
    }
    return usage(a, "quarantine does not know that");
}
