/* What the window's files share: window.c (the face, and the batch), window_rules.c (how changes collapse),
 * window_store.c (rows, entries, and the table that finds them). */
#ifndef MF_CHANGE_WINDOW_INTERNAL_H
#define MF_CHANGE_WINDOW_INTERNAL_H

#include "change/window.h"

#include "change/codec.h"

/* What the batch does to a key so far, as seen from before the batch. */
enum mf_keystate {
    MF_KEY_UNTOUCHED,
    MF_KEY_INSERT,  /* was not there, is now */
    MF_KEY_UPDATE,  /* was there, has new values in some columns */
    MF_KEY_REPLACE, /* was there, went, and is there again with all new values */
    MF_KEY_DELETE,  /* was there, is not now */
    MF_KEY_NOTHING, /* was not there and is not now */
    MF_KEY_COUNTED, /* identity FULL: see net */
    MF_KEY_REFUSED, /* no state: what no source can do in order, or the batch cannot express */
};

/* A row touched in this batch. rc.new_row always has the key, in every state (rc.old_row is the same row, seen as the
 * place of the key, but in a batch of one key move). */
struct mf_wentry {
    struct mf_rowchange rc;
    uint32_t hash;
    uint32_t table; /* index in w->tables */
    uint8_t state;  /* enum mf_keystate */
    int32_t net;    /* COUNTED: copies that come less copies that go */
};

struct mf_wslot {
    uint32_t hash;
    uint32_t entry; /* index + 1; 0 is free */
};

struct mf_wtable {
    const struct mf_table *table, *alias; /* alias: another pointer that was found to have the same shape */
    uint32_t rel;
    bool full;
    size_t ndeletes, nupdates, ninserts;
};

#define MF_WBLOCK_BITS 8
#define MF_WBLOCK      (1u << MF_WBLOCK_BITS)

struct mf_window {
    size_t max_bytes;
    bool ordered, fuzzy;
    bool closed;       /* holds something that must be alone */
    bool deletes_only; /* of w->tables[0]: see cascades in mf_batch */
    struct mf_arena arena;

    struct mf_wentry **blocks; /* entries, MF_WBLOCK each, so that their addresses stay */
    uint32_t nblocks, nentries;
    struct mf_wslot *slots; /* open addressing, 2^n, at most half full */
    uint32_t nslots;

    struct mf_wtable *tables; /* in the order of their first change */
    uint32_t ntables, captables;
    uint32_t *table_map; /* by table id: index + 1; 2^n */
    uint32_t ntable_map;
    uint32_t last_table; /* of the last change */

    int64_t stamp;            /* of the change at hand */
    struct mf_value *scratch; /* MF_MAX_COLUMNS values: a new row completed from the old one */
    struct mf_batch batch;
};

/* ---- window_store.c ---- */
static inline struct mf_wentry *mf_wentry_at(const struct mf_window *w, uint32_t i)
{
    return &w->blocks[i >> MF_WBLOCK_BITS][i & (MF_WBLOCK - 1)];
}

uint32_t mf_wkey_hash(const struct mf_wtable *t, uint32_t table, const struct mf_row *row);
struct mf_wentry *mf_wfind(const struct mf_window *w, uint32_t table, uint32_t hash, const struct mf_row *row);
/* A new entry in its place in the table, state UNTOUCHED, without rows. NULL: out of memory. */
struct mf_wentry *mf_wadd_entry(struct mf_window *w, uint32_t table, uint32_t hash);
/* Copies a row into the arena. key_only: the other columns become UNCHANGED. -1: out of memory. */
int mf_wcopy_row(struct mf_window *w, const struct mf_wtable *t, const struct mf_row *row, bool key_only,
                 struct mf_row *ret);
/* Writes a new row over an entry's; its UNCHANGED columns keep what is there. */
int mf_wmerge_row(struct mf_window *w, struct mf_row *row, const struct mf_row *change);
void mf_wforget_entries(struct mf_window *w);
size_t mf_wused(const struct mf_window *w); /* bytes behind the batch */

/* ---- window_rules.c ---- */
int mf_wcollapse(struct mf_window *w, uint32_t table, const struct mf_change *c, enum mf_window_added *ret,
                 struct mf_error *err);

#endif
