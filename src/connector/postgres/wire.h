/*
 * The form in which a table's rows travel between two PostgreSQL servers, decided the same way by the reader and by the
 * loader, from nothing but the source's shape of the table.
 *
 * Binary COPY needs no parsing on either side, but the bytes of some types carry numbers that mean something only in
 * the database they come from: the oid of an element or attribute type (arrays, composites), or of an object (regclass
 * and its kin). Those of built-in types are the same everywhere; those of user-defined types are not. So: all columns
 * built-in and none of the few exceptions, then binary; otherwise the whole table travels as COPY's text.
 * Domains are sent by the server under the domain's own oid, which the catalogue gives us, so they travel as text.
 */
#ifndef MF_CONNECTOR_POSTGRES_WIRE_H
#define MF_CONNECTOR_POSTGRES_WIRE_H

#include "model/table.h"

#define PG_WIRE "pgcopy"

/* True: COPY … (FORMAT binary); false: COPY … (FORMAT text). source_shape is the table as the SOURCE's catalogue gave
 * it; generated columns do not travel and do not count. Any thread. */
bool pg_table_binary_ok(const struct mf_table *source_shape);

/* True when the binary form of this built-in type means the same in every database and version 10 to 18. */
bool pg_type_binary_ok(uint32_t type_oid);

#endif
