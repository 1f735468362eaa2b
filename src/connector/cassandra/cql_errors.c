/* What a server's error means for us: see cql_net.h. Pure. */
#include "connector/cassandra/cql_net.h"

#include <string.h>

/* There is no code of its own for it: it is an invalid request ("table … does not exist", "unconfigured table"). */
bool mf_cql_missing(const struct mf_error *err)
{
    return strcmp(err->code, "0x2200") == 0 &&
           (strstr(err->text, "does not exist") || strstr(err->text, "unconfigured"));
}

bool cql_schema_behind(const struct mf_error *err)
{
    return mf_cql_missing(err) || (strcmp(err->code, "0x2200") == 0 && strstr(err->text, "Undefined column"));
}

void cql_request_error(const struct cql_server_error *e, bool bound, struct mf_error *err)
{
    cql_server_fail(err, e);
    if (bound && e->code == CQL_E_INVALID) {
        /* The statement was good when it was prepared, so it is these values. */
        err->cls = MF_ROW;
    }
    if (e->code == CQL_E_CREDENTIALS) {
        mf_fail(err, MF_FATAL, "MFAUTH", "the cluster refuses the user or the password: %s", e->message);
        mf_hint(err, "give the user in the URL and the password with it or in its own setting");
    }
}
