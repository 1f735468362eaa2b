/* A window: the changes of consecutive whole transactions, collapsed so that each row is written once.
 *
 * Changes to the same key collapse to the last; what remains is grouped by table into deletes, updates and inserts,
 * which a target applies in that order as arrays. Because a window becomes ONE target transaction, nobody can see an
 * order inside it; that is why collapsing is allowed. What cannot be expressed without order ends the batch (mf_window_add
 * returns MF_WINDOW_FULL): a TRUNCATE, a key change whose new row is not whole, a key that moves onto a key touched in the
 * same batch. The batch is handed to the target, reset, and the window goes on in the same target transaction.
 *
 * Keys are compared by the bytes the source sent. Two spellings of an equal key (numeric 1.0 and 1.00) reach us as
 * a key change by the source itself, so bytes identify a row.
 *
 * A change of which the server itself changed rows of other tables (mf_change.cascades) shares its batch with none but deletes of the same table:
 * what was written to the others before must be there, and what comes after must not.
 *
 * For identity FULL (duplicates possible) rows are counted: the batch holds how many copies of a row go and come. */
#ifndef MF_CHANGE_WINDOW_H
#define MF_CHANGE_WINDOW_H

#include "change/change.h"

enum mf_rowop {
    MF_ROW_DELETE, /* key in old_row (FULL: the whole row) */
    MF_ROW_UPDATE, /* key in old_row, new values in new_row; MF_UNCHANGED columns are kept. The key may differ: see below */
    MF_ROW_INSERT,  /* new_row whole; strict: must not exist */
    MF_ROW_REPLACE, /* new_row whole; existed before the batch as the same key and is overwritten whole */
};

/* With identity KEY only the key columns of old_row mean anything.
 *
 * An update whose key differs comes alone in its batch: strictly when its new row is not whole, or in source order.
 * Fuzzily (there its new row is whole only where it cascades) it must not be carried out as an update, even if the old key is found: that
 * may be a later row of the same key, whose other columns are not this row's. Delete the old key, and report the new
 * one as missing, to be read again. */
struct mf_rowchange {
    enum mf_rowop op;
    uint32_t count; /* 1, except for identity FULL: so many equal rows */
    int64_t stamp;  /* of the last change that came to this; for targets that keep the last write */
    bool plain;     /* INSERT: one insert and nothing else, so that none of the row's values was ever another */
    struct mf_row old_row, new_row;
};

struct mf_batch_table {
    const struct mf_table *table; /* the shape the rows have, all of them */
    uint32_t rel;
    size_t ndeletes, nupdates, ninserts; /* updates: MF_ROW_UPDATE and MF_ROW_REPLACE */
    struct mf_rowchange **deletes, **updates, **inserts;
};

struct mf_batch {
    size_t ntables;
    struct mf_batch_table *tables;
    const struct mf_change *truncate; /* then this is all there is in the batch */
    bool
        cascades; /* what is deleted here (or the one update of a key) had the server change rows of other tables: they come first */
    size_t rows; /* row changes after collapsing */
};

struct mf_window;

enum mf_window_added { MF_WINDOW_ADDED, MF_WINDOW_FULL };

/* max_bytes bounds the arena behind one batch. ordered: never collapse; every change is a batch of its own, in source
 * order (the careful way after a conflict). NULL only when out of memory. */
struct mf_window *mf_window_new(size_t max_bytes);
void mf_window_free(struct mf_window *w);
/* Empties it for the next batch. fuzzy: rows may exist already or be missing (before the consistency point), so a delete
 * survives even when the row was inserted in the same batch. */
void mf_window_reset(struct mf_window *w, bool ordered, bool fuzzy);

/* Adds a change (its rows are copied; its table must stay until reset). MF_WINDOW_FULL: not added; take the batch, reset, add again (a change alone always fits). */
int mf_window_add(struct mf_window *w, const struct mf_change *c, enum mf_window_added *ret, struct mf_error *err);

/* The collapsed content so far; owned by the window, valid until the next add or reset. Empty batch: ntables == 0 and no
 * truncate. NULL only when out of memory. */
const struct mf_batch *mf_window_batch(struct mf_window *w);

#endif
