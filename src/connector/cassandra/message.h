/*
 * The messages of CQL's native protocol, versions 5 and 4: requests into frames, frames into answers. Pure; fuzzed
 * (tests/fuzz/fuzz_cql_message.c).
 *
 * Values travel encoded: what cqlvalue.h writes is one "[value]", a length and that many bytes, and a request takes a run of them as it stands, so that a
 * row's values are written once. cql_put_null and cql_put_unset write the two values without bytes.
 *
 * An answer is views of the frame's body and arrays in an arena: good while both are. Every length in it is checked; strings are UTF-8 without a NUL
 * and end with one. What is malformed is MF_RETRY, code MFPROTO: the connection is to be given up.
 */
#ifndef MF_CONNECTOR_CASSANDRA_MESSAGE_H
#define MF_CONNECTOR_CASSANDRA_MESSAGE_H

#include "base/arena.h"
#include "connector/cassandra/cqlvalue.h"
#include "connector/cassandra/frame.h"

enum cql_consistency {
    CQL_ANY = 0,
    CQL_ONE = 1,
    CQL_TWO = 2,
    CQL_THREE = 3,
    CQL_QUORUM = 4,
    CQL_ALL = 5,
    CQL_LOCAL_QUORUM = 6,
    CQL_EACH_QUORUM = 7,
    CQL_SERIAL = 8,
    CQL_LOCAL_SERIAL = 9,
    CQL_LOCAL_ONE = 10,
};
/* "LOCAL_QUORUM"; "?" for a number that is none. */
const char *cql_consistency_name(uint16_t c);
/* By its name, in any case. False when it is none. */
bool cql_consistency_of(const char *name, enum cql_consistency *ret);

/* ---- requests: each appends one frame (cql_frame_begin … cql_frame_end) and fails as cql_frame_end does -- */

/* n values one behind the other, encoded. With names (never in a batch) each is preceded by its name as cql_put_string writes it. */
struct cql_values {
    const uint8_t *p;
    size_t len;
    uint16_t n;
};

#define CQL_LEN_NULL  (-1)
#define CQL_LEN_UNSET (-2) /* leave what is there: no tombstone */

int cql_put_bytes(struct mf_buf *b, const void *p, size_t n); /* [bytes] */
int cql_put_null(struct mf_buf *b);
int cql_put_unset(struct mf_buf *b);
int cql_put_string(struct mf_buf *b, const char *s); /* [string]; one longer than 65535 bytes marks b failed */
/* Bytes of value i of an encoded run without names. False when there is no such value. n < 0: CQL_LEN_*. */
bool cql_values_at(const struct cql_values *v, uint16_t i, struct cql_bytes *ret);

struct cql_params {
    enum cql_consistency consistency;
    enum cql_consistency serial; /* CQL_SERIAL, CQL_LOCAL_SERIAL; 0: not said */
    struct cql_values values;
    bool named;                    /* values have names */
    bool skip_metadata;            /* EXECUTE: the answer's columns are those of PREPARE */
    int32_t page_size;             /* 0: all rows in one answer */
    struct cql_bytes paging_state; /* p NULL: the first page */
    bool has_timestamp;            /* for what has no USING TIMESTAMP of its own */
    int64_t timestamp;             /* microseconds since 1970 */
    const char *keyspace;          /* version 5; NULL: the connection's */
};

/* compression: "lz4" or NULL. */
int cql_put_startup(struct mf_buf *b, uint8_t version, int16_t stream, const char *compression, const char *driver,
                    struct mf_error *err);
int cql_put_options(struct mf_buf *b, uint8_t version, int16_t stream, struct mf_error *err);
/* The token, as it is. For SASL PLAIN: NUL user NUL password. */
int cql_put_auth_response(struct mf_buf *b, uint8_t version, int16_t stream, const void *token, size_t n,
                          struct mf_error *err);
enum cql_event_bit { CQL_ON_TOPOLOGY = 1, CQL_ON_STATUS = 2, CQL_ON_SCHEMA = 4 };
int cql_put_register(struct mf_buf *b, uint8_t version, int16_t stream, unsigned events, struct mf_error *err);
int cql_put_query(struct mf_buf *b, uint8_t version, int16_t stream, const char *cql, const struct cql_params *p,
                  struct mf_error *err);
/* keyspace: version 5; NULL: the connection's. */
int cql_put_prepare(struct mf_buf *b, uint8_t version, int16_t stream, const char *cql, const char *keyspace,
                    struct mf_error *err);
/* result_id: of cql_prepared, version 5. */
int cql_put_execute(struct mf_buf *b, uint8_t version, int16_t stream, struct cql_bytes id, struct cql_bytes result_id,
                    const struct cql_params *p, struct mf_error *err);

enum cql_batch_type { CQL_BATCH_LOGGED = 0, CQL_BATCH_UNLOGGED = 1, CQL_BATCH_COUNTER = 2 };
struct cql_batch_item {
    struct cql_bytes id; /* prepared; p NULL: cql */
    const char *cql;
    struct cql_values values;
};
/* Of p counts consistency, serial, timestamp, keyspace. */
int cql_put_batch(struct mf_buf *b, uint8_t version, int16_t stream, enum cql_batch_type type,
                  const struct cql_batch_item *items, uint16_t n, const struct cql_params *p, struct mf_error *err);

/* ---- answers -- */

enum cql_error_code {
    CQL_E_SERVER = 0x0000,
    CQL_E_PROTOCOL = 0x000a,
    CQL_E_CREDENTIALS = 0x0100,
    CQL_E_UNAVAILABLE = 0x1000,
    CQL_E_OVERLOADED = 0x1001,
    CQL_E_BOOTSTRAPPING = 0x1002,
    CQL_E_TRUNCATE = 0x1003,
    CQL_E_WRITE_TIMEOUT = 0x1100,
    CQL_E_READ_TIMEOUT = 0x1200,
    CQL_E_READ_FAILURE = 0x1300,
    CQL_E_FUNCTION_FAILURE = 0x1400,
    CQL_E_WRITE_FAILURE = 0x1500,
    CQL_E_CDC_WRITE_FAILURE = 0x1600,
    CQL_E_CAS_WRITE_UNKNOWN = 0x1700,
    CQL_E_SYNTAX = 0x2000,
    CQL_E_UNAUTHORIZED = 0x2100,
    CQL_E_INVALID = 0x2200,
    CQL_E_CONFIG = 0x2300,
    CQL_E_ALREADY_EXISTS = 0x2400,
    CQL_E_UNPREPARED = 0x2500,
};
/* "write timeout"; "error" for a code that is not known. */
const char *cql_error_name(int32_t code);

enum cql_write_type {
    CQL_WRITE_OTHER, /* a word that is not known */
    CQL_WRITE_SIMPLE,
    CQL_WRITE_BATCH,
    CQL_WRITE_UNLOGGED_BATCH,
    CQL_WRITE_COUNTER,
    CQL_WRITE_BATCH_LOG,
    CQL_WRITE_CAS,
    CQL_WRITE_VIEW,
    CQL_WRITE_CDC,
};

struct cql_inet {
    uint8_t len; /* 4 or 16 */
    uint8_t address[16];
    int32_t port; /* 0 where the protocol sends none */
};
#define CQL_INET_TEXT 64
/* "127.0.0.1", "[::1]" and, where port is not 0, ":9042". Returns out. */
char *cql_inet_text(const struct cql_inet *a, char out[CQL_INET_TEXT]);

struct cql_failure {
    struct cql_inet at;
    uint16_t reason; /* 0 unknown, 1 too many tombstones, 2 timeout, … */
};

/* Fields that a code does not have are zero. A server that sends a known code without them is malformed. */
struct cql_server_error {
    int32_t code;
    const char *message;
    uint16_t consistency;
    int32_t required; /* nodes that were needed: unavailable's "required", others' "block for" */
    int32_t got;      /* nodes that were there: unavailable's "alive", others' "received" */
    enum cql_write_type write_type;
    const char *write_type_text;
    bool data_present;
    uint16_t contentions; /* write timeout of CAS */
    int32_t nfailures;    /* version 4: the number alone, failures NULL */
    const struct cql_failure *failures;
    const char *keyspace, *object; /* already exists: table ("" for a keyspace); function failure: the function */
    uint16_t narguments;
    const char *const *arguments;
    struct cql_bytes id; /* unprepared */
};
/* Nodes too few or busy (unavailable, overloaded, bootstrapping, timeouts, failures of reads and writes): MF_RETRY; else MF_FATAL. The code is
 * "0x1100", the text has the server's own. Does not know which object it was: mf_error_prefix. Always -1. */
int cql_server_fail(struct mf_error *err, const struct cql_server_error *e);

struct cql_column {
    const char *keyspace, *table, *name;
    const struct cql_type *type;
};
struct cql_columns {
    bool none;    /* the answer has no metadata: the columns are those of PREPARE; columns is NULL, n counts them */
    bool changed; /* version 5: the statement's columns are others now; result_id is the new one */
    struct cql_bytes result_id;
    struct cql_bytes paging_state; /* p not NULL: there are more pages */
    int32_t n;
    const struct cql_column *columns;
};

enum cql_result_kind { CQL_VOID = 1, CQL_ROWS = 2, CQL_SET_KEYSPACE = 3, CQL_PREPARED = 4, CQL_SCHEMA_CHANGE = 5 };

struct cql_rows {
    struct cql_columns columns;
    int32_t nrows;
    int32_t left; /* not yet handed out */
    struct mf_cursor at;
};
/* 1: the next row, n = columns.n values into cells (n < 0: NULL); 0: there is none; -1: malformed, and from then on always. ncells is the room of cells:
 * fewer than columns.n is MFBUG. */
int cql_rows_next(struct cql_rows *r, struct cql_bytes *cells, int32_t ncells, struct mf_error *err);

struct cql_prepared {
    struct cql_bytes id;
    struct cql_bytes result_id; /* version 5 */
    struct cql_columns binds;   /* of the markers */
    uint16_t npk;               /* 0: the partition key is not all bound */
    const uint16_t *pk;         /* which markers the partition key is, in its order */
    struct cql_columns result;
};

struct cql_schema_change {
    const char *change; /* CREATED, UPDATED, DROPPED */
    const char *target; /* KEYSPACE, TABLE, TYPE, FUNCTION, AGGREGATE */
    const char *keyspace;
    const char *object; /* "" for a keyspace */
    uint16_t narguments;
    const char *const *arguments;
};

struct cql_event {
    enum cql_event_bit kind;
    const char *change; /* NEW_NODE, REMOVED_NODE, MOVED_NODE; UP, DOWN */
    struct cql_inet node;
    struct cql_schema_change schema;
};

struct cql_supported {
    uint16_t n;
    const char **keys;
    const char *const **values; /* each ended by NULL */
};
/* The values of a key ("COMPRESSION", "CQL_VERSION", "PROTOCOL_VERSIONS"), ended by NULL; NULL when it is not there. */
const char *const *cql_supported_values(const struct cql_supported *s, const char *key);

struct cql_answer {
    enum cql_opcode opcode;
    int16_t stream;
    const uint8_t *trace; /* 16 bytes, or NULL */
    uint16_t nwarnings;
    const char *const *warnings;
    enum cql_result_kind result; /* opcode RESULT */
    union {
        struct cql_server_error error;
        struct cql_supported supported;
        const char *authenticator; /* AUTHENTICATE: class name */
        struct cql_bytes token;    /* AUTH_CHALLENGE, AUTH_SUCCESS */
        struct cql_event event;
        struct cql_rows rows;
        const char *keyspace; /* SET_KEYSPACE */
        struct cql_prepared prepared;
        struct cql_schema_change schema;
    };
};

/* Any answer. A full arena is MF_FATAL, MFBIG. */
int cql_answer_read(const struct cql_frame *f, struct mf_arena *arena, struct cql_answer *ret, struct mf_error *err);

#endif
