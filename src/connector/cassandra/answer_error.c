/* What a server's refusal tells, and the names of things. */
#include "connector/cassandra/answer_internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <strings.h>

static const char *const consistencies[] = {"ANY",          "ONE",         "TWO",    "THREE",        "QUORUM",   "ALL",
                                            "LOCAL_QUORUM", "EACH_QUORUM", "SERIAL", "LOCAL_SERIAL", "LOCAL_ONE"};

const char *cql_consistency_name(uint16_t c)
{
    return c < MF_ARRAY_LEN(consistencies) ? consistencies[c] : "?";
}

bool cql_consistency_of(const char *name, enum cql_consistency *ret)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(consistencies); i++) {
        if (strcasecmp(name, consistencies[i]) == 0) {
            *ret = (enum cql_consistency)i;
            return true;
        }
    }
    return false;
}

char *cql_inet_text(const struct cql_inet *a, char out[CQL_INET_TEXT])
{
    char address[INET6_ADDRSTRLEN] = "?";
    inet_ntop(a->len == 16 ? AF_INET6 : AF_INET, a->address, address, sizeof(address));
    int n = snprintf(out, CQL_INET_TEXT, a->len == 16 ? "[%s]" : "%s", address);
    if (a->port) {
        snprintf(out + n, CQL_INET_TEXT - (size_t)n, ":%d", a->port);
    }
    return out;
}

/* What a code is called, and whether the same request may do better later or on another node. */
static const struct {
    int32_t code;
    bool retry;
    const char *name;
} codes[] = {
    {CQL_E_SERVER, true, "server error"},
    {CQL_E_PROTOCOL, false, "protocol error"},
    {CQL_E_CREDENTIALS, false, "authentication failed"},
    {CQL_E_UNAVAILABLE, true, "not enough replicas are up"},
    {CQL_E_OVERLOADED, true, "overloaded"},
    {CQL_E_BOOTSTRAPPING, true, "the node is joining"},
    {CQL_E_TRUNCATE, true, "truncation failed"},
    {CQL_E_WRITE_TIMEOUT, true, "write timeout"},
    {CQL_E_READ_TIMEOUT, true, "read timeout"},
    {CQL_E_READ_FAILURE, true, "read failure"},
    {CQL_E_FUNCTION_FAILURE, false, "a function failed"},
    {CQL_E_WRITE_FAILURE, true, "write failure"},
    {CQL_E_CDC_WRITE_FAILURE, true, "the space for change data capture is full"},
    {CQL_E_CAS_WRITE_UNKNOWN, true, "outcome of a conditional write unknown"},
    {CQL_E_SYNTAX, false, "syntax error"},
    {CQL_E_UNAUTHORIZED, false, "permission denied"},
    {CQL_E_INVALID, false, "invalid request"},
    {CQL_E_CONFIG, false, "refused by the server's configuration"},
    {CQL_E_ALREADY_EXISTS, false, "already exists"},
    {CQL_E_UNPREPARED, true, "statement not prepared on this node"},
};

static size_t code_index(int32_t code)
{
    size_t i = 0;
    while (i < MF_ARRAY_LEN(codes) && codes[i].code != code) {
        i++;
    }
    return i;
}

const char *cql_error_name(int32_t code)
{
    size_t i = code_index(code);
    return i < MF_ARRAY_LEN(codes) ? codes[i].name : "error";
}

int cql_server_fail(struct mf_error *err, const struct cql_server_error *e)
{
    char code[16];
    size_t i = code_index(e->code);
    snprintf(code, sizeof(code), "0x%04x", (unsigned)e->code);
    mf_fail(err, i < MF_ARRAY_LEN(codes) && codes[i].retry ? MF_RETRY : MF_FATAL, code, "Cassandra: %s: %s",
            cql_error_name(e->code), e->message);
    return -1;
}

static enum cql_write_type write_type_of(const char *name)
{
    static const char *const names[] = {"",    "SIMPLE", "BATCH", "UNLOGGED_BATCH", "COUNTER", "BATCH_LOG",
                                        "CAS", "VIEW",   "CDC"};
    for (size_t i = 1; i < MF_ARRAY_LEN(names); i++) {
        if (mf_streq(name, names[i])) {
            return (enum cql_write_type)i;
        }
    }
    return CQL_WRITE_OTHER;
}

static void read_write_type(struct cql_in *in, struct cql_server_error *e)
{
    e->write_type_text = cql_in_string(in);
    e->write_type = write_type_of(e->write_type_text);
}

/* consistency, how many answered, how many were needed */
static void read_counts(struct cql_in *in, struct cql_server_error *e)
{
    e->consistency = mf_read_u16be(&in->c);
    e->got = (int32_t)mf_read_u32be(&in->c);
    e->required = (int32_t)mf_read_u32be(&in->c);
}

static void read_failures(struct cql_in *in, struct cql_server_error *e)
{
    int32_t n = (int32_t)mf_read_u32be(&in->c);
    if (in->version < 5) {
        e->nfailures = n;
        return;
    }
    if (n < 0 || (size_t)n > mf_cursor_left(&in->c) / 7) {
        in->c.failed = true;
        return;
    }
    struct cql_failure *list = cql_in_array(in, (size_t)n, sizeof(*list));
    for (int32_t i = 0; list && i < n; i++) {
        cql_in_address(in, &list[i].at);
        list[i].reason = mf_read_u16be(&in->c);
    }
    e->failures = list;
    e->nfailures = list ? n : 0;
}

void cql_in_error(struct cql_in *in, struct cql_server_error *e)
{
    e->code = (int32_t)mf_read_u32be(&in->c);
    e->message = cql_in_sentence(in);
    e->write_type_text = e->keyspace = e->object = "";
    switch (e->code) {
    case CQL_E_UNAVAILABLE:
        e->consistency = mf_read_u16be(&in->c);
        e->required = (int32_t)mf_read_u32be(&in->c);
        e->got = (int32_t)mf_read_u32be(&in->c);
        break;
    case CQL_E_WRITE_TIMEOUT:
        read_counts(in, e);
        read_write_type(in, e);
        if (e->write_type == CQL_WRITE_CAS && mf_cursor_left(&in->c) >= 2) {
            e->contentions = mf_read_u16be(&in->c);
        }
        break;
    case CQL_E_READ_TIMEOUT:
        read_counts(in, e);
        e->data_present = mf_read_u8(&in->c) != 0;
        break;
    case CQL_E_READ_FAILURE:
        read_counts(in, e);
        read_failures(in, e);
        e->data_present = mf_read_u8(&in->c) != 0;
        break;
    case CQL_E_WRITE_FAILURE:
        read_counts(in, e);
        read_failures(in, e);
        read_write_type(in, e);
        break;
    case CQL_E_CAS_WRITE_UNKNOWN:
        read_counts(in, e);
        break;
    case CQL_E_FUNCTION_FAILURE:
        e->keyspace = cql_in_string(in);
        e->object = cql_in_string(in);
        e->arguments = cql_in_strings(in, &e->narguments, cql_in_string);
        break;
    case CQL_E_ALREADY_EXISTS:
        e->keyspace = cql_in_string(in);
        e->object = cql_in_string(in);
        break;
    case CQL_E_UNPREPARED:
        e->id = cql_in_short_bytes(in);
        break;
    default:
        break;
    }
}
