/* Cascades through the face: what refers and what it becomes in the real database's values, the rows that were reached in canonical ones. */
#include "connector/face/apply.h"

#include "base/mem.h"

struct emitting {
    struct face_applier *a;
    const struct mf_table *shown;
    mf_row_sink *emit;
    void *ctx;
};

static int give_row(void *ctx, const struct mf_row *own, struct mf_error *err)
{
    struct emitting *e = ctx;
    struct mf_row row;
    return face_row_shown(face_of(e->a->base.db), e->shown, &e->a->batch, own, &row, err) < 0 ||
                   e->emit(e->ctx, &row, err) < 0
               ? -1
               : 0;
}

/* One value for each of `columns`. What there is not here is MF_REFUSED. */
static int take_values(struct face_applier *a, const struct mf_table *shown, const uint16_t *columns, uint16_t n,
                       const struct mf_row *in, struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(&a->batch, n + 1u, sizeof *v);
    if (!v) {
        return face_no_memory(err, "a cascade has more rows than the memory for translating them");
    }
    for (uint16_t k = 0; k < n; k++) {
        const struct mf_column *c = &shown->columns[columns[k]];
        if (face_value_own(face_of(a->base.db), c->foreign ? &c->foreign->type : NULL, c->name, &a->batch, true,
                           &in->values[k], &v[k], err) < 0) {
            return -1;
        }
    }
    *ret = (struct mf_row){.n = n, .values = v};
    return 0;
}

static int take_now(struct face_applier *a, const struct mf_table *shown, const uint16_t *columns, uint16_t n,
                    const struct mf_row *in, struct mf_row *ret, struct mf_error *err)
{
    if (take_values(a, shown, columns, n, in, ret, err) < 0) {
        return -1;
    }
    int bad = mf_row_refused(ret);
    if (bad < 0) {
        return 0;
    }
    const struct mf_value *why = &ret->values[bad];
    mf_fail(err, MF_FATAL, "MFVALUE",
            "rows of %s.%s refer to a key that has got a value not known here: column \"%s\": %.*s", shown->schema,
            shown->name, shown->columns[columns[bad]].name, (int)why->len, why->data);
    mf_hint(err, "start again once the key has a value that both sides know, or leave these tables out");
    return -1;
}

int face_window_cascade(struct mf_applier *base, const struct mf_table *t, const uint16_t *columns, uint16_t n,
                        const struct mf_row *was, size_t nwas, const struct mf_row *now, int64_t stamp,
                        mf_row_sink *emit, void *ctx, bool *ret_more, struct mf_error *err)
{
    struct face_applier *a = (struct face_applier *)base;
    struct emitting e = {.a = a, .shown = t, .emit = emit, .ctx = ctx};
    struct mf_row after;
    size_t have = 0;
    *ret_more = false;
    mf_arena_reset(&a->batch);
    const struct mf_table *own = face_written_own(a, t, err);
    struct mf_row *before = mf_alloc_array(&a->batch, nwas + 1, sizeof *before);
    if (!own || !before) {
        return own ? face_no_memory(err, "a cascade has more rows than the memory for translating them") : -1;
    }
    for (size_t i = 0; i < nwas; i++) {
        if (take_values(a, t, columns, n, &was[i], &before[have], err) < 0) {
            return -1;
        }
        have += mf_row_refused(&before[have]) < 0; /* no row here can refer to what there is not here */
    }
    if (have == 0 || (now && take_now(a, t, columns, n, now, &after, err) < 0)) {
        return have ? -1 : 0;
    }
    return a->own->db->connector->target->window_cascade(a->own, own, columns, n, before, have, now ? &after : NULL,
                                                         stamp, emit ? give_row : NULL, &e, ret_more, err);
}
