/*
 * Sets of transactions: see gtid.h.
 *
 * MySQL's is, for each server that ever wrote and each tag it wrote under, a sorted list of intervals that neither touch nor overlap: so two sets are
 * equal exactly when they print the same, and counting is adding lengths. MariaDB's is one transaction for each domain, the last, and everything before it.
 *
 * That MariaDB's set means "everything before it" holds as long as numbers only grow within a domain. A server sees to that for what it writes
 * itself; check warns where it is a replica too, or several have written in one domain, without gtid_strict_mode. The stream stops at a number that does
 * not grow (MFGTID).
 */
#include "connector/mysql/gtid_internal.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

struct my_gtid_set *my_gtid_set_new(bool mariadb)
{
    struct my_gtid_set *s = mf_xcalloc(1, sizeof *s);
    s->mariadb = mariadb;
    return s;
}

struct my_gtid_set *my_gtid_set_clone(const struct my_gtid_set *s)
{
    struct my_gtid_set *c = my_gtid_set_new(s->mariadb);
    for (size_t i = 0; i < s->n; i++) {
        if (s->mariadb) {
            my_gtid_add_domain(c, s->domains[i]);
            continue;
        }
        const struct my_gtid_server *from = &s->servers[i];
        struct my_gtid_server *to = my_gtid_server_of(c, from->uuid, from->tag);
        for (size_t k = 0; k < from->n; k++) {
            my_gtid_add_interval(to, from->in[k].from, from->in[k].to);
        }
    }
    return c;
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
static int compare_server(const struct my_gtid_server *v, const uint8_t uuid[16], const char *tag)
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

struct my_gtid_server *my_gtid_server_of(struct my_gtid_set *s, const uint8_t uuid[16], const char *tag)
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
    s->servers[at] = (struct my_gtid_server){0};
    memcpy(s->servers[at].uuid, uuid, 16);
    mf_strlcpy(s->servers[at].tag, tag, sizeof s->servers[at].tag);
    return &s->servers[at];
}

/* The first interval that ends at or after `number`: the only one that may hold it or be lengthened by it. Most often it is the last. */
static size_t interval_place(const struct my_gtid_server *v, uint64_t number)
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

static bool has_interval(const struct my_gtid_server *v, uint64_t from, uint64_t to)
{
    size_t at = interval_place(v, from);
    at += at < v->n && v->in[at].to == from;
    return at < v->n && v->in[at].from <= from && v->in[at].to >= to;
}

void my_gtid_add_interval(struct my_gtid_server *v, uint64_t from, uint64_t to)
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
    v->in[at] = (struct my_interval){.from = from, .to = to};
}

static void drop_server(struct my_gtid_set *s, size_t at)
{
    free(s->servers[at].in);
    memmove(&s->servers[at], &s->servers[at + 1], (s->n - at - 1) * sizeof *s->servers);
    s->n--;
}

void my_gtid_set_remove(struct my_gtid_set *s, const struct my_gtid *g)
{
    bool found;
    if (s->mariadb || !my_gtid_set_has(s, g)) {
        return;
    }
    size_t at = server_place(s, g->uuid, g->tag, &found);
    struct my_gtid_server *v = &s->servers[at];
    size_t i = interval_place(v, g->number);
    i += v->in[i].to == g->number;
    struct my_interval was = v->in[i];
    v->in[i].to = g->number;
    if (was.from == g->number) {
        memmove(&v->in[i], &v->in[i + 1], (v->n - i - 1) * sizeof *v->in);
        v->n--;
    }
    if (was.to > g->number + 1) {
        my_gtid_add_interval(v, g->number + 1, was.to);
    }
    if (v->n == 0) {
        drop_server(s, at);
    }
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

static const struct my_gtid_domain *find_domain(const struct my_gtid_set *s, uint32_t id)
{
    size_t at = domain_place(s, id);
    return at < s->n && s->domains[at].id == id ? &s->domains[at] : NULL;
}

bool my_gtid_add_domain(struct my_gtid_set *s, struct my_gtid_domain d)
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

bool my_gtid_set_last(const struct my_gtid_set *s, uint32_t domain, struct my_gtid *ret)
{
    const struct my_gtid_domain *d = s->mariadb ? find_domain(s, domain) : NULL;
    if (d) {
        *ret = (struct my_gtid){.mariadb = true, .domain = d->id, .server = d->server, .number = d->last};
    }
    return d != NULL;
}

void my_gtid_set_lower(struct my_gtid_set *s, uint32_t domain, const struct my_gtid *to)
{
    size_t at = s->mariadb ? domain_place(s, domain) : s->n;
    if (at == s->n || s->domains[at].id != domain) {
        return;
    }
    if (!to) {
        memmove(&s->domains[at], &s->domains[at + 1], (s->n - at - 1) * sizeof *s->domains);
        s->n--;
    } else if (to->number < s->domains[at].last) {
        s->domains[at].server = to->server;
        s->domains[at].last = to->number;
    }
}

/* ---- questions ---- */

bool my_gtid_same(const struct my_gtid *a, const struct my_gtid *b)
{
    if (a->anonymous || b->anonymous || a->mariadb != b->mariadb || a->number != b->number) {
        return false;
    }
    return a->mariadb ? a->domain == b->domain && a->server == b->server
                      : memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && strcmp(a->tag, b->tag) == 0;
}

void my_gtid_set_add(struct my_gtid_set *s, const struct my_gtid *g, bool *ret_new)
{
    bool new = !my_gtid_set_has(s, g);
    if (new && !g->anonymous && g->mariadb == s->mariadb && g->number > 0 && g->number <= MY_GTID_MAX) {
        if (s->mariadb) {
            my_gtid_add_domain(s, (struct my_gtid_domain){.id = g->domain, .server = g->server, .last = g->number});
        } else {
            my_gtid_add_interval(my_gtid_server_of(s, g->uuid, g->tag), g->number, g->number + 1);
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
        const struct my_gtid_domain *d = find_domain(s, g->domain);
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
        const struct my_gtid_domain *o = &other->domains[i], *d = find_domain(s, o->id);
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
        const struct my_gtid_server *o = &other->servers[i];
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
