/* A database shown in the model's terms.
 *
 * Where source and target are of different kinds, each is opened behind a face: an mf_db whose connector has the same operations, with the
 * catalogue's types, the values of rows and the bounds of chunks in canonical form (model/type.h), and the schema's names those of the
 * source. Everything above sees two databases of one kind, and nothing above knows of any translation; between two of one kind there is no face
 * and no cost.
 *
 * What holds:
 *  - a value is translated exactly, or its row is refused (MF_ROW, then quarantine): the digests are over canonical values, so equal digests
 *    mean equal rows whatever the engines' own texts are;
 *  - tables of schema `midflight` pass untouched: their columns are texts and numbers everywhere;
 *  - a table shown carries what it really is (mf_column.foreign), so that turning it back needs no state.
 */
#ifndef MF_CONNECTOR_FACE_FACE_H
#define MF_CONNECTOR_FACE_FACE_H

#include "connector/connector.h"

/* Takes the opened database over (also on error): closing the face closes it. peer: the other side's database, or its face; the target's face takes its names
 * from it (its default schema is shown as the peer's default schema; others keep their names). NULL for the source, which keeps its own. MF_FATAL MFUNSUP for an
 * engine without mf_canon_ops. */
int mf_face_open(struct mf_db *own, struct mf_db *peer, struct mf_db **ret, struct mf_error *err);

/* The other side cuts the same tables by other keys (query tables): chunks of one mean nothing to the other, and verify joins. */
void mf_face_apart(struct mf_db *face);

#endif
