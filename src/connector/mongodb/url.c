/* The URL of a deployment: see url.h. */
#include "connector/mongodb/url.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mongodb/mongo_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MS 120000 /* for an answer, where the URL does not say socketTimeoutMS */
#define CLIENT_MS 60000  /* for a client of the pool */

static int bad(const char *url, const char *why, struct mf_error *err)
{
    MF_CLEANUP_FREE char *shown = mf_url_redact(url);
    mf_fail(err, MF_USAGE, "MFURL", "not a MongoDB URL: %s: %s", shown, why);
    mf_hint(err, "write mongodb://USER@HOST:PORT,HOST:PORT/DATABASE?replicaSet=…; percent-encode special characters");
    return -1;
}

/* libmongoc quotes the values of some options, and what it took for the user or a host: only words without any of the URL's are told. */
static const char *safe_words(const char *message)
{
    return strpbrk(message, "\"'[") ? "it cannot be taken apart" : message;
}

static void at_most(mongoc_uri_t *uri, const char *option, int64_t ms)
{
    if (!mongoc_uri_has_option(uri, option) || mongoc_uri_get_option_as_int32(uri, option, 0) <= 0) {
        mongoc_uri_set_option_as_int32(uri, option, ms > INT32_MAX ? INT32_MAX : (int32_t)ms);
    }
}

/* The library says of a file that it cannot read only that there is no connection. */
static int can_be_read(const mongoc_uri_t *uri, const char *option, struct mf_error *err)
{
    const char *path = mongoc_uri_get_option_as_utf8(uri, option, NULL);
    if (!path || access(path, R_OK) == 0) {
        return 0;
    }
    mf_fail(err, MF_USAGE, "MFTLS", "the file %s cannot be read: %s", path, strerror(errno));
    mf_hint(err, "%s of the URL names it",
            mf_streq(option, MONGOC_URI_TLSCAFILE) ? "tlsCAFile" : "tlsCertificateKeyFile");
    return -1;
}

static int options(const struct mf_db_options *o, mongoc_uri_t *uri, struct mf_error *err)
{
    int64_t connect_ms = (o->connect_timeout_s > 0 ? o->connect_timeout_s : 10) * INT64_C(1000);
    const char *database = mongoc_uri_get_database(uri);
    at_most(uri, MONGOC_URI_CONNECTTIMEOUTMS, connect_ms);
    at_most(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, connect_ms);
    at_most(uri, MONGOC_URI_SOCKETTIMEOUTMS, ANSWER_MS);
    at_most(uri, MONGOC_URI_WAITQUEUETIMEOUTMS, CLIENT_MS);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_MAXPOOLSIZE, MONGO_CLIENTS_MAX);
    if (!mongoc_uri_get_appname(uri)) {
        mongoc_uri_set_appname(uri, "midflight");
    }
    if (database && strlen(database) >= MONGO_NAME) {
        return bad(o->url, "the database's name is too long", err);
    }
    if (o->password && !mongoc_uri_set_password(uri, o->password)) {
        return bad(o->url, "the password is not UTF-8", err);
    }
    return can_be_read(uri, MONGOC_URI_TLSCAFILE, err) < 0 ? -1
                                                           : can_be_read(uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, err);
}

int mongo_url_parse(const struct mf_db_options *o, mongoc_uri_t **ret, struct mf_error *err)
{
    bson_error_t e = {0};
    mongoc_uri_t *uri = mongoc_uri_new_with_error(o->url, &e);
    if (!uri) {
        return bad(o->url, safe_words(e.message), err);
    }
    if (options(o, uri, err) < 0) {
        mongoc_uri_destroy(uri);
        return -1;
    }
    *ret = uri;
    return 0;
}

void mongo_url_say(const mongoc_uri_t *uri, struct mf_db_facts *ret)
{
    const char *database = mongoc_uri_get_database(uri), *user = mongoc_uri_get_username(uri);
    const char *srv = mongoc_uri_get_srv_hostname(uri);
    size_t used = 0;
    mf_strlcpy(ret->database, database ? database : "", sizeof ret->database);
    mf_strlcpy(ret->user, user ? user : "", sizeof ret->user);
    mf_strlcpy(ret->encoding, "UTF8", sizeof ret->encoding);
    mf_strlcpy(ret->host, srv ? srv : "", sizeof ret->host);
    for (const mongoc_host_list_t *h = srv ? NULL : mongoc_uri_get_hosts(uri); h && used < sizeof ret->host;
         h = h->next) {
        used += (size_t)snprintf(ret->host + used, sizeof ret->host - used, "%s%s", used ? "," : "", h->host_and_port);
    }
}
