/* Which keys were changed while verify looks at rows of a side that may be newer than its position (mf_connector.shows_newer): a difference counts where the key was not
 * touched between two looks.
 *
 * Two filters of bits, of keys' hashes: what was touched in this pass of looks and in the one before. A key may look touched though it was not, never the other way.
 * Bits are set by apply's thread and read by verify's workers while apply stands; turned by whoever has the verification to itself. */
#ifndef MF_PIPELINE_TOUCHED_H
#define MF_PIPELINE_TOUCHED_H

#include "model/table.h"
#include "model/value.h"

struct mf_touched;

struct mf_touched *mf_touched_new(void);
void mf_touched_free(struct mf_touched *t); /* NULL is allowed */
/* The row's key columns are those of `table`, a shape of the origin's. */
void mf_touched_add(struct mf_touched *t, const struct mf_table *table, const struct mf_row *row);
void mf_touched_all(struct mf_touched *t); /* a table was emptied */
bool mf_touched_has(const struct mf_touched *t, const struct mf_table *table, const struct mf_row *row);
void mf_touched_turn(struct mf_touched *t); /* a new pass of looks */

#endif
