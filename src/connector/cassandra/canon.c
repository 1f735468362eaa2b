/* What connector/face shows this engine by: see canon.h. */
#include "connector/cassandra/canon.h"

#include "connector/defaults.h"

const struct mf_canon_ops cass_canon_ops = {
    .types = cass_canon_types,
    .type_of = cass_type_of,
    .to_canon = cass_to_canon,
    .from_canon = cass_from_canon,
    .document = mf_default_document,
    .type_named = cass_type_named,
    .rows_end = true,
    .bound_get = cass_bound_get,
    .bound_put = cass_bound_put,
    .describe = cass_describe,
    .make = cass_make,
    .add_column = cass_make_add_column,
    .type_here = cass_type_here,
    .no_collations = true,
    .default_schema = cass_default_schema,
};
