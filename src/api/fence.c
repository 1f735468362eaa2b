/*
 * GET /v1/fence: answers when the other side has everything that was committed before the call.
 *
 * Calls are parked, however long they take: no request thread is held. One thread asks for a position for all calls that have come since it
 * last asked (that they came before is what makes it theirs, too), and looks which are passed. So any number of calls cost one question each round trip, and
 * there is room for so many.
 *
 * A position may lie behind what the database has written out so far: after a while something is committed to take the stream there.
 */
#include "api/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_US (10 * MF_US_PER_SEC) /* unless the call says another */
#define LONGEST_US (60 * MF_US_PER_SEC)
#define QUIET_US   (20 * MF_US_PER_MS) /* without having been passed: something is committed */
#define NUDGE_US   (500 * MF_US_PER_MS)
#define LOOK_US    (MF_US_PER_MS / 2)

/* Made and ended by the loop thread; the fence's thread has it in between and touches only what is marked W. */
struct mf_fence_call {
    struct mf_api *api;
    struct evhttp_request *req; /* NULL once its client has gone */
    int64_t came_us, until_us;
    struct mf_fence fence;      /* W */
    int status;                 /* W */
    json_t *reply;              /* W */
    struct mf_error err;        /* W */
    struct mf_fence_call *next; /* W, but on fence.arrived and fence.done: under the lock */
};

static void client_gone(struct evhttp_connection *conn, void *arg)
{
    struct mf_fence_call *c = arg;
    (void)conn;
    mf_api_drop(c->req);
    c->req = NULL;
}

/* ---- the loop's thread ---- */

static int read_timeout(struct evhttp_request *req, int64_t *ret_us, struct mf_error *err)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
    struct evkeyvalq given = {0};
    int rc = 0;
    *ret_us = TIMEOUT_US;
    if (!query || !*query) {
        return 0;
    }
    if (evhttp_parse_query_str(query, &given) < 0) {
        return mf_fail(err, MF_USAGE, "MFQUERY", "the query is not name=value&…");
    }
    for (struct evkeyval *p = given.tqh_first; p && rc == 0; p = p->next.tqe_next) {
        if (!mf_streq(p->key, "timeout") || !mf_parse_duration(p->value, ret_us) || *ret_us < MF_US_PER_MS ||
            *ret_us > LONGEST_US) {
            rc = mf_fail(err, MF_USAGE, "MFQUERY",
                         "a fence takes a timeout from 1ms to 60s, such as 500ms or 5s (?timeout=, or midflight fence "
                         "--timeout)");
        }
    }
    evhttp_clear_headers(&given);
    return rc;
}

/* False: the fence's thread ends, or has ended. It looks once more when it knows that it is to end, so that none is left with nobody. */
static bool give(struct mf_api *api, struct mf_fence_call *c)
{
    MF_LOCK_SCOPE(&api->lock);
    if (atomic_load(&api->stopping)) {
        return false;
    }
    c->next = api->fence.arrived;
    api->fence.arrived = c;
    pthread_cond_signal(&api->fence.come);
    return true;
}

void mf_fence_take(struct mf_api *api, struct evhttp_request *req)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(req);
    struct mf_error err = {0};
    int64_t timeout_us;
    if (read_timeout(req, &timeout_us, &err) < 0) {
        mf_api_send_error(api, req, 400, &err);
        return;
    }
    if (api->nfences == MF_API_FENCES) {
        mf_fail(&err, MF_RETRY, "MFBUSY", "too many fences are waiting");
        mf_api_send_error(api, req, 503, &err);
        return;
    }
    struct mf_fence_call *c = mf_xcalloc(1, sizeof(*c));
    c->api = api;
    c->req = req;
    c->came_us = mf_now_us();
    c->until_us = c->came_us + timeout_us;
    if (!give(api, c)) {
        free(c);
        mf_fail(&err, MF_RETRY, "MFSTOP", "the run is stopping");
        mf_api_send_error(api, req, 503, &err);
        return;
    }
    api->nfences++;
    evhttp_connection_set_closecb(conn, client_gone, c);
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(conn), NULL, NULL);
}

void mf_fence_answer(struct mf_api *api)
{
    pthread_mutex_lock(&api->lock);
    struct mf_fence_call *c = api->fence.done;
    api->fence.done = NULL;
    pthread_mutex_unlock(&api->lock);
    while (c) {
        struct mf_fence_call *next = c->next;
        if (c->req) {
            struct evhttp_connection *conn = evhttp_request_get_connection(c->req);
            evhttp_connection_set_closecb(conn, NULL, NULL);
            evhttp_connection_set_timeout(conn, MF_API_IDLE_S);
            if (c->status == 200) {
                mf_api_send(api, c->req, 200, json_incref(c->reply));
            } else {
                mf_api_send_error(api, c->req, c->status, &c->err);
            }
        }
        json_decref(c->reply);
        free(c);
        api->nfences--;
        c = next;
    }
}

/* ---- the fence's thread ---- */

static void finish(struct mf_fence_call *c, int status)
{
    struct mf_api *api = c->api;
    c->status = status;
    pthread_mutex_lock(&api->lock);
    c->next = api->fence.done;
    api->fence.done = c;
    pthread_mutex_unlock(&api->lock);
    event_active(api->wake, EV_READ, 0);
}

static void fail(struct mf_fence_call *c, const struct mf_error *err)
{
    c->err = *err;
    finish(c, mf_api_http_status(err));
}

/* Those that have come get one position. Gives back the list that waits. */
static struct mf_fence_call *ask(struct mf_api *api, struct mf_fence_call *arrived, struct mf_fence_call *waiting)
{
    struct mf_error err = {0};
    struct mf_fence f;
    int rc = api->backend.fence(api->backend.ctx, &f, &err);
    while (arrived) {
        struct mf_fence_call *next = arrived->next;
        if (rc < 0) {
            fail(arrived, &err);
        } else {
            arrived->fence = f;
            arrived->next = waiting;
            waiting = arrived;
        }
        arrived = next;
    }
    return waiting;
}

/* True: it is answered. */
static bool look_at(struct mf_fence_call *c, int64_t now)
{
    struct mf_error err = {0};
    const struct mf_api_backend *b = &c->api->backend;
    uint64_t refused = 0;
    bool passed = false;
    if (b->fence_passed(b->ctx, &c->fence, &passed, &refused, &err) < 0) {
        fail(c, &err);
        return true;
    }
    if (passed) {
        c->reply = json_pack("{s:s, s:s, s:f, s:I}", "direction",
                             c->fence.direction == MF_FORWARD ? "forward" : "reverse", "position", c->fence.at.token,
                             "waited_ms", (double)(now - c->came_us) / 1000, "refused", (json_int_t)refused);
        finish(c, 200);
        return true;
    }
    if (now >= c->until_us) {
        mf_fail(&c->err, MF_RETRY, "MFFENCE",
                "the other side does not have everything yet that was committed before the call");
        mf_hint(&c->err,
                "ask again, or with a longer timeout (?timeout=, or midflight fence --timeout); midflight status tells "
                "how far behind it is");
        finish(c, 504);
        return true;
    }
    return false;
}

static struct mf_fence_call *look(struct mf_api *api, struct mf_fence_call *waiting, int64_t *nudge_us)
{
    struct mf_fence_call *left = NULL;
    int64_t now = mf_now_us(), oldest = now;
    while (waiting) {
        struct mf_fence_call *c = waiting;
        waiting = c->next;
        if (!look_at(c, now)) {
            oldest = c->came_us < oldest ? c->came_us : oldest;
            c->next = left;
            left = c;
        }
    }
    if (now - oldest > QUIET_US && now - *nudge_us > NUDGE_US) {
        *nudge_us = now;
        api->backend.fence_nudge(api->backend.ctx);
    }
    return left;
}

static void end_all(struct mf_fence_call *c)
{
    struct mf_error err = {0};
    mf_fail(&err, MF_RETRY, "MFSTOP", "the run is stopping");
    while (c) {
        struct mf_fence_call *next = c->next;
        fail(c, &err);
        c = next;
    }
}

static struct mf_fence_call *arrivals(struct mf_api *api, bool wait)
{
    pthread_mutex_lock(&api->lock);
    while (wait && !api->fence.arrived && !atomic_load(&api->stopping)) {
        pthread_cond_wait(&api->fence.come, &api->lock);
    }
    struct mf_fence_call *c = api->fence.arrived;
    api->fence.arrived = NULL;
    pthread_mutex_unlock(&api->lock);
    return c;
}

static void *work(void *arg)
{
    struct mf_api *api = arg;
    struct mf_fence_call *waiting = NULL;
    int64_t nudge_us = 0;
    for (;;) {
        struct mf_fence_call *arrived = arrivals(api, waiting == NULL);
        if (atomic_load(&api->stopping)) {
            end_all(arrived);
            end_all(arrivals(api, false));
            end_all(waiting);
            return NULL;
        }
        if (arrived) {
            waiting = ask(api, arrived, waiting);
        }
        waiting = look(api, waiting, &nudge_us);
        if (waiting) {
            mf_sleep_us(LOOK_US);
        }
    }
}

int mf_fence_start(struct mf_api *api, struct mf_error *err)
{
    if (pthread_create(&api->fence.thread, NULL, work, api) != 0) {
        return mf_fail(err, MF_FATAL, "MFOS", "cannot start a thread for the API");
    }
    api->fence.started = true;
    return 0;
}

void mf_fence_stop(struct mf_api *api)
{
    if (!api->fence.started) {
        return;
    }
    pthread_mutex_lock(&api->lock);
    pthread_cond_signal(&api->fence.come);
    pthread_mutex_unlock(&api->lock);
    pthread_join(api->fence.thread, NULL);
    api->fence.started = false;
}
