#include "cli/command.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <stdlib.h>

static int body_of(const struct mf_args *a, json_t **ret, struct mf_error *err)
{
    json_t *body = json_object();
    const char *sample = mf_arg(a, "sample");
    if (mf_arg(a, "table")) {
        json_object_set_new(body, "table", json_string(mf_arg(a, "table")));
    }
    if (sample) {
        char *end;
        double share = strtod(sample, &end);
        if (*end == '%') {
            share /= 100;
            end++;
        }
        if (end == sample || *end || !(share > 0 && share <= 1)) {
            json_decref(body);
            mf_fail(err, MF_USAGE, "MFUSAGE", "--sample takes a share above 0 and up to 1, like 0.05 or 5%%");
            return -1;
        }
        json_object_set_new(body, "sample", json_real(share));
    }
    if (mf_arg(a, "repair")) {
        json_object_set_new(body, "repair", json_true());
    }
    *ret = body;
    return 0;
}

static void print_differences(const json_t *list)
{
    struct mf_text_table t = {0};
    const char *head[] = {"table", "key", "what", "where"};
    json_t *item;
    size_t i;
    if (json_array_size(list) == 0) {
        return;
    }
    putchar('\n');
    mf_table_add(&t, 4, head);
    json_array_foreach((json_t *)list, i, item)
    {
        const char *cells[] = {mf_json_str(item, "table"), mf_json_str(item, "key"), mf_json_str(item, "kind"),
                               mf_json_str(item, "where")};
        mf_table_add(&t, 4, cells);
    }
    mf_table_print(&t, stdout, 0);
    mf_text_table_free(&t);
}

/* Rows of the tables that documents become. */
static void print_parts(const json_t *list)
{
    struct mf_text_table t = {0};
    const char *head[] = {"table", "rows by the source", "on the target"};
    char source[32];
    char target[32];
    json_t *item;
    size_t i;
    if (json_array_size(list) == 0) {
        return;
    }
    putchar('\n');
    mf_table_add(&t, 3, head);
    json_array_foreach((json_t *)list, i, item)
    {
        const char *cells[] = {mf_json_str(item, "table"),
                               mf_format_count(mf_json_int(item, "source"), source, sizeof source),
                               mf_format_count(mf_json_int(item, "target"), target, sizeof target)};
        mf_table_add(&t, 3, cells);
    }
    mf_table_print(&t, stdout, 0);
    mf_text_table_free(&t);
}

static void print_result(const json_t *reply, bool sample)
{
    char rows[32];
    char differing[32];
    int64_t repaired = mf_json_int(reply, "rows_repaired");
    print_differences(mf_json_at(reply, "differences"));
    print_parts(mf_json_at(reply, "rows_of_documents"));
    int64_t found = mf_json_int(reply, "rows_differing");
    printf("\n%s: %s rows%s compared, %s %s", found > repaired ? "different" : "equal",
           mf_format_count(mf_json_int(reply, "rows_compared"), rows, sizeof(rows)), sample ? " of a sample" : "",
           mf_format_count(found, differing, sizeof(differing)), repaired ? "differed" : "differ");
    if (repaired) {
        printf(", %s repaired", mf_format_count(repaired, rows, sizeof(rows)));
        printf(", %s differ still",
               mf_format_count(found > repaired ? found - repaired : 0, differing, sizeof(differing)));
    }
    putchar('\n');
}

int mf_cmd_verify(const struct mf_args *a)
{
    struct mf_error err = {0};
    json_t *body = NULL;
    json_t *reply = NULL;
    if (body_of(a, &body, &err) < 0 || mf_control_post(a, "/v1/verify", body, &reply, &err) < 0) {
        return mf_cli_fail(a, &err);
    }
    bool differs = mf_json_int(reply, "rows_differing") > mf_json_int(reply, "rows_repaired");
    if (mf_arg(a, "json")) {
        mf_print_json(reply);
    } else {
        print_result(reply, mf_arg(a, "sample") != NULL);
    }
    json_decref(reply);
    return differs ? MF_EXIT_DIFFERENT : MF_EXIT_OK;
}
