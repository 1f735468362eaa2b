/* The tables midflight keeps in both databases, in the schema (or database) `midflight`, as a change stream shows
 * them. They travel in the stream on purpose:
 *
 *  checkpoint  first row written by every transaction the apply stage makes. A transaction of a stream that contains a
 *              change of this table is our own work coming back and is dropped: nothing loops.
 *  heartbeat   written by mf_heartbeat; makes an idle stream advance, and carries markers (fence, rehearsal).
 *  epoch       who may write. Its change tells a reader of the stream exactly where in the history the
 *              right to write began or ended.
 *
 * Columns by name (all text unless said): checkpoint(migration, direction, position_order, position_token, ...),
 * heartbeat(migration, side, marker, beat bigint), epoch(migration, epoch bigint, writer 'source'|'target'|'none'). */
#ifndef MF_CHANGE_BOOKKEEPING_H
#define MF_CHANGE_BOOKKEEPING_H

#include "change/change.h"

enum mf_book { MF_BOOK_NONE, MF_BOOK_CHECKPOINT, MF_BOOK_HEARTBEAT, MF_BOOK_EPOCH, MF_BOOK_OTHER };

/* The marker of a beat whose transaction is spooled, empty as it is: with it the stamps come to the time of its commit (docs/internals/stamps.md). */
#define MF_BEAT_STAMP "stamp"

/* Which of our tables this is; MF_BOOK_NONE for a user's table. */
enum mf_book mf_bookkeeping(const struct mf_table *t);

/* The value of a named column of the new row as text, NUL-terminated into out. Returns -1 when it is absent or too long. */
int mf_book_text(const struct mf_change *c, const char *column, char *out, size_t n);

#endif
