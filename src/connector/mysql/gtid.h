/*
 * GTID sets, and positions made of them.
 *
 * MySQL: "uuid:1-5:7,uuid2:1-9", from 8.3 on with tags: "uuid:1-5:tag:1-3". MariaDB: "0-1-42,1-2-7", for each domain the last one. A position's token is
 *   "uuid:1-5,…"         MySQL with GTIDs: everything executed up to here
 *   "0-1-42,…"           MariaDB
 *   "binlog.000003:1234" no GTIDs: the file and offset of the end of a commit
 * and its order is comparable along one history: the number of transactions in the set (MariaDB: the sum of the domains' numbers);
 * for a file and offset the file's number times 2^40 plus the offset. A replica that has executed the same transactions gives the same
 * order: a stream may go on at a failed-over source. Pure; one thread an object.
 */
#ifndef MF_CONNECTOR_MYSQL_GTID_H
#define MF_CONNECTOR_MYSQL_GTID_H

#include "base/buf.h"
#include "base/error.h"
#include "connector/mysql/binlog.h"
#include "model/position.h"

struct my_gtid_set; /* of either kind */

struct my_gtid_set *my_gtid_set_new(bool mariadb);
void my_gtid_set_free(struct my_gtid_set *s);
/* Adds a text; white space and newlines are allowed. MF_FATAL code MFGTID for one that is malformed. */
int my_gtid_set_parse(struct my_gtid_set *s, const char *text, struct mf_error *err);
/* Adds one transaction; it may be there already (*ret_new false then). */
void my_gtid_set_add(struct my_gtid_set *s, const struct my_gtid *g, bool *ret_new);
/* MySQL: takes one transaction out. */
void my_gtid_set_remove(struct my_gtid_set *s, const struct my_gtid *g);
/* MariaDB: the last one of the domain; false when there is none. */
bool my_gtid_set_last(const struct my_gtid_set *s, uint32_t domain, struct my_gtid *ret);
/* MariaDB: the domain ends at `to` (NULL: nothing of it is there), unless it ends before. */
void my_gtid_set_lower(struct my_gtid_set *s, uint32_t domain, const struct my_gtid *to);
struct my_gtid_set *my_gtid_set_clone(const struct my_gtid_set *s);
bool my_gtid_set_has(const struct my_gtid_set *s, const struct my_gtid *g);
/* MySQL only: has any transaction of the server that wrote this one. */
bool my_gtid_set_knows(const struct my_gtid_set *s, const struct my_gtid *g);
bool my_gtid_set_contains(const struct my_gtid_set *s, const struct my_gtid_set *other);
uint64_t my_gtid_set_count(const struct my_gtid_set *s);
void my_gtid_set_print(const struct my_gtid_set *s, struct mf_buf *out);
/* As COM_BINLOG_DUMP_GTID takes it (MySQL only). */
void my_gtid_set_encode(const struct my_gtid_set *s, struct mf_buf *out);
/* One transaction: "uuid:7", "uuid:tag:7", "0-1-42". False for a text that is none. */
bool my_gtid_parse(const char *text, bool mariadb, struct my_gtid *ret);
void my_gtid_print(const struct my_gtid *g, struct mf_buf *out);
bool my_gtid_same(const struct my_gtid *a, const struct my_gtid *b);
/* MF_FATAL code MFGTID when the set is too long for a position. */
int my_gtid_set_position(const struct my_gtid_set *s, struct mf_position *ret, struct mf_error *err);

/* "binlog.000003", 1234 */
int my_file_position(const char *file, uint64_t offset, struct mf_position *ret, struct mf_error *err);
/* Takes "file:offset" apart. False when it is not one. */
bool my_parse_file_position(const char *token, char *file, size_t n, uint64_t *ret_offset);

#endif
