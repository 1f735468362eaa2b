/* GET /v1/fence: what it answers, when, and what many of them cost. */
#include "api_fixture.h"

#define MANY 40
#define ROOM 256 /* MF_API_FENCES */

static void it_answers_when_the_other_side_is_there(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    expect(&s, "/v1/fence", NULL, 200, "\"direction\": \"reverse\"");
    expect(&s, "/v1/fence?timeout=250ms", NULL, 200, "0/16");
    s.backend.at = 5;
    expect(&s, "/v1/fence?timeout=1s", NULL, 504, "MFFENCE");
    assert_true(s.backend.nudges > 0); /* nobody wrote: something was committed to get there */
    s.backend.passed = 5;
    expect(&s, "/v1/fence?timeout=60s", NULL, 200, "waited_ms");
    s.backend.no_stream = true;
    expect(&s, "/v1/fence", NULL, 503, "MFNOSTREAM");
    server_stop(&s);
}

static void the_timeout_is_read_strictly(void **state)
{
    static const char *const bad[] = {"timeout=", "timeout=5",    "timeout=0s", "timeout=61s",           "timeout=-1s",
                                      "wait=5s",  "timeout=1s&x", "timeout=5x", "timeout=1s&timeout=2h", "timeout=1us"};
    (void)state;
    struct server s;
    server_start(&s, NULL, NULL);
    for (size_t i = 0; i < MF_ARRAY_LEN(bad); i++) {
        MF_CLEANUP_FREE char *path = mf_xasprintf("/v1/fence?%s", bad[i]);
        expect(&s, path, NULL, 400, "MFQUERY");
    }
    expect(&s, "/v1/fence", "{}", 405, "this path takes GET");
    assert_int_equal(s.backend.questions, 0);
    server_stop(&s);
}

static void wait_questions(struct backend *b, int n)
{
    pthread_mutex_lock(&b->lock);
    while (b->questions < n) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

static void hold_fence(struct backend *b, bool held)
{
    pthread_mutex_lock(&b->lock);
    b->fence_held = held;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void many_calls_share_a_question(void **state)
{
    (void)state;
    struct server s;
    int fds[MANY];
    server_start(&s, NULL, NULL);
    hold_fence(&s.backend, true);
    for (int i = 0; i < MANY; i++) {
        fds[i] = connect_unix(&s);
        send_request(fds[i], "/v1/fence", NULL, "");
    }
    wait_questions(&s.backend, 1);
    expect(&s, "/v1/status", NULL, 200, "synced"); /* no thread of the others is held; what came before it was read */
    expect(&s, "/v1/status", NULL, 200, "synced");
    hold_fence(&s.backend, false);
    for (int i = 0; i < MANY; i++) {
        struct answer a = read_answer(fds[i]);
        assert_int_equal(a.status, 200);
        answer_free(&a);
        close(fds[i]);
    }
    assert_true(s.backend.questions < MANY / 2);
    server_stop(&s);
}

/* Whoever comes last is refused, and which one that is the server says: the first that has an answer. */
static int first_answered(const int *fds)
{
    struct pollfd p[ROOM + 1];
    int at = 0;
    for (int i = 0; i <= ROOM; i++) {
        p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    assert_int_equal(poll(p, ROOM + 1, -1), 1);
    while (!p[at].revents) {
        at++;
    }
    return at;
}

static void told_503(int fd)
{
    struct answer a = read_answer(fd);
    assert_int_equal(a.status, 503);
    answer_free(&a);
    close(fd);
}

static void more_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct server s;
    int fds[ROOM + 1];
    server_start(&s, NULL, NULL);
    s.backend.at = 9;
    for (int i = 0; i <= ROOM; i++) {
        fds[i] = connect_unix(&s);
        send_request(fds[i], "/v1/fence?timeout=60s", NULL, "");
    }
    int refused = first_answered(fds);
    told_503(fds[refused]);
    fds[refused] = fds[ROOM];
    for (int i = 0; i < ROOM / 2;
         i++) { /* clients that go give their room back, at the latest when their time is over */
        close(fds[i]);
    }
    mf_api_stop(s.api); /* the others are told */
    for (int i = ROOM / 2; i < ROOM; i++) {
        told_503(fds[i]);
    }
    s.api = NULL;
    server_stop(&s);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_when_the_other_side_is_there),
        cmocka_unit_test(the_timeout_is_read_strictly),
        cmocka_unit_test(many_calls_share_a_question),
        cmocka_unit_test(more_than_there_is_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
