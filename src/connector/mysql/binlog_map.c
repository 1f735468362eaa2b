/* Table maps, kept by their id: see binlog_internal.h. */
#include "base/mem.h"
#include "connector/mysql/binlog_internal.h"

#include <stdlib.h>
#include <string.h>

#define MAP_MAX ((size_t)16 << 20) /* the names of all columns and members are in it, at most */

static struct my_map **bucket(struct my_binlog *d, uint64_t id)
{
    return &d->maps[id % MY_MAP_BUCKETS];
}

struct my_map *my_map_find(const struct my_binlog *d, uint64_t id)
{
    for (struct my_map *m = d->maps[id % MY_MAP_BUCKETS]; m; m = m->next) {
        if (m->id == id) {
            return m;
        }
    }
    return NULL;
}

static void free_map(struct my_map *m)
{
    free(m->body);
    free(m->names);
    free(m->names_text);
    free(m->cols);
    free(m->old_json);
    free(m);
}

static void remove_maps(struct my_binlog *d, bool live_too)
{
    for (size_t i = 0; i < MY_MAP_BUCKETS; i++) {
        struct my_map **at = &d->maps[i];
        while (*at) {
            struct my_map *m = *at;
            if (m->statement == d->statement && !live_too) {
                at = &m->next;
                continue;
            }
            *at = m->next;
            free_map(m);
            d->nmaps--;
        }
    }
}

void my_maps_free(struct my_binlog *d)
{
    remove_maps(d, true);
}

/* ---- reading one ---- */

/* A length byte, the name, a NUL. */
static bool read_name(struct mf_cursor *in, char *out, size_t size)
{
    size_t n = mf_read_u8(in);
    const void *p = mf_read_bytes(in, n);
    if (!p || n >= size || memchr(p, 0, n) || mf_read_u8(in) != 0 || in->failed) {
        return false;
    }
    memcpy(out, p, n);
    out[n] = '\0';
    return true;
}

/* The columns' names, each with its length before it, become strings. */
static bool keep_names(struct my_map *m, struct mf_cursor *in)
{
    size_t room = mf_cursor_left(in) + m->ncolumns;
    free(m->names);
    free(m->names_text);
    m->names = mf_xcalloc(m->ncolumns ? m->ncolumns : 1, sizeof(*m->names));
    m->names_text = mf_xcalloc(1, room ? room : 1);
    char *to = m->names_text;
    for (uint16_t i = 0; i < m->ncolumns; i++) {
        uint64_t n = my_read_lenenc(in);
        const void *p = n <= mf_cursor_left(in) ? mf_read_bytes(in, (size_t)n) : NULL;
        if (!p || memchr(p, 0, (size_t)n)) {
            return false;
        }
        m->names[i] = to;
        memcpy(to, p, (size_t)n);
        to += n + 1;
    }
    return true;
}

/* What a server may tell besides: fields of a type, a length, a value. */
static bool read_optional(struct my_map *m, struct mf_cursor *in)
{
    while (mf_cursor_left(in)) {
        uint8_t field = mf_read_u8(in);
        uint64_t n = my_read_lenenc(in);
        const uint8_t *p = n <= mf_cursor_left(in) ? mf_read_bytes(in, (size_t)n) : NULL;
        if (!p) {
            return false;
        }
        struct mf_cursor value;
        mf_cursor_init(&value, p, (size_t)n);
        if (field < MY_META_FIELDS) {
            m->told[field] = (struct my_slice){.p = p, .n = (size_t)n};
        }
        if (field == MY_META_NAMES && !keep_names(m, &value)) {
            return false;
        }
    }
    return true;
}

/* From the map's own copy of the event. */
static int read_body(struct my_map *m, struct mf_error *err)
{
    struct mf_cursor in;
    mf_cursor_init(&in, m->body, m->body_len);
    if (!read_name(&in, m->schema, sizeof(m->schema)) || !read_name(&in, m->table, sizeof(m->table))) {
        return my_binlog_bad(err, "a table without a name");
    }
    uint64_t n = my_read_lenenc(&in);
    if (n > 4096 || !(m->types = mf_read_bytes(&in, (size_t)n))) {
        return my_binlog_bad(err, "a table of too many columns");
    }
    m->ncolumns = (uint16_t)n;
    n = my_read_lenenc(&in);
    m->meta = n <= mf_cursor_left(&in) ? mf_read_bytes(&in, (size_t)n) : NULL;
    m->meta_len = (size_t)n;
    mf_read_bytes(&in, (m->ncolumns + 7u) / 8); /* which may be null */
    if (!m->meta || in.failed || !read_optional(m, &in)) {
        return my_binlog_bad(err, "a table map that ends early");
    }
    for (uint16_t i = 0; i < m->ncolumns; i++) {
        m->njson += m->types[i] == MY_FIELD_JSON;
    }
    return 0;
}

static struct my_map *add_map(struct my_binlog *d, uint64_t id, const uint8_t *body, size_t n)
{
    struct my_map *m = mf_xcalloc(1, sizeof(*m));
    m->id = id;
    m->body = (uint8_t *)mf_xmemdup(body, n);
    m->body_len = n;
    m->next = *bucket(d, id);
    *bucket(d, id) = m;
    d->nmaps++;
    return m;
}

static void remove_map(struct my_binlog *d, struct my_map *m)
{
    struct my_map **at = bucket(d, m->id);
    while (*at != m) {
        at = &(*at)->next;
    }
    *at = m->next;
    free_map(m);
    d->nmaps--;
}

static void fill_event(const struct my_map *m, struct my_event *e)
{
    e->kind = MY_EV_TABLE_MAP;
    e->map = (struct my_table_map){.id = m->id,
                                   .ncolumns = m->ncolumns,
                                   .types = m->types,
                                   .meta = m->meta,
                                   .meta_len = m->meta_len,
                                   .has_names = m->names != NULL,
                                   .names = m->names};
    memcpy(e->map.schema, m->schema, sizeof(e->map.schema));
    memcpy(e->map.table, m->table, sizeof(e->map.table));
}

int my_event_map(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    struct mf_cursor fixed;
    if (my_post_header(d, e->type, 8, in, &fixed, err) < 0) {
        return -1;
    }
    uint64_t id = my_read_le(&fixed, 6);
    size_t n = mf_cursor_left(in);
    const uint8_t *body = mf_read_bytes(in, n);
    if (n > MAP_MAX) {
        return my_binlog_bad(err, "a table map that is too long");
    }
    struct my_map *m = my_map_find(d, id);
    if (m && (m->body_len != n || memcmp(m->body, body, n) != 0)) {
        remove_map(d, m);
        m = NULL;
    }
    if (!m) {
        if (d->nmaps >= MY_MAPS_KEPT) {
            remove_maps(d, false);
        }
        if (d->nmaps >= MY_MAPS_MAX) {
            return mf_fail(err, MF_FATAL, "MFBIG", "a statement of the binary log changes more than %d tables",
                           MY_MAPS_MAX);
        }
        m = add_map(d, id, body, n);
        if (read_body(m, err) < 0) {
            remove_map(d, m);
            return -1;
        }
    }
    m->statement = d->statement;
    fill_event(m, e);
    return 0;
}

/* ---- the columns as the caller has understood them ---- */

static int settle_columns(struct my_binlog *d, const struct my_map *m, struct my_col *cols, const struct my_type *types,
                          struct mf_error *err)
{
    size_t at = 0;
    for (uint16_t i = 0; i < m->ncolumns; i++) {
        static const uint8_t none[2];
        int len = my_field_meta_len(m->types[i]);
        if (len < 0 || (size_t)len > m->meta_len - at) {
            return mf_fail(err, MF_FATAL, "MFSHAPE",
                           "column %u is of a type (%u) that cannot be read from the binary log", i + 1u, m->types[i]);
        }
        if (my_col_settle(&cols[i], m->types[i], len ? m->meta + at : none, &types[i], &d->charsets, err) < 0) {
            mf_error_prefix(err, "column %u", i + 1u);
            return -1;
        }
        at += (size_t)len;
    }
    return my_map_check(d, m, cols, err);
}

int my_binlog_columns(struct my_binlog *d, uint64_t table_id, const struct my_type *types, uint16_t n,
                      struct mf_error *err)
{
    struct my_map *m = my_map_find(d, table_id);
    if (!m) {
        return my_binlog_bad(err, "columns of a table that was not announced");
    }
    free(m->cols);
    free(m->old_json);
    m->old_json = NULL;
    m->cols = mf_xcalloc(n ? n : 1, sizeof(*m->cols));
    if (n != m->ncolumns) {
        mf_fail(err, MF_FATAL, "MFSHAPE", "the binary log has %u columns of it, the catalogue %u", m->ncolumns, n);
    } else if (settle_columns(d, m, m->cols, types, err) == 0) {
        m->old_json = m->njson ? mf_xcalloc(n, sizeof(*m->old_json)) : NULL;
        return 0;
    }
    free(m->cols);
    m->cols = NULL;
    mf_error_prefix(err, "%s.%s", m->schema, m->table);
    mf_hint(err, "its definition changed while it was read; let the schema settle, then run again");
    return -1;
}
