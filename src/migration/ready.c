/* What `check` calls a blocker stops a migration before it has changed anything: found later it costs hours of copying,
 * or, a target's own rows mixed with the source's, more than that. Looked at once, before the stream is made. */
#include "migration/internal.h"

#include <stdio.h>
#include <string.h>

#define NAMED 3 /* findings told in the error; `check` lists all */

static void name_blockers(const struct mf_findings *found, char *out, size_t n, const char **ret_remedy)
{
    size_t used = 0, named = 0;
    for (size_t i = 0; i < mf_findings_count(found) && named < NAMED && used < n; i++) {
        const struct mf_finding *f = mf_findings_at(found, i);
        if (f->severity != MF_BLOCKER) {
            continue;
        }
        *ret_remedy = *ret_remedy ? *ret_remedy : f->remedy;
        used += (size_t)snprintf(out + used, n - used, "%s%s (%s): %s", named++ ? "; " : "", f->object,
                                 f->side == MF_SOURCE ? "source" : "target", f->reason);
    }
}

int mf_ready_to_begin(struct mf_migration *m, struct mf_error *err)
{
    struct mf_findings *found = mf_findings_new();
    int rc = m->source->connector->source->check(m->source, &m->filter, found, err);
    if (rc == 0) {
        rc = m->target->connector->target->check(m->target, m->source, &m->filter, found, err);
    }
    rc = rc == 0 ? mf_dual_check(m->config, m->source, m->target, found, err) : rc;
    rc = rc == 0 ? mf_native_check(m->config, m->source, m->target, &m->filter, found, err) : rc;
    size_t blockers = mf_findings_blockers(found);
    if (rc == 0 && blockers > 0) {
        char list[900] = "";
        const char *remedy = NULL;
        name_blockers(found, list, sizeof list, &remedy);
        rc = mf_fail(err, MF_ABANDONED, "MFBLOCKED", "%zu finding%s must be resolved first, and nothing was begun: %s",
                     blockers, blockers == 1 ? "" : "s", list);
        mf_hint(err, "%s%smidflight check lists them all", remedy ? remedy : "", remedy && remedy[0] ? " — " : "");
    }
    mf_findings_free(found);
    return rc;
}
