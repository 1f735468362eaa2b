/* What belongs to the tables that migrate, or stands beside them in their schemas, and has no word in the model. */
#include "connector/postgres/model.h"

#include "connector/postgres/catalog.h"

#include <string.h>

/* "not a member of an extension", for an object of that catalogue. */
#define NOT_MEMBER(catalogue, oid)                                                                                     \
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog." catalogue                     \
    "'::regclass AND x.objid = " oid " AND x.deptype = 'e')"

/* Each gives a kind, a name, why it is left, and its text. $1: the tables. */
#define THEIRS  "= ANY ($1::oid[])"
#define SCHEMAS "n.oid IN (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid " THEIRS ")"
static const char *const queries[] = {
    "SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END,"
    " n.nspname || '.' || c.relname, 'its text is of this engine',"
    " CASE WHEN c.relkind <> 'f' THEN pg_catalog.pg_get_viewdef(c.oid) END FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm', 'f')"
    " AND " SCHEMAS " AND " PG_NOT_EXTENSION " ORDER BY 1, 2",

    "SELECT 'routine', n.nspname || '.' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid)"
    " || ')', 'its text is of this engine', p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n"
    " ON n.oid = p.pronamespace WHERE " SCHEMAS NOT_MEMBER("pg_proc", "p.oid") " ORDER BY 2",

    "SELECT 'trigger', g.tgname || ' of table ' || n.nspname || '.' || c.relname, 'its text is of this engine',"
    " pg_catalog.pg_get_triggerdef(g.oid) FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal"
    " AND g.tgname NOT LIKE 'midflight%' AND c.oid " THEIRS " ORDER BY 2",

    "SELECT 'check constraint', k.conname || ' of table ' || n.nspname || '.' || c.relname,"
    " 'its condition is in this engine''s words', pg_catalog.pg_get_constraintdef(k.oid)"
    " FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'c' AND c.oid " THEIRS " ORDER BY 2",

    "SELECT 'rule', w.rulename || ' of table ' || n.nspname || '.' || c.relname, 'its text is of this engine',"
    " pg_catalog.pg_get_ruledef(w.oid) FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid " THEIRS " ORDER BY 2",

    "SELECT 'policy', w.polname || ' of table ' || n.nspname || '.' || c.relname,"
    " 'row security is of this engine: rows would be seen that are hidden here',"
    " pg_catalog.pg_get_expr(w.polqual, w.polrelid) FROM pg_catalog.pg_policy w"
    " JOIN pg_catalog.pg_class c ON c.oid = w.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid " THEIRS " ORDER BY 2",

    "SELECT 'partition', n.nspname || '.' || c.relname, 'it becomes a table of its own, not a partition of '"
    " || pn.nspname || '.' || p.relname, pg_catalog.pg_get_expr(c.relpartbound, c.oid)"
    " FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class p ON p.oid = i.inhparent"
    " JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace"
    " WHERE c.oid " THEIRS " ORDER BY 2",

    "SELECT 'sequence', n.nspname || '.' || c.relname, 'it is no column''s: what counts elsewhere is a column', NULL"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'"
    " AND " SCHEMAS " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o"
    "  WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')"
    "  AND o.refobjsubid > 0) AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o"
    "  WHERE o.classid = 'pg_catalog.pg_attrdef'::regclass AND o.refclassid = 'pg_catalog.pg_class'::regclass"
    "  AND o.refobjid = c.oid) ORDER BY 2",

    "SELECT DISTINCT 'domain', n.nspname || '.' || y.typname, 'columns of it become columns of its base type, without"
    " its condition', pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_attribute a"
    " JOIN pg_catalog.pg_type y ON y.oid = a.atttypid JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace"
    " JOIN pg_catalog.pg_constraint k ON k.contypid = y.oid WHERE a.attrelid " THEIRS " AND a.attnum > 0"
    " AND NOT a.attisdropped ORDER BY 2",
};

int pg_describe_left(struct pg_describing *d, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf oids = {.max = PG_SQL_MAX};
    mf_buf_printf(&oids, "{%s}", d->oids);
    const char *const values[] = {pg_sql(&oids, err)};
    if (!values[0]) {
        return -1;
    }
    for (size_t i = 0; i < sizeof queries / sizeof *queries && !d->b.full; i++) {
        PG_CLEANUP_RESULT PGresult *r = NULL;
        if (pg_query_params(d->c, &r, err, queries[i], 1, values) < 0) {
            return -1;
        }
        for (int k = 0; k < PQntuples(r); k++) {
            mf_schema_leave(&d->b, PQgetvalue(r, k, 2), pg_get(r, k, 3), "%s %s", PQgetvalue(r, k, 0),
                            PQgetvalue(r, k, 1));
        }
    }
    return 0;
}
