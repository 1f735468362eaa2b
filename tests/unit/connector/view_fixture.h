/* A server in memory, and query tables of it behind a face. */
#ifndef MF_TESTS_VIEW_FIXTURE_H
#define MF_TESTS_VIEW_FIXTURE_H

#include "mf_test.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"
#include "connector/memory/memory.h"
#include "connector/view/internal.h"

struct shown {
    struct mf_mem_server *server;
    const char *url;
    struct mf_db *db; /* NULL: the map was refused */
    struct mf_config *config;
    struct mf_catalog tables;
    struct mf_pipe_id pipe;
    struct mf_stream *stream; /* NULL: none is open */
    struct mf_arena arena;
    struct mf_error err;
};

/* name: the server's; url: the one it has. Both stay the caller's. */
static inline struct shown *shown_new(const char *name, const char *url)
{
    struct shown *s = calloc(1, sizeof *s);
    s->server = mf_mem_server_new(name);
    s->url = url;
    mf_arena_init(&s->arena, 1u << 20);
    mf_strlcpy(s->pipe.migration, "m", sizeof s->pipe.migration);
    return s;
}

static inline void close_view(struct shown *s)
{
    if (s->stream) {
        struct mf_error ignored;
        s->db->connector->source->stream_close(s->stream);
        s->db->connector->source->stream_drop(s->db, &s->pipe, &ignored);
    }
    mf_catalog_free(&s->tables);
    if (s->db) {
        s->db->connector->close(s->db);
    }
    mf_config_free(s->config);
    s->db = NULL;
    s->config = NULL;
    s->stream = NULL;
}

static inline int teardown(void **state)
{
    struct shown *s = *state;
    close_view(s);
    mf_arena_free(&s->arena);
    mf_mem_server_free(s->server);
    free(s);
    return 0;
}

/* -1: what the map says is refused, by the configuration or by the catalogue. */
static inline int open_view_for(struct shown *s, const char *target, const char *map)
{
    struct mf_db_options o = {.url = s->url, .side = MF_SOURCE};
    MF_CLEANUP_FREE char *text = mf_xasprintf("source: %s\ntarget: %s\n%s", s->url, target, map);
    close_view(s);
    assert_mf_ok(mf_config_parse(text, strlen(text), "m.yaml", NULL, &s->config, &s->err), &s->err);
    if (mf_config_finish(s->config, &s->err) < 0) {
        return -1;
    }
    o.map = s->config->map;
    return mf_connector_open(&o, s->url, target, NULL, &s->db, &s->err);
}

/* ---- rows in tests are texts: "" is NULL, "?" is unchanged ---- */

static inline struct mf_value value(const char *s)
{
    return !s[0]              ? (struct mf_value){.kind = MF_NULL}
           : mf_streq(s, "?") ? (struct mf_value){.kind = MF_UNCHANGED}
                              : (struct mf_value){MF_TEXT, (uint32_t)strlen(s), s};
}

static inline struct mf_row row_of(struct shown *s, const char *const *texts, uint16_t n)
{
    struct mf_value *v = mf_alloc_array(&s->arena, n, sizeof *v);
    for (uint16_t i = 0; i < n; i++) {
        v[i] = value(texts[i]);
    }
    return (struct mf_row){.n = n, .values = v};
}

/* "a||?|!": a text, NULL, unchanged, refused. */
static inline void put_row(struct mf_buf *b, const struct mf_row *r)
{
    for (uint16_t i = 0; i < r->n; i++) {
        const struct mf_value *v = &r->values[i];
        mf_buf_puts(b, i ? "|" : "");
        if (v->kind == MF_UNCHANGED || v->kind == MF_REFUSED) {
            mf_buf_puts(b, v->kind == MF_UNCHANGED ? "?" : "!");
        } else if (v->kind != MF_NULL && v->len) {
            mf_buf_append(b, v->data, v->len);
        }
    }
}

#endif
