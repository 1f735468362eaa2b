/* The schema of tables in terms that every engine understands: what one engine describes and another makes when a migration goes from one kind
 * of database to another. Between two of one kind nothing of this is used: there the server's own statements are.
 *
 * Memory: everything lives in the arena. Names are those of the describing side; the face of the target renames (connector/face). What the model
 * cannot express is not silently dropped: the engine that describes puts it in `left`, and the migration reports it. */
#ifndef MF_MODEL_SCHEMA_H
#define MF_MODEL_SCHEMA_H

#include "model/type.h"

enum mf_default_kind {
    MF_DEFAULT_NONE,
    MF_DEFAULT_VALUE, /* `text`: a canonical value; has_null: DEFAULT NULL said in words is the same as none */
    MF_DEFAULT_NOW,   /* the moment of the statement, with the column's digits */
    MF_DEFAULT_UUID,  /* a new random UUID */
    MF_DEFAULT_OTHER, /* an expression of the engine's own, `text`: reported, not made */
};

struct mf_schema_column {
    const char *name;
    struct mf_type type;
    const char *own_type; /* the describing engine's text, for findings */
    bool not_null;
    bool counter;       /* identity, serial, AUTO_INCREMENT */
    bool on_update_now; /* MySQL's ON UPDATE CURRENT_TIMESTAMP: reported where it cannot be made */
    bool generated;     /* left out of the target, reported */
    bool is_static;     /* one value for all rows of a partition; only where npartition means something */
    bool ignores_case;  /* texts that differ in case (or accents) only are equal there (a _ci collation, citext) */
    enum mf_default_kind defaulted;
    const char *default_text;
    const char *comment; /* NULL: none */
    /* The type it is to get, in the making engine's own words, because the config says so; NULL: what the engine gives by itself. */
    const char *wanted_type;
};

struct mf_schema_index_column {
    uint16_t column; /* ordinal in the table */
    bool descending;
    uint32_t prefix; /* so many characters or bytes of it; 0: all */
};

struct mf_schema_index {
    const char *name;
    bool unique, primary;
    bool
        nulls_equal; /* unique: NULLs count as equal (PostgreSQL's NULLS NOT DISTINCT): reported where it cannot be made */
    bool is_key;     /* rows are found by it while replaying (mf_table.key) */
    uint16_t n;
    const struct mf_schema_index_column *columns;
};

enum mf_fk_action { MF_FK_NO_ACTION, MF_FK_RESTRICT, MF_FK_CASCADE, MF_FK_SET_NULL, MF_FK_SET_DEFAULT };

struct mf_schema_foreign {
    const char *name;
    const char *ref_schema, *ref_table;
    uint16_t n;
    const uint16_t *columns;        /* ordinals here */
    const char *const *ref_columns; /* names there */
    enum mf_fk_action on_delete, on_update;
};

struct mf_schema_table {
    const char *schema, *name;
    const char *comment;
    uint16_t ncolumns;
    struct mf_schema_column *columns;
    size_t nindexes;
    struct mf_schema_index *indexes;
    size_t nforeign;
    struct mf_schema_foreign *foreign;
    /* Of the columns of the key (the index that is_key, or else the primary one), the first so many say on which node a row is; rows that agree in them
     * are kept in the order of the others, which may be `descending`. 0: the engine's default. Only for engines that spread rows. */
    uint16_t npartition;
};

/* Something the model cannot express: a view, a trigger, a CHECK, an index by an expression. */
struct mf_schema_left {
    const char *object; /* "view public.totals" */
    const char *why;
    const char *text; /* its definition, cut; NULL: not known */
};

struct mf_schema {
    struct mf_arena arena;
    size_t ntables;
    struct mf_schema_table *tables;
    size_t nleft;
    struct mf_schema_left *left;
};

void mf_schema_free(struct mf_schema *s); /* an all-zero one is fine */
const struct mf_schema_table *mf_schema_find(const struct mf_schema *s, const char *schema, const char *name);
/* Tables of schema `from`, and what refers to them, are in `to` from now on. `to` must live as long as s. NULL, or the same: nothing. */
void mf_schema_rename(struct mf_schema *s, const char *from, const char *to);

/* The name of an index or a constraint that is made: "prefix_name" (the prefix once; NULL: none), of at most 63 bytes; where it would be longer, or `other`
 * (the plain one is taken), cut and with a number made of both parts behind it: the same in every process. */
#define MF_SCHEMA_NAME 64
void mf_schema_name(const char *prefix, const char *name, bool other, char out[static MF_SCHEMA_NAME]);

#endif
