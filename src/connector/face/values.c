/* Values of rows, as they are and as they are shown: each through the engine's own translation, by the model's type of its column.
 *
 * A value that has no form on the other side is never left out or replaced: it becomes MF_REFUSED with the reason, or the row's error. Where it is
 * what comes from the real database that cannot be told, the reason ends with a number made of its bytes, so that two such
 * values are not taken for one (keys are compared by what they are told as). */
#include "connector/face/internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "model/refused.h"
#include "model/respell.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

static int too_large(struct mf_error *err)
{
    return face_no_memory(err, "a row is larger than the memory for translating it");
}

static const struct mf_type *type_of(const struct mf_table *shown, uint16_t i)
{
    return i < shown->ncolumns && shown->columns[i].foreign ? &shown->columns[i].foreign->type : NULL;
}

/* Not of the key: by it the row is looked for, and it is there as it is written. */
static const struct mf_type *stands_for(const struct mf_table *shown, uint16_t i)
{
    return i < shown->ncolumns && !shown->columns[i].in_key ? shown->columns[i].stands_for : NULL;
}

static bool translated(const struct mf_value *v)
{
    return v->kind == MF_TEXT || v->kind == MF_BINARY;
}

static int set_refused(struct mf_arena *arena, const char *reason, const struct mf_value *in, struct mf_value *ret,
                       struct mf_error *err)
{
    const char *why =
        in ? mf_printf_a(arena, "%s" MF_REFUSED_MARK "%016" PRIx64 ")", reason, XXH3_64bits(in->data, in->len))
           : mf_printf_a(arena, "%s", reason);
    if (!why) {
        return too_large(err);
    }
    *ret = (struct mf_value){.kind = MF_REFUSED, .len = (uint32_t)strlen(why), .data = why};
    return 0;
}

int face_row_shown(const struct face_db *f, const struct mf_table *shown, struct mf_arena *arena,
                   const struct mf_row *own, struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, own->n + 1u, sizeof *v);
    if (!v) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < own->n; i++) {
        const struct mf_type *t = type_of(shown, i);
        struct mf_error why; /* not = {0}: its texts are long, and this is done for every value */
        mf_error_clear(&why);
        v[i] = own->values[i];
        if (!t || !translated(&own->values[i]) || f->canon->to_canon(t, arena, &own->values[i], &v[i], &why) == 0) {
            if (stands_for(shown, i) && mf_respell(stands_for(shown, i), arena, &v[i], err) < 0) {
                return -1;
            }
            continue;
        }
        if (why.cls != MF_ROW) {
            *err = why;
            return -1;
        }
        if (set_refused(arena, why.text[0] ? why.text : "it has no form that another database knows", &own->values[i],
                        &v[i], err) < 0) {
            return -1;
        }
    }
    *ret = (struct mf_row){.n = own->n, .values = v};
    return 0;
}

int face_value_own(const struct face_db *f, const struct mf_type *t, const char *name, struct mf_arena *arena,
                   bool refuse, const struct mf_value *v, struct mf_value *ret, struct mf_error *err)
{
    struct mf_error why;
    mf_error_clear(&why);
    *ret = *v;
    if (v->kind == MF_REFUSED) {
        return refuse ? 0 : mf_fail(err, MF_ROW, "MFVALUE", "column \"%s\": %.*s", name, (int)v->len, v->data);
    }
    if (!t || !translated(v) || f->canon->from_canon(t, arena, v, ret, &why) == 0) {
        return 0;
    }
    if (why.cls == MF_ROW && refuse) {
        return set_refused(arena, why.text[0] ? why.text : "the target has no such value", NULL, ret, err);
    }
    *err = why;
    if (why.cls == MF_ROW) {
        mf_error_prefix(err, "column \"%s\"", name);
    }
    return -1;
}

int face_row_own(const struct face_db *f, const struct mf_table *shown, struct mf_arena *arena, bool refuse,
                 const struct mf_row *row, struct mf_row *ret, struct mf_error *err)
{
    struct mf_value *v = mf_alloc_array(arena, row->n + 1u, sizeof *v);
    if (!v) {
        return too_large(err);
    }
    for (uint16_t i = 0; i < row->n; i++) {
        const char *name = i < shown->ncolumns ? shown->columns[i].name : "?";
        if (face_value_own(f, type_of(shown, i), name, arena, refuse, &row->values[i], &v[i], err) < 0) {
            return -1;
        }
    }
    *ret = (struct mf_row){.n = row->n, .values = v};
    return 0;
}

/* Most keys are the same bytes on both sides, and then say themselves. */
int face_name_row(const struct mf_table *shown, struct mf_arena *arena, const struct mf_row *row, struct mf_row *ret,
                  struct mf_error *err)
{
    bool same = true;
    for (uint16_t i = 0; same && i < row->n && i < shown->ncolumns; i++) {
        same = (shown->nkey && !shown->columns[i].in_key) || mf_value_equal(&row->values[i], &ret->values[i]);
    }
    if (same) {
        return 0;
    }
    MF_CLEANUP_BUF struct mf_buf name = {.max = 16u << 20};
    mf_put_key_text(&name, shown, row);
    if (!mf_buf_ok(&name) || !(ret->named = mf_strdup_a(arena, mf_buf_str(&name)))) {
        return too_large(err);
    }
    return 0;
}
