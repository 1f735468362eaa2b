/* A body from anywhere, at every route: it is taken within the route's bounds or refused as the client's fault, and what
 * it is answered with is a document whatever was in it. The first byte chooses the route. */
#include "fuzz.h"

#include "api/internal.h"

#include <string.h>

static void check_taken(const struct mf_request *r, const struct mf_route *route)
{
    MF_FUZZ_CHECK(r->kind == route->request);
    MF_FUZZ_CHECK(r->sample >= 0 && r->sample <= 1);
    MF_FUZZ_CHECK(r->number >= 0);
    MF_FUZZ_CHECK(r->max_pause_ms >= 0 && r->max_pause_ms <= 3600000);
    MF_FUZZ_CHECK(!r->table || (r->table[0] && strlen(r->table) <= 512));
    MF_FUZZ_CHECK(r->kind != MF_REQ_READS || r->number <= 100);
}

static void check_refused(const struct mf_error *err)
{
    MF_FUZZ_CHECK(err->cls == MF_USAGE && err->text[0]);
    json_t *doc = mf_api_error_json(err);
    char *text = json_dumps(doc, 0);
    MF_FUZZ_CHECK(text);
    free(text);
    json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct mf_route *route = &mf_routes[data[0] % mf_route_count];
    struct mf_request r = {.kind = MF_REQ_VERIFY};
    struct mf_error err = {0};
    json_t *doc = NULL;
    if (mf_api_body(route, (const char *)data + 1, size - 1, &r, &doc, &err) == 0) {
        MF_FUZZ_CHECK(doc);
        check_taken(&r, route);
    } else {
        MF_FUZZ_CHECK(!doc);
        check_refused(&err);
    }
    json_decref(doc);
    /* Text of any kind becomes a JSON string. */
    char text[256];
    size_t n = size < sizeof(text) ? size : sizeof(text) - 1;
    memcpy(text, data, n);
    text[n] = '\0';
    json_t *s = mf_api_text(text);
    MF_FUZZ_CHECK(json_is_string(s));
    json_decref(s);
    return 0;
}
