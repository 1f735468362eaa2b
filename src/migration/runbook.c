/* What is said of the moves before there is a migration: the runbook of a plan, and what check says of the way back. By the way back that there is (mf_way_back):
 * what holds for a stream does not hold for passes, and where nothing comes back neither may be promised. */
#include "migration/internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

static void step(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void step(json_t *list, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    MF_CLEANUP_FREE char *text = mf_xvasprintf(fmt, ap);
    va_end(ap);
    json_t *s = json_string(text);
    json_array_append_new(list, s ? s : json_string("(not UTF-8)"));
}

/* Why there is no way back. */
static const char *why_one_way(const struct mf_config *c)
{
    return c->map ? "its tables are made of the source's (map)" : "cutover.one_way is set";
}

static void there_and_rehearsed(json_t *list, const struct mf_config *c, const struct mf_db *target,
                                enum mf_way_back back)
{
    if (back == MF_BACK_BY_STREAM) {
        step(list, "midflight cutover --dry-run: guards and a rehearsal of both streams");
        return;
    }
    if (target->connector->last_write_wins) {
        step(list,
             "see that whoever writes follows the flag %s: the target has nothing that keeps a writer out "
             "(docs/guide/reads-by-flag.md)",
             c->flags.writes);
    }
    if (back == MF_BACK_NEVER && !c->cutover.one_way) {
        step(list, "cutover.one_way: true, if writes are to move: without it a cutover is refused, since nothing "
                   "written on the target comes back");
    }
    step(list, "midflight cutover --dry-run: guards and a rehearsal of the stream");
}

static void back_again(json_t *list, const struct mf_config *c, enum mf_way_back back)
{
    char pause[32];
    switch (back) {
    case MF_BACK_BY_STREAM:
        step(list, "watch the application; the old side is kept equal by the reverse stream");
        step(list, "way back, at any moment until complete: midflight rollback, the same steps with the sides swapped; "
                   "no write of the new side is lost");
        step(list, "midflight complete: the way back ends, both databases are cleaned up");
        return;
    case MF_BACK_BY_PASSES:
        step(list, "watch the application; passes over all rows of both sides bring its writes back, and the old side "
                   "is as old as the last whole pass (midflight status)");
        step(list,
             "way back, at any moment until complete: midflight rollback; the flag has no answer while passes "
             "are made until one finds nothing, two as a rule, at most %s (reverse.max_pause); no write of those "
             "who follow the flag is lost; it is refused while the source refuses rows",
             mf_format_duration(c->reverse.max_pause_ms * MF_US_PER_MS, pause, sizeof pause));
        step(list, "midflight complete: the way back ends, both databases are cleaned up");
        return;
    case MF_BACK_NEVER:
        step(list,
             "no way back: what is written on the target after the cutover does not come back (%s); the old "
             "side stays as it was then",
             why_one_way(c));
        step(list, "midflight complete: both databases are cleaned up");
        return;
    }
}

json_t *mf_runbook(const struct mf_config *c, const struct mf_db *source, const struct mf_db *target)
{
    enum mf_way_back back = mf_way_back_between(c, source, target);
    json_t *list = json_array();
    step(list, "midflight check: nothing may be left that blocks");
    step(list, "midflight run: schema, rows, stream; leave it running");
    step(list, "midflight status --watch until it says synced");
    step(list, "midflight verify: 0 rows may differ");
    there_and_rehearsed(list, c, target, back);
    step(list,
         "midflight cutover: writers wait for one drain of the stream, at most %" PRId64
         " ms; past that it is abandoned and nothing has changed",
         c->cutover.max_pause_ms);
    back_again(list, c, back);
    return list;
}

void mf_runbook_check(const struct mf_config *c, const struct mf_db *source, const struct mf_db *target,
                      struct mf_findings *out)
{
    enum mf_way_back back = mf_way_back_between(c, source, target);
    if (back == MF_BACK_NEVER) {
        mf_findings_add(out, MF_WARNING, MF_TARGET, "one-way", "the target",
                        !c->cutover.one_way ? "say cutover.one_way: true if writes are to move all the same; without "
                                              "it a cutover is refused"
                        : c->map            ? ""
                                            : "leave cutover.one_way out if they are to come back",
                        "%s: writes that have moved to it do not come back, and there is no rollback", why_one_way(c));
    }
    if (back == MF_BACK_BY_PASSES) {
        mf_findings_add(out, MF_NOTE, MF_TARGET, "way-back", "the target",
                        "let whoever writes follow the flag, and see in midflight status how long a pass takes",
                        "it has no change stream: writes that have moved to it come back by passes over all rows of "
                        "both sides. Until a rollback has ended the source is as old as the last whole pass; a "
                        "rollback's pause has two of them in it as a rule (reverse.max_pause); and nothing there keeps "
                        "a writer out but the flag %s",
                        c->flags.writes);
    }
}
