/* Error documents: {"error": {"code", "class", "text", "hint"}}, and the HTTP status for each class. */
#include "api/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>

json_t *mf_api_text(const char *s)
{
    MF_CLEANUP_BUF struct mf_buf b = {0};
    size_t n = strlen(s);
    if (mf_utf8_valid(s, n)) {
        return json_stringn(s, n);
    }
    /* base's escaping makes valid UTF-8 of anything; jansson takes the escapes back. */
    mf_buf_init(&b, n * 6 + 16);
    mf_buf_putc(&b, '"');
    mf_json_escape(&b, s, n);
    mf_buf_putc(&b, '"');
    json_t *v = json_loadb(mf_buf_str(&b), b.len, JSON_DECODE_ANY, NULL);
    return v ? v : json_string("");
}

json_t *mf_api_error_json(const struct mf_error *err)
{
    json_t *doc = json_object();
    json_t *e = json_object();
    json_object_set_new(e, "code", mf_api_text(err->code));
    json_object_set_new(e, "class", json_string(mf_errclass_name(err->cls)));
    json_object_set_new(e, "text", mf_api_text(err->text));
    json_object_set_new(e, "hint", mf_api_text(err->hint));
    json_object_set_new(doc, "error", e);
    return doc;
}

int mf_api_http_status(const struct mf_error *err)
{
    switch (err->cls) {
    case MF_USAGE:
        return 400;
    case MF_ABANDONED:
        return 409;
    case MF_RETRY:
        return 503;
    default:
        return 500;
    }
}

const char *mf_api_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } all[] = {{200, "OK"},
               {304, "Not Modified"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {409, "Conflict"},
               {415, "Unsupported Media Type"},
               {500, "Internal Server Error"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(all); i++) {
        if (all[i].status == status) {
            return all[i].reason;
        }
    }
    return "Unknown";
}
