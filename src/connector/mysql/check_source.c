/* What would stop or hurt a migration away from this server. Every finding has a stable code, the object, the reason, and a remedy one can
 * paste. */
#include "connector/mysql/check.h"

#include <string.h>

static int check(struct my_check *k, struct mf_error *err)
{
    if (k->db->mariadb && k->db->version < 100600) {
        my_check_say(k, MF_WARNING, "version", k->db->facts.host, "rehearse the migration on a copy first",
                     "MariaDB %s: 10.11 is the version that is tested", k->db->facts.version);
    }
    return my_check_server(k, err) < 0 || my_catalog_read(&k->db->base, k->filter, &k->tables, err) < 0 ||
                   my_check_rights(k, err) < 0 || my_check_tables(k, err) < 0 || my_check_others(k, err) < 0
               ? -1
               : 0;
}

int my_check_source(struct mf_db *db, const struct mf_filter *filter, struct mf_findings *out, struct mf_error *err)
{
    struct my_check k = {0};
    int rc = my_check_open(&k, my_db_of(db), filter, out, err);
    rc = rc == 0 ? check(&k, err) : rc;
    my_check_close(&k);
    return rc;
}
