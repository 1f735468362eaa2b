/*
 * Sets of transactions: see gtid.h.
 *
 * MySQL's is, for each server that ever wrote and each tag it wrote under, a sorted list of intervals that neither touch nor overlap: so two sets are
 * equal exactly when they print the same, and counting is adding lengths. MariaDB's is one transaction for each domain, the last, and everything before it.
 *
 * That MariaDB's set means "everything before it" holds as long as numbers only grow within a domain. A server sees to that for what it writes
 * itself; check_source asks for gtid_strict_mode where it is a replica too.
 */
#include "connector/mysql/gtid.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX ((uint64_t)INT64_MAX - 1) /* the server's own bound, and an end after it still fits */

struct interval {
    uint64_t from, to; /* to is the first that is not in it */
};

struct server { /* one that wrote transactions, under one tag: each tag has numbers of its own */
    uint8_t uuid[16];
    char tag[MY_GTID_TAG]; /* "": none */
    struct interval *in;
    size_t n, cap;
};

struct domain {
    uint32_t id, server;
    uint64_t last;
};

struct my_gtid_set {
    bool mariadb;
    size_t n, cap; /* of servers, sorted by uuid and tag; or of domains, sorted by id */
    struct server *servers;
    struct domain *domains;
};

struct my_gtid_set *my_gtid_set_new(bool mariadb)
{
    struct my_gtid_set *s = mf_xcalloc(1, sizeof *s);
    s->mariadb = mariadb;
    return s;
}

void my_gtid_set_free(struct my_gtid_set *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; s->servers && i < s->n; i++) {
        free(s->servers[i].in);
    }
    free(s->servers);
    free(s->domains);
    free(s);
}

/* ---- servers and their intervals ---- */

/* The place of a uuid, or where it belongs. */
static int compare_server(const struct server *v, const uint8_t uuid[16], const char *tag)
{
    int rc = memcmp(v->uuid, uuid, 16);
    return rc ? rc : strcmp(v->tag, tag);
}

static size_t server_place(const struct my_gtid_set *s, const uint8_t uuid[16], const char *tag, bool *ret_found)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (compare_server(&s->servers[mid], uuid, tag) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *ret_found = low < s->n && compare_server(&s->servers[low], uuid, tag) == 0;
    return low;
}

static struct server *server_of(struct my_gtid_set *s, const uint8_t uuid[16], const char *tag)
{
    bool found;
    size_t at = server_place(s, uuid, tag, &found);
    if (found) {
        return &s->servers[at];
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->servers = mf_xreallocarray(s->servers, s->cap, sizeof *s->servers);
    }
    memmove(&s->servers[at + 1], &s->servers[at], (s->n - at) * sizeof *s->servers);
    s->n++;
    s->servers[at] = (struct server){0};
    memcpy(s->servers[at].uuid, uuid, 16);
    mf_strlcpy(s->servers[at].tag, tag, sizeof s->servers[at].tag);
    return &s->servers[at];
}

/* The first interval that ends at or after `number`: the only one that may hold it or be lengthened by it. Most often it is the last. */
static size_t interval_place(const struct server *v, uint64_t number)
{
    size_t low = 0, high = v->n;
    if (v->n > 0 && v->in[v->n - 1].from <= number) {
        return v->in[v->n - 1].to >= number ? v->n - 1 : v->n;
    }
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (v->in[mid].to < number) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool has_interval(const struct server *v, uint64_t from, uint64_t to)
{
    size_t at = interval_place(v, from);
    at += at < v->n && v->in[at].to == from;
    return at < v->n && v->in[at].from <= from && v->in[at].to >= to;
}

/* Joins [from, to) with whatever it overlaps or touches. */
static void add_interval(struct server *v, uint64_t from, uint64_t to)
{
    size_t at = interval_place(v, from), end = at;
    while (end < v->n && v->in[end].from <= to) {
        from = v->in[end].from < from ? v->in[end].from : from;
        to = v->in[end].to > to ? v->in[end].to : to;
        end++;
    }
    if (end == at) {
        if (v->n == v->cap) {
            v->cap = v->cap ? v->cap * 2 : 2;
            v->in = mf_xreallocarray(v->in, v->cap, sizeof *v->in);
        }
        memmove(&v->in[at + 1], &v->in[at], (v->n - at) * sizeof *v->in);
        v->n++;
    } else {
        memmove(&v->in[at + 1], &v->in[end], (v->n - end) * sizeof *v->in);
        v->n -= end - at - 1;
    }
    v->in[at] = (struct interval){.from = from, .to = to};
}

/* ---- domains ---- */

static size_t domain_place(const struct my_gtid_set *s, uint32_t id)
{
    size_t at = 0;
    while (at < s->n && s->domains[at].id < id) {
        at++;
    }
    return at;
}

static const struct domain *find_domain(const struct my_gtid_set *s, uint32_t id)
{
    size_t at = domain_place(s, id);
    return at < s->n && s->domains[at].id == id ? &s->domains[at] : NULL;
}

/* True when it was not there yet. */
static bool add_domain(struct my_gtid_set *s, struct domain d)
{
    size_t at = domain_place(s, d.id);
    if (at < s->n && s->domains[at].id == d.id) {
        bool new = s->domains[at].last < d.last;
        if (new) {
            s->domains[at] = d;
        }
        return new;
    }
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->domains = mf_xreallocarray(s->domains, s->cap, sizeof *s->domains);
    }
    memmove(&s->domains[at + 1], &s->domains[at], (s->n - at) * sizeof *s->domains);
    s->n++;
    s->domains[at] = d;
    return true;
}

/* ---- questions ---- */

void my_gtid_set_add(struct my_gtid_set *s, const struct my_gtid *g, bool *ret_new)
{
    bool new = !my_gtid_set_has(s, g);
    if (new && !g->anonymous && g->mariadb == s->mariadb && g->number > 0 && g->number <= NUMBER_MAX) {
        if (s->mariadb) {
            add_domain(s, (struct domain){.id = g->domain, .server = g->server, .last = g->number});
        } else {
            add_interval(server_of(s, g->uuid, g->tag), g->number, g->number + 1);
        }
    }
    if (ret_new) {
        *ret_new = new;
    }
}

bool my_gtid_set_has(const struct my_gtid_set *s, const struct my_gtid *g)
{
    if (g->anonymous || g->mariadb != s->mariadb) {
        return false;
    }
    if (s->mariadb) {
        const struct domain *d = find_domain(s, g->domain);
        return d && d->last >= g->number;
    }
    bool found;
    size_t at = server_place(s, g->uuid, g->tag, &found);
    return found && has_interval(&s->servers[at], g->number, g->number + 1);
}

bool my_gtid_set_knows(const struct my_gtid_set *s, const struct my_gtid *g)
{
    bool found = false;
    if (!s->mariadb && !g->mariadb && !g->anonymous) {
        server_place(s, g->uuid, g->tag, &found);
    }
    return found;
}

static bool contains_domains(const struct my_gtid_set *s, const struct my_gtid_set *other)
{
    for (size_t i = 0; i < other->n; i++) {
        const struct domain *o = &other->domains[i], *d = find_domain(s, o->id);
        /* One number written by two servers: two histories. */
        if (!d || d->last < o->last || (d->last == o->last && d->server != o->server)) {
            return false;
        }
    }
    return true;
}

bool my_gtid_set_contains(const struct my_gtid_set *s, const struct my_gtid_set *other)
{
    if (s->mariadb != other->mariadb) {
        return other->n == 0;
    }
    if (s->mariadb) {
        return contains_domains(s, other);
    }
    for (size_t i = 0; i < other->n; i++) {
        const struct server *o = &other->servers[i];
        bool found;
        size_t at = server_place(s, o->uuid, o->tag, &found);
        for (size_t k = 0; k < o->n; k++) {
            if (!found || !has_interval(&s->servers[at], o->in[k].from, o->in[k].to)) {
                return false;
            }
        }
    }
    return true;
}

uint64_t my_gtid_set_count(const struct my_gtid_set *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint64_t more = s->mariadb ? s->domains[i].last : 0;
        for (size_t k = 0; !s->mariadb && k < s->servers[i].n; k++) {
            more += s->servers[i].in[k].to - s->servers[i].in[k].from;
        }
        sum = sum + more < sum ? UINT64_MAX : sum + more;
    }
    return sum;
}

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

static bool take_interval(struct server *v, const char **p)
{
    uint64_t from, to;
    if (!take_number(p, NUMBER_MAX, &from) || from == 0) {
        return false;
    }
    to = from;
    if (take(p, '-') && (!take_number(p, NUMBER_MAX, &to) || to < from)) {
        return false;
    }
    add_interval(v, from, to + 1);
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
        if (!take_interval(server_of(s, uuid, tag), p)) {
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
    add_domain(s, (struct domain){.id = (uint32_t)id, .server = (uint32_t)server, .last = last});
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

/* ---- writing them ---- */

static bool same_uuid(const struct my_gtid_set *s, size_t i)
{
    return i > 0 && memcmp(s->servers[i - 1].uuid, s->servers[i].uuid, 16) == 0;
}

/* The numbers without a tag come first, and the tags of one server follow each other. */
static void print_server(const struct my_gtid_set *s, size_t at, struct mf_buf *out)
{
    const struct server *v = &s->servers[at];
    for (size_t i = 0; !same_uuid(s, at) && i < 16; i++) {
        mf_buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", v->uuid[i]);
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
        const struct server *v = &s->servers[i];
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
