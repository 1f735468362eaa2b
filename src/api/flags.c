/*
 * OpenFeature's remote evaluation protocol (OFREP): feature flags that say where an application reads and writes.
 *
 *   POST /ofrep/v1/evaluate/flags/{key}   one flag
 *   POST /ofrep/v1/evaluate/flags         all of them, with ETag and If-None-Match
 *
 * Answered on the loop thread from what the migration keeps ready for it (migration/flags.h): no database, no request
 * thread. What is not known has no answer: 400 with GENERAL, which an SDK hands to the application as an error, with
 * the application's own default. Never a guess.
 */
#include "api/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- the question ---- */

const char *mf_ofrep_code(enum mf_ofrep_error e)
{
    static const char *const codes[] = {
        [MF_OFREP_FINE] = "",
        [MF_OFREP_PARSE_ERROR] = "PARSE_ERROR",
        [MF_OFREP_KEY_MISSING] = "TARGETING_KEY_MISSING",
        [MF_OFREP_INVALID_CONTEXT] = "INVALID_CONTEXT",
        [MF_OFREP_FLAG_NOT_FOUND] = "FLAG_NOT_FOUND",
        [MF_OFREP_GENERAL] = "GENERAL",
    };
    return codes[e];
}

static enum mf_ofrep_error wrong(char *why, enum mf_ofrep_error e, const char *text)
{
    mf_strlcpy(why, text, MF_OFREP_WHY);
    return e;
}

enum mf_ofrep_error mf_ofrep_question(const char *data, size_t len, struct mf_ofrep_question *ret, char *why)
{
    json_error_t where;
    struct mf_ofrep_question q = {0};
    if (len > MF_API_BODY_MAX) {
        return wrong(why, MF_OFREP_PARSE_ERROR, "the body is too large");
    }
    q.doc = len ? json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where) : json_object();
    if (!q.doc) {
        snprintf(why, MF_OFREP_WHY, "the body is not JSON (line %d, column %d)", where.line, where.column);
        return MF_OFREP_PARSE_ERROR;
    }
    const json_t *context = json_object_get(q.doc, "context"), *key = json_object_get(context, "targetingKey");
    enum mf_ofrep_error e = MF_OFREP_FINE;
    if (!json_is_object(q.doc)) {
        e = wrong(why, MF_OFREP_PARSE_ERROR, "the body is not a JSON object");
    } else if (context && !json_is_object(context)) {
        e = wrong(why, MF_OFREP_INVALID_CONTEXT, "the context is not a JSON object");
    } else if (key && !json_is_string(key)) {
        e = wrong(why, MF_OFREP_INVALID_CONTEXT, "the targeting key is not a text");
    }
    if (e != MF_OFREP_FINE) {
        json_decref(q.doc);
        return e;
    }
    q.key = json_string_value(key);
    q.key_len = json_string_length(key);
    *ret = q;
    return MF_OFREP_FINE;
}

/* ---- the flags ---- */

enum { FLAG_READS, FLAG_WRITES, FLAG_WRITES_ON_TARGET };

static const char *flag_name(const struct mf_config *c, int flag)
{
    return flag == FLAG_READS ? c->flags.reads : flag == FLAG_WRITES ? c->flags.writes : c->flags.writes_on_target;
}

static json_t *failure(const char *name, enum mf_ofrep_error e, const char *why)
{
    json_t *o = json_object();
    if (name) {
        json_object_set_new(o, "key", mf_api_text(name));
    }
    json_object_set_new(o, "errorCode", json_string(mf_ofrep_code(e)));
    json_object_set_new(o, "errorDetails", mf_api_text(why));
    return o;
}

static json_t *answer(const struct mf_api *api, int flag, const struct mf_flags_view *v, bool target)
{
    const char *variant = target ? "target" : "source";
    bool split = flag == FLAG_READS && v->percent > 0 && v->percent < 100;
    json_t *o = json_object(), *facts = json_object();
    json_object_set_new(facts, "migration", mf_api_text(api->config->migration));
    if (flag == FLAG_READS) {
        json_object_set_new(facts, "percent", json_integer(v->percent));
    }
    json_object_set_new(o, "key", mf_api_text(flag_name(api->config, flag)));
    json_object_set_new(o, "value", flag == FLAG_WRITES ? json_string(variant) : json_boolean(target));
    json_object_set_new(o, "reason", json_string(split ? "SPLIT" : "STATIC"));
    json_object_set_new(o, "variant", json_string(variant));
    json_object_set_new(o, "metadata", facts);
    return o;
}

/* Counts it, too. */
static json_t *evaluate(struct mf_api *api, int flag, const struct mf_flags_view *v, const struct mf_ofrep_question *q,
                        int *ret_status)
{
    const char *name = flag_name(api->config, flag);
    bool known = v->writer == MF_FLAGS_SOURCE || v->writer == MF_FLAGS_TARGET, target = v->writer == MF_FLAGS_TARGET;
    *ret_status = 400;
    if (flag == FLAG_READS ? v->writer == MF_FLAGS_UNKNOWN : !known) {
        api->evaluations[flag][MF_FLAG_ERROR]++;
        return failure(name, MF_OFREP_GENERAL, v->why);
    }
    if (flag == FLAG_READS && q->key_len == 0) {
        api->evaluations[flag][MF_FLAG_ERROR]++;
        return failure(name, MF_OFREP_KEY_MISSING,
                       "the context has no targetingKey: a share of reads is a share of keys");
    }
    if (flag == FLAG_READS) {
        target = mf_flag_in(api->flag_seed, q->key, q->key_len, v->percent);
    }
    api->evaluations[flag][target ? MF_FLAG_TARGET : MF_FLAG_SOURCE]++;
    *ret_status = 200;
    return answer(api, flag, v, target);
}

/* ---- one, and all ---- */

/* The name at the end of the path, as it was before it was put there. The caller frees; NULL: none that can be one. */
static char *asked_name(struct evhttp_request *req)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    size_t n = 0;
    char *name = evhttp_uridecode(strrchr(path, '/') + 1, 0, &n);
    if (name && strlen(name) != n) {
        free(name);
        name = NULL;
    }
    return name;
}

static void one_flag(struct mf_api *api, struct evhttp_request *req, enum mf_ofrep_error e, const char *why,
                     const struct mf_ofrep_question *q)
{
    MF_CLEANUP_FREE char *name = asked_name(req);
    int flag = 0, status = 400;
    struct mf_flags_view v;
    if (e != MF_OFREP_FINE) {
        mf_api_send(api, req, 400, failure(name ? name : "", e, why));
        return;
    }
    while (flag < MF_FLAGS && !mf_streq(name, flag_name(api->config, flag))) {
        flag++;
    }
    if (flag == MF_FLAGS) {
        mf_api_send(api, req, 404, failure(name ? name : "", MF_OFREP_FLAG_NOT_FOUND, "there is no such flag"));
        return;
    }
    api->backend.flags(api->backend.ctx, &v);
    json_t *doc = evaluate(api, flag, &v, q, &status);
    mf_api_send(api, req, status, doc);
}

bool mf_ofrep_etag_in(const char *list, const char *etag)
{
    size_t n = strlen(etag);
    while (list) {
        list += strspn(list, " \t,");
        if (*list == '*') {
            return true;
        }
        list +=
            strncmp(list, "W/", 2) == 0 ? 2 : 0; /* ours are of the whole text: the weak comparison finds no others */
        if (strncmp(list, etag, n) == 0 && (list[n] == '\0' || strchr(" \t,", list[n]))) {
            return true;
        }
        list = strchr(list, ',');
    }
    return false;
}

static void all_flags(struct mf_api *api, struct evhttp_request *req, const struct mf_ofrep_question *q)
{
    char etag[24];
    struct mf_flags_view v;
    json_t *doc = json_object(), *list = json_array();
    api->backend.flags(api->backend.ctx, &v);
    for (int flag = 0; flag < MF_FLAGS; flag++) {
        int status;
        json_array_append_new(list, evaluate(api, flag, &v, q, &status));
    }
    json_object_set_new(doc, "flags", list);
    MF_CLEANUP_FREE char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    if (!text) {
        abort(); /* out of memory: safe, see base/mem.h */
    }
    snprintf(etag, sizeof etag, "\"%016" PRIx64 "\"", (uint64_t)XXH64(text, strlen(text), 0));
    evhttp_add_header(evhttp_request_get_output_headers(req), "ETag", etag);
    evhttp_add_header(evhttp_request_get_output_headers(req), "Cache-Control", "no-cache"); /* kept, and asked again */
    bool same = mf_ofrep_etag_in(evhttp_find_header(evhttp_request_get_input_headers(req), "If-None-Match"), etag);
    mf_api_send_text(api, req, same ? 304 : 200, same ? NULL : text);
}

void mf_ofrep_answer(struct mf_api *api, struct evhttp_request *req, const struct mf_route *route)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    struct mf_ofrep_question q = {0};
    char why[MF_OFREP_WHY] = "";
    enum mf_ofrep_error e = mf_ofrep_question(len ? (const char *)evbuffer_pullup(in, -1) : "", len, &q, why);
    if (route->kind == MF_ROUTE_FLAG) {
        one_flag(api, req, e, why, &q);
    } else if (e != MF_OFREP_FINE) {
        mf_api_send(api, req, 400, failure(NULL, e, why));
    } else {
        all_flags(api, req, &q);
    }
    json_decref(q.doc);
}

json_t *mf_ofrep_refusal(const struct mf_error *err)
{
    return failure(NULL, MF_OFREP_GENERAL, err->text);
}
