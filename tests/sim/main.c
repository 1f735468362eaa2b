/* sim [--seed N] [--count N] [--jobs N] [--break NAME | --mutations] [--verbose]
 *
 * Runs histories seed, seed+1, … and stops at the first that breaks a promise: its number, and what was broken, are printed, and
 * `sim --seed N --count 1 --verbose` tells the story again, step by step. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "sim.h"

struct options {
    uint64_t seed, count, jobs;
    const char *broken;
    bool verbose, mutations;
};

struct totals {
    uint64_t histories, steps, commits, crashes, lost;
};

/* An assertion that fails ends the process: which history it was in is wanted. */
static uint64_t at_seed;

static void died(int sig)
{
    dprintf(STDOUT_FILENO, "FAILED seed %llu: signal %d\n", (unsigned long long)at_seed, sig);
    _exit(1);
}

static bool one(const struct options *o, uint64_t seed, struct totals *sum)
{
    static struct world w;
    at_seed = seed;
    world_start(&w, seed, o->verbose, o->broken);
    world_run(&w);
    bool ok = w.failure[0] == 0;
    if (!ok) {
        printf("FAILED seed %llu%s%s: %s\n", (unsigned long long)seed, o->broken ? " broken " : "",
               o->broken ? o->broken : "", w.failure);
        fflush(stdout);
    }
    sum->histories++;
    sum->steps += w.steps;
    sum->commits += w.commits;
    sum->crashes += (uint64_t)w.crashes;
    sum->lost += (uint64_t)w.lost;
    world_end(&w);
    return ok;
}

/* Every jobs-th seed, beginning with the job's own. */
static int job(const struct options *o, uint64_t number)
{
    struct totals sum = {0};
    int rc = 0;
    for (uint64_t i = number; i < o->count && rc == 0; i += o->jobs) {
        rc = one(o, o->seed + i, &sum) ? 0 : 1;
    }
    printf("%llu histories, %llu steps, %llu transactions, %llu crashes, %llu lost connections\n",
           (unsigned long long)sum.histories, (unsigned long long)sum.steps, (unsigned long long)sum.commits,
           (unsigned long long)sum.crashes, (unsigned long long)sum.lost);
    fflush(stdout);
    return rc;
}

static int parallel(const struct options *o)
{
    int failed = 0;
    for (uint64_t j = 0; j < o->jobs; j++) {
        pid_t pid = fork();
        if (pid == 0) {
            exit(job(o, j));
        }
    }
    for (uint64_t j = 0; j < o->jobs; j++) {
        int status;
        if (wait(&status) < 0 || status != 0) {
            failed = 1;
        }
    }
    return failed;
}

/* ---- mutations: the algorithm broken on purpose; each break must be caught ---- */

static const struct {
    const char *name, *sentence;
    bool harmless;
} breaks[] = {
    {"ack-early", "a commit is acknowledged when it is sent, not when it is durable in the spool", false},
    {"skip-ack", "nothing is ever acknowledged: costs the source's log, must lose nothing", true},
    {"checkpoint-after", "the checkpoint is written after the window, so a window may be applied twice", false},
    {"checkpoint-before", "the checkpoint is written before the window, so a window may be left out", false},
    {"skip-reread", "rows that a fuzzy update did not find are not read again", false},
    {"move-as-found", "a fuzzy change of the key takes the other columns from whatever row it finds", false},
    {"no-consistency-point", "the target counts as consistent at once", false},
    {"snapshot-newer", "an exact snapshot shows one commit more than its position says", false},
    {"toast-null", "an unchanged large value is sent as NULL", false},
    {"lost-abort", "the abort of a part of a streamed transaction is not told", false},
    {"no-truncate", "a truncate is not applied", false},
    {"unique-early", "secondary unique constraints stand before the consistency point", false},
    {"hold-no-wait", "transactions in flight are not waited for at the cutover", false},
    {"fence-early", "the drain ends before the fence", false},
    {"settle-nothing", "a decision that is on its way is not waited for", false},
    {"decide-nothing", "the decision is not written to the side that loses the right to write", false},
    {"epoch-hidden", "the stream does not show who may write", false},
    {"no-sequences", "sequences are not carried over", false},
    {"digest-blind", "the digest of a chunk counts rows and does not look at them", false},
    {"digest-rows-blind", "what a row is joined by does not depend on the row", false},
    {"repair-nothing", "repair writes nothing", false},
    {"leave-slot", "the end leaves a stream behind", false},
    {"two-appliers", "an applier begins while the commit of one that was killed is still on its way", false},
    {"load-late", "rows are loaded with a stamp later than that of changes to them", false},
    {"null-nothing", "a value that became NULL is not deleted where the last write stays", false},
    {"insert-plain", "a NULL in a row that was inserted and changed in one window is not written", false},
    {"stamp-of-window", "all changes of a window have one stamp", false},
    {"delete-early", "a deletion has a stamp earlier than what it deletes", false},
    {"rows-after", "where a window is no transaction its checkpoint is written before its rows", false},
    {"pass-keeps", "a pass leaves on the source what is gone on the target", false},
    {"pass-position-late", "the position of a pass is the time at which it ended", false},
    {"pass-before-fence", "a pass that began before the fence proves that everything is back", false},
    {"soft-hold-no-wait", "a soft hold does not wait until writers have heard of it", false},
    {"stamps-not-raised", "after a rollback stamps do not go on behind what was written on the target", false},
    {"clock-not-waited-for", "a cutover does not wait until the target's clock has passed what was written there",
     false},
    {"spool-lost", "a crash loses what the spool had made durable", false},
};

static int one_break(const struct options *given, size_t i)
{
    struct options o = *given;
    struct totals sum = {0};
    o.broken = breaks[i].name;
    bool caught = false;
    for (uint64_t n = 0; n < (breaks[i].harmless ? 3000 : o.count) && !caught; n++) {
        caught = !one(&o, o.seed + n, &sum);
    }
    bool right = caught != breaks[i].harmless;
    printf("%s %s (%s) after %llu histories\n", right ? "ok:" : "NOT OK:", o.broken,
           caught ? "caught" : "nothing broken", (unsigned long long)sum.histories);
    fflush(stdout);
    return right ? 0 : 1;
}

static int mutations(const struct options *o)
{
    int failed = 0;
    size_t n = sizeof breaks / sizeof breaks[0];
    for (uint64_t j = 0; j < o->jobs; j++) {
        if (fork() == 0) {
            for (size_t i = j; i < n; i += o->jobs) {
                failed |= one_break(o, i);
            }
            exit(failed);
        }
    }
    for (uint64_t j = 0; j < o->jobs; j++) {
        int status;
        failed |= wait(&status) < 0 || status != 0;
    }
    return failed;
}

static int parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        uint64_t *number = mf_streq(argv[i], "--seed")    ? &o->seed
                           : mf_streq(argv[i], "--count") ? &o->count
                           : mf_streq(argv[i], "--jobs")  ? &o->jobs
                                                          : NULL;
        if (mf_streq(argv[i], "--verbose")) {
            o->verbose = true;
        } else if (mf_streq(argv[i], "--mutations")) {
            o->mutations = true;
        } else if (mf_streq(argv[i], "--break") && *value) {
            o->broken = value;
            i++;
        } else if (number && mf_parse_u64(value, number)) {
            i++;
        } else {
            fprintf(stderr, "usage: sim [--seed N] [--count N] [--jobs N] [--break NAME | --mutations] [--verbose]\n");
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .count = 1000, .jobs = 1};
    signal(SIGABRT, died);
    signal(SIGSEGV, died);
    if (parse(argc, argv, &o) < 0) {
        return 2;
    }
    mf_log_set_level(MF_ERROR + 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (o.mutations) {
        return mutations(&o);
    }
    return o.jobs > 1 ? parallel(&o) : job(&o, 0);
}
