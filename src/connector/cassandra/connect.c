/* Opening a database: a cluster, one keyspace of it, and what its servers take at once. */
#include "connector/cassandra/cass.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/cassandra/cql_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_S 1000

int64_t cass_now_us(struct cass_db *db)
{
    int64_t now = mf_wall_us();
    MF_LOCK_SCOPE(&db->lock);
    db->last_us = now > db->last_us ? now : db->last_us + 1;
    return db->last_us;
}

/* "5.0.6" to 50006. */
static int version_number(const char *release)
{
    int parts[3] = {0};
    sscanf(release, "%d.%d.%d", &parts[0], &parts[1], &parts[2]);
    return parts[0] * 10000 + parts[1] * 100 + parts[2];
}

/* ---- the server's own bounds ---- */

/* "32MiB", "50KiB", "16777216B"; a plain number is of `unit`. 0: none. */
static uint64_t bytes_of(const char *text, uint64_t unit)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    return end == text ? 0
                       : n * (*end == 'K'   ? 1u << 10
                              : *end == 'M' ? 1u << 20
                              : *end == 'G' ? 1u << 30
                              : *end == 'B' ? 1
                                            : unit);
}

static int take_setting(void *ctx, const struct mf_cql_answer *a, const struct cql_bytes *cells, struct mf_error *err)
{
    struct cass_db *db = ctx;
    char name[128], value[128];
    (void)err;
    cass_cell_text(a, cells, 0, name, sizeof name);
    cass_cell_text(a, cells, 1, value, sizeof value);
    uint64_t kib = bytes_of(value, 1u << 10), mib = bytes_of(value, 1u << 20);
    if ((strcmp(name, "batch_size_fail_threshold") == 0 || strcmp(name, "batch_size_fail_threshold_in_kb") == 0) &&
        kib) {
        db->batch_max = kib;
    } else if ((strcmp(name, "max_mutation_size") == 0 || strcmp(name, "max_mutation_size_in_kb") == 0) && kib) {
        db->row_max = kib;
    } else if ((strcmp(name, "commitlog_segment_size") == 0 || strcmp(name, "commitlog_segment_size_in_mb") == 0) &&
               mib && mib / 2 < db->row_max) {
        db->row_max = mib / 2;
    }
    return 0;
}

/* Who may not look has the bounds a server is installed with. */
static void learn_bounds(struct cass_db *db)
{
    struct mf_error ignored = {0};
    db->row_max = CASS_ROW_MAX;
    db->batch_max = CASS_BATCH_MAX;
    cass_each(db, "SELECT name, value FROM system_views.settings", NULL, 0, take_setting, db, &ignored);
}

/* ---- open ---- */

static int fill_facts(struct cass_db *db, const struct mf_db_options *o, struct mf_error *err)
{
    const struct mf_cql_options q = {.url = o->url, .password = o->password};
    struct cql_settings s = {0};
    struct mf_cql_facts f;
    if (cql_url_parse(&q, &s, err) < 0) {
        return -1;
    }
    mf_cql_facts(db->cql, &f);
    mf_strlcpy(db->keyspace, f.keyspace, sizeof db->keyspace);
    mf_strlcpy(db->facts.engine, "Cassandra", sizeof db->facts.engine);
    mf_strlcpy(db->facts.version, f.release, sizeof db->facts.version);
    mf_strlcpy(db->facts.system_id, f.cluster, sizeof db->facts.system_id);
    mf_strlcpy(db->facts.database, f.keyspace, sizeof db->facts.database);
    mf_strlcpy(db->facts.user, s.user ? s.user : "", sizeof db->facts.user);
    mf_strlcpy(db->facts.encoding, "UTF8", sizeof db->facts.encoding);
    mf_strlcpy(db->facts.host, s.ncontacts ? s.contacts[0].host : "", sizeof db->facts.host);
    db->facts.version_num = version_number(f.release);
    cql_settings_free(&s);
    if (!db->keyspace[0]) {
        mf_fail(err, MF_USAGE, "MFURL", "the URL of the cluster names no keyspace");
        mf_hint(err, "write it behind the hosts: cassandra://host:9042/keyspace");
        return -1;
    }
    return 0;
}

int cass_open(const struct mf_db_options *o, struct mf_db **ret, struct mf_error *err)
{
    const struct mf_cql_options q = {
        .url = o->url, .password = o->password, .connect_timeout_ms = o->connect_timeout_s * MS_PER_S};
    struct cass_db *db = mf_xcalloc(1, sizeof *db);
    db->base.connector = &mf_connector_cassandra;
    db->base.side = o->side;
    db->map = o->map;
    mf_strlcpy(db->migration, o->migration ? o->migration : "", sizeof db->migration);
    pthread_mutex_init(&db->lock, NULL);
    if (mf_cql_open(&q, &db->cql, err) < 0 || fill_facts(db, o, err) < 0) {
        cass_close(&db->base);
        return -1;
    }
    learn_bounds(db);
    *ret = &db->base;
    return 0;
}

void cass_close(struct mf_db *base)
{
    struct cass_db *db = cass_db_of(base);
    if (db) {
        mf_cql_close(db->cql);
        pthread_mutex_destroy(&db->lock);
        free(db);
    }
}

int cass_facts(struct mf_db *db, struct mf_db_facts *ret, struct mf_error *err)
{
    (void)err;
    *ret = cass_db_of(db)->facts;
    return 0;
}
