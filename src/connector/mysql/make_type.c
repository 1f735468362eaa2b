/* Which type a column of the model's type gets here, and which default. Nothing is narrowed but what is said in the loss. */
#include "connector/mysql/make.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/mysql/canon.h"

#include <string.h>

#define MAX_PRECISION 65
#define MAX_SCALE     30

/* One that tells all texts apart, blanks at the end too, where the server has it. */
const char *my_make_collation(const struct my_db *db)
{
    return db->mariadb ? "utf8mb4_nopad_bin" : db->version >= 80017 ? "utf8mb4_0900_bin" : "utf8mb4_bin";
}

static bool pads(const struct my_db *db)
{
    return strcmp(my_make_collation(db), "utf8mb4_bin") == 0;
}

/* 5.7 can be told to have short ones. */
uint32_t my_make_index_bytes(struct my_db *db, MYSQL *c, struct mf_error *err)
{
    int64_t page = 0, large = 1;
    if (my_query_i64(c, &page, err, "SELECT @@GLOBAL.innodb_page_size") < 0 ||
        (!db->mariadb && db->version < 80000 &&
         my_query_i64(c, &large, err, "SELECT @@GLOBAL.innodb_large_prefix") < 0)) {
        return 0;
    }
    return !large ? 767 : page <= 4096 ? 768 : page <= 8192 ? 1536 : MY_INDEX_BYTES;
}

static void put_decimal(const struct mf_type *t, struct mf_buf *type, struct mf_buf *loss)
{
    int precision = t->precision, scale = t->scale;
    if (scale < 0) { /* the last digits of the whole ones are zeros */
        precision -= scale;
        scale = 0;
    }
    precision = precision < scale ? scale : precision;
    if (precision == 0 || precision > MAX_PRECISION || scale > MAX_SCALE) {
        mf_buf_printf(type, "decimal(%d,%d)", MAX_PRECISION, MAX_SCALE);
        mf_buf_puts(loss, "NaN, infinity, and numbers of more than 35 digits before the point or 30 behind it are "
                          "refused");
    } else {
        mf_buf_printf(type, "decimal(%d,%d)", precision, scale);
        mf_buf_puts(loss, "NaN is refused");
    }
}

static const char out_of_range[] = "dates before Christ, past the year 9999, and infinity are refused";

static void put_moment(const char *name, int16_t scale, struct mf_buf *type)
{
    int digits = scale < 0 ? 0 : scale > 6 ? 6 : scale;
    mf_buf_printf(type, digits ? "%s(%d)" : "%s", name, digits);
}

static void put_int(const struct mf_type *t, struct mf_buf *type)
{
    mf_buf_puts(type, t->bits <= 8    ? "tinyint"
                      : t->bits <= 16 ? "smallint"
                      : t->bits <= 24 ? "mediumint"
                      : t->bits <= 32 ? "int"
                                      : "bigint");
    mf_buf_puts(type, t->is_unsigned ? " unsigned" : "");
}

static void put_labels(const struct my_db *db, const struct mf_type *t, struct mf_buf *type)
{
    mf_buf_puts(type, t->kind == MF_KIND_SET ? "set(" : "enum(");
    for (uint16_t i = 0; i < t->nlabels; i++) {
        mf_buf_puts(type, i ? "," : "");
        my_put_literal(type, t->labels[i]);
    }
    mf_buf_printf(type, ") CHARACTER SET utf8mb4 COLLATE %s", my_make_collation(db));
}

static const char *meaning(enum mf_kind kind)
{
    switch (kind) {
    case MF_KIND_OPAQUE:
        return "it is a text in the source's words";
    case MF_KIND_ENUM:
        return "it is a text, which the server does not hold against its labels";
    case MF_KIND_BITS:
        return "it is a text of 0 and 1";
    default:
        return NULL;
    }
}

static void put_loss(struct mf_buf *loss, const char *clause)
{
    if (clause) {
        mf_buf_printf(loss, "%s%s", loss->len ? "; " : "", clause);
    }
}

static void put_wide(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w,
                     struct mf_buf *type, struct mf_buf *loss)
{
    bool bytes = w->unit == MY_WIDTH_BYTES, fixed = c->type.fixed && w->n && w->n <= 255 && !w->cut;
    fixed = fixed && (bytes || c->type.kind == MF_KIND_TEXT);
    if (w->n == 0) {
        mf_buf_puts(type, bytes ? "longblob" : "longtext");
    } else {
        mf_buf_printf(type, "%s(%u)", bytes ? fixed ? "binary" : "varbinary" : fixed ? "char" : "varchar", w->n);
    }
    put_loss(loss, meaning(c->type.kind));
    if (!bytes) {
        mf_buf_printf(type, " CHARACTER SET utf8mb4 COLLATE %s", my_make_collation(db));
    }
    if (w->cut) {
        MF_CLEANUP_FREE char *cut =
            mf_xasprintf("values longer than %u %s are refused, as an index has no room for more", w->n,
                         bytes ? "bytes" : "characters");
        put_loss(loss, cut);
    }
    if (w->whole && !bytes && pads(db)) {
        put_loss(loss,
                 "values that differ only in blanks at their end are equal in its index, and the second is refused");
    }
}

void my_put_type(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w,
                 struct mf_buf *type, struct mf_buf *loss)
{
    const struct mf_type *t = &c->type;
    if (c->wanted_type) { /* a value that does not fit it is refused like any other */
        mf_buf_puts(type, c->wanted_type);
        return;
    }
    if (w->unit != MY_WIDTH_OWN) {
        put_wide(db, c, w, type, loss);
        return;
    }
    switch (t->kind) {
    case MF_KIND_BOOL:
        mf_buf_puts(type, "tinyint(1)");
        break;
    case MF_KIND_INT:
        put_int(t, type);
        break;
    case MF_KIND_DECIMAL:
        put_decimal(t, type, loss);
        break;
    case MF_KIND_FLOAT:
        mf_buf_puts(type, t->bits == 32 ? "float" : "double");
        mf_buf_puts(loss, "NaN and infinity are refused");
        break;
    case MF_KIND_BITS:
        mf_buf_printf(type, "bit(%u)", t->length);
        break;
    case MF_KIND_DATE:
        mf_buf_puts(type, "date");
        mf_buf_puts(loss, out_of_range);
        break;
    case MF_KIND_TIME:
        put_moment("time", t->scale, type);
        break;
    case MF_KIND_DATETIME:
        put_moment("datetime", t->scale, type);
        mf_buf_puts(loss, out_of_range);
        break;
    case MF_KIND_INSTANT: /* TIMESTAMP ends in 2038 */
        put_moment("datetime", t->scale, type);
        mf_buf_printf(loss, "it is the time in UTC, which no session's time zone changes; %s", out_of_range);
        break;
    case MF_KIND_ENUM:
    case MF_KIND_SET:
        put_labels(db, t, type);
        break;
    case MF_KIND_JSON:
        mf_buf_puts(type, "json");
        mf_buf_puts(loss, "documents with a number that JSON does not keep exactly here are refused");
        break;
    case MF_KIND_UUID:
        mf_buf_puts(type, "char(36) CHARACTER SET ascii COLLATE ascii_bin");
        break;
    default:
        mf_buf_puts(type, "longtext");
        break;
    }
}

void my_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                  struct mf_buf *ret_type, struct mf_buf *ret_loss)
{
    MF_CLEANUP_FREE struct my_width *widths = mf_xcalloc((size_t)t->ncolumns + 1, sizeof *widths);
    my_make_widths(t, MY_INDEX_BYTES, widths);
    for (uint16_t i = 0; i < t->ncolumns; i++) {
        if (mf_streq(t->columns[i].name, c->name)) {
            my_put_type(my_db_of(db), c, &widths[i], ret_type, ret_loss);
            return;
        }
    }
}

/* ---- defaults ---- */

/* An expression, in brackets, and for texts without bound. */
static bool has_expressions(const struct my_db *db)
{
    return db->mariadb ? db->version >= 100201 : db->version >= 80013;
}

static bool needs_expression(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w)
{
    bool outside = (w->unit != MY_WIDTH_OWN && w->n == 0) || c->type.kind == MF_KIND_JSON;
    return outside && !db->mariadb;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

static void put_literal(const struct mf_type *t, const char *text, size_t n, struct mf_buf *b)
{
    bool number = t->kind == MF_KIND_BOOL || t->kind == MF_KIND_INT || t->kind == MF_KIND_DECIMAL ||
                  t->kind == MF_KIND_FLOAT || (t->kind == MF_KIND_BITS && my_make_bits_fit(t));
    if (number) {
        mf_buf_append(b, text, n);
    } else {
        my_put_literal_n(b, text, n);
    }
}

static bool put_value(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w,
                      struct mf_arena *arena, struct mf_buf *b, struct mf_buf *why)
{
    struct mf_error err = {0};
    struct mf_type t = c->type;
    struct mf_value out, in = {.kind = MF_TEXT, .len = (uint32_t)strlen(c->default_text), .data = c->default_text};
    bool expression = needs_expression(db, c, w);
    t.form = 0; /* the source's */
    if (w->unit == MY_WIDTH_CHARS) {
        t = (struct mf_type){.kind = MF_KIND_TEXT};
    }
    if (my_from_canon(&t, arena, &in, &out, &err) < 0 || out.kind != MF_TEXT) {
        mf_buf_puts(why, err.text[0] ? err.text : "it is none that can be written as a text");
        return false;
    }
    if (expression && !has_expressions(db)) {
        mf_buf_puts(why, "texts without bound have no defaults in this version");
        return false;
    }
    if (w->unit != MY_WIDTH_OWN && w->n && characters(c->default_text) > w->n) {
        mf_buf_puts(why, "it is too long");
        return false;
    }
    mf_buf_puts(b, expression ? "(" : "");
    put_literal(&t, out.data, out.len, b);
    mf_buf_puts(b, expression ? ")" : "");
    return true;
}

/* Only moments have a default of now in every version. A moment in UTC needs an expression: the plain one is in the session's zone. */
static bool put_now(const struct my_db *db, const struct mf_type *t, struct mf_buf *b)
{
    int digits = t->scale < 0 ? 0 : t->scale > 6 ? 6 : t->scale;
    if (t->kind == MF_KIND_DATETIME) {
        mf_buf_printf(b, digits ? "CURRENT_TIMESTAMP(%d)" : "CURRENT_TIMESTAMP", digits);
        return true;
    }
    if (!has_expressions(db)) {
        return false;
    }
    switch (t->kind) {
    case MF_KIND_INSTANT:
        mf_buf_printf(b, "(UTC_TIMESTAMP(%d))", digits);
        return true;
    case MF_KIND_DATE:
        mf_buf_puts(b, "(CURRENT_DATE)");
        return true;
    case MF_KIND_TIME:
        mf_buf_printf(b, "(CURRENT_TIME(%d))", digits);
        return true;
    default:
        return false;
    }
}

bool my_put_default(const struct my_db *db, const struct mf_schema_column *c, const struct my_width *w,
                    struct mf_arena *arena, struct mf_buf *b, struct mf_buf *why)
{
    switch (c->defaulted) {
    case MF_DEFAULT_NONE:
        return true;
    case MF_DEFAULT_VALUE:
        return put_value(db, c, w, arena, b, why);
    case MF_DEFAULT_NOW:
        if (put_now(db, &c->type, b)) {
            return true;
        }
        mf_buf_puts(why, "this version has no such default for its type");
        return false;
    case MF_DEFAULT_UUID:
        if (has_expressions(db)) {
            mf_buf_puts(b, "(uuid())");
            return true;
        }
        mf_buf_puts(why, "this version has no such default");
        return false;
    case MF_DEFAULT_OTHER:
        break;
    }
    mf_buf_puts(why, "it is an expression of the source's own, or not known for certain");
    return false;
}
