/* The forms of GTID sets: as text, and as COM_BINLOG_DUMP_GTID takes them. See gtid.h. */
#include "connector/mysql/gtid_internal.h"

#include "base/str.h"

#include <inttypes.h>
#include <string.h>

/* ---- reading texts ---- */

static void skip_space(const char **p)
{
    *p += strspn(*p, " \t\r\n");
}

static bool take(const char **p, char c)
{
    skip_space(p);
    if (**p != c) {
        return false;
    }
    ++*p;
    skip_space(p);
    return true;
}

static bool take_number(const char **p, uint64_t max, uint64_t *ret)
{
    const char *from = *p;
    uint64_t v = 0;
    for (; **p >= '0' && **p <= '9'; ++*p) {
        uint64_t digit = (uint64_t)(**p - '0');
        if (v > (max - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *ret = v;
    return *p > from;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool take_uuid(const char **p, uint8_t ret[16])
{
    const char *at = *p;
    for (size_t i = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *at++ != '-') {
            return false;
        }
        int high = hex_digit(at[0]), low = high < 0 ? -1 : hex_digit(at[1]);
        if (low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *p = at;
    return true;
}

/* A letter or _, then digits too; in small letters, as servers compare it. False when there is none, or it is too long. */
static bool take_tag(const char **p, char ret[MY_GTID_TAG])
{
    size_t n = 0;
    for (const char *at = *p;; at++) {
        char c = *at >= 'A' && *at <= 'Z' ? (char)(*at | 32) : *at;
        if (!(c >= 'a' && c <= 'z') && c != '_' && !(n > 0 && c >= '0' && c <= '9')) {
            ret[n] = 0;
            *p = at;
            return n > 0;
        }
        if (n + 1 == MY_GTID_TAG) {
            return false;
        }
        ret[n++] = c;
    }
}

static bool take_interval(struct my_gtid_server *v, const char **p)
{
    uint64_t from, to;
    if (!take_number(p, MY_GTID_MAX, &from) || from == 0) {
        return false;
    }
    to = from;
    if (take(p, '-') && (!take_number(p, MY_GTID_MAX, &to) || to < from)) {
        return false;
    }
    my_gtid_add_interval(v, from, to + 1);
    return true;
}

/* "uuid:1-5:7:tag:1-3": a tag is that of the numbers behind it. */
static bool take_server(struct my_gtid_set *s, const char **p)
{
    uint8_t uuid[16];
    char tag[MY_GTID_TAG] = "";
    if (!take_uuid(p, uuid) || !take(p, ':')) {
        return false;
    }
    do {
        if (!(**p >= '0' && **p <= '9') && (!take_tag(p, tag) || !take(p, ':'))) {
            return false;
        }
        if (!take_interval(my_gtid_server_of(s, uuid, tag), p)) {
            return false;
        }
    } while (take(p, ':'));
    return true;
}

/* "0-1-42" */
static bool take_domain(struct my_gtid_set *s, const char **p)
{
    uint64_t id, server, last;
    if (!take_number(p, UINT32_MAX, &id) || !take(p, '-') || !take_number(p, UINT32_MAX, &server) || !take(p, '-') ||
        !take_number(p, UINT64_MAX, &last)) {
        return false;
    }
    my_gtid_add_domain(s, (struct my_gtid_domain){.id = (uint32_t)id, .server = (uint32_t)server, .last = last});
    return true;
}

int my_gtid_set_parse(struct my_gtid_set *s, const char *text, struct mf_error *err)
{
    const char *p = text;
    skip_space(&p);
    if (!*p) {
        return 0;
    }
    do {
        if (!(s->mariadb ? take_domain(s, &p) : take_server(s, &p))) {
            goto malformed;
        }
    } while (take(&p, ','));
    if (!*p) {
        return 0;
    }
malformed:
    return mf_fail(err, MF_FATAL, "MFGTID", "\"%.200s\" is not a GTID set%s: not understood from \"%.40s\" on", text,
                   s->mariadb ? " of MariaDB" : "", p);
}

bool my_gtid_parse(const char *text, bool mariadb, struct my_gtid *ret)
{
    struct my_gtid_set *s = my_gtid_set_new(mariadb);
    struct mf_error ignored = {0};
    bool one = my_gtid_set_parse(s, text, &ignored) == 0 && s->n == 1 && (mariadb || s->servers[0].n == 1);
    if (one && mariadb) {
        my_gtid_set_last(s, s->domains[0].id, ret);
    } else if (one) {
        const struct my_gtid_server *v = &s->servers[0];
        *ret = (struct my_gtid){.number = v->in[0].from};
        memcpy(ret->uuid, v->uuid, sizeof ret->uuid);
        mf_strlcpy(ret->tag, v->tag, sizeof ret->tag);
        one = v->in[0].to == v->in[0].from + 1;
    }
    my_gtid_set_free(s);
    return one;
}

/* ---- writing them ---- */

static void print_uuid(const uint8_t uuid[16], struct mf_buf *out)
{
    for (size_t i = 0; i < 16; i++) {
        mf_buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    }
}

void my_gtid_print(const struct my_gtid *g, struct mf_buf *out)
{
    if (g->mariadb) {
        mf_buf_printf(out, "%" PRIu32 "-%" PRIu32 "-%" PRIu64, g->domain, g->server, g->number);
        return;
    }
    print_uuid(g->uuid, out);
    mf_buf_printf(out, "%s%s:%" PRIu64, g->tag[0] ? ":" : "", g->tag, g->number);
}

static bool same_uuid(const struct my_gtid_set *s, size_t i)
{
    return i > 0 && memcmp(s->servers[i - 1].uuid, s->servers[i].uuid, 16) == 0;
}

/* The numbers without a tag come first, and the tags of one server follow each other. */
static void print_server(const struct my_gtid_set *s, size_t at, struct mf_buf *out)
{
    const struct my_gtid_server *v = &s->servers[at];
    if (!same_uuid(s, at)) {
        print_uuid(v->uuid, out);
    }
    mf_buf_printf(out, "%s%s", v->tag[0] ? ":" : "", v->tag);
    for (size_t i = 0; i < v->n; i++) {
        mf_buf_printf(out, ":%" PRIu64, v->in[i].from);
        if (v->in[i].to > v->in[i].from + 1) {
            mf_buf_printf(out, "-%" PRIu64, v->in[i].to - 1);
        }
    }
}

void my_gtid_set_print(const struct my_gtid_set *s, struct mf_buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        mf_buf_puts(out, i && (s->mariadb || !same_uuid(s, i)) ? "," : "");
        if (s->mariadb) {
            mf_buf_printf(out, "%" PRIu32 "-%" PRIu32 "-%" PRIu64, s->domains[i].id, s->domains[i].server,
                          s->domains[i].last);
        } else {
            print_server(s, i, out);
        }
    }
}

static void put_u64le(struct mf_buf *out, uint64_t v)
{
    uint8_t b[8];
    mf_put_u64le(b, v);
    mf_buf_append(out, b, sizeof b);
}

#define WITH_TAGS 1

/* How many servers; where one has a tag, that number is a byte higher up, between two marks, and each has its tag, its length (doubled) before it. */
void my_gtid_set_encode(const struct my_gtid_set *s, struct mf_buf *out)
{
    bool tags = false;
    for (size_t i = 0; !s->mariadb && i < s->n; i++) {
        tags |= s->servers[i].tag[0] != 0;
    }
    uint64_t n = s->mariadb ? 0 : s->n;
    put_u64le(out, tags ? (uint64_t)WITH_TAGS << 56 | n << 8 | WITH_TAGS : n);
    for (size_t i = 0; i < n; i++) {
        const struct my_gtid_server *v = &s->servers[i];
        mf_buf_append(out, v->uuid, sizeof v->uuid);
        if (tags) {
            mf_buf_put_u8(out, (uint8_t)(strlen(v->tag) << 1));
            mf_buf_puts(out, v->tag);
        }
        put_u64le(out, v->n);
        for (size_t k = 0; k < v->n; k++) {
            put_u64le(out, v->in[k].from);
            put_u64le(out, v->in[k].to);
        }
    }
}
