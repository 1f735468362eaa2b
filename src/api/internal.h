/* What the files of api/ share. Everything of struct mf_api is the loop thread's unless it says otherwise. */
#ifndef MF_API_INTERNAL_H
#define MF_API_INTERNAL_H

#include "api/api.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"

#define MF_API_BODY_MAX      (64 * 1024)
#define MF_API_HEADERS_MAX   (16 * 1024)
#define MF_API_IDLE_S        60  /* an idle connection is closed after this */
#define MF_API_WORKERS       4   /* request threads */
#define MF_API_WAITING       16  /* requests waiting for one of them */
#define MF_API_FENCES        256 /* calls of /v1/fence that wait */
#define MF_API_WATCHERS      32  /* clients of /v1/events */
#define MF_API_EVENTS        256 /* events kept for a client that comes back, and waiting to be sent */
#define MF_API_WATCHER_BYTES ((size_t)256 * 1024)

/* ---- routes (routes.c) ---- */

enum mf_field_type { MF_FIELD_TEXT, MF_FIELD_FLAG, MF_FIELD_INTEGER, MF_FIELD_SHARE };
struct mf_field {
    const char *name; /* NULL ends a list */
    enum mf_field_type type;
    int64_t min, max; /* INTEGER */
    bool required;
    const char *sentence;
};

enum mf_route_kind {
    MF_ROUTE_STATUS,
    MF_ROUTE_EVENTS,
    MF_ROUTE_REQUEST,
    MF_ROUTE_QUARANTINE,
    MF_ROUTE_FENCE,
    MF_ROUTE_METRICS,
    MF_ROUTE_HEALTH,
    MF_ROUTE_READY,
    MF_ROUTE_FLAG,  /* its path ends in {key} */
    MF_ROUTE_FLAGS, /* all */
};
struct mf_route {
    bool post; /* else GET */
    const char *path;
    enum mf_route_kind kind;
    enum mf_request_kind request; /* MF_ROUTE_REQUEST */
    const struct mf_field *fields;
    bool open; /* asks for no token */
    const char *sentence, *answer;
};
extern const struct mf_route mf_routes[];
extern const size_t mf_route_count;

/* The route, or NULL; *ret_other_method is set when the path is known with the other method. */
const struct mf_route *mf_route_find(const char *path, bool post, bool *ret_other_method);

/* Reads a body strictly by the route's fields: an unknown one, a wrong type or a number out of bounds is MF_USAGE that
 * names it. Strings in *ret belong to *ret_doc (the caller decrefs). An empty body is {}. Pure. */
int mf_api_body(const struct mf_route *route, const char *data, size_t len, struct mf_request *ret, json_t **ret_doc,
                struct mf_error *err);

/* ---- feature flags (flags.c) ---- */

enum mf_ofrep_error {
    MF_OFREP_FINE,
    MF_OFREP_PARSE_ERROR,
    MF_OFREP_KEY_MISSING,
    MF_OFREP_INVALID_CONTEXT,
    MF_OFREP_FLAG_NOT_FOUND,
    MF_OFREP_GENERAL,
};
#define MF_OFREP_WHY 128
struct mf_ofrep_question {
    json_t *doc;     /* owns key; the caller decref's */
    const char *key; /* the targeting key, of key_len bytes that may have NULs among them; 0: none */
    size_t key_len;
};
/* Reads an evaluation request. Whatever the context has besides is the application's. Otherwise why says what is wrong, in MF_OFREP_WHY
 * bytes. Pure. */
enum mf_ofrep_error mf_ofrep_question(const char *data, size_t len, struct mf_ofrep_question *ret, char *why);
const char *mf_ofrep_code(enum mf_ofrep_error e);
/* Is it in a value of If-None-Match? NULL: there is none. Pure. */
bool mf_ofrep_etag_in(const char *list, const char *etag);
void mf_ofrep_answer(struct mf_api *api, struct evhttp_request *req, const struct mf_route *route);
json_t *mf_ofrep_refusal(const struct mf_error *err); /* who asks may not, or asks in the wrong way */

#define MF_FLAGS 3
enum { MF_FLAG_SOURCE, MF_FLAG_TARGET, MF_FLAG_ERROR, MF_FLAG_RESULTS };

/* ---- documents (reply.c) ---- */

/* Any text as a JSON string: bytes that are not UTF-8 become U+FFFD. */
json_t *mf_api_text(const char *s);
json_t *mf_api_error_json(const struct mf_error *err);
int mf_api_http_status(const struct mf_error *err);
const char *mf_api_reason(int status);

/* Prometheus' text form of a status document, and of what the API itself counts (metrics.c). */
void mf_metrics_print(const struct mf_api *api, const json_t *status, struct evbuffer *out);

/* ---- the server ---- */

struct mf_listener { /* what an evhttp is: TCP asks for the token, the Unix socket's permissions are enough */
    struct mf_api *api;
    struct evhttp *http;
    bool tcp;
};

/* A request at a request thread. The loop thread makes and ends it; a request thread has it in between and touches only
 * what is marked W. */
struct mf_job {
    struct mf_api *api;
    struct evhttp_request *req;   /* NULL once its client has gone */
    const struct mf_route *route; /* W, read only */
    struct mf_request request;    /* W, read only */
    json_t *body;                 /* owns request's strings */
    json_t *reply;                /* W */
    struct mf_error err;          /* W */
    int rc;                       /* W */
    struct mf_job *next;          /* on api->done */
};

struct mf_event {
    uint64_t id;
    char *text; /* "id: …\nevent: …\ndata: …\n\n" */
};

struct mf_watcher {
    struct mf_api *api;
    struct evhttp_request *req;
    struct mf_watcher *next;
};

struct mf_fence_call;

struct mf_api {
    struct mf_api_backend backend;
    const struct mf_config *config;
    struct event_base *base;
    struct mf_listener unix_listener, tcp_listener;
    uint16_t tcp_port;
    bool tcp_loopback;
    char socket_path[128];
    int socket_dirfd;
    struct event *wake, *tick, *finish;
    pthread_t loop, workers[MF_API_WORKERS];
    atomic_int nworkers; /* any thread */
    bool loop_started;
    struct mf_queue *jobs; /* any thread */
    atomic_bool stopping;  /* any thread */
    int unsent;            /* replies not yet written out */
    int nfences;           /* calls of /v1/fence that are not answered */
    struct mf_watcher *watchers;
    int nwatchers, ticks;
    uint64_t flag_seed;
    uint64_t evaluations[MF_FLAGS][MF_FLAG_RESULTS];
    uint64_t seen_event; /* the last one sent to watchers */

    pthread_mutex_t lock; /* guards what follows; any thread */
    struct mf_job *done;
    struct {
        struct mf_fence_call *arrived, *done;
        pthread_cond_t come;
        pthread_t thread; /* of whoever starts and stops the API, as is started */
        bool started;
    } fence;
    struct mf_event events[MF_API_EVENTS]; /* a ring: id i is at i % MF_API_EVENTS */
    uint64_t next_event;
};

/* Sends a document and ends the request; steals doc. (server.c) */
void mf_api_send(struct mf_api *api, struct evhttp_request *req, int status, json_t *doc);
/* text: JSON, or NULL for an answer without a body. */
void mf_api_send_text(struct mf_api *api, struct evhttp_request *req, int status, const char *text);
void mf_api_send_error(struct mf_api *api, struct evhttp_request *req, int status, const struct mf_error *err);

/* In a connection's close call-back: libevent takes a request that has no answer yet away from its connection, and then
 * it is ours to free; otherwise it goes with its connection. */
void mf_api_drop(struct evhttp_request *req);

/* Jobs (jobs.c). */
int mf_jobs_start(struct mf_api *api, struct mf_error *err);
void mf_jobs_stop(struct mf_api *api); /* joins the request threads */
void mf_jobs_take(struct mf_api *api, struct evhttp_request *req, const struct mf_route *route);
void mf_jobs_answer(struct mf_api *api); /* loop thread: sends what is done */

/* Fences (fence.c). */
int mf_fence_start(struct mf_api *api, struct mf_error *err);
void mf_fence_stop(
    struct mf_api *api); /* when stopping is set: ends its thread, every call is on the list of those done */
void mf_fence_take(struct mf_api *api, struct evhttp_request *req);
void mf_fence_answer(struct mf_api *api); /* loop thread */

/* Events (events.c). */
void mf_events_attach(struct mf_api *api, struct evhttp_request *req);
void mf_events_send(struct mf_api *api);
void mf_events_tick(struct mf_api *api); /* once a second */
void mf_events_close(struct mf_api *api);
void mf_events_free(struct mf_api *api);

#endif
