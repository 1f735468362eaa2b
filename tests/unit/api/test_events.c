#include "api_fixture.h"

static void events_come_in_order_and_come_back(void **state)
{
    (void)state;
    struct server s;
    MF_CLEANUP_BUF struct mf_buf got = {.max = 1 << 20};
    MF_CLEANUP_BUF struct mf_buf again = {.max = 1 << 20};
    server_start(&s, NULL, NULL);
    int fd = connect_unix(&s);
    send_request(fd, "/v1/events", NULL, "");
    read_until(fd, &got, "event: status");
    for (int i = 0; i < 3; i++) {
        json_t *facts = json_pack("{s:i, s:s}", "n", i, "text", "two\nlines");
        mf_api_publish(s.api, "phase", facts);
        json_decref(facts);
    }
    read_until(fd, &got, "\"n\":2");
    const char *first = strstr(mf_buf_str(&got), "\"n\":0");
    assert_non_null(first);
    assert_true(first < strstr(mf_buf_str(&got), "\"n\":1"));
    assert_non_null(strstr(mf_buf_str(&got), "two\\nlines"));
    assert_non_null(strstr(mf_buf_str(&got), "Content-Type: text/event-stream"));
    /* from the first event's id on */
    const char *id = strstr(mf_buf_str(&got), "\nid: ");
    assert_non_null(id);
    MF_CLEANUP_FREE char *header = mf_xasprintf("Last-Event-ID: %.*s\r\n", (int)strcspn(id + 5, "\n"), id + 5);
    int back = connect_unix(&s);
    send_request(back, "/v1/events", NULL, header);
    read_until(back, &again, "\"n\":2");
    assert_non_null(strstr(mf_buf_str(&again), "\"n\":1"));
    assert_null(strstr(mf_buf_str(&again), "\"n\":0"));
    close(fd);
    close(back);
    server_stop(&s);
}

/* A client that never reads is let go of; others go on, and nothing grows without a bound. */
static void a_slow_watcher_is_let_go(void **state)
{
    (void)state;
    struct server s;
    MF_CLEANUP_BUF struct mf_buf got = {.max = 64 << 20};
    MF_CLEANUP_BUF struct mf_buf slow_got = {.max = 64 << 20};
    server_start(&s, NULL, NULL);
    int slow = connect_unix(&s);
    int fast = connect_unix(&s);
    send_request(slow, "/v1/events", NULL, "");
    send_request(fast, "/v1/events", NULL, "");
    read_until(fast, &got, "event: status");
    read_until(slow, &slow_got, "event: status");
    MF_CLEANUP_FREE char *text = mf_xmalloc(20001);
    memset(text, 'x', 20000);
    text[20000] = '\0';
    for (int i = 0; i < 100; i++) {
        char want[32];
        json_t *facts = json_pack("{s:s, s:i}", "text", text, "n", i);
        mf_api_publish(s.api, "big", facts);
        json_decref(facts);
        snprintf(want, sizeof(want), "\"n\":%d}", i);
        read_until(fast, &got, want);
    }
    while (more(slow, &slow_got)) {}
    assert_null(strstr(mf_buf_str(&slow_got), "\"n\":99"));
    close(slow);
    close(fast);
    server_stop(&s);
}

static void watchers_have_a_bound(void **state)
{
    (void)state;
    struct server s;
    int fds[33];
    server_start(&s, NULL, NULL);
    for (size_t i = 0; i < 32; i++) {
        struct mf_buf got = {.max = 1 << 20};
        fds[i] = connect_unix(&s);
        send_request(fds[i], "/v1/events", NULL, "");
        read_until(fds[i], &got, "event: status");
        mf_buf_free(&got);
    }
    expect(&s, "/v1/events", NULL, 503, "watch already");
    for (size_t i = 0; i < 32; i++) {
        close(fds[i]);
    }
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order_and_come_back),
        cmocka_unit_test(a_slow_watcher_is_let_go),
        cmocka_unit_test(watchers_have_a_bound),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
