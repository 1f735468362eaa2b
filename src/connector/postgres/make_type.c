/* Which type a column of the model's type gets here. Nothing is narrowed but what is said in the loss. */
#include "connector/postgres/model.h"

#include "base/str.h"

#define MAX_TEXT 10485760 /* characters of varchar(n) */
#define MAX_BITS 83886080

static bool is_foreign(const struct mf_schema_table *t, const struct mf_schema_column *c)
{
    for (size_t i = 0; t && i < t->nforeign; i++) {
        for (uint16_t k = 0; k < t->foreign[i].n; k++) {
            if (mf_streq(t->columns[t->foreign[i].columns[k]].name, c->name)) {
                return true;
            }
        }
    }
    return false;
}

/* Numbers that count, and those that refer to them, stay integers: an identity can be nothing else, and both must be of one type. */
static void put_int(const struct mf_schema_table *t, const struct mf_schema_column *c, struct mf_buf *type,
                    struct mf_buf *loss)
{
    unsigned bits = c->type.bits + (c->type.is_unsigned ? 1u : 0u);
    if (bits > 64 && (c->counter || is_foreign(t, c))) {
        mf_buf_puts(type, "bigint");
        mf_buf_puts(loss, "numbers above 9223372036854775807 are refused");
    } else {
        mf_buf_puts(type, bits <= 16 ? "smallint" : bits <= 32 ? "integer" : bits <= 64 ? "bigint" : "numeric(20,0)");
    }
}

static void put_digits(struct mf_buf *type, const char *name, int16_t scale, const char *rest)
{
    mf_buf_printf(type, "%s(%d)%s", name, scale < 0 ? 0 : scale > 6 ? 6 : scale, rest);
}

static const char no_such_date[] = "dates that no calendar has (zero dates, or parts of a date that are zero) are "
                                   "refused";

static void put_time(const struct mf_type *t, struct mf_buf *type, struct mf_buf *loss)
{
    switch (t->kind) {
    case MF_KIND_DATE:
        mf_buf_puts(type, "date");
        mf_buf_puts(loss, no_such_date);
        break;
    case MF_KIND_TIME:
        put_digits(type, "time", t->scale, " without time zone");
        mf_buf_puts(loss, "times below 00:00:00 or above 24:00:00 are refused");
        break;
    case MF_KIND_DATETIME:
        put_digits(type, "timestamp", t->scale, " without time zone");
        mf_buf_puts(loss, no_such_date);
        break;
    default:
        put_digits(type, "timestamp", t->scale, " with time zone");
        mf_buf_puts(loss, no_such_date);
        break;
    }
}

void pg_type_here(struct mf_db *db, const struct mf_schema_table *t, const struct mf_schema_column *c,
                  struct mf_buf *ret_type, struct mf_buf *ret_loss)
{
    const struct mf_type *y = &c->type;
    (void)db;
    if (c->wanted_type) { /* a value that does not fit it is refused like any other */
        mf_buf_puts(ret_type, c->wanted_type);
        return;
    }
    switch (y->kind) {
    case MF_KIND_BOOL:
        mf_buf_puts(ret_type, "boolean");
        break;
    case MF_KIND_INT:
        put_int(t, c, ret_type, ret_loss);
        break;
    case MF_KIND_DECIMAL:
        mf_buf_puts(ret_type, "numeric");
        if (y->precision) {
            mf_buf_printf(ret_type, "(%u,%d)", y->precision, y->scale);
        }
        break;
    case MF_KIND_FLOAT:
        mf_buf_puts(ret_type, y->bits == 32 ? "real" : "double precision");
        break;
    case MF_KIND_BITS:
        mf_buf_puts(ret_type, y->fixed ? "bit" : "bit varying");
        if (y->length && y->length <= MAX_BITS) {
            mf_buf_printf(ret_type, "(%u)", y->length);
        }
        break;
    case MF_KIND_DATE:
    case MF_KIND_TIME:
    case MF_KIND_DATETIME:
    case MF_KIND_INSTANT:
        put_time(y, ret_type, ret_loss);
        break;
    case MF_KIND_TEXT:
        if (y->length && y->length <= MAX_TEXT) {
            mf_buf_printf(ret_type, "character varying(%u)", y->length);
        } else {
            mf_buf_puts(ret_type, "text");
        }
        break;
    case MF_KIND_BYTES:
        mf_buf_puts(ret_type, "bytea");
        break;
    case MF_KIND_ENUM:
        mf_buf_puts(ret_type, "text");
        mf_buf_puts(ret_loss, "it sorts as a text, not in the order of its labels");
        break;
    case MF_KIND_SET:
        mf_buf_puts(ret_type, "text");
        mf_buf_puts(ret_loss, "it is a text of members and commas, which the server does not hold against the list");
        break;
    case MF_KIND_JSON:
        mf_buf_puts(ret_type, "jsonb");
        break;
    case MF_KIND_UUID:
        mf_buf_puts(ret_type, "uuid");
        break;
    case MF_KIND_OPAQUE:
        mf_buf_puts(ret_type, "text");
        mf_buf_puts(ret_loss, "it is a text in the source's words");
        break;
    }
}
