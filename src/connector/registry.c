/* The connectors there are. Adding a database is adding its folder and a line here. */
#include "connector/connector.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/face/face.h"
#include "connector/shred/shred.h"
#include "connector/view/view.h"

#include <string.h>

extern const struct mf_connector mf_connector_cassandra;
extern const struct mf_connector mf_connector_memory;
extern const struct mf_connector mf_connector_memory_other;
extern const struct mf_connector mf_connector_memory_stamped;
extern const struct mf_connector mf_connector_mongodb;
extern const struct mf_connector mf_connector_mysql;
extern const struct mf_connector mf_connector_postgres;

static const struct mf_connector *const connectors[] = {
    &mf_connector_postgres,       &mf_connector_mysql,     &mf_connector_memory,  &mf_connector_memory_other,
    &mf_connector_memory_stamped, &mf_connector_cassandra, &mf_connector_mongodb,
};

const struct mf_connector *mf_connector_for_url(const char *url, struct mf_error *err)
{
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < MF_ARRAY_LEN(connectors); i++) {
        for (const char *const *s = connectors[i]->schemes; *s; s++) {
            size_t n = strlen(*s);
            if (url && strncmp(url, *s, n) == 0 && strncmp(url + n, "://", 3) == 0) {
                return connectors[i];
            }
            if (!connectors[i]->in_memory && used + n + 8 < sizeof known) {
                used += (size_t)snprintf(known + used, sizeof known - used, "%s%s://", used ? ", " : "", *s);
            }
        }
    }
    MF_CLEANUP_FREE char *shown = mf_url_redact(url ? url : "");
    mf_fail(err, MF_USAGE, "MFURL", "no connector for the URL %s", shown);
    mf_hint(err, "known schemes: %s", known);
    return NULL;
}

int mf_connector_pair(const char *source_url, const char *target_url, bool *ret_face, struct mf_error *err)
{
    const struct mf_connector *s = mf_connector_for_url(source_url, err);
    const struct mf_connector *t = s ? mf_connector_for_url(target_url, err) : NULL;
    if (!t) {
        return -1;
    }
    if (!s->can_source || !t->can_target) {
        mf_fail(err, MF_USAGE, "MFPAIR", "a %s database cannot be the %s of a migration",
                s->can_source ? t->name : s->name, s->can_source ? "target" : "source");
        mf_hint(err, "it tells nobody of its changes: only where rows go to can it stand");
        return -1;
    }
    if (t->documents && !s->documents) {
        mf_fail(err, MF_USAGE, "MFPAIR", "tables of a %s database cannot become documents", s->name);
        mf_hint(err, "documents go into tables; what goes back is those documents");
        return -1;
    }
    *ret_face = s != t || s->documents;
    if (s == t || (s->canon && t->canon)) {
        return 0;
    }
    mf_fail(err, MF_USAGE, "MFPAIR", "a %s database cannot be moved into a %s one", s->name, t->name);
    mf_hint(err, "source and target must be of one kind, or both of those that can be moved into another kind");
    return -1;
}

/* Documents need a map, and only documents have such a one. */
static int documents_mapped(const struct mf_db_options *o, const char *source_url, struct mf_error *err)
{
    const struct mf_connector *s = mf_connector_for_url(source_url, err);
    if (s && s->documents && !o->shred) {
        mf_fail(err, MF_USAGE, "MFMAP", "documents go into tables by a map, and the configuration has none");
        mf_hint(err,
                "midflight plan --write-map map.yaml proposes one: look it through, and put it into the configuration");
        return -1;
    }
    if (s && !s->documents && o->shred) {
        return mf_fail(err, MF_USAGE, "MFMAP", "the map is one of collections, and a %s source has none", s->name);
    }
    return s ? 0 : -1;
}

int mf_connector_open(const struct mf_db_options *o, const char *source_url, const char *target_url,
                      struct mf_db *source, struct mf_db **ret, struct mf_error *err)
{
    const struct mf_connector *c = mf_connector_for_url(o->url, err);
    struct mf_db *db = NULL;
    bool face = false;
    if (!c || mf_connector_pair(source_url, target_url, &face, err) < 0 || documents_mapped(o, source_url, err) < 0 ||
        c->open(o, &db, err) < 0 || ((face || o->map) && mf_face_open(db, source, &db, err) < 0)) {
        return -1;
    }
    if (o->map && o->side == MF_SOURCE) {
        return mf_view_open(db, o->map, mf_connector_for_url(target_url, err), ret, err);
    }
    if (o->shred) {
        return o->side == MF_SOURCE ? mf_norm_open(db, o->shred, o->to_end, ret, err)
                                    : mf_shred_open(db, o->shred, source, o->refused_stay, ret, err);
    }
    if (o->map) {
        mf_face_apart(db);
    }
    *ret = db;
    return 0;
}

struct mf_db *mf_db_behind(struct mf_db *db)
{
    while (db && db->connector->behind) {
        db = db->connector->behind(db);
    }
    return db;
}
