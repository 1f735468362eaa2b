/* Reading the parts of an answer: what is short or malformed makes the cursor fail, a full arena is remembered apart. */
#ifndef MF_CONNECTOR_CASSANDRA_ANSWER_INTERNAL_H
#define MF_CONNECTOR_CASSANDRA_ANSWER_INTERNAL_H

#include "connector/cassandra/message.h"

struct cql_in {
    struct mf_cursor c;
    struct mf_arena *arena;
    bool full;
    uint8_t version;
};

/* All return something that may be used (0, "", an empty array) after a failure too. */
void *cql_in_array(struct cql_in *in, size_t n, size_t each);
/* UTF-8 without a NUL. */
const char *cql_in_string(struct cql_in *in);
/* A sentence for people: whatever is no such text becomes '?'. */
const char *cql_in_sentence(struct cql_in *in);
const char *const *cql_in_strings(struct cql_in *in, uint16_t *ret_n, const char *(*one)(struct cql_in *));
struct cql_bytes cql_in_bytes(struct cql_in *in); /* p NULL and n -1 where it is null */
struct cql_bytes cql_in_short_bytes(struct cql_in *in);
void cql_in_address(struct cql_in *in, struct cql_inet *ret); /* without a port */

void cql_in_error(struct cql_in *in, struct cql_server_error *ret);

#endif
