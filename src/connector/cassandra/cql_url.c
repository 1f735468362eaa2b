/*
 * The URL of a cluster: see cql_url.h. Taken apart by hand, since a URL of several hosts is none to a library; every piece is
 * percent-decoded by itself, so that a password may hold any byte.
 */
#include "connector/cassandra/cql_url.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <curl/curl.h>
#include <string.h>

static int bad(const char *url, const char *why, struct mf_error *err)
{
    MF_CLEANUP_FREE char *shown = mf_url_redact(url);
    mf_fail(err, MF_USAGE, "MFURL", "not a Cassandra URL: %s: %s", shown, why);
    mf_hint(err, "write cassandra://USER@HOST:PORT,HOST:PORT/KEYSPACE?local_dc=…; percent-encode special characters");
    return -1;
}

/* Decoded; NULL when it is not percent-encoded as it should be, or holds a NUL. */
static char *decode(const char *s, size_t n)
{
    MF_CLEANUP_FREE char *copy = mf_xstrndup(s, n);
    int len = 0;
    char *got = curl_easy_unescape(NULL, copy, (int)n, &len);
    char *ret = got && strlen(got) == (size_t)len ? mf_xstrdup(got) : NULL;
    curl_free(got);
    return ret;
}

static int take_user(struct cql_settings *s, const char *url, const char *p, size_t n, struct mf_error *err)
{
    const char *colon = memchr(p, ':', n);
    s->user = decode(p, colon ? (size_t)(colon - p) : n);
    if (colon) {
        s->password = decode(colon + 1, n - (size_t)(colon - p) - 1);
    }
    return s->user && (!colon || s->password) ? 0 : bad(url, "the user or the password is not percent-encoded", err);
}

static int take_host(struct cql_settings *s, const char *url, const char *p, size_t n, struct mf_error *err)
{
    uint64_t port = 9042;
    size_t host = n;
    if (n > 0 && p[0] == '[') { /* an IPv6 address */
        const char *end = memchr(p, ']', n);
        if (!end) {
            return bad(url, "an address has no closing bracket", err);
        }
        host = (size_t)(end - p) + 1;
    } else if (memchr(p, ':', n)) {
        host = (size_t)((const char *)memchr(p, ':', n) - p);
    }
    if (host < n) {
        MF_CLEANUP_FREE char *text = mf_xstrndup(p + host + 1, n - host - 1);
        if (p[host] != ':' || !mf_parse_u64(text, &port) || port == 0 || port > 65535) {
            return bad(url, "the port is no port", err);
        }
    }
    bool bracket = n > 0 && p[0] == '[';
    char *name = decode(p + bracket, host - 2 * bracket);
    if (!name || !*name || s->ncontacts == CQL_CONTACTS_MAX) {
        free(name);
        return bad(url, "a host has no name, or there are more than 32", err);
    }
    s->contacts[s->ncontacts++] = (struct cql_contact){.host = name, .port = (unsigned)port};
    return 0;
}

static int take_hosts(struct cql_settings *s, const char *url, const char *p, size_t n, struct mf_error *err)
{
    while (true) {
        const char *comma = memchr(p, ',', n);
        size_t one = comma ? (size_t)(comma - p) : n;
        if (take_host(s, url, p, one, err) < 0) {
            return -1;
        }
        if (!comma) {
            return 0;
        }
        p += one + 1;
        n -= one + 1;
    }
}

static bool word_of(const char *v, const char *const *words, size_t n, int *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(v, words[i]) == 0) {
            *ret = (int)i;
            return true;
        }
    }
    return false;
}

static bool number_of(const char *v, uint64_t min, uint64_t max, int *ret)
{
    uint64_t n;
    bool good = mf_parse_u64(v, &n) && n >= min && n <= max;
    *ret = good ? (int)n : *ret;
    return good;
}

static bool time_of(const char *v, int64_t *ret)
{
    int64_t us;
    bool good = mf_parse_duration(v, &us) && us >= MF_US_PER_MS && us <= 3600 * MF_US_PER_SEC;
    *ret = good ? us : *ret;
    return good;
}

/* Takes value over. */
static int set_text(char **where, char *value)
{
    free(*where);
    *where = value;
    return 0;
}

static const char *const ssl_words[] = {"off", "require", "verify-ca", "verify-full"};
static const char *const compressions[] = {"none", "lz4"};

/* NULL, or what is wrong. */
static const char *set_word(struct cql_settings *s, const char *name, const char *v)
{
    int word = 0;
    if (strcmp(name, "local_dc") == 0) {
        return *v && mf_strlcpy(s->local_dc, v, sizeof(s->local_dc)) ? NULL : "local_dc is the name of a data centre";
    }
    if (strcmp(name, "consistency") == 0) {
        return cql_consistency_of(v, &s->consistency) && s->consistency != CQL_ANY && s->consistency != CQL_SERIAL &&
                       s->consistency != CQL_LOCAL_SERIAL
                   ? NULL
                   : "consistency is ONE, TWO, THREE, QUORUM, ALL, LOCAL_QUORUM, EACH_QUORUM or LOCAL_ONE";
    }
    if (strcmp(name, "ssl") == 0) {
        bool good = word_of(v, ssl_words, MF_ARRAY_LEN(ssl_words), &word);
        s->ssl = good ? (enum cql_ssl)word : s->ssl;
        return good ? NULL : "ssl is off, require, verify-ca or verify-full";
    }
    if (strcmp(name, "compression") == 0) {
        bool good = word_of(v, compressions, MF_ARRAY_LEN(compressions), &word);
        s->lz4 = word == 1;
        return good ? NULL : "compression is lz4 or none";
    }
    if (strcmp(name, "protocol") == 0) {
        return number_of(v, CQL_VERSION_MIN, CQL_VERSION_MAX, &s->protocol) ? NULL : "protocol is 5 or 4";
    }
    if (strcmp(name, "connections") == 0) {
        return number_of(v, 1, CQL_CONNECTIONS_MAX, &s->connections) ? NULL : "connections is 1 to 8";
    }
    if (strcmp(name, "in_flight") == 0) {
        return number_of(v, 1, CQL_IN_FLIGHT_MAX, &s->in_flight) ? NULL : "in_flight is 1 to 32767";
    }
    if (strcmp(name, "speculative") == 0 && strcasecmp(v, "off") == 0) {
        s->speculative_us = 0;
        return NULL;
    }
    int64_t *time = strcmp(name, "connect_timeout") == 0   ? &s->connect_us
                    : strcmp(name, "request_timeout") == 0 ? &s->request_us
                    : strcmp(name, "latency") == 0         ? &s->latency_us
                    : strcmp(name, "speculative") == 0     ? &s->speculative_us
                                                           : NULL;
    if (!time) {
        return "known parameters are local_dc, consistency, ssl, ca, cert, key, compression, connect_timeout, "
               "request_timeout, connections, in_flight, latency, speculative, protocol";
    }
    return time_of(v, time) ? NULL : "a time is 1ms to 1h, with its unit: 500ms, 5s";
}

static int take_query(struct cql_settings *s, const char *url, const char *p, struct mf_error *err)
{
    while (*p) {
        size_t n = strcspn(p, "&");
        const char *eq = memchr(p, '=', n);
        if (!eq) {
            return bad(url, "a parameter has no value", err);
        }
        MF_CLEANUP_FREE char *name = mf_xstrndup(p, (size_t)(eq - p));
        MF_CLEANUP_FREE char *value = decode(eq + 1, n - (size_t)(eq - p) - 1);
        for (char *dash = strchr(name, '-'); dash; dash = strchr(dash, '-')) {
            *dash = '_'; /* either is right */
        }
        if (!value) {
            return bad(url, "a parameter is not percent-encoded as it should be", err);
        }
        char **text = strcmp(name, "ca") == 0     ? &s->ca
                      : strcmp(name, "cert") == 0 ? &s->cert
                      : strcmp(name, "key") == 0  ? &s->key
                                                  : NULL;
        const char *why = text ? NULL : set_word(s, name, value);
        if (why) {
            return bad(url, why, err);
        }
        if (text) {
            set_text(text, MF_STEAL(value));
        }
        p += n + (p[n] == '&');
    }
    return 0;
}

static int take_keyspace(struct cql_settings *s, const char *url, const char *p, size_t n, struct mf_error *err)
{
    MF_CLEANUP_FREE char *name = decode(p, n);
    return name && mf_strlcpy(s->keyspace, name, sizeof(s->keyspace)) && !strchr(name, '/')
               ? 0
               : bad(url, "the keyspace is a name of at most 48 characters", err);
}

static int take_apart(struct cql_settings *s, const char *url, struct mf_error *err)
{
    const char *p = strstr(url, "://");
    if (!p || strncasecmp(url, "cassandra", (size_t)(p - url)) != 0 || p - url != (ptrdiff_t)strlen("cassandra")) {
        return bad(url, "it does not begin with cassandra://", err);
    }
    p += 3;
    size_t n = strcspn(p, "/?");
    const char *at = memrchr(p, '@', n);
    if (at && take_user(s, url, p, (size_t)(at - p), err) < 0) {
        return -1;
    }
    const char *hosts = at ? at + 1 : p;
    if (take_hosts(s, url, hosts, n - (size_t)(hosts - p), err) < 0) {
        return -1;
    }
    p += n;
    if (*p == '/') {
        n = strcspn(++p, "?");
        if (take_keyspace(s, url, p, n, err) < 0) {
            return -1;
        }
        p += n;
    }
    if (*p == '?' && take_query(s, url, p + 1, err) < 0) {
        return -1;
    }
    if ((s->ca || s->cert || s->key) && s->ssl == CQL_SSL_OFF) {
        return bad(url, "ca, cert and key need ssl=require, verify-ca or verify-full", err);
    }
    return s->cert && !s->key ? bad(url, "cert needs key", err) : 0;
}

int cql_url_parse(const struct mf_cql_options *o, struct cql_settings *ret, struct mf_error *err)
{
    struct cql_settings s = {
        .consistency = CQL_LOCAL_QUORUM,
        .lz4 = true,
        .protocol = CQL_VERSION_MAX,
        .connections = 2,
        .in_flight = 1024,
        .connect_us = (o->connect_timeout_ms > 0 ? o->connect_timeout_ms : 5000) * MF_US_PER_MS,
        .request_us = (o->request_timeout_ms > 0 ? o->request_timeout_ms : 30000) * MF_US_PER_MS,
        .latency_us = 150 * MF_US_PER_MS,
    };
    if (take_apart(&s, o->url, err) < 0) {
        cql_settings_free(&s);
        return -1;
    }
    if (o->password) {
        set_text(&s.password, mf_xstrdup(o->password));
    }
    *ret = s;
    return 0;
}

void cql_settings_free(struct cql_settings *s)
{
    for (size_t i = 0; i < s->ncontacts; i++) {
        free(s->contacts[i].host);
    }
    free(s->user);
    free(s->password);
    free(s->ca);
    free(s->cert);
    free(s->key);
    *s = (struct cql_settings){0};
}
