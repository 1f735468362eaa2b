/* OFREP: the shapes and statuses of its description (service/openapi.yaml), one by one. */
#include "api_fixture.h"

#include "api/internal.h"

#define ONE(name) "/ofrep/v1/evaluate/flags/" name
#define ALL       "/ofrep/v1/evaluate/flags"
#define USER_1    "{\"context\": {\"targetingKey\": \"user-1\"}}" /* at 1420 of 10,000 for "shop" */
#define USER_2    "{\"context\": {\"targetingKey\": \"user-2\"}}" /* at 7131 */

static void flags_are(struct server *s, enum mf_flags_writer writer, int percent, const char *why)
{
    pthread_mutex_lock(&s->backend.lock);
    s->backend.flags = (struct mf_flags_view){.writer = writer, .percent = percent};
    snprintf(s->backend.flags.why, sizeof s->backend.flags.why, "%s", why);
    pthread_mutex_unlock(&s->backend.lock);
}

static json_t *document(const struct server *s, const char *path, const char *body, int status)
{
    struct answer a = ask(s, path, body);
    json_t *doc = a.body ? json_loads(a.body, 0, NULL) : NULL;
    if (a.status != status || !doc) {
        fail_msg("%s %s: expected a document with %d, got %s", path, body, status, a.text ? a.text : "nothing");
    }
    answer_free(&a);
    return doc;
}

static const char *text_at(const json_t *doc, const char *key)
{
    const char *s = json_string_value(json_object_get(doc, key));
    assert_non_null(s);
    return s;
}

static void is_answer(const struct server *s, const char *path, const char *body, json_t *value, const char *reason,
                      const char *variant)
{
    json_t *doc = document(s, path, body, 200);
    assert_string_equal(text_at(doc, "key"), strrchr(path, '/') + 1);
    assert_true(json_equal(json_object_get(doc, "value"), value));
    assert_string_equal(text_at(doc, "reason"), reason);
    assert_string_equal(text_at(doc, "variant"), variant);
    assert_string_equal(text_at(json_object_get(doc, "metadata"), "migration"), "shop");
    json_decref(value);
    json_decref(doc);
}

static void is_failure(const struct server *s, const char *path, const char *body, int status, const char *key,
                       const char *code)
{
    json_t *doc = document(s, path, body, status);
    if (key) {
        assert_string_equal(text_at(doc, "key"), key);
    } else {
        assert_null(json_object_get(doc, "key"));
    }
    assert_string_equal(text_at(doc, "errorCode"), code);
    assert_true(text_at(doc, "errorDetails")[0]);
    json_decref(doc);
}

static void reads_are_split_by_key(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    is_answer(&s, ONE("midflight.reads"), USER_1, json_true(), "SPLIT", "target");
    is_answer(&s, ONE("midflight.reads"), USER_2, json_false(), "SPLIT", "source");
    is_answer(&s, ONE("midflight.reads"), "{\"context\": {\"targetingKey\": \"user-1\", \"more\": [1, {}]}, \"x\": 1}",
              json_true(), "SPLIT", "target");
    flags_are(&s, MF_FLAGS_SOURCE, 0, "");
    is_answer(&s, ONE("midflight.reads"), USER_1, json_false(), "STATIC", "source");
    flags_are(&s, MF_FLAGS_FROZEN, 100, "frozen"); /* nobody writes, everybody reads */
    is_answer(&s, ONE("midflight.reads"), USER_2, json_true(), "STATIC", "target");
    server_stop(&s);
}

static void writes_follow_the_epoch_or_are_not_answered(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 0, "");
    is_answer(&s, ONE("midflight.writes"), "{}", json_string("source"), "STATIC", "source");
    is_answer(&s, ONE("midflight.writes-on-target"), "", json_false(), "STATIC", "source");
    flags_are(&s, MF_FLAGS_TARGET, 100, "");
    is_answer(&s, ONE("midflight.writes"), USER_1, json_string("target"), "STATIC", "target");
    is_answer(&s, ONE("midflight.writes-on-target"), USER_2, json_true(), "STATIC", "target");
    flags_are(&s, MF_FLAGS_FROZEN, 100, "writes are frozen");
    is_failure(&s, ONE("midflight.writes"), USER_1, 400, "midflight.writes", "GENERAL");
    is_failure(&s, ONE("midflight.writes-on-target"), USER_1, 400, "midflight.writes-on-target", "GENERAL");
    flags_are(&s, MF_FLAGS_UNKNOWN, 0, "it is not known");
    is_failure(&s, ONE("midflight.writes"), USER_1, 400, "midflight.writes", "GENERAL");
    is_failure(&s, ONE("midflight.reads"), USER_1, 400, "midflight.reads", "GENERAL");
    expect(&s, ONE("midflight.reads"), USER_1, 400, "it is not known");
    server_stop(&s);
}

static void what_is_wrong_is_said_in_the_protocols_words(void **state)
{
    (void)state;
    static const struct {
        const char *body, *code;
    } bad[] = {
        {"{", "PARSE_ERROR"},
        {"[]", "PARSE_ERROR"},
        {"null", "PARSE_ERROR"},
        {"{\"context\": {\"targetingKey\": \"a\", \"targetingKey\": \"b\"}}", "PARSE_ERROR"},
        {"{\"context\": {\"targetingKey\": \"\xff\"}}", "PARSE_ERROR"},
        {"{\"context\": []}", "INVALID_CONTEXT"},
        {"{\"context\": null}", "INVALID_CONTEXT"},
        {"{\"context\": {\"targetingKey\": 7}}", "INVALID_CONTEXT"},
        {"{\"context\": {\"targetingKey\": null}}", "INVALID_CONTEXT"},
    };
    static const char *const keyless[] = {"", "{}", "{\"context\": {}}", "{\"context\": {\"targetingKey\": \"\"}}"};
    struct server s;
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        is_failure(&s, ONE("midflight.reads"), bad[i].body, 400, "midflight.reads", bad[i].code);
        is_failure(&s, ALL, bad[i].body, 400, NULL, bad[i].code);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(keyless); i++) {
        is_failure(&s, ONE("midflight.reads"), keyless[i], 400, "midflight.reads", "TARGETING_KEY_MISSING");
    }
    is_failure(&s, ONE("no.such"), USER_1, 404, "no.such", "FLAG_NOT_FOUND");
    is_failure(&s, ONE("a%20%C3%BC%22"), USER_1, 404, "a ü\"", "FLAG_NOT_FOUND");
    is_failure(&s, ONE("midflight.reads%00"), USER_1, 404, "", "FLAG_NOT_FOUND");
    is_failure(&s, ONE("%FF%FE"), USER_1, 404, "\xef\xbf\xbd\xef\xbf\xbd", "FLAG_NOT_FOUND");
    is_answer(&s, ONE("midflight.reads"), "{\"context\": {\"targetingKey\": \"a\\u0000b\"}}", json_false(), "SPLIT",
              "source");
    expect(&s, ONE("midflight%2Ereads"), USER_1, 200, "SPLIT");
    expect(&s, ONE(""), USER_1, 404, "error");
    expect(&s, ONE("midflight.reads/x"), USER_1, 404, "error");
    expect(&s, ONE("midflight.reads"), NULL, 405, "this path takes POST");
    expect(&s, ALL, NULL, 405, "this path takes POST");
    server_stop(&s);
}

static char *etag_of(const struct answer *a)
{
    const char *at = strcasestr(a->text, "\r\nETag: ");
    assert_non_null(at);
    return mf_xasprintf("%.*s", (int)strcspn(at + 8, "\r"), at + 8);
}

static int asked_with(const struct server *s, const char *etag, const char *body, bool has_body)
{
    MF_CLEANUP_FREE char *header = mf_xasprintf("If-None-Match: %s\r\n", etag);
    int fd = connect_unix(s);
    send_request(fd, ALL, body, header);
    shutdown(fd, SHUT_WR);
    struct answer a = read_answer(fd);
    close(fd);
    int status = a.status;
    assert_int_equal(a.body[0] != '\0', has_body);
    free(etag_of(&a)); /* it is there */
    answer_free(&a);
    return status;
}

static void all_flags_come_with_an_etag(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    struct answer a = ask(&s, ALL, USER_1);
    assert_int_equal(a.status, 200);
    MF_CLEANUP_FREE char *etag = etag_of(&a);
    json_t *doc = json_loads(a.body, 0, NULL), *flags = json_object_get(doc, "flags");
    assert_int_equal(json_array_size(flags), 3);
    assert_string_equal(text_at(json_array_get(flags, 0), "key"), "midflight.reads");
    assert_string_equal(text_at(json_array_get(flags, 0), "variant"), "target");
    assert_string_equal(text_at(json_array_get(flags, 1), "value"), "source");
    json_decref(doc);
    answer_free(&a);
    assert_int_equal(asked_with(&s, etag, USER_1, false), 304);
    MF_CLEANUP_FREE char *list = mf_xasprintf("\"x\", W/%s ,\"y\"", etag);
    assert_int_equal(asked_with(&s, list, USER_1, false), 304);
    assert_int_equal(asked_with(&s, "*", USER_1, false), 304);
    assert_int_equal(asked_with(&s, "\"x\"", USER_1, true), 200);
    assert_int_equal(asked_with(&s, etag, USER_2, true), 200); /* another user, another answer */
    flags_are(&s, MF_FLAGS_SOURCE, 0, "");
    assert_int_equal(asked_with(&s, etag, USER_1, true), 200);
    flags_are(&s, MF_FLAGS_UNKNOWN, 0, "not known");
    a = ask(&s, ALL, USER_1); /* each flag says so for itself */
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"errorCode\":\"GENERAL\""));
    answer_free(&a);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    expect(&s, ALL, "{}", 200, "TARGETING_KEY_MISSING");
    expect(&s, ALL, "{}", 200, "\"value\":\"source\"");
    server_stop(&s);
}

static void etags_in_a_list(void **state)
{
    (void)state;
    assert_false(mf_ofrep_etag_in(NULL, "\"a\""));
    assert_false(mf_ofrep_etag_in("", "\"a\""));
    assert_false(mf_ofrep_etag_in(",,", "\"a\""));
    assert_false(mf_ofrep_etag_in("\"ab\"", "\"a\""));
    assert_false(mf_ofrep_etag_in("\"a\"b", "\"a\""));
    assert_false(mf_ofrep_etag_in("a", "\"a\""));
    assert_true(mf_ofrep_etag_in("\"b\",\"a\"", "\"a\""));
    assert_true(mf_ofrep_etag_in(" W/\"a\"", "\"a\""));
    assert_true(mf_ofrep_etag_in("\"b\", *", "\"a\""));
}

static int over_tcp(const struct server *s, const char *path, const char *headers, const char *want)
{
    int fd = connect_tcp(s);
    send_request(fd, path, USER_1, headers);
    struct answer a = read_answer(fd);
    close(fd);
    int status = a.status;
    assert_true(!want || (a.body && strstr(a.body, want)));
    answer_free(&a);
    return status;
}

static void the_token_is_asked_for_here_too(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, "127.0.0.1:0", "0123456789abcdef");
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
#define JSON "Content-Type: application/json\r\n"
    assert_int_equal(over_tcp(&s, ONE("midflight.reads"), JSON, "errorDetails"), 401);
    assert_int_equal(over_tcp(&s, ALL, JSON "Authorization: Bearer 0123456789abcdeX\r\n", "errorDetails"), 401);
    assert_int_equal(over_tcp(&s, ALL, JSON "X-API-Key: 0123456789abcdeX\r\n", "errorDetails"), 401);
    assert_int_equal(over_tcp(&s, ALL, JSON "Authorization: Bearer 0123456789abcdef\r\n", "SPLIT"), 200);
    assert_int_equal(over_tcp(&s, ONE("midflight.reads"), JSON "X-API-Key: 0123456789abcdef\r\n", "SPLIT"), 200);
    assert_int_equal(over_tcp(&s, ALL, "X-API-Key: 0123456789abcdef\r\n", "errorDetails"), 415);
    assert_int_equal(over_tcp(&s, ALL, "Content-Type: text/plain\r\nX-API-Key: 0123456789abcdef\r\n", "errorDetails"),
                     415);
    server_stop(&s);
    server_start(&s, "127.0.0.1:0", NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    assert_int_equal(over_tcp(&s, ALL, JSON, "SPLIT"), 200);
    int fd = connect_tcp(&s);
    send_text(fd, "POST " ALL " HTTP/1.1\r\nHost: evil.example\r\n" JSON "Content-Length: 2\r\n\r\n{}");
    struct answer a = read_answer(fd);
    close(fd);
    assert_int_equal(a.status, 403);
    assert_non_null(strstr(a.body, "errorDetails"));
    answer_free(&a);
    server_stop(&s);
}

static char *padded(size_t n)
{
    struct mf_buf b;
    mf_buf_init(&b, 1 << 20);
    mf_buf_puts(&b, "{\"context\": {\"targetingKey\": \"user-1\", \"pad\": \"");
    while (b.len < n) {
        mf_buf_putc(&b, 'x');
    }
    mf_buf_puts(&b, "\"}}");
    return mf_buf_steal(&b, NULL);
}

static void a_body_has_a_bound(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    MF_CLEANUP_FREE char *large = padded(MF_API_BODY_MAX - 8), *too_large = padded(MF_API_BODY_MAX + 1);
    expect(&s, ONE("midflight.reads"), large, 200, "SPLIT");
    struct answer a = ask(&s, ONE("midflight.reads"), too_large);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    MF_CLEANUP_FREE char *deep = mf_xcalloc(1, 50001);
    memset(deep, '[', 50000);
    is_failure(&s, ALL, deep, 400, NULL, "PARSE_ERROR");
    server_stop(&s);
}

/* Flags are answered though all request threads are at work, and by the same connection again and again. */
static void nothing_is_waited_for(void **state)
{
    (void)state;
    struct server s;
    int busy[MF_API_WORKERS];
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    backend_hold(&s.backend, true);
    for (int i = 0; i < MF_API_WORKERS; i++) {
        busy[i] = connect_unix(&s);
        send_request(busy[i], "/v1/verify", "{}", "");
    }
    backend_wait_at_work(&s.backend, MF_API_WORKERS);
    int fd = connect_unix(&s);
    for (int i = 0; i < 100; i++) {
        send_request(fd, ONE("midflight.reads"), i % 2 ? USER_1 : USER_2, "");
        struct answer a = read_answer(fd);
        assert_int_equal(a.status, 200);
        assert_non_null(strstr(a.body, i % 2 ? "\"variant\": \"target\"" : "\"variant\": \"source\""));
        answer_free(&a);
    }
    close(fd);
    backend_hold(&s.backend, false);
    for (int i = 0; i < MF_API_WORKERS; i++) {
        struct answer a = read_answer(busy[i]);
        assert_int_equal(a.status, 200);
        answer_free(&a);
        close(busy[i]);
    }
    server_stop(&s);
}

struct asker {
    const struct server *s;
    int right;
};

static void *ask_often(void *arg)
{
    struct asker *k = arg;
    for (int i = 0; i < 50; i++) {
        struct answer a = ask(k->s, i % 3 ? ONE("midflight.reads") : ALL, USER_1);
        k->right += a.status == 200 && strstr(a.body, "target") != NULL;
        answer_free(&a);
    }
    return NULL;
}

static void many_ask_at_once_and_are_counted(void **state)
{
    (void)state;
    struct server s;
    struct asker askers[8];
    pthread_t threads[8];
    server_start(&s, NULL, NULL);
    flags_are(&s, MF_FLAGS_SOURCE, 20, "");
    for (int i = 0; i < 8; i++) {
        askers[i] = (struct asker){&s, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].right, 50);
    }
    expect(&s, ONE("midflight.reads"), "{}", 400, "TARGETING_KEY_MISSING");
    expect(&s, "/metrics", NULL, 200, "midflight_flag_evaluations_total{flag=\"reads\",result=\"target\"} 400\n");
    expect(&s, "/metrics", NULL, 200, "midflight_flag_evaluations_total{flag=\"reads\",result=\"error\"} 1\n");
    expect(&s, "/metrics", NULL, 200, "midflight_flag_evaluations_total{flag=\"writes\",result=\"source\"} 136\n");
    expect(&s, "/metrics", NULL, 200, "\nmidflight_reads_percent 25\n");
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_are_split_by_key),
        cmocka_unit_test(writes_follow_the_epoch_or_are_not_answered),
        cmocka_unit_test(what_is_wrong_is_said_in_the_protocols_words),
        cmocka_unit_test(all_flags_come_with_an_etag),
        cmocka_unit_test(etags_in_a_list),
        cmocka_unit_test(the_token_is_asked_for_here_too),
        cmocka_unit_test(a_body_has_a_bound),
        cmocka_unit_test(nothing_is_waited_for),
        cmocka_unit_test(many_ask_at_once_and_are_counted),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
