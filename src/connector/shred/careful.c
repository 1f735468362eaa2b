/* The careful way: one document at a time, in the source's order, each behind a mark, so that the one that is refused is known.
 *
 * A document in quarantine is there whole: its entry has all of it, and none of its new rows are in the tables. Those it had before go, too, because an old document that
 * looks like a good one is what nobody notices; or they stay, where the user has chosen so. The next version of it that fits brings it back and empties the entry. */
#include "connector/shred/apply.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

static bool refusal(const struct mf_error *err)
{
    return err->cls == MF_ROW || err->cls == MF_CONFLICT;
}

/* Row by row the new ones may be in the way of the old ones: elements that change places, where an index of the user's says that there is one of each. So the
 * children go first, all of them, and then come anew. */
static int give_anew(struct docs_applier *a, const struct docs_real *c, const struct docs_change *change,
                     struct mf_error *err)
{
    struct docs_change bare = *change, rest = *change;
    bare.rows.of = mf_alloc0(&a->batch, c->of->ntables * sizeof *bare.rows.of);
    if (!bare.rows.of) {
        return docs_no_memory(err, "the rows of documents are larger than the memory for them");
    }
    bare.rows.of[0] = change->rows.of[0];
    rest.was = &bare.rows;
    return docs_give(a, c, &bare, 1, err) < 0 || docs_give(a, c, &rest, 1, err) < 0 ? -1 : 0;
}

/* Behind a mark. *ret_refused: by the server, and everything is as it was. */
static int attempt(struct docs_applier *a, const struct docs_real *c, const struct docs_change *change, bool anew,
                   bool *ret_refused, struct mf_error *err)
{
    const struct mf_target_ops *ops = docs_applier_ops(a);
    *ret_refused = false;
    if (ops->window_mark(a->own, err) < 0) {
        return -1;
    }
    if ((anew ? give_anew(a, c, change, err) : docs_give(a, c, change, 1, err)) == 0 &&
        ops->window_settle(a->own, err) == 0) {
        return 0;
    }
    struct mf_error why = *err;
    if (!refusal(err)) {
        return -1;
    }
    if (ops->window_back(a->own, err) < 0) {
        return -1;
    }
    *err = why;
    *ret_refused = true;
    return -1;
}

/* What is there of it goes. */
static int remove_old(struct docs_applier *a, const struct docs_real *c, const struct docs_change *change,
                      struct mf_error *err)
{
    struct docs_change gone;
    bool again = false;
    if (docs_change_make(c, &a->batch, change->key, NULL, &gone, err) < 0) {
        return -1;
    }
    gone.was = change->was;
    if (attempt(a, c, &gone, false, &again, err) < 0) {
        err->cls = again ? MF_FATAL : err->cls;
        return -1;
    }
    return docs_seen_put(a, c, change->key, NULL, err);
}

/* A column that the reason names, `column "x"`. */
static const char *named_column(const struct mf_error *why, char *out, size_t n)
{
    const char *at = strstr(why->text, "column \""), *end = at ? strchr(at + strlen("column \""), '"') : NULL;
    if (!end || (size_t)(end - at) >= n) {
        return NULL;
    }
    at += strlen("column \"");
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = 0;
    return out;
}

static int reject(struct docs_applier *a, const struct docs_real *c, const struct mf_table *t,
                  const struct docs_told *told, const struct docs_change *change, const struct mf_error *why,
                  struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf shown = {.max = (size_t)64 << 20}, key = {.max = 600}, reason = {.max = 64u << 10};
    char column[260];
    if (!a->mode.keep_rejected) {
        *err = *why;
        err->cls = MF_ROW;
        mf_put_key_text(&key, t, told->key);
        mf_error_prefix(err, "the target refuses document %.200s of %s.%s", mf_buf_str(&key), t->schema, t->name);
        return -1;
    }
    if (mf_result_later(a->result, &a->mode, why)) {
        return 0;
    }
    bool stays = a->mode.refused_stays || docs_of(a->base.db)->keep_old;
    if (!stays && change->was && remove_old(a, c, change, err) < 0) {
        return -1;
    }
    docs_put_shown(&shown, told->doc);
    docs_put_reason(&reason, c, &a->batch, told->doc, why);
    struct mf_quarantined q = {.column = named_column(why, column, sizeof column),
                               .reason = mf_buf_str(&reason),
                               .row = mf_buf_str(&shown),
                               .position = a->checkpoint};
    mf_strlcpy(q.code, why->code, sizeof q.code);
    return docs_applier_ops(a)->quarantine_put(a->own, t, told->key, &q, a->result, err);
}

int docs_careful(struct docs_applier *a, const struct docs_real *c, const struct mf_table *t,
                 const struct docs_told *told, struct mf_error *err)
{
    struct docs_change change;
    bool again = false;
    mf_arena_reset(&a->batch);
    if (docs_change_make(c, &a->batch, told->key, told->doc, &change, err) < 0) {
        struct mf_error why = *err;
        return why.cls != MF_ROW || docs_look(a, c, &change, 1, err) < 0 ? -1
                                                                         : reject(a, c, t, told, &change, &why, err);
    }
    if (docs_look(a, c, &change, 1, err) < 0 || docs_expect(a, t, told, &change, err) < 0) {
        return -1;
    }
    bool children = told->doc && docs_is_there(&change) && c->of->ntables > 1;
    if (attempt(a, c, &change, false, &again, err) < 0 &&
        (!again || !children || attempt(a, c, &change, true, &again, err) < 0)) {
        struct mf_error why = *err;
        return !again || !told->doc ? -1 : reject(a, c, t, told, &change, &why, err);
    }
    if (a->result) {
        a->result->rows++;
    }
    return docs_applier_ops(a)->quarantine_clear(a->own, t, &told->key, 1, NULL, err) < 0
               ? -1
               : docs_seen_put(a, c, told->key, told->doc, err);
}
