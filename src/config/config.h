/* What the user asked for: migration.yaml, or two URLs. One option table (options.c) defines every key: parser, default, bounds, help
 * and reference page come from it. All sizes in bytes, all times in milliseconds. */
#ifndef MF_CONFIG_CONFIG_H
#define MF_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "bson/shred.h"
#include "model/doc_map.h"
#include "model/query_map.h"

enum mf_mode { MF_MODE_STREAM, MF_MODE_NATIVE };
enum mf_on_ddl { MF_DDL_STOP, MF_DDL_ADDITIVE, MF_DDL_IGNORE };
enum mf_on_reject { MF_REJECT_KEEP, MF_REJECT_STOP };
enum mf_old_rows { MF_OLD_DELETE, MF_OLD_KEEP };
enum mf_on_divergence { MF_DIVERGENCE_REPAIR, MF_DIVERGENCE_STOP };
enum mf_accounts { MF_ACCOUNTS_LEAVE, MF_ACCOUNTS_COPY };
enum mf_dual_writes { MF_DUAL_WRITES_OFF, MF_DUAL_WRITES_ON };
enum mf_long_policy { MF_POLICY_WAIT, MF_POLICY_ABANDON, MF_POLICY_END };

struct mf_string_list {
    char **items;
    size_t n;
};

struct mf_config {
    char *migration;                         /* [a-z0-9_]{1,40}; default: the source's database name made fit */
    char *source, *target;                   /* URLs, with secrets: never logged, see mf_url_redact */
    char *source_password, *target_password; /* from source_password_file etc.; NULL otherwise */
    struct mf_string_list include, exclude;
    /* `map:`, of one kind or the other. NULL: none */
    struct mf_query_map *map;
    struct mf_doc_map *documents;
    struct mf_shred *shred; /* `documents`, compiled when the configuration is finished */
    bool map_only;
    struct {
        int64_t jobs;
        double max_load;
        int64_t chunk_bytes, chunk_rows;
    } copy;
    enum mf_mode mode;
    struct {
        char *host, *user, *password, *ca; /* as the target's server sees the source's; NULL: as in the URL */
        int64_t port;                      /* 0: the same */
    } native;
    enum mf_on_ddl on_ddl;
    int64_t schema_check_ms;
    enum mf_on_divergence on_divergence;
    enum mf_accounts accounts;
    enum mf_dual_writes dual_writes;
    char *on_sick_target;  /* as written: "wait", "degrade after 2s" */
    int64_t sick_after_ms; /* from it, by mf_config_finish; 0: wait */
    int64_t dual_standstill_ms;
    struct {
        enum mf_on_reject on_reject;
        enum mf_old_rows old_rows;
        int64_t max_rows;
    } quarantine;
    struct {
        int64_t every_ms; /* 0: only when asked */
        int64_t jobs;
        int64_t snapshot_ms;              /* snapshots are renewed after this */
        int64_t memory_bytes, disk_bytes; /* for joining the two sides */
    } verify;
    struct {
        int64_t max_pause_ms, max_lag_bytes, lock_ms, prepare_ms, verified_within_ms;
        enum mf_long_policy long_transactions;
        int64_t flag_delay_ms;
        bool require_verified, one_way;
    } cutover;
    struct {
        int64_t pause_ms, jobs, max_deletes, max_pause_ms;
        double max_load;
    } reverse; /* the way back from a target without a change stream */
    struct {
        int64_t max_lag_ms, max_quarantined, verified_within_ms, restore_after_ms; /* restore_after 0: never */
        bool require_verified;
    } reads;
    struct {
        char *reads, *writes, *writes_on_target; /* names */
    } flags;
    struct {
        int64_t max, timeout_ms;
        double worse;
    } queries; /* check --queries */
    struct {
        int64_t sample_bytes, timeout_ms, partition_rows, partition_bytes;
        int64_t documents; /* of each collection that are looked at */
    } plan;                /* partitions of a target that spreads rows by key; what documents look like */
    int64_t rollback_window_ms;
    struct {
        char *on_before_cutover, *on_cutover, *on_rollback, *on_complete;
        int64_t timeout_ms;
    } hooks;
    struct {
        int64_t budget_bytes, segment_bytes, memory_bytes;
    } spool;
    struct {
        int64_t window_bytes, window_changes;
    } apply;
    int64_t heartbeat_ms, retry_ms; /* retry_ms: how long a lost connection is tried again before the run stops */
    struct {
        char *listen; /* "host:port" or NULL: the Unix socket only */
        char *token;  /* from token_file / ${NAME}; needed beyond loopback */
    } api;
    struct {
        char *level, *format; /* auto | text | json */
    } log;
    char *state_dir;
    char *path; /* the file it came from; NULL for URLs */
};

/* Error MF_USAGE with file:line and, for an unknown key, the nearest known name. */
int mf_config_load(const char *path, struct mf_config **ret, struct mf_error *err);
int mf_config_from_urls(const char *source, const char *target, struct mf_config **ret, struct mf_error *err);
/* One override as from the command line: "copy.jobs", "8". */
int mf_config_set(struct mf_config *c, const char *key, const char *value, struct mf_error *err);
/* Whole-config checks after all overrides (URLs differ, name fits, bounds). */
int mf_config_finish(struct mf_config *c, struct mf_error *err);
void mf_config_free(struct mf_config *c);
/* api.listen taken apart; only when it is set. ret_host has room for n bytes. */
int mf_config_listen(const struct mf_config *c, char *ret_host, size_t n, uint16_t *ret_port, bool *ret_loopback,
                     struct mf_error *err);
/* The reference page (docs/reference/config.md) from the table. */
void mf_config_reference(FILE *out);

#endif
