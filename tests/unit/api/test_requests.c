#include "api_fixture.h"

static void it_answers_what_it_is_asked(void **state)
{
    (void)state;
    struct server s;
    struct stat st;
    server_start(&s, NULL, NULL);
    MF_CLEANUP_FREE char *path = mf_xasprintf("%s/" MF_API_SOCKET, s.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    expect(&s, "/v1/status", NULL, 200, "9007199254740993");
    expect(&s, "/v1/status?x=y", NULL, 200, "synced");
    expect(&s, "/v1/quarantine", NULL, 200, "\"id\": 7");
    expect(&s, "/v1/nothing", NULL, 404, "there is nothing at this path");
    expect(&s, "/", NULL, 404, "error");
    expect(&s, "/v1/status", "{}", 405, "this path takes GET");
    expect(&s, "/v1/cutover", NULL, 405, "this path takes POST");
    server_stop(&s);
}

static void requests_reach_the_migration(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    expect(&s, "/v1/verify", "{\"table\": \"public.a\", \"sample\": 0.5, \"repair\": true}", 200, "kind");
    assert_int_equal(s.backend.last.kind, MF_REQ_VERIFY);
    assert_string_equal(s.backend.table, "public.a");
    assert_true(s.backend.last.sample > 0.49 && s.backend.last.sample < 0.51 && s.backend.last.repair);
    expect(&s, "/v1/reads", "{\"percent\": 20}", 200, "kind");
    assert_int_equal(s.backend.last.number, 20);
    expect(&s, "/v1/cutover", "{\"dry_run\": true, \"max_pause_ms\": 500}", 200, "kind");
    assert_true(s.backend.last.dry_run);
    assert_int_equal(s.backend.last.max_pause_ms, 500);
    static const struct {
        const char *path;
        enum mf_request_kind kind;
    } plain[] = {{"/v1/rollback", MF_REQ_ROLLBACK},
                 {"/v1/freeze", MF_REQ_FREEZE},
                 {"/v1/thaw", MF_REQ_THAW},
                 {"/v1/complete", MF_REQ_COMPLETE},
                 {"/v1/cancel", MF_REQ_CANCEL}};
    for (size_t i = 0; i < MF_ARRAY_LEN(plain); i++) {
        expect(&s, plain[i].path, "", 200, "kind");
        assert_int_equal(s.backend.last.kind, plain[i].kind);
    }
    expect(&s, "/v1/quarantine/retry", "{\"id\": 3}", 200, "kind");
    assert_int_equal(s.backend.last.number, 3);
    expect(&s, "/v1/quarantine/drop", "{\"all\": true}", 200, "kind");
    assert_int_equal(s.backend.last.number, 0);
    server_stop(&s);
}

static void bodies_are_read_strictly(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    static const char *const cases[][3] = {
        {"/v1/cutover", "{\"dryrun\": true}", "unknown field \\\"dryrun\\\""},
        {"/v1/cutover", "{\"dry_run\": 1}", "\\\"dry_run\\\" is true or false"},
        {"/v1/cutover", "{\"dry_run\": true, \"dry_run\": false}", "not JSON"},
        {"/v1/cutover", "{\"max_pause_ms\": 0}", "from 1 to 3600000"},
        {"/v1/cutover", "{\"max_pause_ms\": 1.5}", "from 1 to 3600000"},
        {"/v1/cutover", "{\"max_pause_ms\": 99999999999999999999}", "not JSON"},
        {"/v1/cutover", "[]", "not a JSON object"},
        {"/v1/cutover", "{", "not JSON"},
        {"/v1/cutover", "{}x", "not JSON"},
        {"/v1/cutover", "{\"\xff\": 1}", "not JSON"},
        {"/v1/verify", "{\"sample\": 0}", "above 0 and up to 1"},
        {"/v1/verify", "{\"sample\": 1.01}", "above 0 and up to 1"},
        {"/v1/verify", "{\"table\": \"\"}", "\\\"table\\\" is a text"},
        {"/v1/verify", "{\"table\": \"a\\u0000b\"}", "not JSON"},
        {"/v1/reads", "{}", "\\\"percent\\\" is missing"},
        {"/v1/reads", "{\"percent\": 101}", "from 0 to 100"},
        {"/v1/reads", "{\"percent\": \"20\"}", "from 0 to 100"},
        {"/v1/freeze", "{\"x\": {}}", "unknown field"},
        {"/v1/quarantine/drop", "{}", "one of"},
        {"/v1/quarantine/drop", "{\"id\": 1, \"all\": true}", "one of"},
    };
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        expect(&s, cases[i][0], cases[i][1], 400, cases[i][2]);
    }
    assert_int_equal(s.backend.done, 0);
    server_stop(&s);
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    MF_CLEANUP_FREE char *body = mf_xmalloc(70001);
    memset(body, ' ', 70000);
    body[70000] = '\0';
    struct answer a = ask(&s, "/v1/freeze", body);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    body[60000] = '\0';
    memcpy(body, "{}", 2);
    expect(&s, "/v1/freeze", body, 200, "kind");
    int fd = connect_unix(&s);
    send_text(fd, "GET /v1/status HTTP/1.1\r\nX: ");
    body[60000] = ' ';
    for (size_t i = 0; i < 70000; i++) {
        body[i] = 'x';
    }
    send_text(fd, body);
    send_text(fd, "\r\n\r\n");
    a = read_answer(fd);
    assert_true(a.status == 0 || a.status >= 400);
    answer_free(&a);
    close(fd);
    expect(&s, "/v1/status", NULL, 200, "synced");
    assert_int_equal(s.backend.done, 1);
    server_stop(&s);
}

static void errors_keep_class_code_and_hint(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    static const struct {
        enum mf_errclass cls;
        int status;
        const char *word;
    } cases[] = {{MF_ABANDONED, 409, "\"class\": \"abandoned\""},
                 {MF_USAGE, 400, "\"class\": \"usage\""},
                 {MF_RETRY, 503, "\"class\": \"retry\""},
                 {MF_FATAL, 500, "\"class\": \"fatal\""},
                 {MF_CONFLICT, 500, "\"code\": \"40P01\""}};
    s.backend.rc = -1;
    for (size_t i = 0; i < MF_ARRAY_LEN(cases); i++) {
        mf_fail(&s.backend.err, cases[i].cls, "40P01", "a server said \"caf\xe9\" \x01");
        mf_hint(&s.backend.err, "do this");
        expect(&s, "/v1/cutover", "{}", cases[i].status, cases[i].word);
        struct answer a = ask(&s, "/v1/cutover", "{}");
        json_t *doc = json_loads(a.body, 0, NULL);
        assert_non_null(doc);
        assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "error"), "text")),
                            "a server said \"caf\xef\xbf\xbd\" \x01");
        assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "error"), "hint")), "do this");
        json_decref(doc);
        answer_free(&a);
    }
    server_stop(&s);
}

static void long_work_does_not_block_others(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    backend_hold(&s.backend, true);
    int fd = connect_unix(&s);
    send_request(fd, "/v1/verify", "{}", "");
    backend_wait_at_work(&s.backend, 1);
    expect(&s, "/v1/status", NULL, 200, "synced");
    int second = connect_unix(&s);
    send_request(second, "/v1/cutover", "{}", "");
    backend_wait_at_work(&s.backend, 2);
    backend_hold(&s.backend, false);
    struct answer a = read_answer(fd);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = read_answer(second);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    /* the connection goes on */
    send_request(fd, "/v1/freeze", "{}", "");
    a = read_answer(fd);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    close(fd);
    close(second);
    server_stop(&s);
}

static void too_many_requests_are_told_so(void **state)
{
    (void)state;
    struct server s;
    int fds[40];
    int refused = 0;
    server_start(&s, NULL, NULL);
    backend_hold(&s.backend, true);
    for (size_t i = 0; i < MF_ARRAY_LEN(fds); i++) {
        fds[i] = connect_unix(&s);
        send_request(fds[i], "/v1/freeze", "{}", "");
    }
    backend_wait_at_work(&s.backend, 4);
    /* 4 at work and 16 waiting: of 40 at least 20 are refused at once, without an end of the others */
    for (size_t i = 0; i < MF_ARRAY_LEN(fds) && refused < 20; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        if (poll(&p, 1, 0) == 1) {
            struct answer a = read_answer(fds[i]);
            assert_int_equal(a.status, 503);
            assert_non_null(strstr(a.body, "too many requests"));
            answer_free(&a);
            close(fds[i]);
            fds[i] = -1;
            refused++;
        } else if (i + 1 == MF_ARRAY_LEN(fds)) {
            i = (size_t)-1;
            poll(NULL, 0, 5);
        }
        while (i + 1 < MF_ARRAY_LEN(fds) && fds[i + 1] < 0) {
            i++;
        }
    }
    assert_true(refused >= 20);
    backend_hold(&s.backend, false);
    /* Up to 4 more were refused when the queue was full before the first were taken from it. */
    int served = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0) {
            struct answer a = read_answer(fds[i]);
            assert_true(a.status == 200 || a.status == 503);
            served += a.status == 200;
            answer_free(&a);
            close(fds[i]);
        }
    }
    assert_in_range(served, 16, 20);
    server_stop(&s);
}

static void a_client_that_goes_away_harms_nothing(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    for (int i = 0; i < 20; i++) {
        backend_hold(&s.backend, true);
        int fd = connect_unix(&s);
        send_request(fd, "/v1/cutover", "{}", "");
        backend_wait_at_work(&s.backend, i + 1);
        close(fd);
        expect(&s, "/v1/status", NULL, 200, "synced");
        backend_hold(&s.backend, false);
        backend_wait_done(&s.backend, i + 1);
    }
    expect(&s, "/v1/status", NULL, 200, "synced");
    server_stop(&s);
}

static void *let_go(void *arg)
{
    struct server *s = arg;
    /* the answer must come although stop has begun */
    backend_wait_at_work(&s->backend, 1);
    backend_hold(&s->backend, false);
    return NULL;
}

static void stopping_answers_those_at_work(void **state)
{
    (void)state;
    struct server s;
    pthread_t t;
    server_start(&s, NULL, NULL);
    backend_hold(&s.backend, true);
    int fd = connect_unix(&s);
    int watcher = connect_unix(&s);
    MF_CLEANUP_BUF struct mf_buf got = {.max = 1 << 20};
    send_request(watcher, "/v1/events", NULL, "");
    read_until(watcher, &got, "event: status");
    send_request(fd, "/v1/complete", "{}", "");
    backend_wait_at_work(&s.backend, 1);
    assert_int_equal(pthread_create(&t, NULL, let_go, &s), 0);
    server_stop(&s);
    pthread_join(t, NULL);
    struct answer a = read_answer(fd);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    close(fd);
    close(watcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_what_it_is_asked),     cmocka_unit_test(requests_reach_the_migration),
        cmocka_unit_test(bodies_are_read_strictly),        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(errors_keep_class_code_and_hint), cmocka_unit_test(long_work_does_not_block_others),
        cmocka_unit_test(too_many_requests_are_told_so),   cmocka_unit_test(a_client_that_goes_away_harms_nothing),
        cmocka_unit_test(stopping_answers_those_at_work),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
