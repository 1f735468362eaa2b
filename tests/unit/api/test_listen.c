#include "api_fixture.h"

static struct answer ask_tcp(const struct server *s, const char *path, const char *body, const char *host,
                             const char *headers)
{
    int fd = connect_tcp(s);
    MF_CLEANUP_FREE char *text =
        mf_xasprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %zu\r\n\r\n%s", body ? "POST" : "GET", path, host,
                     headers, body ? strlen(body) : 0, body ? body : "");
    send_text(fd, text);
    struct answer a = read_answer(fd);
    close(fd);
    return a;
}

#define expect_tcp(s, path, body, host, headers, want)                                                                 \
    do {                                                                                                               \
        struct answer got_ = ask_tcp(s, path, body, host, headers);                                                    \
        assert_int_equal(got_.status, want);                                                                           \
        answer_free(&got_);                                                                                            \
    } while (0)

static void tcp_asks_for_the_token(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, "127.0.0.1:0", "0123456789abcdef");
    expect_tcp(&s, "/v1/status", NULL, "localhost", "", 401);
    expect_tcp(&s, "/metrics", NULL, "localhost", "", 401);
    expect_tcp(&s, "/v1/status", NULL, "localhost", "Authorization: Bearer 0123456789abcdeg\r\n", 401);
    expect_tcp(&s, "/v1/status", NULL, "localhost", "Authorization: Bearer 0123456789abcdef0\r\n", 401);
    expect_tcp(&s, "/v1/status", NULL, "localhost", "Authorization: Bearer \r\n", 401);
    expect_tcp(&s, "/v1/status", NULL, "localhost", "Authorization: Basic 0123456789abcdef\r\n", 401);
    expect_tcp(&s, "/v1/cutover", "{}", "localhost", "Content-Type: application/json\r\n", 401);
    assert_int_equal(s.backend.done, 0);
    expect_tcp(&s, "/v1/status", NULL, "elsewhere", "Authorization: Bearer 0123456789abcdef\r\n", 200);
    expect_tcp(&s, "/v1/cutover", "{}", "elsewhere",
               "Authorization: Bearer 0123456789abcdef\r\nContent-Type: application/json\r\n", 200);
    expect_tcp(&s, "/healthz", NULL, "elsewhere", "", 200);
    expect_tcp(&s, "/readyz", NULL, "elsewhere", "", 200);
    server_stop(&s);
}

/* A page in a browser on this machine can reach loopback; it can neither set this type nor this host. */
static void tcp_without_a_token_is_for_this_machine(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, "127.0.0.1:0", NULL);
    expect_tcp(&s, "/v1/status", NULL, "localhost:80", "", 200);
    expect_tcp(&s, "/v1/status", NULL, "127.0.0.1:80", "", 200);
    expect_tcp(&s, "/v1/status", NULL, "evil.example", "", 403);
    expect_tcp(&s, "/v1/status", NULL, "127.evil.example:80", "", 403);
    expect_tcp(&s, "/v1/cutover", "{}", "localhost", "", 415);
    expect_tcp(&s, "/v1/cutover", "{}", "localhost", "Content-Type: text/plain\r\n", 415);
    assert_int_equal(s.backend.done, 0);
    expect_tcp(&s, "/v1/cutover", "{}", "localhost", "Content-Type: application/json; charset=utf-8\r\n", 200);
    server_stop(&s);
}

static void metrics_follow_the_status(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    expect(&s, "/metrics", NULL, 200, "\nmidflight_lag_seconds 0.125\n");
    expect(&s, "/metrics", NULL, 200, "\nmidflight_lag_bytes 4096\n");
    expect(&s, "/metrics", NULL, 200, "\nmidflight_rows_copied_total 9007199254740993\n");
    expect(&s, "/metrics", NULL, 200, "\nmidflight_cutover_pause_seconds 0.25\n");
    expect(&s, "/metrics", NULL, 200, "migration=\"sh\\\"op\"");
    expect(&s, "/metrics", NULL, 200, "midflight_phase{phase=\"synced\"} 1\n");
    expect(&s, "/metrics", NULL, 200, "midflight_writes_on_target 0\n");
    struct answer a = ask(&s, "/metrics", NULL);
    assert_null(strstr(a.body, "quarantine")); /* not in the document: not shown as 0 */
    answer_free(&a);
    expect(&s, "/healthz", NULL, 200, "\"healthy\": true");
    expect(&s, "/readyz", NULL, 200, "\"ready\": true");
    pthread_mutex_lock(&s.backend.lock);
    s.backend.phase = "failed";
    pthread_mutex_unlock(&s.backend.lock);
    expect(&s, "/healthz", NULL, 503, "\"phase\": \"failed\"");
    expect(&s, "/readyz", NULL, 503, "\"ready\": false");
    server_stop(&s);
}

static void a_socket_left_behind_is_replaced_a_live_one_is_not(void **state)
{
    (void)state;
    struct server s;
    struct mf_api *second = NULL;
    struct mf_error err = {0};
    server_start(&s, NULL, NULL);
    struct mf_api_backend b = {&s.backend, fake_status, fake_request,      fake_quarantine,
                               fake_flags, fake_fence,  fake_fence_passed, fake_fence_nudge};
    assert_mf_fails(mf_api_start(&b, s.config, &second, &err), &err, MF_USAGE, "another process serves");
    expect(&s, "/v1/status", NULL, 200, "synced"); /* the first was not harmed */
    mf_api_stop(s.api);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/" MF_API_SOCKET, s.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    assert_mf_ok(mf_api_start(&b, s.config, &s.api, &err), &err);
    expect(&s, "/v1/status", NULL, 200, "synced");
    server_stop(&s);
}

static void a_long_directory_name_works(void **state)
{
    (void)state;
    struct mf_config *c = NULL;
    struct mf_api *api = NULL;
    struct mf_error err = {0};
    struct backend backend = {0};
    char top[] = "/tmp/mf-api-XXXXXX";
    char path[128];
    int dirfd = -1;
    assert_non_null(mkdtemp(top));
    MF_CLEANUP_FREE char *dir = mf_xasprintf("%s/%0200d", top, 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    pthread_mutex_init(&backend.lock, NULL);
    assert_mf_ok(mf_config_from_urls("mem://a", "mem://b", &c, &err), &err);
    assert_mf_ok(mf_config_set(c, "state", dir, &err), &err);
    assert_mf_ok(mf_config_set(c, "migration", "shop", &err), &err);
    struct mf_api_backend b = {&backend,   fake_status, fake_request,      fake_quarantine,
                               fake_flags, fake_fence,  fake_fence_passed, fake_fence_nudge};
    assert_mf_ok(mf_api_start(&b, c, &api, &err), &err);
    assert_mf_ok(mf_api_socket_path(dir, path, sizeof(path), &dirfd, &err), &err);
    assert_true(dirfd >= 0 && strlen(path) < 100);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    mf_strlcpy(a.sun_path, path, sizeof(a.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    send_request(fd, "/healthz", NULL, "");
    struct answer got = read_answer(fd);
    assert_int_equal(got.status, 200);
    answer_free(&got);
    close(fd);
    close(dirfd);
    mf_api_stop(api);
    mf_config_free(c);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(rmdir(top), 0);
    assert_mf_fails(mf_api_socket_path(dir, path, sizeof(path), &dirfd, &err), &err, MF_FATAL, "state directory");
}

static void an_address_that_cannot_be_is_said(void **state)
{
    (void)state;
    struct server s;
    struct mf_api *second = NULL;
    struct mf_error err = {0};
    server_start(&s, NULL, NULL);
    mf_api_stop(s.api);
    struct mf_api_backend b = {&s.backend, fake_status, fake_request,      fake_quarantine,
                               fake_flags, fake_fence,  fake_fence_passed, fake_fence_nudge};
    assert_mf_ok(mf_config_set(s.config, "api.listen", "192.0.2.1:1", &err), &err);
    assert_mf_fails(mf_api_start(&b, s.config, &second, &err), &err, MF_USAGE, "cannot listen on 192.0.2.1:1");
    s.api = NULL;
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_asks_for_the_token),
        cmocka_unit_test(tcp_without_a_token_is_for_this_machine),
        cmocka_unit_test(metrics_follow_the_status),
        cmocka_unit_test(a_socket_left_behind_is_replaced_a_live_one_is_not),
        cmocka_unit_test(a_long_directory_name_works),
        cmocka_unit_test(an_address_that_cannot_be_is_said),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
