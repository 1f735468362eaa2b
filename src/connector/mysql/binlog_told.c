/* What a table map tells of its columns besides their types (binlog_row_metadata), held against what is known of them: see
 * binlog_internal.h. What is not told, or not understood, is no difference. */
#include "connector/mysql/binlog_internal.h"
#include "connector/mysql/charset_id.h"

#include <string.h>

#define MEMBER_BYTES ((size_t)1 << 20)

static int differs(size_t column, const char *what, const char *log, const char *known, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFSHAPE", "column %zu: the binary log has another %s of it: %.100s, not %.100s",
                   column + 1, what, log, known);
}

/* ---- signs ---- */

static bool has_sign(uint8_t field)
{
    return (field >= MY_FIELD_TINY && field <= MY_FIELD_DOUBLE) || field == MY_FIELD_LONGLONG ||
           field == MY_FIELD_INT24 || field == MY_FIELD_NEWDECIMAL;
}

static bool is_integer(const struct my_type *t)
{
    return t->base >= MY_TINYINT && t->base <= MY_BIGINT;
}

/* A bit for each numeric column, the first in the highest; sign holds the ones before this. */
static bool sign_fits(const struct my_slice *signs, size_t sign, const struct my_type *t)
{
    if (sign / 8 >= signs->n || !is_integer(t)) {
        return true;
    }
    return (signs->p[sign / 8] >> (7 - sign % 8) & 1) == t->is_unsigned;
}

/* YEAR has a bit among them too where the server is MariaDB or a later 8.0, and none where it is an early one: what fits either way fits. */
static int check_signs(const struct my_map *m, const struct my_col *cols, struct mf_error *err)
{
    uint16_t wrong[2] = {0}; /* the first column that does not fit, from 1 on: without YEAR, with it */
    for (int with_year = 0; with_year < 2; with_year++) {
        size_t sign = 0;
        for (uint16_t i = 0; i < m->ncolumns && !wrong[with_year]; i++) {
            if (has_sign(m->types[i])) {
                wrong[with_year] = sign_fits(&m->told[MY_META_SIGNS], sign++, &cols[i].type) ? 0 : i + 1u;
            }
            sign += with_year && m->types[i] == MY_FIELD_YEAR;
        }
    }
    return wrong[0] && wrong[1]
               ? mf_fail(err, MF_FATAL, "MFSHAPE", "column %u: the binary log has another sign of it", wrong[1])
               : 0;
}

/* ---- character sets ---- */

enum counted { PLAIN, ODD, NOT };

/* ODD: a type that some servers count among those of characters. */
static enum counted counts(const struct my_col *c)
{
    switch (c->field) {
    case MY_FIELD_VARCHAR:
    case MY_FIELD_VAR_STRING:
    case MY_FIELD_VARCHAR_COMPRESSED:
    case MY_FIELD_BLOB_COMPRESSED:
        return PLAIN;
    case MY_FIELD_STRING:
        return c->type.base == MY_CHAR || c->type.base == MY_BINARY ? PLAIN : ODD;
    case MY_FIELD_GEOMETRY:
        return ODD;
    default:
        return c->field >= MY_FIELD_TINY_BLOB && c->field <= MY_FIELD_BLOB ? PLAIN : NOT;
    }
}

static const char *charset_of(const struct my_type *t)
{
    return t->charset[0] ? t->charset : "binary";
}

/* The collation of each, or the one that most have and then those of the others by their places; a collation is a number. */
struct collations {
    bool each;
    struct mf_cursor in;
    uint64_t most, place, other; /* the next that has another one; place UINT64_MAX: none */
};

static void next_other(struct collations *c)
{
    c->place = UINT64_MAX;
    if (mf_cursor_left(&c->in)) {
        c->place = my_read_lenenc(&c->in);
        c->other = my_read_lenenc(&c->in);
    }
}

static uint64_t collation_at(struct collations *c, uint64_t place)
{
    if (c->each) {
        return my_read_lenenc(&c->in);
    }
    if (place != c->place) {
        return c->most;
    }
    uint64_t id = c->other;
    next_other(c);
    return id;
}

/* odd: those count too. */
static int check_charsets(const struct my_map *m, const struct my_col *cols, bool each, bool odd, struct mf_error *err)
{
    const struct my_slice *told = &m->told[each ? MY_META_CHARSETS : MY_META_CHARSET];
    struct collations c = {.each = each, .place = UINT64_MAX};
    uint64_t place = 0;
    mf_cursor_init(&c.in, told->p, told->n);
    if (!each) {
        c.most = my_read_lenenc(&c.in);
        next_other(&c);
    }
    for (uint16_t i = 0; i < m->ncolumns; i++) {
        enum counted how = counts(&cols[i]);
        if (how == NOT || (how == ODD && !odd)) {
            continue;
        }
        uint64_t id = collation_at(&c, place++);
        const char *log = c.in.failed ? NULL : my_charset_of_collation(id);
        if (how == PLAIN && log && strcmp(log, charset_of(&cols[i].type)) != 0) {
            return differs(i, "character set", log, charset_of(&cols[i].type), err);
        }
    }
    return 0;
}

static int check_either(const struct my_map *m, const struct my_col *cols, bool each, struct mf_error *err)
{
    struct mf_error e = {0};
    if (!m->told[each ? MY_META_CHARSETS : MY_META_CHARSET].p || check_charsets(m, cols, each, false, &e) == 0) {
        return 0;
    }
    return check_charsets(m, cols, each, true, err);
}

/* ---- members ---- */

static bool same_member(struct my_binlog *d, const struct my_col *c, const char *p, size_t n, const char *member)
{
    struct my_charset *set = NULL;
    struct mf_error ignored = {0};
    struct mf_arena arena;
    mf_arena_init(&arena, MEMBER_BYTES);
    bool same = my_charset_find(&d->charsets, c->type.charset, &set, &ignored) < 0 ||
                (set && my_charset_text(set, p, n, &arena, &p, &n, &ignored) < 0) ||
                (n == strlen(member) && memcmp(p, member, n) == 0);
    mf_arena_free(&arena);
    return same;
}

/* Of every ENUM, or SET, in their order: how many, and each with its length before it. */
static int check_members(struct my_binlog *d, const struct my_map *m, const struct my_col *cols, enum my_field field,
                         struct mf_error *err)
{
    const struct my_slice *told = &m->told[field == MY_FIELD_ENUM ? MY_META_ENUMS : MY_META_SETS];
    struct mf_cursor in;
    mf_cursor_init(&in, told->p, told->n);
    for (uint16_t i = 0; told->p && i < m->ncolumns; i++) {
        if (cols[i].field != field) {
            continue;
        }
        uint64_t count = my_read_lenenc(&in);
        if (!in.failed && count != cols[i].type.nmembers) {
            return mf_fail(err, MF_FATAL, "MFSHAPE", "column %u: the binary log has another number of members of it",
                           i + 1u);
        }
        for (uint64_t k = 0; k < count && !in.failed; k++) {
            uint64_t n = my_read_lenenc(&in);
            const char *p = n <= mf_cursor_left(&in) ? mf_read_bytes(&in, (size_t)n) : NULL;
            if (!p) {
                return 0;
            }
            if (!same_member(d, &cols[i], p, (size_t)n, cols[i].type.members[k])) {
                return mf_fail(err, MF_FATAL, "MFSHAPE",
                               "column %u: the binary log has another member instead of '%.100s'", i + 1u,
                               cols[i].type.members[k]);
            }
        }
    }
    return 0;
}

int my_map_check(struct my_binlog *d, const struct my_map *m, const struct my_col *cols, struct mf_error *err)
{
    return check_signs(m, cols, err) < 0 || check_either(m, cols, false, err) < 0 ||
                   check_either(m, cols, true, err) < 0 || check_members(d, m, cols, MY_FIELD_ENUM, err) < 0 ||
                   check_members(d, m, cols, MY_FIELD_SET, err) < 0
               ? -1
               : 0;
}
