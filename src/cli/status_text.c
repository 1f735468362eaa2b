/* The status document as people read it: one screen, or one line. */
#include "cli/command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#include <string.h>

#define TABLES_SHOWN   20
#define POSITION_SHOWN 40 /* characters: a resume token has hundreds, a GTID set as many as servers ever wrote */

static void bar(double share, int width, char *out, size_t n)
{
    size_t used = 0;
    int full = (int)(share * width + 0.5);
    for (int i = 0; i < width && used + 4 < n; i++) {
        used += (size_t)snprintf(out + used, n - used, "%s", i < full ? "█" : "░");
    }
    out[used] = '\0';
}

/* "?" while it is not known. */
static char *rows_text(int64_t n, char *out, size_t size)
{
    if (n < 0) {
        snprintf(out, size, "?");
        return out;
    }
    return mf_format_count(n, out, size);
}

static bool worth_showing(const json_t *t)
{
    return !mf_streq(mf_json_str(t, "state"), "live") && !mf_streq(mf_json_str(t, "state"), "copied");
}

static bool all_copied(const json_t *s)
{
    const json_t *list = mf_json_at(s, "tables");
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)list, i, item)
    {
        if (worth_showing(item)) {
            return false;
        }
    }
    return json_array_size(list) > 0;
}

/* By the rows, which stand beside it, where it is known that there are more; else by the bytes, whose estimate is of another form
 * of them than what is copied. */
static double copy_share(const json_t *s)
{
    bool by_rows = mf_json_num(s, "copy.rows_total") > mf_json_num(s, "copy.rows_done");
    double total = mf_json_num(s, by_rows ? "copy.rows_total" : "copy.bytes_total");
    double done = mf_json_num(s, by_rows ? "copy.rows_done" : "copy.bytes_done");
    if (!by_rows && all_copied(s)) {
        return 1;
    }
    if (total <= 0) {
        return mf_json_num(s, "copy.rows_done") > 0;
    }
    return done < total ? done / total : 1;
}

static char *lag_text(const json_t *s, char *out, size_t n)
{
    char size[32];
    if (!json_is_number(mf_json_at(s, "stream.lag_seconds"))) {
        snprintf(out, n, "lag unknown");
        return out;
    }
    if (json_is_null(mf_json_at(s, "stream.source_position"))) { /* nothing streams now */
        snprintf(out, n, "%.1f s behind", mf_json_num(s, "stream.lag_seconds"));
        return out;
    }
    mf_format_size((uint64_t)mf_json_int(s, "stream.lag_bytes"), size, sizeof(size));
    snprintf(out, n, "%s, %.1f s behind", size, mf_json_num(s, "stream.lag_seconds"));
    return out;
}

static char *eta_text(const json_t *s, char *out, size_t n)
{
    char d[32];
    const json_t *eta = mf_json_at(s, "copy.eta_seconds");
    out[0] = '\0';
    if (json_is_number(eta) && json_number_value(eta) > 0) {
        snprintf(out, n, ", %s left", mf_format_duration((int64_t)(json_number_value(eta) * 1e6), d, sizeof(d)));
    }
    return out;
}

void mf_status_line(const json_t *s, char *out, size_t n, int bar_width)
{
    char done[32];
    char total[32];
    char rate[32];
    char eta[64];
    char lag[96];
    char b[256] = "";
    const char *phase = mf_json_str(s, "phase");
    if (mf_streq(phase, "copying") || mf_streq(phase, "planned")) {
        if (bar_width > 0) {
            bar(copy_share(s), bar_width, b, sizeof(b));
        }
        snprintf(out, n, "%-11s %s%s%3.0f %%  %s of %s rows, %s rows/s%s; stream %s", phase, b, b[0] ? " " : "",
                 copy_share(s) * 100, mf_format_count(mf_json_int(s, "copy.rows_done"), done, sizeof(done)),
                 mf_format_count(mf_json_int(s, "copy.rows_total"), total, sizeof(total)),
                 mf_format_count(mf_json_int(s, "copy.rows_per_second"), rate, sizeof(rate)),
                 eta_text(s, eta, sizeof(eta)), lag_text(s, lag, sizeof(lag)));
        return;
    }
    snprintf(out, n, "%-11s writes on the %s; stream %s, %s changes/s", phase, mf_json_str(s, "writes"),
             lag_text(s, lag, sizeof(lag)),
             mf_format_count(mf_json_int(s, "stream.changes_per_second"), rate, sizeof(rate)));
}

static void print_copy(const json_t *s, FILE *out)
{
    char b[256];
    char done[32];
    char total[32];
    char bytes[32];
    char rate[32];
    char eta[64];
    if (!json_is_object(mf_json_at(s, "copy"))) {
        return;
    }
    bar(copy_share(s), 24, b, sizeof(b));
    fprintf(out, "  copy        %s %3.0f %%  %s of %s rows (%s)", b, copy_share(s) * 100,
            mf_format_count(mf_json_int(s, "copy.rows_done"), done, sizeof(done)),
            mf_format_count(mf_json_int(s, "copy.rows_total"), total, sizeof(total)),
            mf_format_size((uint64_t)mf_json_int(s, "copy.bytes_done"), bytes, sizeof(bytes)));
    if (mf_streq(mf_json_str(s, "phase"), "copying")) {
        fprintf(out, ", %s rows/s%s", mf_format_count(mf_json_int(s, "copy.rows_per_second"), rate, sizeof(rate)),
                eta_text(s, eta, sizeof(eta)));
        if (json_is_true(mf_json_at(s, "copy.throttled"))) {
            fputs(", held back by the source's load", out);
        }
    }
    fputc('\n', out);
}

/* Its beginning and its end, which is what moves; all of it is in --json. */
static const char *position_text(const json_t *s, const char *path, char *out)
{
    const char *at = mf_json_str(s, path);
    size_t n = strlen(at), head = 20, tail = POSITION_SHOWN - head - 3;
    if (n <= POSITION_SHOWN) {
        return at;
    }
    snprintf(out, POSITION_SHOWN + 8, "%.*s … %s", (int)head, at, at + n - tail);
    return out;
}

static void print_stream(const json_t *s, FILE *out)
{
    char lag[96];
    char rate[32];
    char read[POSITION_SHOWN + 8], spooled[POSITION_SHOWN + 8], applied[POSITION_SHOWN + 8];
    if (!json_is_object(mf_json_at(s, "stream"))) {
        return;
    }
    fprintf(out, "  stream      %s, %s changes/s\n", lag_text(s, lag, sizeof(lag)),
            mf_format_count(mf_json_int(s, "stream.changes_per_second"), rate, sizeof(rate)));
    if (mf_streq(mf_json_str(s, "mode"), "native")) {
        fprintf(
            out,
            "              by the target's own replication: %lld transactions behind; source at %s, executed to %s\n",
            (long long)mf_json_int(s, "stream.lag_transactions"), position_text(s, "stream.source_position", read),
            position_text(s, "stream.applied_position", applied));
    } else if (json_is_object(mf_json_at(s, "passes"))) {
        char carried[32], left[48] = "";
        if (mf_json_int(s, "passes.rows_left") > 0) {
            snprintf(left, sizeof left, ", %lld rows left", (long long)mf_json_int(s, "passes.rows_left"));
        }
        fprintf(out, "              by passes (%s): %lld whole, the last %.1f s, %s rows brought back%s%s%s\n",
                mf_json_str(s, "passes.state"), (long long)mf_json_int(s, "passes.whole"),
                mf_json_num(s, "passes.last_seconds"),
                mf_format_count(mf_json_int(s, "passes.rows_carried"), carried, sizeof carried), left,
                mf_json_str(s, "passes.trouble")[0] ? "; " : "", mf_json_str(s, "passes.trouble"));
    } else if (mf_json_str(s, "stream.applied_position")[0]) {
        fprintf(out, "              source at %s, spooled to %s, applied to %s\n",
                position_text(s, "stream.source_position", read), position_text(s, "stream.spooled_position", spooled),
                position_text(s, "stream.applied_position", applied));
    }
}

/* What of everything it compared; "" for all of it. */
static char *verify_part(const json_t *s, char *out, size_t n)
{
    const char *table = mf_json_str(s, "verify.table");
    double sample = mf_json_num(s, "verify.sample");
    char share[64] = "";
    out[0] = '\0';
    if (sample > 0 && sample < 1) {
        snprintf(share, sizeof(share), "a sample of %g %%", sample * 100);
    }
    if (table[0]) {
        snprintf(out, n, " (%s%s1 of %lld tables, %s)", share, share[0] ? " of " : "",
                 (long long)mf_json_int(s, "verify.tables_total"), table);
    } else if (share[0]) {
        snprintf(out, n, " (%s)", share);
    }
    return out;
}

/* The last whole one, where what is shown is another. */
static void print_last_full(const json_t *s, FILE *out)
{
    char rows[32];
    char differing[32];
    char utc[40];
    fprintf(out,
            "              last of every row: %s: %lld tables equal, %lld differ; %s rows compared, %s differ, at %s\n",
            mf_json_str(s, "verify.last_full.state"), (long long)mf_json_int(s, "verify.last_full.tables_equal"),
            (long long)mf_json_int(s, "verify.last_full.tables_differing"),
            mf_format_count(mf_json_int(s, "verify.last_full.rows_compared"), rows, sizeof(rows)),
            mf_format_count(mf_json_int(s, "verify.last_full.rows_differing"), differing, sizeof(differing)),
            mf_format_utc((int64_t)(mf_json_num(s, "verify.last_full.finished_at") * 1e6), utc, sizeof(utc)));
}

/* While both sides are read before they are joined. */
static const char *verify_read(const json_t *s, char *out, size_t n)
{
    char rows[32];
    int64_t read = mf_json_int(s, "verify.rows_read");
    out[0] = '\0';
    if (read) {
        snprintf(out, n, " (%s read)", mf_format_count(read, rows, sizeof(rows)));
    }
    return out;
}

static void print_verify(const json_t *s, FILE *out)
{
    char read[48];
    char part[400];
    char rows[32];
    char differing[32];
    char utc[40];
    int64_t at = (int64_t)(mf_json_num(s, "verify.finished_at") * 1e6);
    if (!mf_json_str(s, "verify.state")[0] || mf_streq(mf_json_str(s, "verify.state"), "never")) {
        fputs("  verify      not done yet\n", out);
        return;
    }
    fprintf(out, "  verify      %s%s: %lld tables equal, %lld differ; %s rows compared%s, %s differ%s%s\n",
            mf_json_str(s, "verify.state"), verify_part(s, part, sizeof(part)),
            (long long)mf_json_int(s, "verify.tables_equal"), (long long)mf_json_int(s, "verify.tables_differing"),
            mf_format_count(mf_json_int(s, "verify.rows_compared"), rows, sizeof(rows)),
            verify_read(s, read, sizeof(read)),
            mf_format_count(mf_json_int(s, "verify.rows_differing"), differing, sizeof(differing)), at ? ", at " : "",
            at ? mf_format_utc(at, utc, sizeof(utc)) : "");
    if (json_is_object(mf_json_at(s, "verify.last_full")) &&
        mf_json_num(s, "verify.last_full.finished_at") != mf_json_num(s, "verify.finished_at")) {
        print_last_full(s, out);
    }
}

/* Until a verification has found both sides equal that began later. */
static void print_others(const json_t *s, FILE *out)
{
    int64_t diverged = mf_json_int(s, "stream.diverged_rows");
    int64_t wrong = mf_json_int(s, "wrong_side_writes");
    if (wrong && !json_is_true(mf_json_at(s, "wrong_side_settled"))) {
        fprintf(
            out,
            "  wrong side  %lld writes by somebody else on the side that may not write: `midflight verify --repair`\n",
            (long long)wrong);
    }
    if (diverged && !json_is_true(mf_json_at(s, "diverged_settled"))) {
        fprintf(out, "  diverged    %lld rows, written by somebody else and mended: `midflight verify`\n",
                (long long)diverged);
    }
}

static void print_tables(const json_t *s, FILE *out)
{
    const json_t *list = mf_json_at(s, "tables");
    struct mf_text_table t = {0};
    json_t *item;
    size_t i;
    size_t rest = 0;
    json_array_foreach((json_t *)list, i, item)
    {
        char done[32];
        char total[32];
        if (!worth_showing(item) && json_array_size(list) > TABLES_SHOWN) {
            continue;
        }
        if (t.nrows == TABLES_SHOWN) {
            rest++;
            continue;
        }
        const char *cells[] = {mf_json_str(item, "name"), mf_json_str(item, "state"),
                               mf_format_count(mf_json_int(item, "rows_done"), done, sizeof(done)), "of",
                               rows_text(mf_json_int(item, "rows_total"), total, sizeof(total))};
        mf_table_add(&t, 5, cells);
    }
    if (t.nrows) {
        fprintf(out, "\n  %zu table%s\n", json_array_size(list), json_array_size(list) == 1 ? "" : "s");
        mf_table_print(&t, out, 0x14);
        if (rest) {
            fprintf(out, "  … and %zu more; all of them with --json\n", rest);
        }
    }
    mf_text_table_free(&t);
}

static void print_error(const json_t *s, FILE *out)
{
    const json_t *e = mf_json_at(s, "last_error");
    if (json_is_string(e)) {
        fprintf(out, "  last error  %s\n", json_string_value(e));
    } else if (json_is_object(e)) {
        fprintf(out, "  last error  %s [%s]\n", mf_json_str(e, "text"), mf_json_str(e, "code"));
        if (mf_json_str(e, "hint")[0]) {
            fprintf(out, "              what to do: %s\n", mf_json_str(e, "hint"));
        }
    }
}

static void print_dual(const json_t *s, FILE *out)
{
    const char *state = mf_json_str(s, "dual_writes.state"), *why = mf_json_str(s, "dual_writes.why");
    double waiting = mf_json_num(s, "dual_writes.waiting_seconds");
    if (!state[0] || mf_streq(state, "off")) {
        return;
    }
    fprintf(out, "  dual writes %s%s%s", mf_streq(state, "catching_up") ? "catching up" : state, why[0] ? ": " : "",
            why);
    if (waiting >= 1) {
        fprintf(out, "; a commit has waited for %.1f s", waiting);
    }
    fputc('\n', out);
}

void mf_status_print(const json_t *s, FILE *out)
{
    const json_t *running = mf_json_at(s, "running");
    const json_t *pause = mf_json_at(s, "pause_ms");
    int64_t quarantined = mf_json_int(s, "quarantine.rows");
    const char *step = mf_json_str(s, "step");
    bool finer = step[0] && !mf_streq(step, mf_json_str(s, "phase")) && !mf_streq(step, "synced");
    bool ended = mf_streq(mf_json_str(s, "phase"), "completed") || mf_streq(mf_json_str(s, "phase"), "cancelled");
    fprintf(out, "%s  %s%s%s%s%s\n", mf_json_str(s, "migration"), mf_json_str(s, "phase"), finer ? " (" : "",
            finer ? step : "", finer ? ")" : "",
            ended ? "  (it has ended: to begin again, remove the state directory or name another one)"
            : json_is_false(running)                   ? "  (nothing runs: `midflight run` goes on from here)"
            : json_is_string(mf_json_at(s, "trouble")) ? "  (in trouble, see the last error: its stream does not go on)"
                                                       : "");
    fprintf(out, "  writes      on the %s%s, %lld %% of reads on the target\n", mf_json_str(s, "writes"),
            json_is_true(mf_json_at(s, "frozen")) ? " (frozen: `midflight thaw`)" : "",
            (long long)mf_json_int(s, "reads_percent"));
    if (mf_json_str(s, "reads.taken_back")[0]) {
        fprintf(out, "  reads       taken back from %lld %%: %s\n", (long long)mf_json_int(s, "reads.asked_percent"),
                mf_json_str(s, "reads.taken_back"));
    }
    if (json_is_true(mf_json_at(s, "rollback_window_over"))) {
        fputs("  rollback    its window is over: `midflight complete` ends the migration\n", out);
    }
    print_copy(s, out);
    print_stream(s, out);
    print_dual(s, out);
    print_verify(s, out);
    print_others(s, out);
    if (quarantined) {
        fprintf(out, "  quarantine  %lld rows: `midflight quarantine`\n", (long long)quarantined);
    }
    const json_t *unmigrated = mf_json_at(s, "unmigrated_tables");
    if (json_array_size(unmigrated)) {
        fprintf(out, "  unmigrated  %zu tables made while the migration runs (%s)\n", json_array_size(unmigrated),
                json_string_value(json_array_get(unmigrated, 0)));
    }
    if (json_is_number(pause) && json_number_value(pause) > 0) {
        fprintf(out, "  last pause  %.0f ms\n", json_number_value(pause));
    }
    print_error(s, out);
    print_tables(s, out);
}
