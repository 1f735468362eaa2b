/* The shape of a table, as a catalogue gives it and as a change stream announces it. */
#ifndef MF_MODEL_TABLE_H
#define MF_MODEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/type.h"

/* Numbers of types below this mean the same in every database of an engine; above, in one database only (PostgreSQL: types that users made). */
#define MF_TYPE_OF_ENGINE 16384u

/* What a column really is, where the database is shown in the model's terms (connector/face). */
struct mf_foreign {
    struct mf_type type;  /* the model's; mf_column.type is its text, type_id and type_mod are made from it */
    const char *own_type; /* the engine's own, as in its catalogue; NULL where only a stream told of it */
    uint32_t own_type_id;
    int32_t own_type_mod;
    uint32_t own_element_id;
    int32_t own_element_mod;
};

struct mf_column {
    const char *name;
    const char *type; /* the engine's full type text, e.g. "numeric(10,2)"; a stream may leave it NULL */
    uint32_t type_id; /* the engine's own id of the type (PostgreSQL: oid) */
    int32_t type_mod;
    /* What its values are made of, under domains and arrays, for the question whether another column holds them exactly. Only a
     * catalogue fills these; 0: not known. */
    uint32_t element_id;
    int32_t element_mod;
    int32_t
        number; /* of the catalogue, never given twice in one table: a column of the same name with another number is another column. 0: not known */
    bool in_key; /* part of the key that identifies a row */
    bool not_null;
    bool generated; /* computed by the database: never copied, never written */
    /* The rule by which texts of it are equal although their bytes differ, as a number made of the rule's name; 0: none are. Only a catalogue fills this. */
    uint64_t equality;
    /* Of a replica's table in a map: the origin goes by another rule, so that only the bytes tell whether a value is the origin's. */
    bool by_bytes;
    /* Of one of a map's pair of tables: a text that takes any, and what it is on the other side, where that has more than one spelling (model/respell.h); NULL: none. */
    const struct mf_type *stands_for;
    const struct mf_foreign *foreign; /* NULL: the database is shown as it is */
};

enum mf_identity {
    MF_IDENTITY_KEY,  /* a row is found by its key columns */
    MF_IDENTITY_FULL, /* no usable key: a row is found by all its columns; duplicates are possible */
};

struct mf_made;

/* What a server does by itself to rows of another table that refer to one of ours, and does not tell of in its stream (MySQL's foreign keys). The
 * columns referred to are of our key. */
enum mf_cascade_action { MF_CASCADE_NONE, MF_CASCADE_DELETE, MF_CASCADE_UPDATE, MF_CASCADE_SET_NULL };
struct mf_cascade {
    const char *schema, *table;
    uint16_t n;
    const char **from, **to;                     /* columns here, and there */
    enum mf_cascade_action on_delete, on_update; /* of our row; of one of these columns */
};

struct mf_table {
    uint32_t id; /* stable in one database while the table lives (PostgreSQL: oid) */
    const char *schema, *name;
    enum mf_identity identity;
    uint16_t ncolumns;
    uint16_t nkey;
    struct mf_column *columns;
    uint16_t *key;         /* ordinals of the key columns in key order; nkey of them, 0 when FULL */
    int64_t rows_estimate; /* -1 unknown; only a catalogue fills this and bytes (shapes: not even that), and cascades */
    int64_t bytes;
    uint16_t
        npartition; /* of the key, the first so many columns say on which node a row is; 0: rows are not spread so */
    uint16_t ncascades;
    struct mf_cascade *cascades;
    /* It is a query table, shown by connector/view: there is no such table, its rows are made of another's (model/query_map.h). NULL: it is one. */
    const struct mf_made *made;
    bool old_whole; /* given to stream_prepare: old rows of it must come whole, also where it has a key */
};

struct mf_catalog {
    struct mf_arena arena; /* owns everything below */
    struct mf_table *tables;
    size_t n;
};

/* Hash of names, type ids, type mods and key of the columns that travel (generated ones left out): two shapes with
 * the same hash can be read with the same eyes. */
uint64_t mf_table_shape(const struct mf_table *t);
/* Of a catalogue's table: also which columns these are (mf_column.number). What the state remembers. */
uint64_t mf_table_catalog_shape(const struct mf_table *t);

/* The column as one of the model's type t, which is copied: what it was is in its `foreign`. Its type's number is made of the type's text: two databases that have
 * the same type have the same number, today and in the next run, for the state remembers it. The labels of an ENUM or a SET are left out: a label
 * that is added makes no other column of it (nor does it to the databases themselves), a value without one on the other side is refused. Done to a column
 * again, it is another type of the same. False: the arena is full. */
bool mf_column_show(struct mf_arena *arena, struct mf_column *c, const struct mf_type *t);

/* Deep copy into the arena. NULL when it is full. */
struct mf_table *mf_table_copy(struct mf_arena *arena, const struct mf_table *t);

/* Writes `schema.name` for messages (unquoted), truncated to n. Returns out. */
const char *mf_table_label(const struct mf_table *t, char *out, size_t n);

/* What refers to the one refers to the other, and acts in the same way; in whatever order. */
bool mf_table_same_cascades(const struct mf_table *a, const struct mf_table *b);
/* Of all cascades between tables of the catalogue, in whatever order. */
uint64_t mf_catalog_cascades_hash(const struct mf_catalog *c);
/* Whether t has this cascade. */
bool mf_table_has_cascade(const struct mf_table *t, const struct mf_cascade *k);

const struct mf_table *mf_catalog_find(const struct mf_catalog *c, const char *schema, const char *name);
/* The table whose name is most like this one ("schema.name", or a name alone): for "did you mean". The name alone counts where only the schema is another. NULL:
 * none is like it. */
const struct mf_table *mf_catalog_nearest(const struct mf_catalog *c, const char *written);
const struct mf_table *mf_catalog_by_id(const struct mf_catalog *c, uint32_t id);
/* No table before the i-th is of its schema: for what is done once a schema. */
bool mf_catalog_first_of_schema(const struct mf_catalog *c, size_t i);
int mf_table_column(const struct mf_table *t, const char *name); /* ordinal or -1 */
void mf_catalog_free(struct mf_catalog *c);                      /* NULL is allowed */

#endif
