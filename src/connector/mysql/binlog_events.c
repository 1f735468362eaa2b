/* The small events of the binary log: see binlog_internal.h. */
#include "base/str.h"
#include "connector/mysql/binlog_internal.h"

#include <stdio.h>
#include <string.h>

bool my_binlog_name(char *out, size_t size, const void *p, size_t n)
{
    if (!p || n >= size || memchr(p, 0, n)) {
        return false;
    }
    memcpy(out, p, n);
    out[n] = '\0';
    return true;
}

/* The name of a file, to the end. */
static int file_name(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    size_t n = mf_cursor_left(in);
    const void *p = mf_read_bytes(in, n);
    return n && my_binlog_name(e->rotate.file, sizeof(e->rotate.file), p, n)
               ? 0
               : my_binlog_bad(err, "a file without a name");
}

static int rotate(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    struct mf_cursor fixed;
    if (my_post_header(d, e->type, 8, in, &fixed, err) < 0) {
        return -1;
    }
    e->kind = MY_EV_ROTATE;
    e->rotate.position = my_read_le(&fixed, 8);
    return file_name(in, e, err);
}

static int heartbeat(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    e->kind = MY_EV_HEARTBEAT;
    e->rotate.position = e->next_position;
    return file_name(in, e, err);
}

/* Fields of type, length and value: 1 the file, 2 the position; 0 ends them. */
static int heartbeat_v2(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    e->kind = MY_EV_HEARTBEAT;
    while (mf_cursor_left(in)) {
        uint64_t field = my_read_lenenc(in);
        if (field == 0) {
            break;
        }
        uint64_t n = my_read_lenenc(in);
        struct mf_cursor value;
        const void *p = n <= mf_cursor_left(in) ? mf_read_bytes(in, (size_t)n) : NULL;
        if (!p) {
            return my_binlog_bad(err, "a heartbeat that ends early");
        }
        mf_cursor_init(&value, p, (size_t)n);
        if (field == 1 && file_name(&value, e, err) < 0) {
            return -1;
        }
        if (field == 2) {
            e->rotate.position = my_read_lenenc(&value);
        }
    }
    return e->rotate.file[0] ? 0 : my_binlog_bad(err, "a heartbeat without a file");
}

/* Behind the GTID: the kind of what follows (2: two numbers of the log), those, and in MySQL 8.0 when it was committed, here and, where that is another
 * time, first. */
#define LOGICAL_CLOCK 2
#define ANOTHER       (UINT64_C(1) << 55)
static uint64_t commit_time(struct mf_cursor *in)
{
    if (mf_cursor_left(in) < 1 + 8 + 8 + 7 || mf_read_u8(in) != LOGICAL_CLOCK) {
        return 0;
    }
    mf_read_bytes(in, 8 + 8);
    uint64_t here = my_read_le(in, 7);
    if (!(here & ANOTHER)) {
        return here;
    }
    uint64_t first = my_read_le(in, 7);
    return in->failed ? 0 : first;
}

static int gtid(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    mf_read_u8(in); /* flags */
    const void *uuid = mf_read_bytes(in, sizeof(e->gtid.uuid));
    e->kind = MY_EV_GTID;
    e->gtid.number = my_read_le(in, 8);
    e->gtid.anonymous = e->type == MY_TYPE_ANONYMOUS_GTID;
    if (in->failed || (!e->gtid.anonymous && (e->gtid.number == 0 || e->gtid.number > INT64_MAX))) {
        return my_binlog_bad(err, "a GTID that is none");
    }
    memcpy(e->gtid.uuid, uuid, sizeof(e->gtid.uuid));
    e->commit_us = commit_time(in);
    return 0;
}

/* An integer of the newer events: as many bytes follow the first as that has ones at its low end, then a zero. */
static uint64_t read_variable(struct mf_cursor *in)
{
    uint8_t first = mf_read_u8(in);
    unsigned more = 0;
    while (more < 8 && first >> more & 1) {
        more++;
    }
    uint64_t v = my_read_le(in, more);
    return more == 8 ? v : v << (7 - more) | (uint64_t)first >> (more + 1);
}

/* A letter or _, then digits too. */
static bool read_tag(struct mf_cursor *in, char *out)
{
    uint64_t n = read_variable(in);
    const char *p = n < MY_GTID_TAG ? mf_read_bytes(in, (size_t)n) : NULL;
    if (!p || (n > 0 && p[0] >= '0' && p[0] <= '9')) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!(p[i] >= 'a' && p[i] <= 'z') && p[i] != '_' && !(p[i] >= '0' && p[i] <= '9')) {
            return false;
        }
    }
    memcpy(out, p, (size_t)n);
    return true;
}

/* Fields by their numbers, growing; one that is left out is zero. What comes behind the tag (times, lengths) is nothing to us, unless the server says
 * that a field must be known which is not. */
static bool tagged_fields(struct mf_cursor *in, struct my_gtid *g)
{
    enum { FLAGS, UUID, NUMBER, TAG, KNOWN = 11 };
    uint64_t version = read_variable(in), size = read_variable(in), must = read_variable(in), number = 0;
    bool tag = true;
    if (version != 1 || size == 0 || must > KNOWN) {
        return false;
    }
    while (tag && !in->failed && mf_cursor_left(in)) {
        switch (read_variable(in)) {
        case FLAGS:
            read_variable(in);
            break;
        case UUID:
            for (size_t i = 0; i < sizeof(g->uuid); i++) {
                uint64_t v = read_variable(in);
                in->failed |= v > UINT8_MAX;
                g->uuid[i] = (uint8_t)v;
            }
            break;
        case NUMBER:
            number = read_variable(in); /* its sign is the lowest bit */
            g->number = number & 1 ? 0 : number >> 1;
            break;
        case TAG:
            tag = read_tag(in, g->tag);
            break;
        default:
            return !in->failed;
        }
    }
    return tag && !in->failed;
}

static int gtid_tagged(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    e->kind = MY_EV_GTID;
    bool read = tagged_fields(in, &e->gtid);
    return !read || e->gtid.number == 0 || e->gtid.number > INT64_MAX
               ? my_binlog_bad(err, "a GTID with a tag, of another form than is known")
               : 0;
}

static int gtid_mariadb(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    e->kind = MY_EV_GTID;
    e->gtid.mariadb = true;
    e->gtid.number = my_read_le(in, 8);
    e->gtid.domain = (uint32_t)my_read_le(in, 4);
    e->gtid.server = e->server_id;
    e->gtid.standalone = mf_read_u8(in) & 1;
    return in->failed || e->gtid.number == 0 ? my_binlog_bad(err, "a GTID that is none") : 0;
}

/* As XA RECOVER CONVERT XID and XA COMMIT know it: x'gtrid',x'bqual',format. */
static int xa_prepare(struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    e->kind = MY_EV_XA_PREPARE;
    e->xa.one_phase = mf_read_u8(in) != 0;
    uint32_t format = (uint32_t)my_read_le(in, 4);
    size_t ngtrid = (size_t)my_read_le(in, 4), nbqual = (size_t)my_read_le(in, 4);
    const uint8_t *p = ngtrid <= 64 && nbqual <= 64 ? mf_read_bytes(in, ngtrid + nbqual) : NULL;
    if (!p) {
        return my_binlog_bad(err, "an XA transaction without an identity");
    }
    char *out = e->xa.id, *end = out + sizeof(e->xa.id);
    out += snprintf(out, (size_t)(end - out), "x'");
    for (size_t i = 0; i < ngtrid + nbqual; i++) {
        out += snprintf(out, (size_t)(end - out), i == ngtrid ? "',x'%02x" : "%02x", p[i]);
    }
    snprintf(out, (size_t)(end - out), nbqual ? "',%u" : "',x'',%u", format);
    return 0;
}

static int incident(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    struct mf_cursor fixed;
    if (my_post_header(d, e->type, 2, in, &fixed, err) < 0) {
        return -1;
    }
    e->kind = MY_EV_INCIDENT;
    size_t n = mf_read_u8(in);
    const char *p = mf_read_bytes(in, n);
    snprintf(e->incident.message, sizeof(e->incident.message), "%.*s", p ? (int)n : 0, p ? p : "");
    return 0;
}

/* Those that tell nothing, and those of statements: LOAD DATA's files, INTVAR, RAND, USER_VAR. */
static int other(struct my_event *e, bool *ret_known)
{
    switch (e->type) {
    case MY_TYPE_STOP:
        e->kind = MY_EV_STOP;
        return 0;
    case MY_TYPE_XID:
        e->kind = MY_EV_XID;
        return 0;
    case 5: /* INTVAR */
    case 6: /* LOAD */
    case 8: /* CREATE_FILE and what belongs to it */
    case 9:
    case 10:
    case 11:
    case 12: /* NEW_LOAD */
    case 13: /* RAND */
    case 14: /* USER_VAR */
    case 17: /* BEGIN_LOAD_QUERY, EXECUTE_LOAD_QUERY */
    case 18:
        e->kind = MY_EV_INTVAR_OR_LIKE;
        return 0;
    case MY_TYPE_IGNORABLE:
    case MY_TYPE_ROWS_QUERY:
    case MY_TYPE_PREVIOUS_GTIDS:
    case MY_TYPE_TRANSACTION_CONTEXT:
    case MY_TYPE_VIEW_CHANGE:
    case MY_TYPE_MARIA_ANNOTATE:
    case MY_TYPE_MARIA_CHECKPOINT:
    case MY_TYPE_MARIA_GTID_LIST:
    case MY_TYPE_MARIA_ENCRYPTION:
        return 0;
    default:
        *ret_known = false;
        return 0;
    }
}

int my_event_small(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, bool *ret_known, struct mf_error *err)
{
    switch (e->type) {
    case MY_TYPE_ROTATE:
        return rotate(d, in, e, err);
    case MY_TYPE_HEARTBEAT:
        return heartbeat(in, e, err);
    case MY_TYPE_HEARTBEAT_V2:
        return heartbeat_v2(in, e, err);
    case MY_TYPE_GTID:
    case MY_TYPE_ANONYMOUS_GTID:
        return gtid(in, e, err);
    case MY_TYPE_GTID_TAGGED:
        return gtid_tagged(in, e, err);
    case MY_TYPE_MARIA_GTID:
        return gtid_mariadb(in, e, err);
    case MY_TYPE_QUERY:
    case MY_TYPE_MARIA_QUERY_PACKED:
        return my_event_query(d, in, e, err);
    case MY_TYPE_XA_PREPARE:
        return xa_prepare(in, e, err);
    case MY_TYPE_INCIDENT:
        return incident(d, in, e, err);
    default:
        return other(e, ret_known);
    }
}
