/*
 * The HTTP API of a running migration: on a Unix socket in its state directory, and on TCP when the configuration says.
 *
 * One thread runs the event loop (libevent). It never blocks: what takes time (POST: verify, cutover, …) is handed to a
 * few request threads, which call the migration and hand the answer back. Everything is bounded: bodies, requests at
 * work, clients of the event stream and what waits for each of them.
 */
#ifndef MF_API_API_H
#define MF_API_API_H

#include <stdio.h>

#include <jansson.h>

#include "base/error.h"
#include "config/config.h"
#include "migration/migration.h"

struct mf_api;

/* What the API speaks for; the migration in production (mf_api_for_migration), anything in a test. Called on any of the
 * API's threads; request blocks until the work is done, the others do not block long. */
struct mf_api_backend {
    void *ctx;
    json_t *(*status)(void *ctx); /* new reference */
    int (*request)(void *ctx, const struct mf_request *r, json_t **ret_reply, struct mf_error *err);
    int (*quarantine)(void *ctx, json_t **ret, struct mf_error *err);
    void (*flags)(void *ctx, struct mf_flags_view *ret); /* waits for nothing */
    /* Called on one thread: where the side that takes writes is now (blocks for a question to it); is the other side there; take it there. */
    int (*fence)(void *ctx, struct mf_fence *ret, struct mf_error *err);
    int (*fence_passed)(void *ctx, const struct mf_fence *f, bool *ret, uint64_t *ret_refused, struct mf_error *err);
    void (*fence_nudge)(void *ctx);
};
void mf_api_for_migration(struct mf_migration *m, struct mf_api_backend *ret);

/* Listens and serves from its own threads until mf_api_stop. The backend and the config must outlive it. A socket that
 * another process serves is MF_USAGE code MFLOCKED; one left behind by a dead process is replaced. */
int mf_api_start(const struct mf_api_backend *b, const struct mf_config *c, struct mf_api **ret, struct mf_error *err);
/* Refuses new requests, gives those at work a few seconds to be answered, ends the threads, removes the socket. The
 * backend must answer the requests at work. NULL is allowed. */
void mf_api_stop(struct mf_api *api);

/* Sends an event to every client of /v1/events. Any thread; never blocks: a client that does not read loses its
 * connection. Fits mf_event_sink with the api as ctx. */
void mf_api_publish(void *api, const char *event, json_t *facts);

/* The TCP port it listens on, 0 when none: for api.listen with port 0. */
uint16_t mf_api_port(const struct mf_api *api);

/* docs/reference/api.md and docs/reference/metrics.md, from the route and metric tables. */
void mf_api_reference(FILE *out);
void mf_metrics_reference(FILE *out);

#endif
