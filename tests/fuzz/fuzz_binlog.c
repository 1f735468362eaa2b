/*
 * A binary log from a server that lies: events one after the other, as in a file. Every event is well formed or the stream ends with an
 * error; every value of a row can be read to its end. Columns are given the types that their table map asks for, mostly.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/binlog_internal.h"
#include "connector/mysql/charset_id.h"

#include <stdio.h>
#include <string.h>

static const char *members[300];
static const char *const sets[] = {"utf8mb4", "latin1", "sjis", "big5", "gbk", "utf16", "ujis", "gb18030", "swe7"};

/* A type that fits the map, made from the column's field type and metadata. */
static struct my_type type_of(uint8_t field, const uint8_t *meta, unsigned salt)
{
    static const uint8_t bases[256] = {
        [MY_FIELD_TINY] = MY_TINYINT,       [MY_FIELD_SHORT] = MY_SMALLINT,      [MY_FIELD_INT24] = MY_MEDIUMINT,
        [MY_FIELD_LONG] = MY_INT,           [MY_FIELD_LONGLONG] = MY_BIGINT,     [MY_FIELD_FLOAT] = MY_FLOAT,
        [MY_FIELD_DOUBLE] = MY_DOUBLE,      [MY_FIELD_NEWDECIMAL] = MY_DECIMAL,  [MY_FIELD_BIT] = MY_BIT,
        [MY_FIELD_YEAR] = MY_YEAR,          [MY_FIELD_DATE] = MY_DATE,           [MY_FIELD_NEWDATE] = MY_DATE,
        [MY_FIELD_TIME] = MY_TIME,          [MY_FIELD_TIME2] = MY_TIME,          [MY_FIELD_DATETIME] = MY_DATETIME,
        [MY_FIELD_DATETIME2] = MY_DATETIME, [MY_FIELD_TIMESTAMP] = MY_TIMESTAMP, [MY_FIELD_TIMESTAMP2] = MY_TIMESTAMP,
        [MY_FIELD_JSON] = MY_JSON,          [MY_FIELD_GEOMETRY] = MY_GEOMETRY,   [MY_FIELD_VECTOR] = MY_VECTOR};
    struct my_type t = {.base = bases[field], .is_unsigned = salt & 1};
    snprintf(t.charset, sizeof(t.charset), "%s", sets[salt % MF_ARRAY_LEN(sets)]);
    t.members = members;
    if (field == MY_FIELD_VECTOR) {
        t.length = salt & 2 ? 2048 : 3;
    } else if (field == MY_FIELD_NEWDECIMAL) {
        t.precision = meta[0];
        t.scale = meta[1];
    } else if (field == MY_FIELD_BIT) {
        t.length = meta[1] * 8u + meta[0];
    } else if (field == MY_FIELD_TIME2 || field == MY_FIELD_DATETIME2 || field == MY_FIELD_TIMESTAMP2) {
        t.scale = meta[0];
    } else if (field == MY_FIELD_VARCHAR || field == MY_FIELD_VAR_STRING) {
        t.base = salt & 2 ? MY_VARCHAR : MY_VARBINARY;
        t.length = mf_get_u16le(meta);
    } else if (field == MY_FIELD_VARCHAR_COMPRESSED) {
        t.base = salt & 2 ? MY_VARCHAR : MY_VARBINARY;
        t.length = mf_get_u16le(meta) - 1u;
    } else if (field == MY_FIELD_STRING) {
        uint8_t real = meta[0] | 0x30;
        t.base = real == MY_FIELD_ENUM ? MY_ENUM : real == MY_FIELD_SET ? MY_SET : salt & 2 ? MY_CHAR : MY_BINARY;
        t.length = meta[1] | ((meta[0] & 0x30u) ^ 0x30u) << 4;
        if (salt % 5 == 4 && (t.length == 16 || t.length == 4)) {
            t.base = t.length == 4 ? MY_INET4 : salt & 2 ? MY_INET6 : MY_UUID;
        }
        t.nmembers = real == MY_FIELD_SET ? meta[1] * 8 : meta[1] == 2 ? 300 : 3;
    } else if (((field >= MY_FIELD_TINY_BLOB && field <= MY_FIELD_BLOB) || field == MY_FIELD_BLOB_COMPRESSED) &&
               meta[0] <= 4) {
        t.base = salt & 2 ? MY_TEXT : MY_BLOB;
        t.length = (uint32_t)((UINT64_C(1) << (8 * meta[0])) - 1);
    }
    return t;
}

/* In the character set that most columns of the map have. */
static void as_told(struct my_type *t, const char *charset)
{
    static const struct {
        enum my_base text, bytes;
    } pairs[] = {{MY_CHAR, MY_BINARY}, {MY_VARCHAR, MY_VARBINARY}, {MY_TEXT, MY_BLOB}};
    for (size_t i = 0; charset && i < MF_ARRAY_LEN(pairs); i++) {
        if (t->base == pairs[i].text || t->base == pairs[i].bytes) {
            bool binary = strcmp(charset, "binary") == 0;
            t->base = binary ? pairs[i].bytes : pairs[i].text;
            snprintf(t->charset, sizeof(t->charset), "%s", binary ? "" : charset);
        }
    }
}

/* In characters, what the map has in bytes. */
static void fit_length(struct my_type *t)
{
    if (t->base == MY_CHAR || t->base == MY_VARCHAR) {
        t->length /= my_charset_width(t->charset);
    } else if (my_type_is_binary(t)) {
        t->charset[0] = '\0';
    }
}

static int give_columns(struct my_binlog *d, const struct my_table_map *map)
{
    static struct my_type types[4096];
    struct mf_error err = {0};
    size_t at = 0, sign = 0;
    const struct my_map *m = my_map_find(d, map->id);
    MF_FUZZ_CHECK(m && map->ncolumns <= 4096);
    for (uint16_t i = 0; i < map->ncolumns; i++) {
        int len = my_field_meta_len(map->types[i]);
        uint8_t meta[2] = {0};
        for (int k = 0; k < len && at + (size_t)k < map->meta_len; k++) {
            meta[k] = map->meta[at + (size_t)k];
        }
        at += len > 0 ? (size_t)len : 0;
        types[i] = type_of(map->types[i], meta, (unsigned)map->id + i);
        bool number = (types[i].base >= MY_TINYINT && types[i].base <= MY_DOUBLE);
        const struct my_slice *signs = &m->told[MY_META_SIGNS], *charset = &m->told[MY_META_CHARSET];
        if (number && sign / 8 < signs->n) { /* as the map says: else no row of the newer servers is ever read */
            types[i].is_unsigned = signs->p[sign / 8] >> (7 - sign % 8) & 1;
        }
        if (charset->n) {
            as_told(&types[i], my_charset_of_collation(charset->p[0]));
        }
        fit_length(&types[i]);
        sign += number;
        MF_FUZZ_CHECK(!map->has_names || map->names[i]);
    }
    int rc = my_binlog_columns(d, map->id, types, map->ncolumns, &err);
    MF_FUZZ_CHECK(rc == 0 || (err.cls == MF_FATAL && err.text[0]));
    return rc;
}

static unsigned sum;

static void touch(const struct mf_row *row, uint16_t n)
{
    MF_FUZZ_CHECK(row->n == n);
    for (uint16_t i = 0; i < row->n; i++) {
        const struct mf_value *v = &row->values[i];
        MF_FUZZ_CHECK(v->kind <= MF_BINARY);
        for (uint32_t k = 0; v->kind >= MF_TEXT && k < v->len; k++) {
            sum += (uint8_t)v->data[k];
        }
    }
}

static int read_rows(struct my_binlog *d, const struct my_event *e)
{
    struct mf_arena arena = {.max_bytes = 4 << 20};
    int rc;
    for (bool more = true, partial; more;) {
        struct mf_error err = {0};
        struct mf_row old, new;
        rc = my_rows_next(d, &arena, &old, &new, &partial, &more, &err);
        MF_FUZZ_CHECK(rc == 0 || (err.cls == MF_FATAL && err.text[0]));
        if (rc < 0) {
            break;
        }
        if (more) {
            uint16_t n = d->rows.map->ncolumns;
            touch(&old, e->rows.kind == MY_ROWS_INSERT ? 0 : n);
            touch(&new, e->rows.kind == MY_ROWS_DELETE ? 0 : n);
            MF_FUZZ_CHECK(!partial || e->rows.kind == MY_ROWS_UPDATE);
        }
        mf_arena_reset(&arena);
    }
    mf_arena_free(&arena);
    return rc;
}

static void use_event(struct my_binlog *d, const struct my_event *e)
{
    if (e->kind == MY_EV_TABLE_MAP) {
        MF_FUZZ_CHECK(strlen(e->map.schema) < 256 && strlen(e->map.table) < 256);
        give_columns(d, &e->map);
    } else if (e->kind == MY_EV_ROWS) {
        read_rows(d, e);
    } else if (e->kind == MY_EV_QUERY) {
        for (size_t i = 0; i < e->query.len; i++) {
            sum += (uint8_t)e->query.text[i];
        }
    } else if (e->kind == MY_EV_PAYLOAD) {
        for (bool more = true; more;) {
            struct mf_error err = {0};
            struct my_event inner;
            int rc = my_payload_next(d, &inner, &more, &err);
            MF_FUZZ_CHECK(rc == 0 || (err.cls == MF_FATAL && err.text[0]));
            if (rc < 0) {
                break;
            }
            if (more) {
                MF_FUZZ_CHECK(inner.kind != MY_EV_PAYLOAD && inner.kind != MY_EV_FORMAT);
                use_event(d, &inner);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(members); i++) {
        members[i] = "m";
    }
    struct my_binlog *d = my_binlog_new();
    d->max_event = 256 << 10;
    while (size >= MY_EVENT_HEADER) {
        struct mf_error err = {0};
        struct my_event e;
        size_t n = mf_get_u32le(data + 9);
        n = n < MY_EVENT_HEADER || n > size ? size : n;
        uint8_t *copy = malloc(n);
        if (!copy) {
            break;
        }
        memcpy(copy, data, n);
        int rc = my_binlog_event(d, copy, n, &e, &err);
        MF_FUZZ_CHECK(rc == 0 || (err.cls == MF_FATAL && err.text[0]));
        if (rc == 0) {
            use_event(d, &e);
        }
        free(copy);
        data += n;
        size -= n;
    }
    my_binlog_free(d);
    return 0;
}
