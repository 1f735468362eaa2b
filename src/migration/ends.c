/* Opening the two databases. */
#include "migration/internal.h"

static struct mf_db_options options(const struct mf_config *c, enum mf_side side, const char *state_dir,
                                    struct mf_replication_options *replication)
{
    return (struct mf_db_options){.url = side == MF_SOURCE ? c->source : c->target,
                                  .password = side == MF_SOURCE ? c->source_password : c->target_password,
                                  .side = side,
                                  .connect_timeout_s = 10,
                                  .state_dir = state_dir,
                                  .migration = c->migration,
                                  .map = c->map,
                                  .shred = c->shred,
                                  .refused_stay = c->quarantine.old_rows == MF_OLD_KEEP,
                                  .replication = mf_native_options(c, replication)};
}

static int open_bare(const struct mf_config *c, enum mf_side side, struct mf_db **ret, struct mf_error *err)
{
    struct mf_replication_options replication;
    const struct mf_db_options o = options(c, side, NULL, &replication);
    const struct mf_connector *connector = mf_connector_for_url(o.url, err);
    return connector ? connector->open(&o, ret, err) : -1;
}

int mf_source_open(const struct mf_config *c, struct mf_db **ret, struct mf_error *err)
{
    if (open_bare(c, MF_SOURCE, ret, err) < 0) {
        mf_error_prefix(err, "the source");
        return -1;
    }
    return 0;
}

static int take_facts(struct mf_db *db, struct mf_db **ret, struct mf_db_facts *facts, struct mf_error *err)
{
    if (db->connector->facts(db, facts, err) < 0) {
        db->connector->close(db);
        return -1;
    }
    *ret = db;
    return 0;
}

int mf_end_open_bare(const struct mf_config *c, enum mf_side side, struct mf_db **ret, struct mf_db_facts *facts,
                     struct mf_error *err)
{
    struct mf_db *db = NULL;
    return open_bare(c, side, &db, err) < 0 ? -1 : take_facts(db, ret, facts, err);
}

int mf_end_open(const struct mf_config *c, enum mf_side side, bool to_end, const char *state_dir, struct mf_db *source,
                struct mf_db **ret, struct mf_db_facts *facts, struct mf_error *err)
{
    struct mf_replication_options replication;
    struct mf_db_options o = options(c, side, state_dir, &replication);
    o.to_end = to_end;
    struct mf_db *db = NULL;
    if (mf_connector_open(&o, c->source, c->target, source, &db, err) < 0) {
        return -1;
    }
    return take_facts(db, ret, facts, err);
}
