/* The listeners, the loop, and the way of a request from the wire to its route. */
#include "api/internal.h"

#include "api/socket.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- answers ---- */

/* Everybody who asked has been told. */
static bool all_told(const struct mf_api *api)
{
    return atomic_load(&api->stopping) && api->nworkers == 0 && api->nfences == 0 && api->unsent == 0;
}

static void written(struct evhttp_request *req, void *arg)
{
    struct mf_api *api = arg;
    (void)req;
    api->unsent--;
    if (all_told(api)) {
        event_active(api->finish, EV_TIMEOUT, 0);
    }
}

static void send_buffer(struct mf_api *api, struct evhttp_request *req, int status, const char *type,
                        struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    if (type) {
        evhttp_add_header(headers, "Content-Type", type);
    }
    if (!evhttp_find_header(headers, "Cache-Control")) {
        evhttp_add_header(headers, "Cache-Control", "no-store");
    }
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (atomic_load(&api->stopping)) {
        evhttp_add_header(headers, "Connection", "close");
        api->unsent++;
        evhttp_request_set_on_complete_cb(req, written, api);
    }
    evhttp_send_reply(req, status, mf_api_reason(status), body);
}

void mf_api_send_text(struct mf_api *api, struct evhttp_request *req, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    if (!body) {
        abort(); /* out of memory: safe, see base/mem.h */
    }
    if (text) {
        evbuffer_add_printf(body, "%s\n", text);
    }
    send_buffer(api, req, status, text ? "application/json" : NULL, body);
    evbuffer_free(body);
}

void mf_api_send(struct mf_api *api, struct evhttp_request *req, int status, json_t *doc)
{
    MF_CLEANUP_FREE char *text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    if (!text) {
        abort();
    }
    mf_api_send_text(api, req, status, text);
}

void mf_api_send_error(struct mf_api *api, struct evhttp_request *req, int status, const struct mf_error *err)
{
    mf_api_send(api, req, status, mf_api_error_json(err));
}

static void send_metrics(struct mf_api *api, struct evhttp_request *req)
{
    struct evbuffer *body = evbuffer_new();
    json_t *status = api->backend.status(api->backend.ctx);
    if (!body) {
        abort();
    }
    mf_metrics_print(api, status, body);
    json_decref(status);
    send_buffer(api, req, 200, "text/plain; version=0.0.4; charset=utf-8", body);
    evbuffer_free(body);
}

/* healthz and readyz: the phase, and whether it is a good one. */
static void send_phase(struct mf_api *api, struct evhttp_request *req, bool ready)
{
    json_t *status = api->backend.status(api->backend.ctx);
    const char *phase = json_string_value(json_object_get(status, "phase"));
    bool steady = mf_streq(phase, "synced") || mf_streq(phase, "cut_over") || mf_streq(phase, "rolled_back");
    bool good =
        ready ? steady && json_is_true(json_object_get(status, "streams_open")) : phase && !mf_streq(phase, "failed");
    json_t *doc = json_object();
    json_object_set_new(doc, ready ? "ready" : "healthy", json_boolean(good));
    json_object_set_new(doc, "phase", mf_api_text(phase ? phase : "unknown"));
    json_decref(status);
    mf_api_send(api, req, good ? 200 : 503, doc);
}

static void send_status(struct mf_api *api, struct evhttp_request *req)
{
    json_t *status = api->backend.status(api->backend.ctx);
    mf_api_send(api, req, 200, status ? status : json_object());
}

/* ---- who may ---- */

/* Compares digests, so that neither the time nor the length says how much of a guess was right. */
static bool token_right(const struct mf_api *api, struct evhttp_request *req)
{
    const char *given = evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
    const char *key =
        evhttp_find_header(evhttp_request_get_input_headers(req), "X-API-Key"); /* the other way of OFREP */
    unsigned char a[SHA256_DIGEST_LENGTH];
    unsigned char b[SHA256_DIGEST_LENGTH];
    given = given && strncasecmp(given, "Bearer ", 7) == 0 ? given + 7 : key;
    if (!given) {
        return false;
    }
    SHA256((const unsigned char *)given, strlen(given), a);
    SHA256((const unsigned char *)api->config->api.token, strlen(api->config->api.token), b);
    return CRYPTO_memcmp(a, b, sizeof(a)) == 0;
}

/* Without a token anybody on this machine may ask, and a web page opened on it must not: a page can only send a Host of
 * its own (however its name resolves). */
static bool host_is_loopback(struct evhttp_request *req)
{
    const char *host = evhttp_request_get_host(req);
    struct in_addr v4;
    struct in6_addr v6;
    return !host || mf_streq(host, "localhost") || mf_streq(host, "[::1]") ||
           (inet_pton(AF_INET, host, &v4) == 1 && ((const unsigned char *)&v4.s_addr)[0] == 127) ||
           (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6));
}

/* Why a request may not come in, and the status to say so with; 0: it may. */
static int refusal(struct mf_listener *l, struct evhttp_request *req, const struct mf_route *route,
                   struct mf_error *err)
{
    struct mf_api *api = l->api;
    const char *type = evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Type");
    if (!l->tcp || route->open) {
        return 0;
    }
    if (api->config->api.token && !token_right(api, req)) {
        mf_fail(err, MF_USAGE, "MFAUTH", "the bearer token is missing or wrong");
        evhttp_add_header(evhttp_request_get_output_headers(req), "WWW-Authenticate", "Bearer");
        return 401;
    }
    if (!api->config->api.token && !host_is_loopback(req)) {
        mf_fail(err, MF_USAGE, "MFAUTH", "the Host header names another machine");
        return 403;
    }
    if (route->post && (!type || strncasecmp(type, "application/json", 16) != 0)) {
        mf_fail(err, MF_USAGE, "MFBODY", "a POST carries Content-Type: application/json");
        return 415;
    }
    return 0;
}

static bool is_ofrep(const struct mf_route *route)
{
    return route->kind == MF_ROUTE_FLAG || route->kind == MF_ROUTE_FLAGS;
}

static bool refused(struct mf_listener *l, struct evhttp_request *req, const struct mf_route *route)
{
    struct mf_error err = {0};
    int status = refusal(l, req, route, &err);
    if (status) {
        mf_api_send(l->api, req, status, is_ofrep(route) ? mf_ofrep_refusal(&err) : mf_api_error_json(&err));
    }
    return status != 0;
}

/* ---- dispatch ---- */

static void no_route(struct mf_api *api, struct evhttp_request *req, bool other_method)
{
    struct mf_error err = {0};
    if (other_method) {
        bool post = evhttp_request_get_command(req) == EVHTTP_REQ_POST;
        mf_fail(&err, MF_USAGE, "MFROUTE", "this path takes %s", post ? "GET" : "POST");
        evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", post ? "GET" : "POST");
        mf_api_send_error(api, req, 405, &err);
    } else {
        mf_fail(&err, MF_USAGE, "MFROUTE", "there is nothing at this path");
        mf_api_send_error(api, req, 404, &err);
    }
}

static void dispatch(struct evhttp_request *req, void *arg)
{
    struct mf_listener *l = arg;
    struct mf_api *api = l->api;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    bool other_method;
    const struct mf_route *route =
        mf_route_find(path ? path : "", evhttp_request_get_command(req) == EVHTTP_REQ_POST, &other_method);
    if (!route) {
        no_route(api, req, other_method);
        return;
    }
    if (refused(l, req, route)) {
        return;
    }
    switch (route->kind) {
    case MF_ROUTE_STATUS:
        send_status(api, req);
        break;
    case MF_ROUTE_METRICS:
        send_metrics(api, req);
        break;
    case MF_ROUTE_HEALTH:
    case MF_ROUTE_READY:
        send_phase(api, req, route->kind == MF_ROUTE_READY);
        break;
    case MF_ROUTE_EVENTS:
        mf_events_attach(api, req);
        break;
    case MF_ROUTE_FENCE:
        mf_fence_take(api, req);
        break;
    case MF_ROUTE_REQUEST:
    case MF_ROUTE_QUARANTINE:
        mf_jobs_take(api, req, route);
        break;
    case MF_ROUTE_FLAG:
    case MF_ROUTE_FLAGS:
        mf_ofrep_answer(api, req, route);
        break;
    }
}

/* ---- listeners ---- */

static int new_http(struct mf_api *api, struct mf_listener *l, bool tcp, struct mf_error *err)
{
    l->api = api;
    l->tcp = tcp;
    l->http = evhttp_new(api->base);
    if (!l->http) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    evhttp_set_max_body_size(l->http, MF_API_BODY_MAX);
    evhttp_set_max_headers_size(l->http, MF_API_HEADERS_MAX);
    evhttp_set_timeout(l->http, MF_API_IDLE_S);
    evhttp_set_allowed_methods(l->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD);
    evhttp_set_gencb(l->http, dispatch, l);
    return 0;
}

/* Takes the socket's name. One that a dead process left is removed, one that answers is not. */
static int bind_unix(int fd, const char *path, struct mf_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
        return 0;
    }
    if (errno == EADDRINUSE) {
        MF_CLEANUP_FD int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (probe >= 0 && connect(probe, (struct sockaddr *)&a, sizeof(a)) == 0) {
            mf_fail(err, MF_USAGE, "MFLOCKED", "another process serves %s", path);
            mf_hint(err, "a migration runs there already; look with `midflight status`");
            return -1;
        }
        if (errno == ECONNREFUSED && unlink(path) == 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
            return 0;
        }
    }
    return mf_fail(err, MF_FATAL, "MFSOCK", "cannot make the socket %s: %s", path, strerror(errno));
}

static int listen_unix(struct mf_api *api, struct mf_error *err)
{
    MF_CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return mf_fail(err, MF_FATAL, "MFSOCK", "cannot make a socket: %s", strerror(errno));
    }
    if (mf_api_socket_path(api->config->state_dir, api->socket_path, sizeof(api->socket_path), &api->socket_dirfd,
                           err) < 0 ||
        new_http(api, &api->unix_listener, false, err) < 0 || bind_unix(fd, api->socket_path, err) < 0) {
        api->socket_path[0] = '\0';
        return -1;
    }
    /* Nobody can connect before listen, so the permissions are never wider than this. */
    if (chmod(api->socket_path, 0600) < 0 || listen(fd, 64) < 0) {
        return mf_fail(err, MF_FATAL, "MFSOCK", "cannot listen on %s: %s", api->socket_path, strerror(errno));
    }
    if (!evhttp_accept_socket_with_handle(api->unix_listener.http, fd)) {
        return mf_fail(err, MF_FATAL, "MFSOCK", "cannot serve %s", api->socket_path);
    }
    mf_steal_fd(&fd);
    return 0;
}

static int listen_tcp(struct mf_api *api, struct mf_error *err)
{
    char host[256];
    uint16_t port;
    struct sockaddr_storage a;
    socklen_t n = sizeof(a);
    if (!api->config->api.listen) {
        return 0;
    }
    if (mf_config_listen(api->config, host, sizeof(host), &port, &api->tcp_loopback, err) < 0 ||
        new_http(api, &api->tcp_listener, true, err) < 0) {
        return -1;
    }
    errno = 0;
    struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(api->tcp_listener.http, host, port);
    if (!s || getsockname(evhttp_bound_socket_get_fd(s), (struct sockaddr *)&a, &n) < 0) {
        mf_fail(err, MF_USAGE, "MFSOCK", "cannot listen on %s: %s", api->config->api.listen,
                errno ? strerror(errno) : "no such address");
        mf_hint(err, "set api.listen to an address of this machine and a free port");
        return -1;
    }
    api->tcp_port =
        ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
    return 0;
}

/* ---- the loop ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct mf_api *api = arg;
    (void)fd;
    (void)what;
    mf_jobs_answer(api);
    mf_fence_answer(api);
    mf_events_send(api);
    if (atomic_load(&api->stopping) && api->nworkers == 0) {
        const struct timeval patience = {2, 0};
        mf_events_close(api);
        event_add(api->finish, &patience);
        if (all_told(api)) {
            event_active(api->finish, EV_TIMEOUT, 0);
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    mf_events_tick(arg);
}

static void on_finish(evutil_socket_t fd, short what, void *arg)
{
    struct mf_api *api = arg;
    (void)fd;
    (void)what;
    event_base_loopexit(api->base, NULL); /* after what is ready now was done: the last bytes go out */
}

static void *run_loop(void *arg)
{
    struct mf_api *api = arg;
    event_base_loop(api->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static int make_loop(struct mf_api *api, struct mf_error *err)
{
    const struct timeval second = {1, 0};
    evthread_use_pthreads();
    api->base = event_base_new();
    if (!api->base) {
        return mf_fail(err, MF_FATAL, "MFMEM", "cannot make an event loop");
    }
    api->wake = event_new(api->base, -1, EV_PERSIST, on_wake, api);
    api->tick = event_new(api->base, -1, EV_PERSIST, on_tick, api);
    api->finish = event_new(api->base, -1, 0, on_finish, api);
    if (!api->wake || !api->tick || !api->finish || event_add(api->tick, &second) < 0) {
        return mf_fail(err, MF_FATAL, "MFMEM", "cannot make an event loop");
    }
    return 0;
}

static void free_event(struct event *e)
{
    if (e) {
        event_free(e);
    }
}

static void api_free(struct mf_api *api)
{
    mf_jobs_stop(api);
    mf_fence_stop(api);
    if (api->base) {
        mf_jobs_answer(api);
        mf_fence_answer(api);
    }
    if (api->unix_listener.http) {
        evhttp_free(api->unix_listener.http);
    }
    if (api->tcp_listener.http) {
        evhttp_free(api->tcp_listener.http);
    }
    free_event(api->wake);
    free_event(api->tick);
    free_event(api->finish);
    if (api->base) {
        event_base_free(api->base);
    }
    mf_queue_free(api->jobs);
    mf_events_free(api);
    if (api->socket_path[0]) {
        unlink(api->socket_path);
    }
    if (api->socket_dirfd >= 0) {
        close(api->socket_dirfd);
    }
    pthread_mutex_destroy(&api->lock);
    pthread_cond_destroy(&api->fence.come);
    free(api);
}

int mf_api_start(const struct mf_api_backend *b, const struct mf_config *c, struct mf_api **ret, struct mf_error *err)
{
    struct mf_api *api = mf_xcalloc(1, sizeof(*api));
    api->backend = *b;
    api->config = c;
    api->socket_dirfd = -1;
    api->flag_seed = mf_flag_seed(c->migration);
    api->next_event = (uint64_t)mf_wall_us() / 1000;
    api->seen_event = api->next_event;
    pthread_mutex_init(&api->lock, NULL);
    pthread_cond_init(&api->fence.come, NULL);
    if (make_loop(api, err) < 0 || listen_unix(api, err) < 0 || listen_tcp(api, err) < 0 ||
        mf_jobs_start(api, err) < 0 || mf_fence_start(api, err) < 0) {
        atomic_store(&api->stopping, true);
        api_free(api);
        return -1;
    }
    if (pthread_create(&api->loop, NULL, run_loop, api) != 0) {
        atomic_store(&api->stopping, true);
        api_free(api);
        return mf_fail(err, MF_FATAL, "MFOS", "cannot start a thread for the API");
    }
    api->loop_started = true;
    *ret = api;
    return 0;
}

void mf_api_stop(struct mf_api *api)
{
    if (!api) {
        return;
    }
    atomic_store(&api->stopping, true);
    mf_fence_stop(api);
    mf_jobs_stop(api); /* when it returns, nworkers is 0 and every answer is on the list */
    event_active(api->wake, EV_READ, 0);
    pthread_join(api->loop, NULL);
    api_free(api);
}

uint16_t mf_api_port(const struct mf_api *api)
{
    return api->tcp_port;
}
