/* Metrics in Prometheus' text format 0.0.4, each read from the status document: one table, from which
 * docs/reference/metrics.md comes too. What the document does not say is left out, never shown as 0. */
#include "api/internal.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct metric {
    const char *name, *type, *path; /* path in the status document */
    double scale;
    const char *sentence;
};

static const struct metric metrics[] = {
    {"midflight_lag_seconds", "gauge", "stream.lag_seconds", 1,
     "How far the replica is behind the side that takes writes, in time. While that side is not heard of: since both "
     "were last known to be even."},
    {"midflight_lag_bytes", "gauge", "stream.lag_bytes", 1, "The same in bytes of the source's log."},
    {"midflight_lag_transactions", "gauge", "stream.lag_transactions", 1,
     "The same in transactions, while the target follows by its server's own replication (mode: native)."},
    {"midflight_rows_copied_total", "counter", "copy.rows_done", 1, "Rows copied."},
    {"midflight_rows_to_copy", "gauge", "copy.rows_total", 1, "Rows there are to copy, as estimated."},
    {"midflight_bytes_copied_total", "counter", "copy.bytes_done", 1, "Bytes copied."},
    {"midflight_copy_rows_per_second", "gauge", "copy.rows_per_second", 1, "The copy's rate."},
    {"midflight_changes_applied_total", "counter", "stream.changes_applied", 1,
     "Changes of the stream applied by this run."},
    {"midflight_transactions_applied_total", "counter", "stream.transactions", 1,
     "Transactions of the stream applied by this run."},
    {"midflight_changes_per_second", "gauge", "stream.changes_per_second", 1, "The stream's rate."},
    {"midflight_changes_captured_total", "counter", "stream.changes_captured", 1,
     "Changes of the stream received by this run."},
    {"midflight_windows_total", "counter", "stream.windows", 1, "Windows applied by this run."},
    {"midflight_careful_windows_total", "counter", "stream.careful_windows", 1,
     "Windows that had to be applied again change by change."},
    {"midflight_rows_reread_total", "counter", "stream.rows_reread", 1,
     "Rows read again from the source because the stream did not have them whole."},
    {"midflight_apply_latency_seconds", "gauge", "stream.apply_latency_seconds", 1,
     "From the commit on the source to the commit on the target, of the last window."},
    {"midflight_spool_bytes", "gauge", "stream.spool_bytes", 1, "Disk that changes not yet applied take."},
    {"midflight_spool_budget_bytes", "gauge", "stream.spool_budget", 1, "Disk they may take."},
    {"midflight_source_load", "gauge", "copy.load", 1, "The source's load by others, as the copy's throttle sees it."},
    {"midflight_cutovers_total", "counter", "cutovers", 1, "Times that writes were moved."},
    {"midflight_cutover_pause_seconds", "gauge", "pause_ms", 0.001, "How long writers were held by the last cutover."},
    {"midflight_quarantine_rows", "gauge", "quarantine.rows", 1, "Rows in quarantine."},
    {"midflight_reads_percent", "gauge", "reads_percent", 1,
     "The share of reads that flags send to the target, in per cent, as in force."},
    {"midflight_reads_asked_percent", "gauge", "reads.asked_percent", 1,
     "The share last asked for; another one is in force while reads are taken back."},
    {"midflight_verify_rows_compared", "gauge", "verify.rows_compared", 1, "Rows compared by the last verification."},
    {"midflight_verify_rows_differing", "gauge", "verify.rows_differing", 1,
     "Rows the last verification found different."},
    {"midflight_verify_tables_differing", "gauge", "verify.tables_differing", 1,
     "Tables the last verification found different."},
    {"midflight_diverged_rows", "gauge", "stream.diverged_rows", 1,
     "Rows of the replica that somebody else had written to and that were mended."},
    {"midflight_commit_wait_seconds", "gauge", "dual_writes.waiting_seconds", 1,
     "Dual writes: how long the oldest commit has waited that the target does not hold."},
    {"midflight_dual_writes_degraded_total", "counter", "dual_writes.degraded_times", 1,
     "Dual writes: how often commits came to be answered without the target, in this run."},
    {"midflight_passes_total", "counter", "passes.whole", 1,
     "Passes over the target's rows by this run that were whole: how writes come back from a target without a change "
     "stream."},
    {"midflight_pass_seconds", "gauge", "passes.last_seconds", 1, "How long the last one took."},
    {"midflight_pass_rows_total", "counter", "passes.rows_carried", 1, "Rows that they carried back."},
    {"midflight_pass_rows_left", "gauge", "passes.rows_left", 1,
     "Rows that the last one could not carry back, those in quarantine not counted."},
    {"midflight_wrong_side_writes", "gauge", "wrong_side_writes", 1, "Writes seen on the side that may not write."},
};

static const char *const phases[] = {"planned",     "copying",   "catching_up", "synced", "cut_over",
                                     "rolled_back", "completed", "cancelled",   "failed"};

static const char *const dual_states[] = {"off", "catching_up", "on", "degraded"};

static const json_t *at(const json_t *doc, const char *path)
{
    char name[64];
    while (doc && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof(name)) {
            return NULL;
        }
        memcpy(name, path, n);
        name[n] = '\0';
        doc = json_object_get(doc, name);
        path += n + (path[n] == '.');
    }
    return doc;
}

static void head(struct evbuffer *out, const char *name, const char *type, const char *sentence)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, sentence, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void put_label(struct evbuffer *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"') {
            evbuffer_add_printf(out, "\\%c", *s);
        } else if (*s == '\n') {
            evbuffer_add_printf(out, "\\n");
        } else {
            evbuffer_add(out, s, 1);
        }
    }
}

#define INFO_SENTENCE  "The version and the migration's name; always 1."
#define PHASE_SENTENCE "1 for the phase the migration is in, 0 for the others."
#define DUAL_SENTENCE                                                                                                  \
    "1 for the state dual writes are in, 0 for the others. `on`: every commit answered is in the target."
#define EVALUATIONS_SENTENCE "Feature flags evaluated by this run, by flag and by answer."
#define WRITES_SENTENCE      "1 while the target takes writes, 0 while the source does."

static void print_dual(const json_t *status, struct evbuffer *out)
{
    const char *state = json_string_value(at(status, "dual_writes.state"));
    if (!state) {
        return;
    }
    head(out, "midflight_dual_writes", "gauge", DUAL_SENTENCE);
    for (size_t i = 0; i < MF_ARRAY_LEN(dual_states); i++) {
        evbuffer_add_printf(out, "midflight_dual_writes{state=\"%s\"} %d\n", dual_states[i],
                            mf_streq(dual_states[i], state));
    }
}

static void print_evaluations(const struct mf_api *api, struct evbuffer *out)
{
    static const char *const flags[MF_FLAGS] = {"reads", "writes", "writes_on_target"};
    static const char *const results[MF_FLAG_RESULTS] = {"source", "target", "error"};
    head(out, "midflight_flag_evaluations_total", "counter", EVALUATIONS_SENTENCE);
    for (int f = 0; f < MF_FLAGS; f++) {
        for (int r = 0; r < MF_FLAG_RESULTS; r++) {
            evbuffer_add_printf(out, "midflight_flag_evaluations_total{flag=\"%s\",result=\"%s\"} %" PRIu64 "\n",
                                flags[f], results[r], api->evaluations[f][r]);
        }
    }
}

static void print_states(const json_t *status, struct evbuffer *out)
{
    const char *migration = json_string_value(json_object_get(status, "migration"));
    const char *phase = json_string_value(json_object_get(status, "phase"));
    const char *writes = json_string_value(json_object_get(status, "writes"));
    head(out, "midflight_info", "gauge", INFO_SENTENCE);
    evbuffer_add_printf(out, "midflight_info{version=\"" MIDFLIGHT_VERSION "\",migration=\"");
    put_label(out, migration ? migration : "");
    evbuffer_add_printf(out, "\"} 1\n");
    if (phase) {
        head(out, "midflight_phase", "gauge", PHASE_SENTENCE);
        for (size_t i = 0; i < MF_ARRAY_LEN(phases); i++) {
            evbuffer_add_printf(out, "midflight_phase{phase=\"%s\"} %d\n", phases[i], mf_streq(phases[i], phase));
        }
    }
    if (writes) {
        head(out, "midflight_writes_on_target", "gauge", WRITES_SENTENCE);
        evbuffer_add_printf(out, "midflight_writes_on_target %d\n", mf_streq(writes, "target"));
    }
}

void mf_metrics_print(const struct mf_api *api, const json_t *status, struct evbuffer *out)
{
    print_states(status, out);
    print_dual(status, out);
    print_evaluations(api, out);
    for (size_t i = 0; i < MF_ARRAY_LEN(metrics); i++) {
        const json_t *v = at(status, metrics[i].path);
        double d = json_number_value(v);
        if (!json_is_number(v) || !isfinite(d)) {
            continue;
        }
        head(out, metrics[i].name, metrics[i].type, metrics[i].sentence);
        if (json_is_integer(v) && metrics[i].scale == 1) {
            evbuffer_add_printf(out, "%s %" JSON_INTEGER_FORMAT "\n", metrics[i].name, json_integer_value(v));
        } else {
            evbuffer_add_printf(out, "%s %.9g\n", metrics[i].name, d * metrics[i].scale);
        }
    }
}

void mf_metrics_reference(FILE *out)
{
    fputs("# Metrics\n\nFrom the metric table, src/api/metrics.c.\n\n"
          "`GET /metrics`, in Prometheus' text format. A metric that is not known yet is not there.\n\n"
          "| metric | type | what it says |\n|---|---|---|\n"
          "| `midflight_info{version,migration}` | gauge | " INFO_SENTENCE " |\n"
          "| `midflight_phase{phase}` | gauge | " PHASE_SENTENCE " |\n"
          "| `midflight_dual_writes{state}` | gauge | " DUAL_SENTENCE " |\n"
          "| `midflight_writes_on_target` | gauge | " WRITES_SENTENCE " |\n"
          "| `midflight_flag_evaluations_total{flag,result}` | counter | " EVALUATIONS_SENTENCE " |\n",
          out);
    for (size_t i = 0; i < MF_ARRAY_LEN(metrics); i++) {
        fprintf(out, "| `%s` | %s | %s |\n", metrics[i].name, metrics[i].type, metrics[i].sentence);
    }
}
