/*
 * What the files of the binlog decoder share: binlog.c (the frame of an event), binlog_events.c (the small events), binlog_query.c (statements),
 * binlog_map.c (table maps), binlog_rows.c, binlog_packed.c (compressed ones).
 */
#ifndef MF_CONNECTOR_MYSQL_BINLOG_INTERNAL_H
#define MF_CONNECTOR_MYSQL_BINLOG_INTERNAL_H

#include "base/buf.h"
#include "connector/mysql/binlog.h"
#include "connector/mysql/binlog_values.h"
#include "connector/mysql/charset.h"

#define MY_EVENT_HEADER  19
#define MY_EVENT_MAX     ((size_t)1 << 30) /* the servers' own bound on a packet, hence on an event */
#define MY_ZLIB_GROWS    1040              /* no byte of zlib's becomes more */
#define MY_MAPS_MAX      65536             /* tables of one statement */
#define MY_MAPS_KEPT     4096              /* tables of former ones */
#define MY_MAP_BUCKETS   256
#define MY_STATEMENT_MAX ((size_t)64 << 20) /* one that is made UTF-8 */

/* The servers' numbers of the events that are told apart here. */
enum my_event_type {
    MY_TYPE_QUERY = 2,
    MY_TYPE_STOP = 3,
    MY_TYPE_ROTATE = 4,
    MY_TYPE_FORMAT = 15,
    MY_TYPE_XID = 16,
    MY_TYPE_TABLE_MAP = 19,
    MY_TYPE_WRITE_V0 = 20,
    MY_TYPE_DELETE_V0 = 22,
    MY_TYPE_WRITE_V1 = 23,
    MY_TYPE_DELETE_V1 = 25,
    MY_TYPE_INCIDENT = 26,
    MY_TYPE_HEARTBEAT = 27,
    MY_TYPE_IGNORABLE = 28,
    MY_TYPE_ROWS_QUERY = 29,
    MY_TYPE_WRITE_V2 = 30,
    MY_TYPE_DELETE_V2 = 32,
    MY_TYPE_GTID = 33,
    MY_TYPE_ANONYMOUS_GTID = 34,
    MY_TYPE_PREVIOUS_GTIDS = 35,
    MY_TYPE_TRANSACTION_CONTEXT = 36,
    MY_TYPE_VIEW_CHANGE = 37,
    MY_TYPE_XA_PREPARE = 38,
    MY_TYPE_PARTIAL_UPDATE = 39,
    MY_TYPE_PAYLOAD = 40,
    MY_TYPE_HEARTBEAT_V2 = 41,
    MY_TYPE_GTID_TAGGED = 42,
    MY_TYPE_MARIA_ANNOTATE = 160,
    MY_TYPE_MARIA_CHECKPOINT = 161,
    MY_TYPE_MARIA_GTID = 162,
    MY_TYPE_MARIA_GTID_LIST = 163,
    MY_TYPE_MARIA_ENCRYPTION = 164,
    MY_TYPE_MARIA_QUERY_PACKED = 165,
    MY_TYPE_MARIA_WRITE_V1_PACKED = 166,
    MY_TYPE_MARIA_DELETE_V1_PACKED = 168,
    MY_TYPE_MARIA_WRITE_V2_PACKED = 169,
    MY_TYPE_MARIA_DELETE_V2_PACKED = 171,
};

/* What a table map may tell besides, by the servers' numbers. */
enum my_meta {
    MY_META_SIGNS = 1,
    MY_META_CHARSET = 2,  /* of most columns of characters, and which have another one */
    MY_META_CHARSETS = 3, /* of each */
    MY_META_NAMES = 4,
    MY_META_SETS = 5,
    MY_META_ENUMS = 6,
    MY_META_FIELDS
};

struct my_slice {
    const uint8_t *p; /* NULL: not there, or null */
    size_t n;
};

/* A table map as it is kept. It holds for one statement; a following one that is byte for byte the same takes over the
 * columns that the caller has given. */
struct my_map {
    struct my_map *next;
    uint64_t id;
    uint64_t statement; /* the one it holds for */
    uint8_t *body;
    size_t body_len;
    uint16_t ncolumns, njson;
    const uint8_t *types, *meta; /* into body, as told is */
    size_t meta_len;
    struct my_slice told[MY_META_FIELDS];
    char schema[260], table[260];
    const char **names;
    char *names_text;
    struct my_col *cols;       /* NULL until my_binlog_columns */
    struct my_slice *old_json; /* of the row being read: where a JSON column's old document is */
};

struct my_payload; /* a compressed transaction being read */

struct my_binlog {
    bool has_format;
    bool checksums;
    bool as_57; /* the server is MySQL 5, which prints a document's 1.0 as 1 */
    uint8_t post_header[256];
    size_t max_event;
    uint64_t statement;   /* counts them: a table map is good for one */
    bool statement_ended; /* by the last event: the next one is of a new statement */
    struct my_map *maps[MY_MAP_BUCKETS];
    size_t nmaps;
    struct my_charsets charsets;
    struct mf_buf json;   /* the text of one document */
    struct mf_buf packed; /* one MariaDB event's decompressed part */
    struct mf_arena text; /* a statement made UTF-8 */
    struct my_payload *payload;
    struct {
        struct my_map *map; /* NULL: no rows event is open */
        enum my_rows_kind kind;
        bool partial, packed;
        struct mf_cursor in;
        const uint8_t *old_bits, *new_bits; /* the columns that the images have */
        uint16_t nold, nnew;                /* how many those are */
    } rows;
};

/* Little-endian reads, as bounded and sticky as mf_cursor's own. */
static inline uint64_t my_read_le(struct mf_cursor *r, unsigned width)
{
    const uint8_t *p = mf_read_bytes(r, width);
    uint64_t v = 0;
    for (unsigned i = 0; p && i < width; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}
static inline uint64_t my_read_be(struct mf_cursor *r, unsigned width)
{
    const uint8_t *p = mf_read_bytes(r, width);
    uint64_t v = 0;
    for (unsigned i = 0; p && i < width; i++) {
        v = v << 8 | p[i];
    }
    return v;
}
/* A "length-encoded integer"; the null of the protocol, 0xfb, is malformed here. */
static inline uint64_t my_read_lenenc(struct mf_cursor *r)
{
    uint8_t first = mf_read_u8(r);
    if (first < 0xfb) {
        return first;
    }
    if (first == 0xfb || first == 0xff) {
        r->failed = true;
        return 0;
    }
    return my_read_le(r, first == 0xfc ? 2 : first == 0xfd ? 3 : 8);
}
static inline bool my_bit(const uint8_t *bits, size_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

/* MFBINLOG: the bytes are not what the server wrote, or not understood. */
int my_binlog_bad(struct mf_error *err, const char *what);

int my_event_header(const uint8_t *bytes, size_t n, struct my_event *ret, struct mf_error *err);
/* An event without its checksum; my_event_header has been at it. */
int my_binlog_decode(struct my_binlog *d, const uint8_t *bytes, size_t n, struct my_event *ret, struct mf_error *err);

/* Each takes what follows the header. binlog_events.c */
int my_event_small(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, bool *ret_known,
                   struct mf_error *err);
/* A name of at most 255 bytes without a NUL in it. */
bool my_binlog_name(char *out, size_t size, const void *p, size_t n);
/* What follows the fixed part, whose length the format description tells; at least min bytes. */
int my_post_header(const struct my_binlog *d, uint8_t type, size_t min, struct mf_cursor *in, struct mf_cursor *ret,
                   struct mf_error *err);

/* binlog_query.c */
int my_event_query(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err);

/* binlog_map.c */
int my_event_map(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err);
struct my_map *my_map_find(const struct my_binlog *d, uint64_t id);
void my_maps_free(struct my_binlog *d);
/* binlog_told.c. MFSHAPE: what the map tells does not fit the columns. */
int my_map_check(struct my_binlog *d, const struct my_map *m, const struct my_col *cols, struct mf_error *err);

/* binlog_rows.c */
bool my_type_is_rows(uint8_t type);
int my_event_rows(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err);

/* binlog_packed.c */
int my_event_payload(struct my_binlog *d, struct mf_cursor *in, struct mf_error *err);
void my_payload_end(struct my_binlog *d);
void my_payload_free(struct my_binlog *d);
/* One column's bytes: a raw stream, or one with zlib's own frame; false when they do not become exactly `size`. */
bool my_inflate(const void *p, size_t n, bool raw, void *out, size_t size);
/* MariaDB's compressed part of an event: all that is left of `in` becomes a cursor over the decompressed bytes. */
int my_unpack(struct my_binlog *d, struct mf_cursor *in, struct mf_error *err);

#endif
