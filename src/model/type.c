/*
 * Types in the model's terms: see type.h.
 *
 * Whether one column takes the values of another is answered by kind, in a table of pairs. What surprises in it comes from the pipe
 * turning round: what an engine makes of a type must take it, and be taken back by it, though it is wider or of another kind.
 */
#include "model/type.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>

/* ---- text ---- */

static const char *const names[] = {
    [MF_KIND_OPAQUE] = "opaque",   [MF_KIND_BOOL] = "bool",   [MF_KIND_INT] = "int",
    [MF_KIND_DECIMAL] = "decimal", [MF_KIND_FLOAT] = "float", [MF_KIND_BITS] = "bits",
    [MF_KIND_DATE] = "date",       [MF_KIND_TIME] = "time",   [MF_KIND_DATETIME] = "datetime",
    [MF_KIND_INSTANT] = "instant", [MF_KIND_TEXT] = "text",   [MF_KIND_BYTES] = "bytes",
    [MF_KIND_ENUM] = "enum",       [MF_KIND_SET] = "set",     [MF_KIND_JSON] = "json",
    [MF_KIND_UUID] = "uuid",
};

static void put_labels(struct mf_buf *b, const struct mf_type *t)
{
    mf_buf_putc(b, '(');
    for (uint16_t i = 0; i < t->nlabels; i++) {
        mf_buf_puts(b, i ? ",'" : "'");
        for (const char *s = t->labels[i]; *s; s++) {
            mf_buf_puts(b, *s == '\'' ? "'" : "");
            mf_buf_putc(b, *s);
        }
        mf_buf_putc(b, '\'');
    }
    mf_buf_putc(b, ')');
}

/* Fields are not told: two types of records differ by what stands in them, not by their text. */
static void put_shape(struct mf_buf *b, const struct mf_type *t)
{
    static const char *const words[] = {"", " list of ", " set of ", " map of ", " record"};
    mf_buf_puts(b, words[t->shape]);
    for (uint16_t i = 0; t->shape != MF_SHAPE_RECORD && i < t->nparts; i++) {
        mf_buf_puts(b, i ? " to " : "");
        mf_type_put(b, &t->parts[i]);
    }
}

void mf_type_put(struct mf_buf *b, const struct mf_type *t)
{
    mf_buf_puts(b, t->kind >= MF_KIND_OPAQUE && t->kind <= MF_KIND_UUID ? names[t->kind] : "unknown");
    switch (t->kind) {
    case MF_KIND_INT:
        mf_buf_printf(b, "(%u)%s", t->bits, t->is_unsigned ? " unsigned" : "");
        break;
    case MF_KIND_FLOAT:
        mf_buf_printf(b, "(%u)", t->bits);
        break;
    case MF_KIND_DECIMAL:
        if (t->precision) {
            mf_buf_printf(b, "(%u,%d)", t->precision, t->scale);
        }
        break;
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        mf_buf_printf(b, "(%d)", t->scale);
        break;
    case MF_KIND_BITS:
    case MF_KIND_TEXT:
    case MF_KIND_BYTES:
        if (t->length) {
            mf_buf_printf(b, "(%u)", t->length);
        }
        mf_buf_puts(b, t->fixed ? " fixed" : "");
        mf_buf_puts(b, t->any ? " of any kind" : "");
        break;
    case MF_KIND_ENUM:
    case MF_KIND_SET:
        put_labels(b, t);
        break;
    case MF_KIND_JSON:
        put_shape(b, t);
        break;
    case MF_KIND_OPAQUE:
    case MF_KIND_BOOL:
    case MF_KIND_DATE:
    case MF_KIND_UUID:
        break;
    }
}

static bool copy_into(struct mf_arena *arena, const struct mf_type *t, unsigned depth, struct mf_type *ret)
{
    const char **labels = mf_alloc_array(arena, t->nlabels, sizeof *labels);
    struct mf_type *parts = mf_alloc_array(arena, t->nparts, sizeof *parts);
    bool ok = labels && parts && depth < MF_SHAPE_DEPTH;
    for (uint16_t i = 0; ok && i < t->nlabels; i++) {
        labels[i] = mf_strdup_a(arena, t->labels[i]);
        ok = labels[i] != NULL;
    }
    for (uint16_t i = 0; ok && i < t->nparts; i++) {
        ok = copy_into(arena, &t->parts[i], depth + 1, &parts[i]);
    }
    *ret = *t;
    ret->labels = t->nlabels ? labels : NULL;
    ret->parts = t->nparts ? parts : NULL;
    return ok;
}

const struct mf_type *mf_type_copy(struct mf_arena *arena, const struct mf_type *t)
{
    struct mf_type *c = mf_alloc(arena, sizeof *c);
    return c && copy_into(arena, t, 0, c) ? c : NULL;
}

/* ---- numbers ---- */

#define WIDEST       65 /* digits of the widest DECIMAL of an engine that has a widest */
#define WIDEST_SCALE 30

/* Digits that every whole number of the type has room for. */
static int int_digits(const struct mf_type *t)
{
    switch (t->bits) {
    case 8:
        return 3;
    case 16:
        return 5;
    case 24:
        return 8;
    case 32:
        return 10;
    default:
        return t->is_unsigned ? 20 : 19;
    }
}

/* Bits of the narrowest signed number that a common database has for it (BIGINT UNSIGNED: 128, which is a decimal(20)). */
static int signed_bits(const struct mf_type *t)
{
    int bits = t->is_unsigned ? t->bits + 1 : t->bits;
    return bits <= 16 ? 16 : bits <= 32 ? 32 : bits <= 64 ? 64 : 128;
}

static bool int_of_int(const struct mf_type *to, const struct mf_type *from)
{
    if (to->is_unsigned == from->is_unsigned) {
        return to->bits >= from->bits || (!from->is_unsigned && from->bits <= signed_bits(to));
    }
    return from->is_unsigned ? to->bits > from->bits : signed_bits(to) <= 64 && from->bits <= signed_bits(to);
}

static bool bool_of_int(const struct mf_type *to, const struct mf_type *from)
{
    (void)to;
    return from->bits == 8; /* tinyint(1), which a boolean becomes where there is none */
}

static int whole_digits(const struct mf_type *t)
{
    int n = t->precision - t->scale;
    return n > 0 ? n : 0;
}

static int fraction_digits(const struct mf_type *t)
{
    return t->scale > 0 ? t->scale : 0;
}

static bool decimal_of_int(const struct mf_type *to, const struct mf_type *from)
{
    return to->precision == 0 || whole_digits(to) >= int_digits(from);
}

static bool int_of_decimal(const struct mf_type *to, const struct mf_type *from)
{
    return from->precision && from->scale <= 0 && whole_digits(from) <= int_digits(to);
}

/* Some engine has no room for all its values and makes the widest it has of it. */
static bool past_widest(const struct mf_type *t)
{
    return t->precision == 0 || t->precision > WIDEST || fraction_digits(t) > WIDEST_SCALE;
}

static bool decimal_of_decimal(const struct mf_type *to, const struct mf_type *from)
{
    if (to->precision == 0) {
        return true;
    }
    if (from->precision && whole_digits(to) >= whole_digits(from) && fraction_digits(to) >= fraction_digits(from)) {
        return true;
    }
    return (to->precision == WIDEST && past_widest(from)) || (from->precision == WIDEST && past_widest(to));
}

static bool bits_enough(const struct mf_type *to, const struct mf_type *from)
{
    return to->bits >= from->bits; /* what is shortest for 32 bits is so for 64 */
}

/* ---- what has a length ---- */

/* A column without bound becomes a bounded one where an index needs that; longer values are refused, and that is told. */
static bool length_enough(const struct mf_type *to, const struct mf_type *from)
{
    return to->length == 0 || from->length == 0 || to->length >= from->length;
}

#define INDEXED 191 /* characters: what the smallest index of an engine that bounds them has room for */
static bool text_of_text(const struct mf_type *to, const struct mf_type *from)
{
    return length_enough(to, from) || to->length >= INDEXED; /* the same for a long one that had a bound */
}

/* A fixed one takes what may vary: what is too short or too long for it is refused. */
static bool bits_of_bits(const struct mf_type *to, const struct mf_type *from)
{
    return to->fixed && from->fixed ? to->length == from->length : length_enough(to, from);
}

static bool scale_enough(const struct mf_type *to, const struct mf_type *from)
{
    return to->scale >= from->scale;
}

/* A type that one engine has and the other writes as text: the text has room for it, and it takes the text back. */
#define UUID_TEXT 36
static bool text_of_uuid(const struct mf_type *to, const struct mf_type *from)
{
    (void)from;
    return to->length == 0 || to->length >= UUID_TEXT;
}

static bool uuid_of_text(const struct mf_type *to, const struct mf_type *from)
{
    (void)to;
    return from->length == UUID_TEXT;
}

#define BITS_OF_NUMBER 64 /* longer ones (and those that vary) are text where bits are a number */
static bool is_long_bits(const struct mf_type *t)
{
    return !t->fixed || t->length > BITS_OF_NUMBER;
}

static bool text_of_bits(const struct mf_type *to, const struct mf_type *from)
{
    return is_long_bits(from) && (to->length == 0 || (from->length && to->length >= from->length));
}

static bool bits_of_text(const struct mf_type *to, const struct mf_type *from)
{
    (void)from;
    return is_long_bits(to);
}

/* ---- lists ---- */

static bool has_label(const struct mf_type *t, const char *label)
{
    for (uint16_t i = 0; i < t->nlabels; i++) {
        if (strcmp(t->labels[i], label) == 0) {
            return true;
        }
    }
    return false;
}

static bool labels_enough(const struct mf_type *to, const struct mf_type *from)
{
    for (uint16_t i = 0; i < from->nlabels; i++) {
        if (!has_label(to, from->labels[i])) {
            return false;
        }
    }
    return true;
}

/* A SET's text has its labels in the order of the type. */
static bool labels_in_order(const struct mf_type *to, const struct mf_type *from)
{
    uint16_t at = 0;
    for (uint16_t i = 0; i < to->nlabels && at < from->nlabels; i++) {
        at = (uint16_t)(at + (strcmp(to->labels[i], from->labels[at]) == 0));
    }
    return at == from->nlabels;
}

/* ---- shapes ---- */

/* As what the values stand in a document. */
static int written_as(const struct mf_type *t)
{
    switch (t->kind) {
    case MF_KIND_BOOL:
        return 'b';
    case MF_KIND_INT:
    case MF_KIND_DECIMAL:
    case MF_KIND_FLOAT:
        return '0';
    default:
        return t->shape ? '[' : '"';
    }
}

static bool part_takes(const struct mf_type *to, const struct mf_type *from)
{
    return written_as(to) == written_as(from) && mf_type_takes(to, from);
}

static bool fields_enough(const struct mf_type *to, const struct mf_type *from)
{
    for (uint16_t i = 0; to->nparts && i < from->nparts; i++) {
        uint16_t at = 0;
        while (at < to->nparts && strcmp(to->labels[at], from->labels[i]) != 0) {
            at++;
        }
        if (at == to->nparts || !part_takes(&to->parts[at], &from->parts[i])) {
            return false;
        }
    }
    return true;
}

/* A document of no shape has to be held to one first (mf_document_fit). */
static bool shape_of_shape(const struct mf_type *to, const struct mf_type *from)
{
    bool same = to->shape == from->shape && (to->shape == MF_SHAPE_RECORD || to->nparts == from->nparts);
    if (to->shape == MF_SHAPE_NONE || to->shape == MF_SHAPE_RECORD) {
        return to->shape == MF_SHAPE_NONE || (same && fields_enough(to, from));
    }
    for (uint16_t i = 0; same && i < to->nparts; i++) {
        same = part_takes(&to->parts[i], &from->parts[i]);
    }
    return same;
}

/* ---- the pairs ---- */

static bool always(const struct mf_type *to, const struct mf_type *from)
{
    (void)to;
    (void)from;
    return true;
}

static const struct {
    enum mf_kind to, from;
    bool (*takes)(const struct mf_type *to, const struct mf_type *from);
} pairs[] = {
    {MF_KIND_BOOL, MF_KIND_BOOL, always},
    {MF_KIND_INT, MF_KIND_BOOL, always}, /* 0 and 1 */
    {MF_KIND_BOOL, MF_KIND_INT, bool_of_int},
    {MF_KIND_INT, MF_KIND_INT, int_of_int},
    {MF_KIND_DECIMAL, MF_KIND_INT, decimal_of_int},
    {MF_KIND_INT, MF_KIND_DECIMAL, int_of_decimal}, /* BIGINT UNSIGNED is a numeric(20,0) elsewhere */
    {MF_KIND_DECIMAL, MF_KIND_DECIMAL, decimal_of_decimal},
    {MF_KIND_FLOAT, MF_KIND_FLOAT, bits_enough},
    {MF_KIND_BITS, MF_KIND_BITS, bits_of_bits},
    {MF_KIND_TEXT, MF_KIND_BITS, text_of_bits},
    {MF_KIND_BITS, MF_KIND_TEXT, bits_of_text},
    {MF_KIND_DATE, MF_KIND_DATE, always},
    {MF_KIND_TIME, MF_KIND_TIME, scale_enough},
    {MF_KIND_DATETIME, MF_KIND_DATETIME, scale_enough},
    {MF_KIND_INSTANT, MF_KIND_INSTANT, scale_enough},
    /* An engine whose moments end in 2038 writes others as times of day in UTC. */
    {MF_KIND_DATETIME, MF_KIND_INSTANT, scale_enough},
    {MF_KIND_INSTANT, MF_KIND_DATETIME, scale_enough},
    {MF_KIND_TEXT, MF_KIND_TEXT, text_of_text},
    {MF_KIND_BYTES, MF_KIND_BYTES, length_enough}, /* geometries are bytes */
    {MF_KIND_ENUM, MF_KIND_ENUM, labels_enough},
    {MF_KIND_SET, MF_KIND_SET, labels_in_order},
    /* Texts with a CHECK, where there is no such type. A text that is no label is refused on its way back. */
    {MF_KIND_TEXT, MF_KIND_ENUM, always},
    {MF_KIND_ENUM, MF_KIND_TEXT, always},
    {MF_KIND_TEXT, MF_KIND_SET, always},
    {MF_KIND_SET, MF_KIND_TEXT, always},
    {MF_KIND_JSON, MF_KIND_JSON, shape_of_shape},
    {MF_KIND_UUID, MF_KIND_UUID, always},
    {MF_KIND_TEXT, MF_KIND_UUID, text_of_uuid},
    {MF_KIND_UUID, MF_KIND_TEXT, uuid_of_text},
    /* What only one engine knows travels as its text. On its way back its own server reads it. */
    {MF_KIND_OPAQUE, MF_KIND_OPAQUE, always},
    {MF_KIND_TEXT, MF_KIND_OPAQUE, always},
    {MF_KIND_OPAQUE, MF_KIND_TEXT, always},
};

/* Both ways: what stands in such a text for another kind is refused there when it is none of its values. Bytes have no text. */
static bool as_any_text(const struct mf_type *text, const struct mf_type *other)
{
    return text->kind == MF_KIND_TEXT && text->any && other->kind != MF_KIND_BYTES;
}

bool mf_type_takes(const struct mf_type *to, const struct mf_type *from)
{
    if (as_any_text(to, from) || as_any_text(from, to)) {
        return true;
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(pairs); i++) {
        if (pairs[i].to == to->kind && pairs[i].from == from->kind) {
            return pairs[i].takes(to, from);
        }
    }
    return false;
}
