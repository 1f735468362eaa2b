/* The URL of a MySQL database: see url.h. */
#include "connector/mysql/url.h"

#include "base/mem.h"
#include "base/str.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char *url, const char *why, struct mf_error *err)
{
    MF_CLEANUP_FREE char *shown = mf_url_redact(url);
    mf_fail(err, MF_USAGE, "MFURL", "not a MySQL URL: %s: %s", shown, why);
    mf_hint(err, "write mysql://USER@HOST:PORT/DATABASE?ssl-mode=…; percent-encode special characters");
    return -1;
}

/* NULL when the URL does not say it. */
static char *part(CURLU *u, CURLUPart what)
{
    char *got = NULL;
    if (curl_url_get(u, what, &got, CURLU_URLDECODE) != CURLUE_OK) {
        return NULL;
    }
    char *ret = mf_xstrdup(got);
    curl_free(got);
    return ret;
}

static const char *const modes[] = {"preferred", "disabled", "required", "verify-ca", "verify-identity"};

/* One name=value of the query; takes value over. */
static int set_option(struct my_params *p, const char *url, const char *name, char *value, struct mf_error *err)
{
    struct {
        const char *name;
        char **where;
    } texts[] = {{"ssl-ca", &p->ssl_ca}, {"ssl-cert", &p->ssl_cert}, {"ssl-key", &p->ssl_key}, {"socket", &p->socket}};
    for (size_t i = 0; i < MF_ARRAY_LEN(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            free(*texts[i].where);
            *texts[i].where = value;
            return 0;
        }
    }
    MF_CLEANUP_FREE char *v = value;
    if (strcmp(name, "ssl-mode") != 0) {
        return bad(url, "known parameters are ssl-mode, ssl-ca, ssl-cert, ssl-key, socket", err);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(modes); i++) {
        if (strcasecmp(v, modes[i]) == 0) {
            p->ssl_mode = i;
            return 0;
        }
    }
    return bad(url, "ssl-mode is preferred, disabled, required, verify-ca or verify-identity", err);
}

static int take_query(struct my_params *p, const char *url, char *query, struct mf_error *err)
{
    char *next = query;
    while (next && *next) {
        char *one = next;
        next = strchr(one, '&');
        if (next) {
            *next++ = 0;
        }
        char *value = strchr(one, '=');
        if (!value) {
            return bad(url, "a parameter has no value", err);
        }
        *value++ = 0;
        char *decoded = curl_easy_unescape(NULL, value, 0, NULL);
        if (!decoded) {
            return bad(url, "a parameter is not percent-encoded as it should be", err);
        }
        char *copy = mf_xstrdup(decoded);
        curl_free(decoded);
        if (set_option(p, url, one, copy, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int take_apart(CURLU *u, const char *url, struct my_params *p, struct mf_error *err)
{
    uint64_t number = 3306;
    if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return bad(url, "it cannot be taken apart", err);
    }
    p->host = part(u, CURLUPART_HOST);
    p->user = part(u, CURLUPART_USER);
    p->password = part(u, CURLUPART_PASSWORD);
    MF_CLEANUP_FREE char *port = part(u, CURLUPART_PORT);
    MF_CLEANUP_FREE char *path = part(u, CURLUPART_PATH);
    if (port && (!mf_parse_u64(port, &number) || number == 0 || number > 65535)) {
        return bad(url, "the port is no port", err);
    }
    p->port = (unsigned)number;
    if (!p->host) {
        p->host = mf_xstrdup("localhost");
    }
    size_t n = strlen(p->host);
    if (n > 2 && p->host[0] == '[') { /* an IPv6 address */
        memmove(p->host, p->host + 1, n - 2);
        p->host[n - 2] = 0;
    }
    if (path && path[0] == '/' && path[1]) {
        p->database = mf_xstrdup(path + 1);
    }
    char *query = NULL;
    if (curl_url_get(u, CURLUPART_QUERY, &query, 0) != CURLUE_OK) {
        return 0;
    }
    int rc = take_query(p, url, query, err);
    curl_free(query);
    return rc;
}

int my_url_parse(const char *url, struct my_params *ret, struct mf_error *err)
{
    struct my_params p = {.ssl_mode = MY_SSL_PREFERRED};
    CURLU *u = curl_url();
    int rc = u ? take_apart(u, url, &p, err) : mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    curl_url_cleanup(u);
    if (rc < 0) {
        my_params_free(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

void my_params_free(struct my_params *p)
{
    free(p->host);
    free(p->user);
    free(p->password);
    free(p->database);
    free(p->socket);
    free(p->ssl_ca);
    free(p->ssl_cert);
    free(p->ssl_key);
    *p = (struct my_params){0};
}
