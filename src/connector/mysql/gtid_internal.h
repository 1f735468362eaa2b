/* What the files of GTID sets share: gtid.c (the sets), gtid_text.c (their forms). */
#ifndef MF_CONNECTOR_MYSQL_GTID_INTERNAL_H
#define MF_CONNECTOR_MYSQL_GTID_INTERNAL_H

#include "connector/mysql/gtid.h"

#define MY_GTID_MAX ((uint64_t)INT64_MAX - 1) /* the server's own bound, and an end after it still fits */

struct my_interval {
    uint64_t from, to; /* to is the first that is not in it */
};

struct my_gtid_server { /* one that wrote transactions, under one tag: each tag has numbers of its own */
    uint8_t uuid[16];
    char tag[MY_GTID_TAG]; /* "": none */
    struct my_interval *in;
    size_t n, cap;
};

struct my_gtid_domain {
    uint32_t id, server;
    uint64_t last;
};

struct my_gtid_set {
    bool mariadb;
    size_t n, cap; /* of servers, sorted by uuid and tag; or of domains, sorted by id */
    struct my_gtid_server *servers;
    struct my_gtid_domain *domains;
};

/* gtid.c: the entry of a server under a tag, made when there is none. */
struct my_gtid_server *my_gtid_server_of(struct my_gtid_set *s, const uint8_t uuid[16], const char *tag);
/* Joins [from, to) with whatever it overlaps or touches. */
void my_gtid_add_interval(struct my_gtid_server *v, uint64_t from, uint64_t to);
/* True when it was not there yet. */
bool my_gtid_add_domain(struct my_gtid_set *s, struct my_gtid_domain d);

#endif
