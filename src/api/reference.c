/* docs/reference/api.md, from the route table. */
#include "api/internal.h"

static const char *type_name(const struct mf_field *f, char *out, size_t n)
{
    switch (f->type) {
    case MF_FIELD_TEXT:
        return "text";
    case MF_FIELD_FLAG:
        return "true or false";
    case MF_FIELD_SHARE:
        return "a number above 0 and up to 1";
    case MF_FIELD_INTEGER:
        break;
    }
    if (f->max == INT64_MAX) {
        snprintf(out, n, "a whole number, at least %lld", (long long)f->min);
    } else {
        snprintf(out, n, "a whole number from %lld to %lld", (long long)f->min, (long long)f->max);
    }
    return out;
}

static void print_route(const struct mf_route *r, FILE *out)
{
    char type[64];
    fprintf(out, "\n## %s %s\n\n%s Answers %s.%s\n", r->post ? "POST" : "GET", r->path, r->sentence, r->answer,
            r->open ? " Asks for no token." : "");
    if (r->fields->name) {
        fputs("\n| field | value | what it does |\n|---|---|---|\n", out);
    }
    for (const struct mf_field *f = r->fields; f->name; f++) {
        fprintf(out, "| `%s`%s | %s | %s |\n", f->name, f->required ? " (must be there)" : "",
                type_name(f, type, sizeof(type)), f->sentence);
    }
}

void mf_api_reference(FILE *out)
{
    fprintf(
        out,
        "# HTTP API\n\nFrom the route table, src/api/routes.c.\n\n"
        "While `midflight run` runs it serves this on the Unix socket `api.sock` in its state directory (mode "
        "0600):\n\n"
        "```sh\ncurl --unix-socket midflight-state/api.sock http://midflight/v1/status\n```\n\n"
        "and on TCP when `api.listen` is set. Beyond loopback TCP needs `api.token`; where a token is set every "
        "request\n"
        "on TCP carries it (`Authorization: Bearer …`). Without one, requests on TCP must name a loopback host. A "
        "POST\n"
        "on TCP carries `Content-Type: application/json`.\n\n"
        "Bodies are JSON objects of at most %d KiB; an unknown field is an error that names it. A POST answers when "
        "the\n"
        "work is done. An error is `{\"error\": {\"code\", \"class\", \"text\", \"hint\"}}` with 400 (the request is "
        "wrong),\n401 and 403 (not allowed), 404, 405, 409 (refused by a guard, or abandoned with everything as it "
        "was), 413, 415,\n500 (failed), 503 (try again) or 504 (not in time).\n",
        MF_API_BODY_MAX / 1024);
    for (size_t i = 0; i < mf_route_count; i++) {
        print_route(&mf_routes[i], out);
    }
}
