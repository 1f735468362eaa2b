/* mongodb://user:password@host:port,…/database?options and mongodb+srv://, as libmongoc takes them apart: TLS, authentication, read preference and replica set
 * are its options. */
#ifndef MF_CONNECTOR_MONGODB_URL_H
#define MF_CONNECTOR_MONGODB_URL_H

#include "connector/types.h"

#include <mongoc/mongoc.h>

/* With the bounds of time that the URL does not say, and o->password where there is one. MF_USAGE code MFURL; no secret is in the text. */
int mongo_url_parse(const struct mf_db_options *o, mongoc_uri_t **ret, struct mf_error *err);
/* Hosts, database ("" none), user. */
void mongo_url_say(const mongoc_uri_t *uri, struct mf_db_facts *ret);

#endif
