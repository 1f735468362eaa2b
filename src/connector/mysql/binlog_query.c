/* A statement in the binary log, and the session it is of: see binlog_internal.h. */
#include "base/str.h"
#include "connector/mysql/binlog_internal.h"
#include "connector/mysql/charset_id.h"

#include <string.h>

/* The status variables up to the one that is asked for, in the order the servers write them. */
enum status {
    STATUS_FLAGS = 0,
    STATUS_SQL_MODE = 1,
    STATUS_CATALOG = 2,
    STATUS_AUTO_INCREMENT = 3,
    STATUS_CHARSET = 4,
    STATUS_CATALOG_LEN = 6,
};

/* A number of one that is not known ends it: nothing tells how long it is. What comes behind the character set is nothing to us. */
static void read_status(struct mf_cursor *in, struct my_event *e, const char **ret_charset)
{
    while (mf_cursor_left(in)) {
        switch (mf_read_u8(in)) {
        case STATUS_FLAGS:
        case STATUS_AUTO_INCREMENT:
            mf_read_bytes(in, 4);
            break;
        case STATUS_SQL_MODE:
            e->query.sql_mode = my_read_le(in, 8);
            e->query.has_sql_mode = !in->failed;
            break;
        case STATUS_CATALOG:
            mf_read_bytes(in, mf_read_u8(in) + 1u);
            break;
        case STATUS_CATALOG_LEN:
            mf_read_bytes(in, mf_read_u8(in));
            break;
        case STATUS_CHARSET: {
            uint64_t client = my_read_le(in, 2);
            *ret_charset = in->failed ? NULL : my_charset_of_collation(client);
            return;
        }
        default:
            return;
        }
    }
}

static bool is_ascii(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)p[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* In a set whose bytes are not those of UTF-8. A text that has no meaning there (it may have bytes of another set in its strings), or is too
 * long, stays as it is. */
static void make_utf8(struct my_binlog *d, struct my_event *e, const char *charset)
{
    struct my_charset *c = NULL;
    struct mf_error ignored = {0};
    const char *text = NULL;
    size_t n = 0;
    mf_arena_reset(&d->text);
    e->query.utf8 = is_ascii(e->query.text, e->query.len);
    if (e->query.utf8 || !charset || strcmp(charset, "binary") == 0 ||
        my_charset_find(&d->charsets, charset, &c, &ignored) < 0) {
        return;
    }
    if (c && my_charset_text(c, e->query.text, e->query.len, &d->text, &text, &n, &ignored) < 0) {
        return;
    }
    e->query.utf8 = true;
    if (c) {
        e->query.text = text;
        e->query.len = n;
    }
}

/* Session, duration, length of the database's name, error, length of the status variables; those, the name, a NUL, the text. */
int my_event_query(struct my_binlog *d, struct mf_cursor *in, struct my_event *e, struct mf_error *err)
{
    struct mf_cursor fixed, status;
    const char *charset = NULL;
    if (my_post_header(d, MY_TYPE_QUERY, 13, in, &fixed, err) < 0) {
        return -1;
    }
    my_read_le(&fixed, 8);
    size_t nschema = mf_read_u8(&fixed);
    e->kind = MY_EV_QUERY;
    e->query.error = (uint16_t)my_read_le(&fixed, 2);
    size_t nstatus = (size_t)my_read_le(&fixed, 2);
    const void *p = mf_read_bytes(in, nstatus);
    const void *schema = mf_read_bytes(in, nschema);
    mf_read_u8(in);
    if (in->failed || !my_binlog_name(e->query.schema, sizeof(e->query.schema), schema, nschema)) {
        return my_binlog_bad(err, "a statement that ends early");
    }
    mf_cursor_init(&status, p, nstatus);
    read_status(&status, e, &charset);
    if (e->type == MY_TYPE_MARIA_QUERY_PACKED && my_unpack(d, in, err) < 0) {
        return -1;
    }
    e->query.len = mf_cursor_left(in);
    e->query.text = mf_read_bytes(in, e->query.len);
    make_utf8(d, e, charset);
    return 0;
}
