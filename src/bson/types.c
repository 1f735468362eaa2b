#include "bson/types.h"

#include "base/cleanup.h"
#include "base/date.h"
#include "base/str.h"
#include "model/canon.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MS_A_DAY INT64_C(86400000)

static const struct word {
    const char *name;
    enum doc_type type;
    int least, most; /* numbers in brackets */
} words[] = {
    {"int32", DOC_INT32, 0, 0},
    {"int64", DOC_INT64, 0, 0},
    {"int", DOC_INT, 0, 0},
    {"double", DOC_DOUBLE, 0, 0},
    {"decimal", DOC_DECIMAL, 0, 2},
    {"string", DOC_STRING, 0, 1},
    {"bool", DOC_BOOL, 0, 0},
    {"date", DOC_DATE, 0, 0},
    {"objectid", DOC_OBJECTID, 0, 0},
    {"uuid", DOC_UUID, 0, 0},
    {"uuid_legacy", DOC_UUID_LEGACY, 0, 0},
    {"binary", DOC_BINARY, 0, 1},
    {"timestamp", DOC_TIMESTAMP, 0, 0},
    {"json", DOC_JSON, 0, 0},
    {"id", DOC_ID, 1, 1},
};

static const char *model_of(struct shred_type *t, int n, const int64_t *number, const char *as)
{
    struct mf_type *m = &t->model;
    switch (t->type) {
    case DOC_INT32:
    case DOC_INT64:
    case DOC_INT:
        *m = (struct mf_type){.kind = MF_KIND_INT, .bits = t->type == DOC_INT32 ? 32 : 64};
        return NULL;
    case DOC_DOUBLE:
        *m = (struct mf_type){.kind = MF_KIND_FLOAT, .bits = 64};
        return NULL;
    case DOC_DECIMAL:
        if (n && (number[0] < 1 || number[0] > 1000 || number[1] > number[0])) {
            return "the digits of a decimal are decimal(all of them, those behind the point)";
        }
        *m = (struct mf_type){
            .kind = MF_KIND_DECIMAL, .precision = n ? (uint16_t)number[0] : 0, .scale = n > 1 ? (int16_t)number[1] : 0};
        return NULL;
    case DOC_STRING:
    case DOC_ID:
        *m = (struct mf_type){.kind = MF_KIND_TEXT, .length = n ? (uint32_t)number[0] : 0};
        return n && number[0] < 1 ? "its length is at least 1" : NULL;
    case DOC_BINARY:
        *m = (struct mf_type){.kind = MF_KIND_BYTES, .length = n ? (uint32_t)number[0] : 0};
        return n && number[0] < 1 ? "its length is at least 1" : NULL;
    case DOC_BOOL:
        *m = (struct mf_type){.kind = MF_KIND_BOOL};
        return NULL;
    case DOC_DATE:
        *m = (struct mf_type){.kind = MF_KIND_INSTANT, .scale = 3};
        return NULL;
    case DOC_OBJECTID:
        *m = as && mf_streq(as, "binary") ? (struct mf_type){.kind = MF_KIND_BYTES, .length = 12, .fixed = true}
                                          : (struct mf_type){.kind = MF_KIND_TEXT, .length = 24, .fixed = true};
        return as && !mf_streq(as, "binary") && !mf_streq(as, "hex") ? "\"as\" is hex or binary" : NULL;
    case DOC_UUID:
    case DOC_UUID_LEGACY:
        *m = (struct mf_type){.kind = MF_KIND_UUID};
        return NULL;
    case DOC_TIMESTAMP:
        *m = (struct mf_type){.kind = MF_KIND_INT, .bits = 64, .is_unsigned = true};
        return NULL;
    case DOC_JSON:
        *m = (struct mf_type){.kind = MF_KIND_JSON};
        return NULL;
    }
    return "unknown";
}

/* "10,2)" */
static bool numbers_of(const char *p, int64_t *number, int *n)
{
    for (;;) {
        p += strspn(p, " ");
        size_t k = strspn(p, "0123456789");
        if (*n == 2 || k == 0 || k > 9) {
            return false;
        }
        number[*n] = 0;
        for (size_t i = 0; i < k; i++) {
            number[*n] = number[*n] * 10 + (*p++ - '0');
        }
        ++*n;
        p += strspn(p, " ");
        if (*p != ',') {
            return p[0] == ')' && !p[1];
        }
        p++;
    }
}

const char *shred_type_parse(const char *text, const char *as, struct shred_type *ret)
{
    int64_t number[2] = {0, 0};
    int n = 0;
    size_t len = strcspn(text, "(");
    if (text[len] && !numbers_of(text + len + 1, number, &n)) {
        return "what stands in its brackets is no length";
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].name) == len && strncmp(words[i].name, text, len) == 0) {
            ret->type = words[i].type;
            if (n < words[i].least || n > words[i].most) {
                return n ? "it takes no such numbers in brackets" : "it wants a length in brackets";
            }
            if (as && ret->type != DOC_OBJECTID) {
                return "\"as\" goes with an objectid";
            }
            return model_of(ret, n, number, as);
        }
    }
    return "there is no such type; there are int32, int64, int, double, decimal(p,s), decimal, string(n), string, "
           "bool, "
           "date, objectid, uuid, uuid_legacy, binary(n), binary, timestamp, json and id(n)";
}

bool shred_instant_put(int64_t ms, char *out, size_t *ret_n)
{
    int64_t day = ms / MS_A_DAY, rest = ms % MS_A_DAY;
    if (rest < 0) {
        rest += MS_A_DAY;
        day--;
    }
    struct mf_date d = mf_date_of(day);
    if (d.year < 1 || d.year > 9999) {
        return false;
    }
    int s = (int)(rest / 1000), fraction = (int)(rest % 1000);
    int n =
        snprintf(out, 32, "%04d-%02u-%02u %02d:%02d:%02d", (int)d.year, d.month, d.day, s / 3600, s / 60 % 60, s % 60);
    if (fraction) {
        n += snprintf(out + n, 8, ".%03d", fraction);
    }
    *ret_n = mf_moment_cut(out, (size_t)n);
    return true;
}

const char *shred_fallback(const struct shred_type *t, struct mf_arena *arena, const char *text, struct mf_value *ret)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 1 << 20};
    struct mf_value v = {
        .kind = t->model.kind == MF_KIND_BYTES ? MF_BINARY : MF_TEXT, .len = (uint32_t)strlen(text), .data = text};
    const char *why = NULL;
    struct mf_value back;
    struct elem e;
    struct elem_walk w;
    if (t->type == DOC_BOOL && (mf_streq(text, "true") || mf_streq(text, "false"))) {
        v = (struct mf_value){MF_TEXT, 1, mf_streq(text, "true") ? "1" : "0"};
    }
    if (t->type == DOC_BINARY || (t->type == DOC_OBJECTID && v.kind == MF_BINARY)) {
        uint8_t *bytes = mf_alloc(arena, v.len / 2 + 1);
        if (!bytes || v.len % 2 || !hex_read(text, v.len, bytes)) {
            return "a binary one is written in hexadecimal digits";
        }
        v.data = (const char *)bytes;
        v.len /= 2;
    }
    size_t at = elem_put_begin(&b);
    if ((why = shred_to_bson(t, &v, "", 0, &b))) {
        return why;
    }
    elem_put_end(&b, at);
    if (!mf_buf_ok(&b)) {
        return "it is too long";
    }
    elem_begin(&w, (const uint8_t *)b.data);
    if (!elem_next(&w, &e) || shred_from_bson(t, arena, &e, SHRED_EXACT, &back, &why) != SHRED_FITS) {
        return why ? why : "it does not fit";
    }
    /* The value is a view of the buffer where the type has the same bytes. */
    *ret = (struct mf_value){back.kind, back.len, mf_memdup_a(arena, back.len ? back.data : "", back.len)};
    return ret->data ? NULL : "it is too long";
}
