/* What documents look like, path by path: types with their counts, what is missing, lengths, ranges, how many different values, which are unique.
 *
 * Memory has a bound whatever the documents are: paths are counted, and an object whose keys are data (many different ones, few of them in each document) is
 * folded to one path `*` while it is read. Numbers of different values are estimated (HyperLogLog) but while there are few; a path is
 * known to be unique as long as its values fit into a set that has a bound too. What was not told apart any more is said (`others`, `given_up`).
 *
 * One thread an object. Several readers have one each, which are merged afterwards. Pure. */
#ifndef MF_BSON_INFER_H
#define MF_BSON_INFER_H

#include "base/buf.h"
#include "base/error.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_infer;

struct mf_infer_options {
    size_t paths;        /* of all collections together; 0: MF_INFER_PATHS */
    size_t unique_bytes; /* for telling which paths are unique; 0: MF_INFER_UNIQUE_BYTES */
};
#define MF_INFER_PATHS        5000
#define MF_INFER_UNIQUE_BYTES ((size_t)128 << 20)
#define MF_INFER_SAMPLES      4  /* values shown of a path */
#define MF_INFER_SAMPLE       48 /* bytes of one */
#define MF_INFER_FAULTS       20 /* kinds of documents that no map takes, told apart in a collection */
#define MF_INFER_REFS         32 /* values of a path that are looked up in another collection */
#define MF_INFER_REF          40 /* bytes of one, as BSON has it */

/* ---- what was seen ---- */

enum mf_infer_kind {
    MF_INFER_FIELD,   /* `name` of the object above; of a collection itself: no object is above */
    MF_INFER_ELEMENT, /* every element of the array above */
    MF_INFER_ANY,     /* every value of the object above, whose keys are data */
};

#define MF_INFER_TYPES 22 /* BSON's types by their numbers; then its two ends */
#define MF_INFER_MIN   20
#define MF_INFER_MAX   21

struct mf_infer_numbers {
    uint64_t ints, doubles, decimals;
    int64_t int_min, int_max;
    double double_min, double_max;              /* of those that are finite */
    uint64_t whole;                             /* doubles that are a whole number of 64 bits; not -0 */
    uint64_t not_doubles;                       /* whole numbers that no double is */
    uint64_t minus_zeros, nans, infinities;     /* of doubles */
    uint64_t odd_decimals, decimal_minus_zeros; /* NaN and infinities; -0: of decimals */
    uint64_t not_decimals;                      /* doubles that no Decimal128 is exactly */
    unsigned before, behind;                    /* digits of decimals before and behind the point, at most */
    unsigned double_before, double_behind;      /* the same of doubles, exactly */
};

#define MF_INFER_LENGTHS 64
struct mf_infer_texts {
    uint64_t chars, bytes;              /* the most */
    uint64_t empty, nul;                /* with a NUL in it */
    uint32_t lengths[MF_INFER_LENGTHS]; /* how many of about that many characters */
};

struct mf_infer_dates {
    int64_t min, max; /* milliseconds since 1970 */
    uint64_t beyond;  /* years that SQL has not: before 1, after 9999 */
};

struct mf_infer_binaries {
    uint64_t subtypes[8]; /* the last: all others */
    uint64_t bytes;       /* the most */
    uint64_t odd_uuids;   /* of subtype 3 or 4, not of 16 bytes */
};

struct mf_infer_arrays {
    uint64_t min, max, elements, empty;
};

struct mf_infer_objects {
    uint64_t empty, fields; /* the most */
};

struct infer_values; /* how many different ones: bson/infer_internal.h */

struct mf_infer_path {
    struct mf_infer_path *above; /* NULL: the document itself */
    enum mf_infer_kind kind;
    uint32_t nname;
    char *name;     /* of a field; ends with a NUL */
    uint64_t there; /* values, null among them; of objects above that have no such field it is missing */
    uint64_t types[MF_INFER_TYPES];
    struct mf_infer_numbers numbers;
    struct mf_infer_texts texts;
    struct mf_infer_dates dates;
    struct mf_infer_binaries binaries;
    struct mf_infer_arrays arrays;
    struct mf_infer_objects objects;
    uint64_t id_chars;                  /* of `_id`: the longest text of one (mf_bson_id_of) */
    struct infer_values *values, *keys; /* keys: of ANY */
    uint64_t key_chars;                 /* of ANY: the longest key */
    unsigned nsamples;
    char samples[MF_INFER_SAMPLES][MF_INFER_SAMPLE]; /* relaxed extended JSON, cut */
    struct infer_refs *refs;
    /* below */
    uint32_t nfields, cap;
    struct mf_infer_path **fields; /* in the order they were first seen */
    uint32_t *index;               /* of fields, by hash; NULL while there are few */
    uint32_t nindex;
    struct mf_infer_path *element, *any; /* NULL: none; with `any` there are no fields */
    uint64_t others;                     /* fields that no path was left for */
};

struct mf_infer_fault {
    char why[120], where[240]; /* where: a path, elements of arrays as [] */
    uint64_t documents;
};

struct mf_infer_collection {
    char *database, *name;
    uint64_t documents;      /* that could be read */
    uint64_t bytes, largest; /* of them */
    unsigned depth;          /* the deepest nesting: 1 for a document of scalars */
    uint64_t refused;        /* documents that no map takes: no UTF-8, a key twice, too deep, no BSON */
    size_t nfaults;
    struct mf_infer_fault faults[MF_INFER_FAULTS];
    struct mf_infer_path *root;
    uint64_t id_order; /* of the fields of an `_id` that is a sub-document: a hash of their names; 0: none was one */
    bool id_orders;    /* they stand in different orders */
};

struct mf_infer *mf_infer_new(const struct mf_infer_options *o); /* NULL: the bounds above */
void mf_infer_free(struct mf_infer *f);                          /* NULL is allowed */
/* The collection's own, made where there is none yet. Stays where it is until `f` is freed. */
struct mf_infer_collection *mf_infer_collection(struct mf_infer *f, const char *database, const char *collection);
/* One document. What is none (or none that a map could take) is counted as a fault. */
void mf_infer_add(struct mf_infer *f, struct mf_infer_collection *c, const struct mf_value *bson);
/* What `from` has seen as if `into` had seen it too. */
void mf_infer_merge(struct mf_infer *into, const struct mf_infer *from);
/* All documents were given: what is an object with data as its keys after all is folded. Before anything is proposed; more may be added afterwards. */
void mf_infer_finish(struct mf_infer *f);

size_t mf_infer_count(const struct mf_infer *f);
const struct mf_infer_collection *mf_infer_at(const struct mf_infer *f, size_t i);
size_t mf_infer_paths(const struct mf_infer *f); /* how many there are of all collections */

/* ---- of a path ---- */

/* Objects above (arrays' elements, values of a map) without it; 0 of elements and of values. */
uint64_t mf_infer_missing(const struct mf_infer_path *p);
/* About how many characters 99 of 100 texts have at most. */
uint64_t mf_infer_chars99(const struct mf_infer_path *p);
/* About how many different values (not of objects and arrays); *ret_exact: exactly. */
uint64_t mf_infer_distinct(const struct mf_infer_path *p, bool *ret_exact);
uint64_t mf_infer_distinct_keys(const struct mf_infer_path *p);
enum mf_infer_unique {
    MF_INFER_REPEATS,
    MF_INFER_UNIQUE,
    MF_INFER_GIVEN_UP, /* no value was seen twice until there were too many to know */
};
/* Whether no two documents have the same value there (null is none); of paths that a document has once. */
enum mf_infer_unique mf_infer_unique(const struct mf_infer_path *p);
/* "orders[].sku", "settings.*", "a.\"b.c\"": for people. "": the document itself. Of the collection whole, or (from) of what stands below it. */
void mf_infer_put_path(struct mf_buf *b, const struct mf_infer_path *p);
/* "string", "int32", … by the index in types. Static. */
const char *mf_infer_type_name(unsigned type);
/* A name with a dot, a `$` at its beginning, or nothing in it. */
bool mf_infer_odd_name(const struct mf_infer_path *p);

/* ---- references ---- */

/* How many of these values (documents {"_id": …}) are ids of documents of the collection. -1: err. */
typedef int mf_infer_find(void *ctx, const char *database, const char *collection, const struct mf_value *ids, size_t n,
                          size_t *ret_found, struct mf_error *err);

struct mf_infer_reference {
    const struct mf_infer_collection *from, *to;
    const struct mf_infer_path *path;
    size_t looked, orphans; /* of the sample: different values as a rule */
    bool named;             /* the path's name says so as well */
};
struct mf_infer_references {
    size_t n;
    struct mf_infer_reference *all;
};
/* Paths that seem to have the ids of other collections (or of their own) as their values: by name and type, or by the type alone where it is an ObjectId or a UUID;
 * those of which a sample is found there at all. Asks `find` once a candidate. */
int mf_infer_refer(const struct mf_infer *f, mf_infer_find *find, void *ctx, struct mf_infer_references *ret,
                   struct mf_error *err);
void mf_infer_references_free(struct mf_infer_references *r); /* an all-zero one is fine */

#endif
