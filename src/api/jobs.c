/*
 * Requests that take time. The loop thread makes a job and puts it on a bounded queue; a request thread does it and puts
 * it on the list of those done; the loop thread sends the answer, if the client is still there.
 */
#include "api/internal.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>

static void job_free(void *item)
{
    struct mf_job *j = item;
    json_decref(j->body);
    json_decref(j->reply);
    free(j);
}

static void do_job(struct mf_job *j)
{
    const struct mf_api_backend *b = &j->api->backend;
    if (j->route->kind == MF_ROUTE_QUARANTINE) {
        json_t *rows = NULL;
        j->rc = b->quarantine(b->ctx, &rows, &j->err);
        if (j->rc == 0) {
            j->reply = json_object();
            json_object_set_new(j->reply, "rows", rows);
        }
    } else {
        j->rc = b->request(b->ctx, &j->request, &j->reply, &j->err);
    }
}

static void *work(void *arg)
{
    struct mf_api *api = arg;
    void *item;
    while (mf_queue_pop(api->jobs, &item) == 0) {
        struct mf_job *j = item;
        do_job(j);
        pthread_mutex_lock(&api->lock);
        j->next = api->done;
        api->done = j;
        pthread_mutex_unlock(&api->lock);
        event_active(api->wake, EV_READ, 0);
    }
    return NULL;
}

int mf_jobs_start(struct mf_api *api, struct mf_error *err)
{
    api->jobs = mf_queue_new(MF_API_WAITING, job_free);
    if (!api->jobs) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    for (; api->nworkers < MF_API_WORKERS; api->nworkers++) {
        if (pthread_create(&api->workers[api->nworkers], NULL, work, api) != 0) {
            return mf_fail(err, MF_FATAL, "MFOS", "cannot start a thread for the API");
        }
    }
    return 0;
}

void mf_jobs_stop(struct mf_api *api)
{
    if (api->jobs) {
        mf_queue_close(api->jobs);
    }
    for (int i = api->nworkers; i > 0; i--) {
        pthread_join(api->workers[i - 1], NULL);
        api->nworkers--;
    }
}

void mf_api_drop(struct evhttp_request *req)
{
    if (!evhttp_request_get_connection(req)) {
        evhttp_request_free(req);
    }
}

/* The client has gone. What was asked is done all the same. */
static void client_gone(struct evhttp_connection *conn, void *arg)
{
    struct mf_job *j = arg;
    (void)conn;
    mf_api_drop(j->req);
    j->req = NULL;
}

void mf_jobs_take(struct mf_api *api, struct evhttp_request *req, const struct mf_route *route)
{
    struct mf_error err = {0};
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    struct evhttp_connection *conn = evhttp_request_get_connection(req);
    struct mf_job *j = mf_xcalloc(1, sizeof(*j));
    j->api = api;
    j->req = req;
    j->route = route;
    if (route->post &&
        mf_api_body(route, len ? (const char *)evbuffer_pullup(in, -1) : "", len, &j->request, &j->body, &err) < 0) {
        job_free(j);
        mf_api_send_error(api, req, 400, &err);
        return;
    }
    /* Before it is handed over: afterwards it may be done at any moment. The loop thread alone runs call-backs, so
     * req cannot go away in between. */
    evhttp_connection_set_closecb(conn, client_gone, j);
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(conn), NULL, NULL);
    int rc = mf_queue_push_timed(api->jobs, j, 0);
    if (rc != 0) {
        evhttp_connection_set_closecb(conn, NULL, NULL);
        job_free(j);
        mf_fail(&err, MF_RETRY, rc < 0 ? "MFSTOP" : "MFBUSY",
                rc < 0 ? "the run is stopping" : "too many requests are waiting");
        mf_api_send_error(api, req, 503, &err);
    }
}

void mf_jobs_answer(struct mf_api *api)
{
    pthread_mutex_lock(&api->lock);
    struct mf_job *j = api->done;
    api->done = NULL;
    pthread_mutex_unlock(&api->lock);
    while (j) {
        struct mf_job *next = j->next;
        if (j->req) {
            struct evhttp_connection *conn = evhttp_request_get_connection(j->req);
            evhttp_connection_set_closecb(conn, NULL, NULL);
            evhttp_connection_set_timeout(conn, MF_API_IDLE_S);
            if (j->rc == 0) {
                mf_api_send(api, j->req, 200, j->reply ? j->reply : json_object());
                j->reply = NULL;
            } else {
                mf_api_send_error(api, j->req, mf_api_http_status(&j->err), &j->err);
            }
        }
        job_free(j);
        j = next;
    }
}
