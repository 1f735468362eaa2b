/* The URL of a cluster, taken apart. */
#include "mf_test.h"

#include "base/clock.h"
#include "connector/cassandra/cql_url.h"

#include <string.h>

static struct cql_settings good(const char *url)
{
    struct mf_error err = {0};
    struct cql_settings s;
    struct mf_cql_options o = {.url = url};
    assert_mf_ok(cql_url_parse(&o, &s, &err), &err);
    return s;
}

static void bad(const char *url, const char *why)
{
    struct mf_error err = {0};
    struct cql_settings s = {.protocol = 77};
    struct mf_cql_options o = {.url = url};
    assert_mf_fails(cql_url_parse(&o, &s, &err), &err, MF_USAGE, why);
    assert_string_equal(err.code, "MFURL");
    assert_null(strstr(err.text, "s3cret"));
    assert_null(strstr(err.hint, "s3cret"));
    assert_int_equal(s.protocol, 77);
}

static void everything_has_a_default(void **state)
{
    (void)state;
    struct cql_settings s = good("cassandra://db");
    assert_int_equal(s.ncontacts, 1);
    assert_string_equal(s.contacts[0].host, "db");
    assert_int_equal(s.contacts[0].port, 9042);
    assert_null(s.user);
    assert_null(s.password);
    assert_string_equal(s.keyspace, "");
    assert_string_equal(s.local_dc, "");
    assert_int_equal(s.consistency, CQL_LOCAL_QUORUM);
    assert_int_equal(s.ssl, CQL_SSL_OFF);
    assert_true(s.lz4);
    assert_int_equal(s.protocol, 5);
    assert_int_equal(s.connect_us, 5 * MF_US_PER_SEC);
    assert_int_equal(s.request_us, 30 * MF_US_PER_SEC);
    assert_int_equal(s.speculative_us, 0);
    cql_settings_free(&s);
}

static void everything_can_be_said(void **state)
{
    (void)state;
    struct cql_settings s =
        good("Cassandra://me%40x:s3%2F%3A%2C%3Fcret@a.example:1,b,[::1]:65535,[fe80::1]/my_ks?local_dc=d%26c&"
             "consistency=quorum&ssl=verify-full&ca=%2Fca.pem&cert=c&key=k&compression=none&connect_timeout=500ms&"
             "request-timeout=2s&connections=8&in_flight=32767&latency=1s&speculative=250ms&protocol=4");
    assert_int_equal(s.ncontacts, 4);
    assert_string_equal(s.contacts[0].host, "a.example");
    assert_int_equal(s.contacts[0].port, 1);
    assert_string_equal(s.contacts[1].host, "b");
    assert_int_equal(s.contacts[1].port, 9042);
    assert_string_equal(s.contacts[2].host, "::1");
    assert_int_equal(s.contacts[2].port, 65535);
    assert_string_equal(s.contacts[3].host, "fe80::1");
    assert_string_equal(s.user, "me@x");
    assert_string_equal(s.password, "s3/:,?cret");
    assert_string_equal(s.keyspace, "my_ks");
    assert_string_equal(s.local_dc, "d&c");
    assert_int_equal(s.consistency, CQL_QUORUM);
    assert_int_equal(s.ssl, CQL_SSL_VERIFY_FULL);
    assert_string_equal(s.ca, "/ca.pem");
    assert_string_equal(s.key, "k");
    assert_false(s.lz4);
    assert_int_equal(s.connect_us, 500000);
    assert_int_equal(s.request_us, 2000000);
    assert_int_equal(s.latency_us, 1000000);
    assert_int_equal(s.speculative_us, 250000);
    assert_int_equal(s.connections, 8);
    assert_int_equal(s.in_flight, 32767);
    assert_int_equal(s.protocol, 4);
    cql_settings_free(&s);
}

static void the_password_setting_goes_before_the_url(void **state)
{
    (void)state;
    struct mf_error err = {0};
    struct cql_settings s;
    struct mf_cql_options o = {.url = "cassandra://u:one@h/k?connect_timeout=1s",
                               .password = "two",
                               .connect_timeout_ms = 9000,
                               .request_timeout_ms = 8000};
    assert_mf_ok(cql_url_parse(&o, &s, &err), &err);
    assert_string_equal(s.password, "two");
    assert_int_equal(s.connect_us, MF_US_PER_SEC);
    assert_int_equal(s.request_us, 8 * MF_US_PER_SEC);
    cql_settings_free(&s);
}

static void what_is_wrong_is_said_without_the_password(void **state)
{
    (void)state;
    bad("postgresql://u:s3cret@h/k", "does not begin");
    bad("cassandra//h", "does not begin");
    bad("cassandra://", "no name");
    bad("cassandra://u:s3cret@", "no name");
    bad("cassandra://u:s3cret@a,,b/k", "no name");
    bad("cassandra://u:s3cret@h:0/k", "port");
    bad("cassandra://u:s3cret@h:65536/k", "port");
    bad("cassandra://u:s3cret@h:x/k", "port");
    bad("cassandra://u:s3cret@[::1/k", "bracket");
    bad("cassandra://u:s3cret%00@h/k", "percent");
    bad("cassandra://u:s3cret@h/k/l", "keyspace");
    bad("cassandra://u:s3cret@h/k123456789012345678901234567890123456789012345678", "keyspace");
    bad("cassandra://u:s3cret@h/k?x=1", "known parameters");
    bad("cassandra://u:s3cret@h/k?ssl", "no value");
    bad("cassandra://u:s3cret@h/k?ssl=maybe", "ssl is");
    bad("cassandra://u:s3cret@h/k?ca=/x", "need ssl");
    bad("cassandra://u:s3cret@h/k?ssl=require&cert=/x", "needs key");
    bad("cassandra://u:s3cret@h/k?consistency=any", "consistency is");
    bad("cassandra://u:s3cret@h/k?consistency=serial", "consistency is");
    bad("cassandra://u:s3cret@h/k?compression=snappy", "compression is");
    bad("cassandra://u:s3cret@h/k?protocol=3", "protocol is");
    bad("cassandra://u:s3cret@h/k?connections=9", "connections is");
    bad("cassandra://u:s3cret@h/k?in_flight=0", "in_flight is");
    bad("cassandra://u:s3cret@h/k?connect_timeout=5", "a time is");
    bad("cassandra://u:s3cret@h/k?request_timeout=2h", "a time is");
    bad("cassandra://u:s3cret@h/k?local_dc=", "local_dc is");
    char many[2000] = "cassandra://h";
    for (int i = 0; i < CQL_CONTACTS_MAX; i++) {
        strncat(many, ",h", sizeof(many) - strlen(many) - 1);
    }
    bad(many, "more than 32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_has_a_default),
        cmocka_unit_test(everything_can_be_said),
        cmocka_unit_test(the_password_setting_goes_before_the_url),
        cmocka_unit_test(what_is_wrong_is_said_without_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
