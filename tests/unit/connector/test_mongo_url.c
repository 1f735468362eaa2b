/* The URL of a deployment, and what its errors mean. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mongodb/mongo_room.h"
#include "connector/mongodb/url.h"

#include <string.h>

static void what_it_names(void **state)
{
    struct mf_db_options o = {.url = "mongodb://me:s3cret@a:27018,b/shop?replicaSet=rs0", .connect_timeout_s = 7};
    struct mf_db_facts f = {0};
    struct mf_error err = {0};
    mongoc_uri_t *uri;
    (void)state;
    assert_mf_ok(mongo_url_parse(&o, &uri, &err), &err);
    mongo_url_say(uri, &f);
    assert_string_equal(f.database, "shop");
    assert_string_equal(f.user, "me");
    assert_string_equal(f.host, "a:27018,b:27017");
    assert_int_equal(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, 0), 7000);
    assert_int_equal(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 0), 7000);
    assert_true(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, 0) > 0);
    mongoc_uri_destroy(uri);
}

static void what_it_says_of_time_stands(void **state)
{
    struct mf_db_options o = {.url = "mongodb://a/?socketTimeoutMS=1234&serverSelectionTimeoutMS=99",
                              .connect_timeout_s = 7,
                              .password = "p@ss"};
    struct mf_db_facts f = {0};
    struct mf_error err = {0};
    mongoc_uri_t *uri;
    (void)state;
    assert_mf_ok(mongo_url_parse(&o, &uri, &err), &err);
    mongo_url_say(uri, &f);
    assert_string_equal(f.database, "");
    assert_int_equal(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, 0), 1234);
    assert_int_equal(mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 0), 99);
    assert_string_equal(mongoc_uri_get_password(uri), "p@ss");
    mongoc_uri_destroy(uri);
}

static void what_is_wrong_is_said_without_the_password(void **state)
{
    static const char *const urls[] = {
        "mongodb://u:s3cret@",
        "mongodb://u:s3cret@/shop",
        "mongodb://u:s3%zzcret@h/shop",
        "mongodb://u:s3cret@h:99999/shop",
        "mongodb://u:s3cret:more@h/shop",
        "mongodb://u:s3cret@h/shop?tlsCertificateKeyFilePassword=s3cret&tls=maybe",
        "mongodb://u@h/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret&tls=maybe",
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct mf_db_options o = {.url = urls[i]};
        struct mf_error err = {0};
        mongoc_uri_t *uri = NULL;
        assert_mf_fails(mongo_url_parse(&o, &uri, &err), &err, MF_USAGE, "not a MongoDB URL");
        assert_null(strstr(err.text, "s3cret"));
        assert_null(strstr(err.text, "zzcret"));
        assert_null(uri);
    }
}

static void no_secret_is_shown(void **state)
{
    static const char *const urls[] = {
        "mongodb://u:s3cret@h1:27017,h2:27017,h3/shop?replicaSet=rs0&authSource=admin",
        "mongodb+srv://u:s3cret@cluster0.example.net/shop?retryWrites=true",
        "mongodb://u:s3cret%40@h/?tls=true&tlsCertificateKeyFilePassword=s3cret",
        "mongodb://u@h/?sslClientCertificateKeyPassword=s3cret",
        "mongodb://AKIA:s3cret@h/?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:s3cret",
        "mongodb://u:s3/cret@h/shop",
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        MF_CLEANUP_FREE char *shown = mf_url_redact(urls[i]);
        assert_null(strstr(shown, "s3cret"));
        assert_null(strstr(shown, "cret@"));
        assert_int_equal(strncmp(shown, "mongodb", 7), 0);
    }
}

static void what_an_error_means(void **state)
{
    static const struct {
        uint32_t domain, code;
        const char *message;
        enum mf_errclass cls;
        const char *as;
    } cases[] = {
        {MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_SOCKET, "connection closed", MF_RETRY, "MFNET"},
        {MONGOC_ERROR_SERVER_SELECTION, MONGOC_ERROR_SERVER_SELECTION_FAILURE, "No suitable servers", MF_RETRY,
         "MFNET"},
        {MONGOC_ERROR_SERVER_SELECTION, MONGOC_ERROR_SERVER_SELECTION_FAILURE,
         "TLS handshake failed: certificate verify failed", MF_FATAL, "MFTLS"},
        {MONGOC_ERROR_PROTOCOL, MONGOC_ERROR_PROTOCOL_BAD_WIRE_VERSION, "too old", MF_FATAL, "MFVERSION"},
        {MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_AUTHENTICATE, "Authentication failed.", MF_FATAL, "MFAUTH"},
        {MONGOC_ERROR_SCRAM, MONGOC_ERROR_SCRAM_PROTOCOL_ERROR, "bad", MF_FATAL, "MFAUTH"},
        {MONGOC_ERROR_SERVER, 10107, "not primary", MF_RETRY, "10107"},
        {MONGOC_ERROR_SERVER, 11602, "interrupted", MF_RETRY, "11602"},
        {MONGOC_ERROR_SERVER, 43, "cursor not found", MF_RETRY, "43"},
        {MONGOC_ERROR_SERVER, 13, "not authorized", MF_FATAL, "13"},
        {MONGOC_ERROR_SERVER, 11000, "E11000 duplicate key", MF_FATAL, "11000"},
        {MONGOC_ERROR_COMMAND, MONGOC_ERROR_COMMAND_INVALID_ARG, "bad argument", MF_FATAL, "MFMONGO"},
    };
    struct mongo_db db = {.facts.host = "h:1", .uri = mongoc_uri_new("mongodb://h:1/")};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mf_error err = {0};
        bson_error_t e = {.domain = cases[i].domain, .code = cases[i].code};
        snprintf(e.message, sizeof e.message, "%s", cases[i].message);
        assert_mf_fails(mongo_fail(&db, &e, NULL, &err), &err, cases[i].cls, cases[i].message);
        assert_string_equal(err.code, cases[i].as);
    }
    mongoc_uri_destroy(db.uri);
}

static void a_label_says_that_it_may_be_tried_again(void **state)
{
    struct mongo_db db = {.facts.host = "h:1"};
    struct mf_error err = {0};
    bson_error_t e = {.domain = MONGOC_ERROR_SERVER, .code = 999, .message = "something"}, bad;
    bson_t *reply = bson_new_from_json(
        (const uint8_t *)"{\"code\":999,\"codeName\":\"Some\",\"errorLabels\":[\"RetryableWriteError\"]}", -1, &bad);
    (void)state;
    assert_non_null(reply);
    assert_mf_fails(mongo_fail(&db, &e, reply, &err), &err, MF_RETRY, "something (Some)");
    assert_true(mongo_is_error(&err, 999));
    bson_destroy(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_names),
        cmocka_unit_test(what_it_says_of_time_stands),
        cmocka_unit_test(what_is_wrong_is_said_without_the_password),
        cmocka_unit_test(no_secret_is_shown),
        cmocka_unit_test(what_an_error_means),
        cmocka_unit_test(a_label_says_that_it_may_be_tried_again),
    };
    mongoc_init();
    mongoc_log_set_handler(NULL, NULL);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    mongoc_cleanup();
    return rc;
}
