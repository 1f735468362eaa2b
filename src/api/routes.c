/* The route table, and bodies read by it. docs/reference/api.md is printed from the same rows. */
#include "api/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>

#define END                                                                                                            \
    {                                                                                                                  \
        NULL, MF_FIELD_TEXT, 0, 0, false, NULL                                                                         \
    }

static const struct mf_field none[] = {END};
static const struct mf_field verify_fields[] = {
    {"table", MF_FIELD_TEXT, 0, 0, false, "this table only, as `schema.table`"},
    {"sample", MF_FIELD_SHARE, 0, 0, false, "the share of chunks to compare"},
    {"repair", MF_FIELD_FLAG, 0, 0, false, "write the right rows over the differing ones"},
    END,
};
static const struct mf_field reads_fields[] = {
    {"percent", MF_FIELD_INTEGER, 0, 100, true, "the share of reads that the target serves"},
    END,
};
static const struct mf_field move_fields[] = {
    {"dry_run", MF_FIELD_FLAG, 0, 0, false, "rehearse only: nothing moves"},
    {"max_pause_ms", MF_FIELD_INTEGER, 1, 3600000, false, "the longest that writers may be held"},
    END,
};
static const struct mf_field rollback_fields[] = {
    {"dry_run", MF_FIELD_FLAG, 0, 0, false, "rehearse only: nothing moves"},
    {"max_pause_ms", MF_FIELD_INTEGER, 1, 3600000, false, "the longest that writers may be held"},
    {"accept_differences", MF_FIELD_FLAG, 0, 0, false, "go back to the source as it is, though it is known to differ"},
    END,
};
static const struct mf_field quarantine_fields[] = {
    {"id", MF_FIELD_INTEGER, 1, INT64_MAX, false, "the row"},
    {"all", MF_FIELD_FLAG, 0, 0, false, "every row; one of `id` and `all` must be there"},
    {"direction", MF_FIELD_TEXT, 0, 0, false,
     "`forward` (refused by the target) or `reverse` (by the source); both unless said"},
    END,
};

const struct mf_route mf_routes[] = {
    {false, "/v1/status", MF_ROUTE_STATUS, 0, none, false, "The status document.",
     "as `midflight status --json` prints it"},
    {false, "/v1/events", MF_ROUTE_EVENTS, 0, none, false,
     "Server-sent events: phase changes, steps of a cutover, reads set and taken back, errors, and the status every "
     "second.",
     "a stream; `Last-Event-ID` brings back what was missed, as far as it is kept"},
    {true, "/v1/verify", MF_ROUTE_REQUEST, MF_REQ_VERIFY, verify_fields, false,
     "Compares both sides; answers when it is done.",
     "`rows_compared`, `rows_differing`, `rows_repaired`, `rows_quarantined` (of those that differ: they are in "
     "quarantine), `rows_quarantined_equal` (of those: the entry alone is left), `tables_equal`, `tables_differing`, "
     "`differences`, `rows_of_documents` (of each table that documents become: the rows that those "
     "of the `source` and of the `target` make or are, as either was read; under load not of one moment)"},
    {true, "/v1/reads", MF_ROUTE_REQUEST, MF_REQ_READS, reads_fields, false, "Moves a share of reads.",
     "what was done"},
    {true, "/v1/cutover", MF_ROUTE_REQUEST, MF_REQ_CUTOVER, move_fields, false, "Moves writes to the target.",
     "what was done, with `pause_ms`"},
    {true, "/v1/rollback", MF_ROUTE_REQUEST, MF_REQ_ROLLBACK, rollback_fields, false,
     "Moves writes back to the source.", "what was done, with `pause_ms`"},
    {true, "/v1/freeze", MF_ROUTE_REQUEST, MF_REQ_FREEZE, none, false, "Makes the side that takes writes read-only.",
     "what was done"},
    {true, "/v1/thaw", MF_ROUTE_REQUEST, MF_REQ_THAW, none, false, "Ends a freeze.", "what was done"},
    {true, "/v1/complete", MF_ROUTE_REQUEST, MF_REQ_COMPLETE, none, false, "Ends the migration and cleans up.",
     "what was done"},
    {true, "/v1/cancel", MF_ROUTE_REQUEST, MF_REQ_CANCEL, none, false, "Gives up before the cutover and cleans up.",
     "what was done"},
    {false, "/v1/quarantine", MF_ROUTE_QUARANTINE, 0, none, false, "The rows the target refused.", "`rows`"},
    {true, "/v1/quarantine/retry", MF_ROUTE_REQUEST, MF_REQ_QUARANTINE_RETRY, quarantine_fields, false,
     "Reads rows in quarantine from the source again and writes them.",
     "`resolved`, how many entries went; `left`, how many are there now, of both directions"},
    {true, "/v1/quarantine/drop", MF_ROUTE_REQUEST, MF_REQ_QUARANTINE_DROP, quarantine_fields, false,
     "Forgets rows in quarantine.",
     "`resolved`, how many entries went; `left`, how many are there now, of both directions"},
    {true, "/ofrep/v1/evaluate/flags/{key}", MF_ROUTE_FLAG, 0, none, false,
     "Evaluates a feature flag, as OpenFeature's remote evaluation protocol (OFREP) says.",
     "`key`, `value`, `reason`, `variant`, `metadata`; or `key`, `errorCode` and `errorDetails` with 400 or 404. The "
     "body "
     "is `{\"context\": {\"targetingKey\": …}}`, with whatever else the context has. `X-API-Key` may carry the token, "
     "too"},
    {true, "/ofrep/v1/evaluate/flags", MF_ROUTE_FLAGS, 0, none, false, "The same for all flags.",
     "`flags`, a list of such answers, with an `ETag`; 304 when `If-None-Match` has it"},
    {false, "/v1/fence", MF_ROUTE_FENCE, 0, none, false,
     "Waits until the other side has everything that was committed on the side that takes writes before the call: then "
     "a read there sees it. "
     "`?timeout=5s` (1ms to 60s, 10s unless said) bounds the wait. In either direction, with and without dual writes.",
     "`direction`, `position`, `waited_ms`, and `refused`, the rows that only the quarantine has; 504 when the time is "
     "over, 503 when the stream does not "
     "run, the sides are not in step yet, or 256 calls are waiting"},
    {false, "/metrics", MF_ROUTE_METRICS, 0, none, false, "Metrics for Prometheus.", "text; see metrics.md"},
    {false, "/healthz", MF_ROUTE_HEALTH, 0, none, true, "Does it run, without having failed?",
     "200, or 503 when the migration has failed"},
    {false, "/readyz", MF_ROUTE_READY, 0, none, true, "Are both sides in step?",
     "200 in the phases synced, cut_over and rolled_back with both streams open, else 503"},
};
const size_t mf_route_count = MF_ARRAY_LEN(mf_routes);

static bool path_is(const char *pattern, const char *path)
{
    const char *key = strchr(pattern, '{');
    size_t n = key ? (size_t)(key - pattern) : 0;
    return key ? strncmp(path, pattern, n) == 0 && path[n] && !strchr(path + n, '/') : mf_streq(pattern, path);
}

const struct mf_route *mf_route_find(const char *path, bool post, bool *ret_other_method)
{
    *ret_other_method = false;
    for (size_t i = 0; i < mf_route_count; i++) {
        if (path_is(mf_routes[i].path, path)) {
            if (mf_routes[i].post == post) {
                return &mf_routes[i];
            }
            *ret_other_method = true;
        }
    }
    return NULL;
}

/* ---- bodies ---- */

static int wrong(const struct mf_field *f, struct mf_error *err)
{
    switch (f->type) {
    case MF_FIELD_TEXT:
        return mf_fail(err, MF_USAGE, "MFBODY", "\"%s\" is a text of at most 512 bytes", f->name);
    case MF_FIELD_FLAG:
        return mf_fail(err, MF_USAGE, "MFBODY", "\"%s\" is true or false", f->name);
    case MF_FIELD_SHARE:
        return mf_fail(err, MF_USAGE, "MFBODY", "\"%s\" is a number above 0 and up to 1", f->name);
    case MF_FIELD_INTEGER:
        break;
    }
    return mf_fail(err, MF_USAGE, "MFBODY", "\"%s\" is a whole number from %lld to %lld", f->name, (long long)f->min,
                   (long long)f->max);
}

static bool fits(const struct mf_field *f, const json_t *v)
{
    switch (f->type) {
    case MF_FIELD_TEXT:
        return json_is_string(v) && json_string_length(v) > 0 && json_string_length(v) <= 512 &&
               strlen(json_string_value(v)) == json_string_length(v);
    case MF_FIELD_FLAG:
        return json_is_boolean(v);
    case MF_FIELD_SHARE:
        return json_is_number(v) && json_number_value(v) > 0 && json_number_value(v) <= 1;
    case MF_FIELD_INTEGER:
        return json_is_integer(v) && json_integer_value(v) >= f->min && json_integer_value(v) <= f->max;
    }
    return false;
}

static void store(struct mf_request *r, const char *name, const json_t *v)
{
    if (mf_streq(name, "table")) {
        r->table = json_string_value(v);
    } else if (mf_streq(name, "direction")) {
        r->direction = json_string_value(v);
    } else if (mf_streq(name, "sample")) {
        r->sample = json_number_value(v);
    } else if (mf_streq(name, "repair")) {
        r->repair = json_is_true(v);
    } else if (mf_streq(name, "dry_run")) {
        r->dry_run = json_is_true(v);
    } else if (mf_streq(name, "accept_differences")) {
        r->accept_differences = json_is_true(v);
    } else if (mf_streq(name, "max_pause_ms")) {
        r->max_pause_ms = json_integer_value(v);
    } else if (mf_streq(name, "percent") || mf_streq(name, "id")) {
        r->number = json_integer_value(v);
    }
}

static int unknown_field(const char *key, struct mf_error *err)
{
    char shown[48];
    snprintf(shown, sizeof(shown), "%.40s", key);
    if (!mf_utf8_valid(shown, strlen(shown))) { /* cut inside a character */
        mf_strlcpy(shown, "…", sizeof(shown));
    }
    return mf_fail(err, MF_USAGE, "MFBODY", "unknown field \"%s\"", shown);
}

static int read_fields(const struct mf_route *route, json_t *doc, struct mf_request *ret, struct mf_error *err)
{
    const char *key;
    json_t *v;
    json_object_foreach(doc, key, v)
    {
        const struct mf_field *f = route->fields;
        while (f->name && !mf_streq(f->name, key)) {
            f++;
        }
        if (!f->name) {
            return unknown_field(key, err);
        }
        if (!fits(f, v)) {
            return wrong(f, err);
        }
        store(ret, key, v);
    }
    for (const struct mf_field *f = route->fields; f->name; f++) {
        if (f->required && !json_object_get(doc, f->name)) {
            return mf_fail(err, MF_USAGE, "MFBODY", "\"%s\" is missing", f->name);
        }
    }
    if (route->fields == quarantine_fields) {
        bool all = json_is_true(json_object_get(doc, "all"));
        if (all == (ret->number != 0)) {
            return mf_fail(err, MF_USAGE, "MFBODY", "one of \"id\" and \"all\" must be there, and only one");
        }
        if (ret->direction && !mf_streq(ret->direction, "forward") && !mf_streq(ret->direction, "reverse")) {
            return mf_fail(err, MF_USAGE, "MFBODY", "\"direction\" is forward or reverse");
        }
    }
    return 0;
}

int mf_api_body(const struct mf_route *route, const char *data, size_t len, struct mf_request *ret, json_t **ret_doc,
                struct mf_error *err)
{
    json_error_t where;
    struct mf_request r = {.kind = route->request};
    if (len > MF_API_BODY_MAX) {
        return mf_fail(err, MF_USAGE, "MFBODY", "the body is larger than %d bytes", MF_API_BODY_MAX);
    }
    json_t *doc = len ? json_loadb(data, len, JSON_REJECT_DUPLICATES, &where) : json_object();
    if (!doc) {
        return mf_fail(err, MF_USAGE, "MFBODY", "the body is not JSON (line %d, column %d)", where.line, where.column);
    }
    if (!json_is_object(doc)) {
        json_decref(doc);
        return mf_fail(err, MF_USAGE, "MFBODY", "the body is not a JSON object");
    }
    if (read_fields(route, doc, &r, err) < 0) {
        json_decref(doc);
        return -1;
    }
    *ret = r;
    *ret_doc = doc;
    return 0;
}
