/* A backend that does what a test says, and HTTP as bytes over real sockets. */
#ifndef MF_TESTS_UNIT_API_FIXTURE_H
#define MF_TESTS_UNIT_API_FIXTURE_H

#include "mf_test.h"

#include "api/api.h"
#include "api/socket.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

struct backend {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held; /* requests wait until it is false */
    int at_work, done;
    struct mf_request last;
    char table[64];
    int rc;
    struct mf_error err;
    const char *phase;
    struct mf_flags_view flags;
    /* fences */
    bool fence_held; /* the question for a position waits */
    int questions, nudges;
    uint64_t at, passed;
    bool no_stream;
};

struct server {
    char dir[64];
    struct mf_config *config;
    struct backend backend;
    struct mf_api *api;
};

struct answer {
    int status;
    char *text; /* the whole of it */
    const char *body;
};

UNUSED static json_t *fake_status(void *ctx)
{
    struct backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    json_t *doc = json_pack("{s:b, s:s, s:s, s:s, s:i, s:f, s:{s:I}, s:{s:f, s:I}}", "streams_open", true, "migration",
                            "sh\"op", "phase", b->phase ? b->phase : "synced", "writes", "source", "reads_percent", 25,
                            "pause_ms", 250.0, "copy", "rows_done", (json_int_t)9007199254740993, "stream",
                            "lag_seconds", 0.125, "lag_bytes", (json_int_t)4096);
    pthread_mutex_unlock(&b->lock);
    return doc;
}

UNUSED static int fake_request(void *ctx, const struct mf_request *r, json_t **ret_reply, struct mf_error *err)
{
    struct backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->at_work++;
    b->last = *r;
    snprintf(b->table, sizeof(b->table), "%s", r->table ? r->table : "");
    pthread_cond_broadcast(&b->changed);
    while (b->held) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    int rc = b->rc;
    if (rc < 0) {
        *err = b->err;
    } else {
        *ret_reply = json_pack("{s:i}", "kind", (int)r->kind);
    }
    b->done++;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return rc;
}

UNUSED static int fake_quarantine(void *ctx, json_t **ret, struct mf_error *err)
{
    (void)ctx;
    (void)err;
    *ret = json_pack("[{s:i}]", "id", 7);
    return 0;
}

UNUSED static void fake_flags(void *ctx, struct mf_flags_view *ret)
{
    struct backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    *ret = b->flags;
    pthread_mutex_unlock(&b->lock);
}

UNUSED static int fake_fence(void *ctx, struct mf_fence *ret, struct mf_error *err)
{
    struct backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->questions++;
    pthread_cond_broadcast(&b->changed);
    while (b->fence_held) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    *ret = (struct mf_fence){.direction = MF_REVERSE, .at = {.order = b->at, .token = "0/16"}};
    int rc = b->no_stream ? mf_fail(err, MF_RETRY, "MFNOSTREAM", "the stream does not run") : 0;
    pthread_mutex_unlock(&b->lock);
    return rc;
}

UNUSED static int fake_fence_passed(void *ctx, const struct mf_fence *f, bool *ret, uint64_t *ret_refused,
                                    struct mf_error *err)
{
    struct backend *b = ctx;
    (void)err;
    pthread_mutex_lock(&b->lock);
    *ret = b->passed >= f->at.order;
    *ret_refused = 0;
    pthread_mutex_unlock(&b->lock);
    return 0;
}

UNUSED static void fake_fence_nudge(void *ctx)
{
    struct backend *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->nudges++;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* In a directory of its own; listen and token may be NULL. */
UNUSED static void server_start(struct server *s, const char *listen, const char *token)
{
    struct mf_error err = {0};
    *s = (struct server){.dir = "/tmp/mf-api-XXXXXX"};
    assert_non_null(mkdtemp(s->dir));
    pthread_mutex_init(&s->backend.lock, NULL);
    pthread_cond_init(&s->backend.changed, NULL);
    assert_mf_ok(mf_config_from_urls("mem://a", "mem://b", &s->config, &err), &err);
    assert_mf_ok(mf_config_set(s->config, "state", s->dir, &err), &err);
    assert_mf_ok(mf_config_set(s->config, "migration", "shop", &err), &err);
    if (listen) {
        assert_mf_ok(mf_config_set(s->config, "api.listen", listen, &err), &err);
    }
    if (token) {
        assert_mf_ok(mf_config_set(s->config, "api.token", token, &err), &err);
    }
    struct mf_api_backend b = {&s->backend, fake_status, fake_request,      fake_quarantine,
                               fake_flags,  fake_fence,  fake_fence_passed, fake_fence_nudge};
    assert_mf_ok(mf_api_start(&b, s->config, &s->api, &err), &err);
}

UNUSED static void server_stop(struct server *s)
{
    mf_api_stop(s->api);
    MF_CLEANUP_FREE char *path = mf_xasprintf("%s/" MF_API_SOCKET, s->dir);
    assert_int_equal(access(path, F_OK), -1); /* the socket goes with it */
    assert_int_equal(rmdir(s->dir), 0);
    mf_config_free(s->config);
    pthread_cond_destroy(&s->backend.changed);
    pthread_mutex_destroy(&s->backend.lock);
}

UNUSED static void backend_hold(struct backend *b, bool held)
{
    pthread_mutex_lock(&b->lock);
    b->held = held;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* Waits until n requests are at work (or were done). */
UNUSED static void backend_wait_at_work(struct backend *b, int n)
{
    pthread_mutex_lock(&b->lock);
    while (b->at_work < n) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

UNUSED static void backend_wait_done(struct backend *b, int n)
{
    pthread_mutex_lock(&b->lock);
    while (b->done < n) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

UNUSED static int connect_unix(const struct server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/" MF_API_SOCKET, s->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

UNUSED static int connect_tcp(const struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(mf_api_port(s->api))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

UNUSED static void send_text(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t done = send(fd, text, n, MSG_NOSIGNAL);
        if (done < 0) {
            return; /* closed by the other side: the answer says why */
        }
        text += done;
        n -= (size_t)done;
    }
}

/* One read; false at the end. */
UNUSED static bool more(int fd, struct mf_buf *b)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char chunk[4096];
    if (poll(&p, 1, 60000) != 1) {
        fail_msg("nothing came for a minute; so far: %s", mf_buf_str(b));
    }
    ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
    if (n > 0) {
        assert_int_equal(mf_buf_append(b, chunk, (size_t)n), 0);
    }
    return n > 0;
}

/* Reads until text has come; fails the test when nothing comes for a minute. Everything read so far is in buf. */
UNUSED static void read_until(int fd, struct mf_buf *buf, const char *text)
{
    while (!strstr(mf_buf_str(buf), text)) {
        if (!more(fd, buf)) {
            fail_msg("the connection ended before \"%s\": %s", text, mf_buf_str(buf));
        }
    }
}

/* Reads one response to its end (Content-Length, or the end of the connection). */
UNUSED static struct answer read_answer(int fd)
{
    struct mf_buf b;
    struct answer a = {0};
    mf_buf_init(&b, (size_t)8 << 20);
    const char *end;
    while (!(end = strstr(mf_buf_str(&b), "\r\n\r\n"))) {
        if (!more(fd, &b)) {
            break;
        }
    }
    if (end) {
        size_t head = (size_t)(end - mf_buf_str(&b)) + 4;
        const char *length = strcasestr(mf_buf_str(&b), "\r\nContent-Length: ");
        size_t want = length ? head + strtoul(length + 18, NULL, 10) : SIZE_MAX;
        while (b.len < want && more(fd, &b)) {}
        a.status = atoi(mf_buf_str(&b) + 9);
        a.text = mf_buf_steal(&b, NULL);
        a.body = a.text + head;
    }
    mf_buf_free(&b);
    return a;
}

UNUSED static void answer_free(struct answer *a)
{
    free(a->text);
    a->text = NULL;
}

UNUSED static void send_request(int fd, const char *path, const char *body, const char *headers)
{
    MF_CLEANUP_FREE char *text =
        body ? mf_xasprintf("POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", path, headers,
                            strlen(body), body)
             : mf_xasprintf("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, headers);
    send_text(fd, text);
}

/* One request over the Unix socket. body NULL: GET. */
UNUSED static struct answer ask(const struct server *s, const char *path, const char *body)
{
    int fd = connect_unix(s);
    send_request(fd, path, body, "");
    struct answer a = read_answer(fd);
    close(fd);
    return a;
}

UNUSED static void expect(const struct server *s, const char *path, const char *body, int status, const char *text)
{
    struct answer a = ask(s, path, body);
    if (a.status != status || !a.body || !strstr(a.body, text)) {
        fail_msg("%s %s: expected %d with \"%s\", got %s", path, body ? body : "", status, text,
                 a.text ? a.text : "nothing");
    }
    answer_free(&a);
}

#endif
