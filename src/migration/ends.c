/* Opening the two databases: behind faces where they are of different kinds (connector/face). */
#include "migration/internal.h"

#include "connector/face/face.h"

int mf_end_open(const struct mf_config *c, enum mf_side side, const char *state_dir, struct mf_db *source,
                struct mf_db **ret, struct mf_db_facts *facts, struct mf_error *err)
{
    const char *url = side == MF_SOURCE ? c->source : c->target;
    struct mf_db_options o = {.url = url,
                              .password = side == MF_SOURCE ? c->source_password : c->target_password,
                              .side = side,
                              .connect_timeout_s = 10,
                              .state_dir = state_dir,
                              .migration = c->migration};
    const struct mf_connector *connector = mf_connector_for_url(url, err);
    struct mf_db *db = NULL;
    bool face = false;
    if (!connector || mf_connector_pair(c->source, c->target, &face, err) < 0) {
        return -1;
    }
    if (connector->open(&o, &db, err) < 0) {
        mf_error_prefix(err, "the %s", side == MF_SOURCE ? "source" : "target");
        return -1;
    }
    if (connector->facts(db, facts, err) < 0) {
        mf_error_prefix(err, "the %s", side == MF_SOURCE ? "source" : "target");
        connector->close(db);
        return -1;
    }
    if (face && mf_face_open(db, source, &db, err) < 0) {
        return -1;
    }
    *ret = db;
    return 0;
}
