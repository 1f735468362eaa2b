/* Types and their wire forms: see wire.h. */
#include "connector/postgres/wire.h"

#include "base/cleanup.h"

/* Oids below this are fixed by hand in PostgreSQL's sources; those above are handed out at build or at run time. */
#define FIRST_VARYING_OID 10000

/* Built-in types that have no binary form, or one that means something else elsewhere. */
static const uint32_t text_only[] = {
    24,   2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, /* regproc … regcollation: oids of objects */
    1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192, /* arrays of them */
    142,  143,                                                        /* xml: parsed again by its reader */
    194,  1033, 1034, 3361, 3402, 5017, 4600, 4601,                   /* pg_node_tree, aclitem, statistics */
    705,  2249, 2287, 3642, 3644,                                     /* unknown, record, gtsvector */
};

bool pg_type_binary_ok(uint32_t type_oid)
{
    if (type_oid == 0 || type_oid >= FIRST_VARYING_OID) {
        return false;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(text_only); i++) {
        if (text_only[i] == type_oid) {
            return false;
        }
    }
    return true;
}

bool pg_table_binary_ok(const struct mf_table *source_shape)
{
    for (uint16_t i = 0; i < source_shape->ncolumns; i++) {
        const struct mf_column *c = &source_shape->columns[i];
        if (!c->generated && !pg_type_binary_ok(c->type_id)) {
            return false;
        }
    }
    return true;
}
