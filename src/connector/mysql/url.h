/* mysql://user:password@host:port/database?ssl-mode=required&ssl-ca=…&ssl-cert=…&ssl-key=…&socket=… Pure. */
#ifndef MF_CONNECTOR_MYSQL_URL_H
#define MF_CONNECTOR_MYSQL_URL_H

#include "connector/mysql/connect.h"

/* Fills every field that the URL says, host ("localhost") and port (3306) always. MF_USAGE code MFURL; no secret is in the text. */
int my_url_parse(const char *url, struct my_params *ret, struct mf_error *err);
void my_params_free(struct my_params *p);

#endif
