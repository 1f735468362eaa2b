/* A map proposed from what documents look like: every document it was inferred from is taken by it, and comes back as it was.
 *
 *  - Scalars become columns of the narrowest type that has all values exactly; several types of one path that no type has together, one of JSON.
 *  - Sub-documents become columns with their path before the name; large ones that few documents have, a table with one row each.
 *  - Arrays become child tables with a position, objects with data as their keys child tables with the key.
 *  - What is missing or null is told apart where both were seen (a column `present`), and is refused where neither was.
 *
 * The text is for a person to change, and says of each line what was seen. */
#ifndef MF_BSON_PROPOSE_H
#define MF_BSON_PROPOSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "bson/infer.h"
#include "bson/map_check.h"

#define MF_PROPOSE_BYTES ((size_t)256 << 20) /* of one proposal */

struct mf_doc_proposal;

/* f was finished and must live as long; references and target may be NULL: then a column may have what a target does not take. MF_FATAL MFMEM when it would be too large. */
int mf_doc_propose(const struct mf_infer *f, const struct mf_infer_references *references,
                   const struct mf_map_target *target, struct mf_doc_proposal **ret, struct mf_error *err);
void mf_doc_proposal_free(struct mf_doc_proposal *p); /* NULL is allowed */

/* The items of a list `map:` in YAML, with comments. What config reads. */
void mf_doc_proposal_put_yaml(struct mf_buf *b, const struct mf_doc_proposal *p);

/* Names that are one when they are written as SQL wants them, sentences about what should be looked at. Called for each. */
typedef void mf_doc_note(void *ctx, const struct mf_infer_collection *c, const char *text);
void mf_doc_proposal_notes(const struct mf_doc_proposal *p, mf_doc_note *note, void *ctx);

/* "string 990 (1 to 17 characters, 99 % up to 12), null 5; missing 20; 120 different": all there is to say of a path in one line. */
void mf_infer_put_facts(struct mf_buf *b, const struct mf_infer_path *p);

/* A name as the proposal writes one: "userName" is user_name, "a.b" a_b; of at most 63 bytes. */
#define MF_DOC_NAME 64
void mf_doc_name(const char *name, size_t n, char out[static MF_DOC_NAME]);

#endif
