/* Operations of a database that shows another (mf_connector.behind): what it does not change is asked of the one behind, which is given itself.
 *
 * What is not named here works on objects that know their own database (snapshots, holds, run locks), or is the shower's to turn. */
#ifndef MF_CONNECTOR_PASSING_H
#define MF_CONNECTOR_PASSING_H

#include "connector/connector.h"

/* Fills in those that need no turning: a shower puts its own over those it turns. Tables of operations that were copied from what is behind. */
void mf_pass_ops(struct mf_source_ops *s, struct mf_target_ops *t, struct mf_traffic_ops *g);

#endif
