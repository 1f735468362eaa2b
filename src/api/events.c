/*
 * Server-sent events (the WHATWG's "Server-sent events"): any thread puts an event in a ring, the loop thread writes it
 * to every watcher. A watcher that does not read has its connection closed when 256 KiB wait for it; one that comes back
 * with Last-Event-ID is sent what the ring still has. Numbers grow over restarts too: they begin at the clock.
 */
#include "api/internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#define KEEPALIVE_TICKS 15

void mf_api_publish(void *ctx, const char *event, json_t *facts)
{
    struct mf_api *api = ctx;
    char *data = json_dumps(facts, JSON_COMPACT | JSON_ENCODE_ANY);
    pthread_mutex_lock(&api->lock);
    struct mf_event *e = &api->events[api->next_event % MF_API_EVENTS];
    free(e->text);
    e->id = api->next_event++;
    e->text =
        mf_xasprintf("id: %llu\nevent: %.64s\ndata: %s\n\n", (unsigned long long)e->id, event, data ? data : "{}");
    pthread_mutex_unlock(&api->lock);
    free(data);
    event_active(api->wake, EV_READ, 0);
}

static void watcher_remove(struct mf_watcher *w)
{
    struct mf_watcher **at = &w->api->watchers;
    while (*at && *at != w) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = w->next;
        w->api->nwatchers--;
    }
    free(w);
}

static void watcher_gone(struct evhttp_connection *conn, void *arg)
{
    struct mf_watcher *w = arg;
    (void)conn;
    mf_api_drop(w->req);
    watcher_remove(w);
}

static void watcher_end(struct mf_watcher *w)
{
    struct evhttp_request *req = w->req;
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
    watcher_remove(w);
    evhttp_send_reply_end(req);
}

static bool watcher_full(const struct mf_watcher *w)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(w->req));
    return evbuffer_get_length(bufferevent_get_output(bev)) > MF_API_WATCHER_BYTES;
}

/* May end the stream of a client that does not read, which removes and frees w. What waits for it may still be read for
 * a few seconds; then the connection is closed. */
static void watcher_write(struct mf_watcher *w, struct evbuffer *text)
{
    if (watcher_full(w)) {
        const struct timeval patience = {5, 0};
        struct evhttp_connection *conn = evhttp_request_get_connection(w->req);
        bufferevent_set_timeouts(evhttp_connection_get_bufferevent(conn), NULL, &patience);
        watcher_end(w);
        return;
    }
    evhttp_send_reply_chunk(w->req, text);
}

/* The events with from <= id < end that the ring still has. */
static struct evbuffer *events_between(struct mf_api *api, uint64_t from, uint64_t end)
{
    struct evbuffer *out = evbuffer_new();
    pthread_mutex_lock(&api->lock);
    uint64_t oldest = api->next_event > MF_API_EVENTS ? api->next_event - MF_API_EVENTS : 0;
    for (uint64_t id = from > oldest ? from : oldest; out && id < end; id++) {
        const struct mf_event *e = &api->events[id % MF_API_EVENTS];
        if (e->text && e->id == id) {
            evbuffer_add(out, e->text, strlen(e->text));
        }
    }
    pthread_mutex_unlock(&api->lock);
    return out;
}

static uint64_t next_id(struct mf_api *api)
{
    pthread_mutex_lock(&api->lock);
    uint64_t id = api->next_event;
    pthread_mutex_unlock(&api->lock);
    return id;
}

static void send_status(struct mf_api *api, struct mf_watcher *only)
{
    json_t *status = api->backend.status(api->backend.ctx);
    char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;
    struct evbuffer *out = evbuffer_new();
    json_decref(status);
    if (text && out) {
        struct mf_watcher *next;
        for (struct mf_watcher *w = only ? only : api->watchers; w; w = only ? NULL : next) {
            next = w->next;
            evbuffer_add_printf(out, "event: status\ndata: %s\n\n", text);
            watcher_write(w, out);
            evbuffer_drain(out, evbuffer_get_length(out));
        }
    }
    free(text);
    if (out) {
        evbuffer_free(out);
    }
}

void mf_events_attach(struct mf_api *api, struct evhttp_request *req)
{
    struct mf_error err = {0};
    struct evhttp_connection *conn = evhttp_request_get_connection(req);
    const char *last = evhttp_find_header(evhttp_request_get_input_headers(req), "Last-Event-ID");
    uint64_t id;
    if (api->nwatchers == MF_API_WATCHERS || atomic_load(&api->stopping)) {
        mf_fail(&err, MF_RETRY, "MFBUSY", "%d clients watch already", api->nwatchers);
        mf_api_send_error(api, req, 503, &err);
        return;
    }
    mf_events_send(api); /* so that all watchers, old and new, stand at the same event */
    struct mf_watcher *w = mf_xcalloc(1, sizeof(*w));
    w->api = api;
    w->req = req;
    w->next = api->watchers;
    api->watchers = w;
    api->nwatchers++;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "text/event-stream");
    evhttp_add_header(evhttp_request_get_output_headers(req), "Cache-Control", "no-store");
    evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    evhttp_connection_set_closecb(conn, watcher_gone, w);
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(conn), NULL, NULL);
    evhttp_send_reply_start(req, 200, "OK");
    struct evbuffer *missed = events_between(
        api, last && mf_parse_u64(last, &id) && id < UINT64_MAX ? id + 1 : api->seen_event, api->seen_event);
    if (missed) {
        evbuffer_prepend(missed, "retry: 2000\n\n", 13);
        evhttp_send_reply_chunk(req, missed);
        evbuffer_free(missed);
    }
    send_status(api, w);
}

void mf_events_send(struct mf_api *api)
{
    uint64_t end = next_id(api);
    struct evbuffer *out = events_between(api, api->seen_event, end);
    struct mf_watcher *next;
    api->seen_event = end;
    if (!out) {
        return;
    }
    size_t n = evbuffer_get_length(out);
    char *text = n ? (char *)evbuffer_pullup(out, -1) : NULL;
    for (struct mf_watcher *w = api->watchers; text && w; w = next) {
        next = w->next;
        struct evbuffer *copy = evbuffer_new();
        if (copy && evbuffer_add(copy, text, n) == 0) {
            watcher_write(w, copy);
        }
        if (copy) {
            evbuffer_free(copy);
        }
    }
    evbuffer_free(out);
}

void mf_events_tick(struct mf_api *api)
{
    if (!api->watchers) {
        return;
    }
    send_status(api, NULL);
    if (++api->ticks % KEEPALIVE_TICKS == 0) {
        struct mf_watcher *next;
        for (struct mf_watcher *w = api->watchers; w; w = next) {
            next = w->next;
            struct evbuffer *out = evbuffer_new();
            if (out && evbuffer_add_printf(out, ": still here\n\n") > 0) {
                watcher_write(w, out);
            }
            if (out) {
                evbuffer_free(out);
            }
        }
    }
}

void mf_events_close(struct mf_api *api)
{
    mf_events_send(api);
    while (api->watchers) {
        watcher_end(api->watchers);
    }
}

void mf_events_free(struct mf_api *api)
{
    for (size_t i = 0; i < MF_API_EVENTS; i++) {
        free(api->events[i].text);
    }
}
