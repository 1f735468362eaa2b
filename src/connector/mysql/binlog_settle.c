/* How a column is read: its type, which the caller knows, held against what the table map says of it. See binlog_values.h. */
#include "connector/mysql/binlog_values.h"

#include "base/buf.h"
#include "connector/mysql/charset_id.h"
#include "connector/mysql/number_text.h"

int my_field_meta_len(uint8_t field)
{
    switch (field) {
    case MY_FIELD_FLOAT:
    case MY_FIELD_DOUBLE:
    case MY_FIELD_TIMESTAMP2:
    case MY_FIELD_DATETIME2:
    case MY_FIELD_TIME2:
    case MY_FIELD_JSON:
    case MY_FIELD_GEOMETRY:
    case MY_FIELD_VECTOR:
    case MY_FIELD_BLOB_COMPRESSED:
        return 1;
    case MY_FIELD_VARCHAR:
    case MY_FIELD_VARCHAR_COMPRESSED:
    case MY_FIELD_BIT:
    case MY_FIELD_NEWDECIMAL:
    case MY_FIELD_ENUM:
    case MY_FIELD_SET:
    case MY_FIELD_VAR_STRING:
    case MY_FIELD_STRING:
        return 2;
    default:
        if (field >= MY_FIELD_TINY_BLOB && field <= MY_FIELD_BLOB) {
            return 1;
        }
        return field >= MY_FIELD_TINY && field <= MY_FIELD_NEWDATE ? 0 : -1;
    }
}

static int misfit(const char *what, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFSHAPE", "the binary log has another type of it: %s", what);
}

static int settle_time(struct my_col *c, const uint8_t *meta, my_value_reader *read, struct mf_error *err)
{
    bool fraction_told = my_field_meta_len(c->field) == 1;
    c->read = read;
    if (fraction_told ? meta[0] != c->type.scale || c->type.scale > 6 : c->type.scale != 0) {
        return misfit(fraction_told ? "another number of fractional digits"
                                    : "a time in the format before MySQL 5.6, with a fraction",
                      err);
    }
    return 0;
}

/* max: bytes by the map. A text's is the number of characters times what its character set needs for one. */
static int settle_string(struct my_col *c, unsigned max, struct mf_error *err)
{
    unsigned length = c->type.length;
    c->bytes = max;
    c->width = max > 255 ? 2 : 1;
    switch (c->type.base) {
    case MY_BINARY:
        c->read = my_value_binary;
        break;
    case MY_VARBINARY:
        c->read = my_value_bytes;
        break;
    case MY_CHAR:
    case MY_VARCHAR:
        c->read = c->type.base == MY_CHAR ? my_value_char : my_value_text;
        return max == (uint64_t)length * my_charset_width(c->type.charset)
                   ? 0
                   : misfit("another length or character set", err);
    default:
        return misfit("a string", err);
    }
    return max == length ? 0 : misfit("another length", err);
}

static int settle_blob(struct my_col *c, unsigned width, my_value_reader *read, struct mf_error *err)
{
    c->read = read;
    c->width = (uint8_t)width;
    if (width < 1 || width > 4) {
        return misfit("a BLOB of no known size", err);
    }
    c->bytes = (uint32_t)((UINT64_C(1) << (8 * width)) - 1);
    if ((c->type.base == MY_TEXT || c->type.base == MY_BLOB) && c->type.length != c->bytes) {
        return misfit("another size of TEXT or BLOB", err);
    }
    if (c->type.base == MY_VECTOR) {
        c->bytes = 4 * c->type.length;
    }
    return 0;
}

/* Its room has a byte more, for what says how it is compressed. */
static int settle_compressed(struct my_col *c, unsigned max, struct mf_error *err)
{
    if (max == 0 || (c->type.base != MY_VARCHAR && c->type.base != MY_VARBINARY)) {
        return misfit("VARCHAR or VARBINARY", err);
    }
    if (settle_string(c, max - 1, err) < 0) {
        return -1;
    }
    c->width = max > 255 ? 2 : 1;
    c->read = my_value_compressed;
    return 0;
}

static int settle_members(struct my_col *c, unsigned width, my_value_reader *read, struct mf_error *err)
{
    unsigned n = c->type.nmembers;
    c->read = read;
    c->width = (uint8_t)width;
    unsigned need = c->field == MY_FIELD_ENUM ? (n > 255 ? 2 : 1) : n > 32 ? 8 : (n + 7) / 8;
    if (!n || !c->type.members || (c->field == MY_FIELD_SET && n > 64) || width != need) {
        return misfit("another number of members", err);
    }
    return 0;
}

/* STRING is CHAR, BINARY, ENUM and SET; two bits of a CHAR's length are in the byte of the type, turned over. */
static int settle_fixed(struct my_col *c, const uint8_t *meta, struct mf_error *err)
{
    c->field = meta[0] | 0x30;
    if (c->field == MY_FIELD_ENUM || c->field == MY_FIELD_SET) {
        bool fits = c->type.base == (c->field == MY_FIELD_ENUM ? MY_ENUM : MY_SET);
        return fits ? settle_members(c, meta[1], c->field == MY_FIELD_ENUM ? my_value_enum : my_value_set, err)
                    : misfit("ENUM or SET", err);
    }
    unsigned max = meta[1] | ((meta[0] & 0x30u) ^ 0x30u) << 4;
    switch (c->type.base) {
    case MY_CHAR:
    case MY_BINARY:
        return settle_string(c, max, err);
    case MY_UUID:
    case MY_INET6:
    case MY_INET4:
        c->bytes = c->type.base == MY_INET4 ? 4 : 16;
        c->width = 1;
        c->read = my_value_address;
        return max == c->bytes ? 0 : misfit("another length", err);
    default:
        return misfit("CHAR or BINARY", err);
    }
}

static int settle_number(struct my_col *c, const uint8_t *meta, struct mf_error *err)
{
    static const uint8_t widths[MY_FIELD_INT24 + 1] = {
        [MY_FIELD_TINY] = 1,  [MY_FIELD_SHORT] = 2, [MY_FIELD_LONG] = 4,  [MY_FIELD_LONGLONG] = 8,
        [MY_FIELD_INT24] = 3, [MY_FIELD_FLOAT] = 4, [MY_FIELD_DOUBLE] = 8};
    switch (c->field) {
    case MY_FIELD_NEWDECIMAL:
        c->read = my_value_decimal;
        c->bytes = (uint32_t)my_decimal_bytes(meta[0], meta[1]);
        return c->bytes && meta[0] == c->type.precision && meta[1] == c->type.scale
                   ? 0
                   : misfit("another precision or scale", err);
    case MY_FIELD_BIT:
        c->read = my_value_bit;
        c->width = (uint8_t)(meta[1] + (meta[0] ? 1 : 0));
        return meta[0] < 8 && c->width >= 1 && c->width <= 8 && meta[1] * 8u + meta[0] == c->type.length
                   ? 0
                   : misfit("another number of bits", err);
    case MY_FIELD_FLOAT:
    case MY_FIELD_DOUBLE:
        c->read = my_value_real;
        c->width = widths[c->field];
        return meta[0] == c->width ? 0 : misfit("another size of number", err);
    default:
        c->read = my_value_int;
        c->width = widths[c->field];
        return 0;
    }
}

/* The one base each field type is of; STRING, VARCHAR and BLOB, which are several, are not here. */
static const uint8_t base_of[256] = {
    [MY_FIELD_TINY] = MY_TINYINT,
    [MY_FIELD_SHORT] = MY_SMALLINT,
    [MY_FIELD_INT24] = MY_MEDIUMINT,
    [MY_FIELD_LONG] = MY_INT,
    [MY_FIELD_LONGLONG] = MY_BIGINT,
    [MY_FIELD_FLOAT] = MY_FLOAT,
    [MY_FIELD_DOUBLE] = MY_DOUBLE,
    [MY_FIELD_NEWDECIMAL] = MY_DECIMAL,
    [MY_FIELD_BIT] = MY_BIT,
    [MY_FIELD_YEAR] = MY_YEAR,
    [MY_FIELD_DATE] = MY_DATE,
    [MY_FIELD_NEWDATE] = MY_DATE,
    [MY_FIELD_TIME] = MY_TIME,
    [MY_FIELD_TIME2] = MY_TIME,
    [MY_FIELD_DATETIME] = MY_DATETIME,
    [MY_FIELD_DATETIME2] = MY_DATETIME,
    [MY_FIELD_TIMESTAMP] = MY_TIMESTAMP,
    [MY_FIELD_TIMESTAMP2] = MY_TIMESTAMP,
    [MY_FIELD_JSON] = MY_JSON,
    [MY_FIELD_GEOMETRY] = MY_GEOMETRY,
    [MY_FIELD_VECTOR] = MY_VECTOR,
    [MY_FIELD_ENUM] = MY_ENUM,
    [MY_FIELD_SET] = MY_SET,
};

static int settle(struct my_col *c, const uint8_t *meta, struct mf_error *err)
{
    if (base_of[c->field] && base_of[c->field] != c->type.base) {
        return misfit("another kind", err);
    }
    switch (c->field) {
    case MY_FIELD_YEAR:
        c->read = my_value_year;
        return 0;
    case MY_FIELD_DATE:
    case MY_FIELD_NEWDATE:
        c->read = my_value_date;
        return 0;
    case MY_FIELD_TIME:
        return settle_time(c, meta, my_value_old_time, err);
    case MY_FIELD_TIME2:
        return settle_time(c, meta, my_value_time, err);
    case MY_FIELD_DATETIME:
        return settle_time(c, meta, my_value_old_datetime, err);
    case MY_FIELD_DATETIME2:
        return settle_time(c, meta, my_value_datetime, err);
    case MY_FIELD_TIMESTAMP:
        return settle_time(c, meta, my_value_old_timestamp, err);
    case MY_FIELD_TIMESTAMP2:
        return settle_time(c, meta, my_value_timestamp, err);
    case MY_FIELD_VARCHAR:
    case MY_FIELD_VAR_STRING:
        return c->type.base == MY_VARCHAR || c->type.base == MY_VARBINARY ? settle_string(c, mf_get_u16le(meta), err)
                                                                          : misfit("VARCHAR or VARBINARY", err);
    case MY_FIELD_VARCHAR_COMPRESSED:
        return settle_compressed(c, mf_get_u16le(meta), err);
    case MY_FIELD_BLOB_COMPRESSED:
        return c->type.base == MY_TEXT || c->type.base == MY_BLOB ? settle_blob(c, meta[0], my_value_compressed, err)
                                                                  : misfit("TEXT or BLOB", err);
    case MY_FIELD_STRING:
        return settle_fixed(c, meta, err);
    case MY_FIELD_ENUM:
        return settle_members(c, meta[1], my_value_enum, err);
    case MY_FIELD_SET:
        return settle_members(c, meta[1], my_value_set, err);
    case MY_FIELD_JSON:
        return settle_blob(c, meta[0], my_value_json, err);
    case MY_FIELD_GEOMETRY:
    case MY_FIELD_VECTOR:
        return settle_blob(c, meta[0], my_value_bytes, err);
    default:
        if (c->field >= MY_FIELD_TINY_BLOB && c->field <= MY_FIELD_BLOB) {
            return c->type.base == MY_TEXT   ? settle_blob(c, meta[0], my_value_text, err)
                   : c->type.base == MY_BLOB ? settle_blob(c, meta[0], my_value_bytes, err)
                                             : misfit("TEXT or BLOB", err);
        }
        return base_of[c->field] ? settle_number(c, meta, err) : misfit("one that is not known here", err);
    }
}

int my_col_settle(struct my_col *c, uint8_t field, const uint8_t *meta, const struct my_type *type,
                  struct my_charsets *charsets, struct mf_error *err)
{
    *c = (struct my_col){.field = field, .type = *type};
    if (settle(c, meta, err) < 0) {
        return -1;
    }
    bool text = type->base == MY_CHAR || type->base == MY_VARCHAR || type->base == MY_TEXT;
    return text ? my_charset_find(charsets, type->charset, &c->charset, err) : 0;
}
