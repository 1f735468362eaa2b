/* The parts of pgdrive. One thread; everything made lives in pd_arena, until the next line. */
#ifndef MF_TESTS_DRIVE_PGDRIVE_H
#define MF_TESTS_DRIVE_PGDRIVE_H

#include <jansson.h>

#include "base/arena.h"
#include "connector/connector.h"

extern struct mf_arena pd_arena; /* of one line */

const char *pd_text(const json_t *o, const char *key);
long long pd_number(const json_t *o, const char *key);
bool pd_flag(const json_t *o, const char *key);
void *pd_zeroed(size_t n);
const char *pd_keep(const char *s);
const struct mf_table *pd_table_of(const json_t *o);
struct mf_row pd_row_of(const json_t *a);
struct mf_rowchange **pd_changes_of(const json_t *list, enum mf_rowop op, size_t *ret_n);
const struct mf_batch *pd_batch_of(const json_t *o);
void pd_position_of(const json_t *o, const char *key, struct mf_position *p);
json_t *pd_json_row(const struct mf_row *r);

/* pgdrive_schema.c: runs the command if it is one of its own. */
void pd_schema_command(struct mf_db *db, struct mf_db *other, const char *op, const json_t *o, json_t *reply,
                       int *ret_rc, struct mf_error *err);

/* pgdrive_documents.c: the same. */
void pd_document_command(struct mf_db *db, const char *op, const json_t *o, json_t *reply, int *ret_rc,
                         struct mf_error *err);
/* The database as the collections of the map, where there is one; db itself. Its value of a row, where it is a document's. */
struct mf_db *pd_show_documents(struct mf_db *db);
bool pd_document_value(const json_t *v, struct mf_value *ret);
void pd_documents_end(struct mf_db *db);

#endif
