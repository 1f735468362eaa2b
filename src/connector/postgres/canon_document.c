/*
 * Arrays and records of this server as documents (model/document.h).
 *
 * What a column's arrays and records are made of is read once with the types of the catalogue: an array is a LIST of its elements, whatever its dimensions, a
 * row type a RECORD of its fields, a domain what it is made of. The column itself stays OPAQUE, its text as it is for everybody who does not ask; within it, parts
 * with a shape are documents.
 *
 * The texts are read as the server prints them: {1,"a b",NULL} and (1,"say ""x""",). Each element's text is the one a column of its type has.
 */
#include "connector/postgres/canon.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/postgres.h"
#include "model/canon.h"
#include "model/document.h"

#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)1 << 30)
#define OIDS_MAX     ((size_t)8 << 20)
#define BOX_OID      603 /* its arrays have another mark between elements */

/* ---- types ---- */

/* Every type that the columns' types are made of, one row each, row types one for each field. */
static const char parts_sql[] =
    "WITH RECURSIVE reach(oid) AS (SELECT pg_catalog.unnest($1::oid[]) UNION SELECT x.oid FROM reach r"
    " JOIN pg_catalog.pg_type t ON t.oid = r.oid CROSS JOIN LATERAL ("
    "SELECT t.typelem AS oid WHERE t.typcategory = 'A' AND t.typelem <> 0 AND t.typlen = -1"
    " UNION SELECT t.typbasetype WHERE t.typtype = 'd'"
    " UNION SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid"
    "  AND a.attnum > 0 AND NOT a.attisdropped) x)"
    " SELECT t.oid, CASE WHEN t.typtype IN ('d', 'c') THEN t.typtype WHEN t.typcategory = 'A' AND t.typelem <> 0 AND "
    "t.typlen = -1 THEN 'a' WHEN t.typtype = 'e' OR p.proname = 'citextin' THEN 't' ELSE 'o' END,"
    " CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'c' THEN a.atttypid ELSE t.typelem END,"
    " CASE t.typtype WHEN 'd' THEN t.typtypmod WHEN 'c' THEN a.atttypmod ELSE -1 END, a.attname"
    " FROM reach r JOIN pg_catalog.pg_type t ON t.oid = r.oid LEFT JOIN pg_catalog.pg_proc p ON p.oid = t.typinput"
    " LEFT JOIN pg_catalog.pg_attribute a ON t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0"
    "  AND NOT a.attisdropped ORDER BY t.oid, a.attnum";

struct parts {
    const PGresult *rows;
    struct mf_arena *arena;
    bool full;
};

/* Its first row; -1: it is not among them. */
static int first_row(const struct parts *p, uint32_t oid)
{
    int low = 0, high = PQntuples(p->rows);
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (pg_get_oid(p->rows, mid, 0) < oid) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < PQntuples(p->rows) && pg_get_oid(p->rows, low, 0) == oid ? low : -1;
}

static bool part_of(struct parts *p, uint32_t oid, int32_t mod, unsigned depth, struct mf_type *ret);

static bool take_fields(struct parts *p, int row, unsigned depth, struct mf_type *ret)
{
    uint32_t oid = pg_get_oid(p->rows, row, 0);
    int end = row;
    while (end < PQntuples(p->rows) && pg_get_oid(p->rows, end, 0) == oid) {
        end++;
    }
    size_t n = (size_t)(end - row);
    const char **labels = mf_alloc_array(p->arena, n, sizeof *labels);
    struct mf_type *parts = mf_alloc_array(p->arena, n, sizeof *parts);
    p->full |= !labels || !parts;
    for (int i = row; !p->full && i < end; i++) {
        labels[i - row] = mf_strdup_a(p->arena, PQgetvalue(p->rows, i, 4));
        p->full |= !labels[i - row];
        if (PQgetisnull(p->rows, i, 4) || p->full ||
            !part_of(p, pg_get_oid(p->rows, i, 2), (int32_t)pg_get_i64(p->rows, i, 3), depth, &parts[i - row])) {
            return false; /* a row type without fields, or one that is too deep */
        }
    }
    *ret = (struct mf_type){.kind = MF_KIND_JSON,
                            .shape = MF_SHAPE_RECORD,
                            .nlabels = (uint16_t)n,
                            .labels = labels,
                            .nparts = (uint16_t)n,
                            .parts = parts};
    return !p->full && n < UINT16_MAX;
}

/* What stands for a value of the type in a document. False: nothing does. */
static bool part_of(struct parts *p, uint32_t oid, int32_t mod, unsigned depth, struct mf_type *ret)
{
    int row = first_row(p, oid);
    char kind = row >= 0 ? PQgetvalue(p->rows, row, 1)[0] : 'o';
    if (depth == MF_SHAPE_DEPTH) {
        return false;
    }
    if (kind == 'd') {
        int32_t own = (int32_t)pg_get_i64(p->rows, row, 3);
        return part_of(p, pg_get_oid(p->rows, row, 2), own >= 0 ? own : mod, depth + 1, ret);
    }
    if (kind == 'c') {
        return take_fields(p, row, depth + 1, ret);
    }
    if (kind == 'a') {
        struct mf_type *element = mf_alloc0(p->arena, sizeof *element);
        p->full |= !element;
        *ret = (struct mf_type){.kind = MF_KIND_JSON, .shape = MF_SHAPE_LIST, .nparts = 1, .parts = element};
        return element && pg_get_oid(p->rows, row, 2) != BOX_OID &&
               part_of(p, pg_get_oid(p->rows, row, 2), mod, depth + 1, element);
    }
    if (kind == 't') {
        *ret = (struct mf_type){.kind = MF_KIND_TEXT};
    } else {
        pg_type_of_oid(oid, mod, ret); /* a text where nobody knows better */
    }
    return true;
}

static bool is_wanted(const struct mf_type *t)
{
    return t->kind == MF_KIND_OPAQUE && t->shape == MF_SHAPE_NONE;
}

static void list_oids(const struct mf_catalog *own, struct mf_type *const *types, struct mf_buf *b)
{
    for (size_t i = 0; i < own->n; i++) {
        for (uint16_t k = 0; k < own->tables[i].ncolumns; k++) {
            if (is_wanted(&types[i][k])) {
                mf_buf_printf(b, "%c%u", b->len ? ',' : '{', own->tables[i].columns[k].type_id);
            }
        }
    }
}

int pg_canon_shapes(struct mf_db *db, const struct mf_catalog *own, struct mf_arena *arena, struct mf_type **types,
                    struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf list = {.max = OIDS_MAX};
    PG_CLEANUP_RESULT PGresult *r = NULL;
    list_oids(own, types, &list);
    if (list.len == 0) {
        return 0;
    }
    mf_buf_putc(&list, '}');
    const char *values[] = {pg_sql(&list, err)};
    PG_LEASE(pg_db_of(db), l);
    if (!values[0] || pg_lease(l.db, &l.conn, err) < 0 || pg_query_params(l.conn, &r, err, parts_sql, 1, values) < 0) {
        return -1;
    }
    struct parts p = {.rows = r, .arena = arena};
    for (size_t i = 0; i < own->n && !p.full; i++) {
        for (uint16_t k = 0; k < own->tables[i].ncolumns; k++) {
            const struct mf_column *col = &own->tables[i].columns[k];
            struct mf_type t;
            if (is_wanted(&types[i][k]) && part_of(&p, col->type_id, col->type_mod, 0, &t) && t.shape) {
                t.kind = MF_KIND_OPAQUE;
                types[i][k] = t;
            }
        }
    }
    return p.full ? mf_canon_no_memory(err) : 0;
}

/* ---- values ---- */

struct walk {
    const char *p, *end;
    struct mf_arena *arena;
    struct mf_buf *out;
    struct mf_error *err; /* of a value's own translation */
};

static const char failed[] = ""; /* err says why */
static const char no_text[] = "it is not printed as the server prints arrays and records";

static const char *put_part(const struct mf_type *t, struct walk *w, const char *text, size_t n, unsigned depth);

/* One element's text without its quotes, up to any of `ends`; *ret_quoted: "" is then a text and NULL one too. doubled: two quotes within are one. */
static bool take_text(struct walk *w, const char *ends, bool doubled, struct mf_buf *text, bool *ret_quoted)
{
    bool open = false;
    *ret_quoted = false;
    for (; w->p < w->end && (open || !strchr(ends, *w->p) || !*w->p); w->p++) {
        if (*w->p == '\\' && w->end - w->p > 1) {
            mf_buf_putc(text, *++w->p);
        } else if (*w->p == '"' && open && doubled && w->end - w->p > 1 && w->p[1] == '"') {
            mf_buf_putc(text, *++w->p);
        } else if (*w->p == '"') {
            open = !open;
            *ret_quoted = true;
        } else {
            mf_buf_putc(text, *w->p);
        }
    }
    return !open && w->p < w->end && mf_buf_ok(text);
}

/* Within the braces of one dimension. t: of the elements. */
static const char *put_array(const struct mf_type *t, struct walk *w, unsigned depth)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = (size_t)(w->end - w->p) + 1};
    if (w->p == w->end || *w->p++ != '{' || depth > MF_JSON_DEPTH) {
        return depth ? no_text : "it is an array whose first element is not number 1";
    }
    mf_buf_putc(w->out, '[');
    bool empty = w->p < w->end && *w->p == '}';
    for (size_t n = 0; !empty; n++, w->p++) {
        bool quoted = false;
        const char *why;
        mf_buf_reset(&text);
        mf_buf_puts(w->out, n ? "," : "");
        if (w->p < w->end && *w->p == '{') {
            why = put_array(t, w, depth + 1);
        } else if (!take_text(w, ",}", false, &text, &quoted)) {
            why = no_text;
        } else if (!quoted && text.len == 4 && memcmp(text.data, "NULL", 4) == 0) {
            mf_buf_puts(w->out, "null");
            why = NULL;
        } else {
            why = put_part(t, w, mf_buf_str(&text), text.len, depth + 1);
        }
        if (why) {
            return why;
        }
        if (w->p == w->end || *w->p != ',') {
            break;
        }
    }
    mf_buf_putc(w->out, ']');
    return w->p < w->end && *w->p++ == '}' ? NULL : no_text;
}

static const char *put_record(const struct mf_type *t, struct walk *w, unsigned depth)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = (size_t)(w->end - w->p) + 1};
    if (w->p == w->end || *w->p++ != '(') {
        return no_text;
    }
    mf_buf_putc(w->out, '{');
    for (uint16_t i = 0; i < t->nparts; i++) {
        bool quoted = false;
        mf_buf_reset(&text);
        if ((i && *w->p++ != ',') || !take_text(w, ",)", true, &text, &quoted)) {
            return no_text;
        }
        mf_buf_puts(w->out, i ? ",\"" : "\"");
        mf_json_escape(w->out, t->labels[i], strlen(t->labels[i]));
        mf_buf_puts(w->out, "\":");
        bool null = !quoted && text.len == 0;
        mf_buf_puts(w->out, null ? "null" : "");
        const char *why = null ? NULL : put_part(&t->parts[i], w, mf_buf_str(&text), text.len, depth + 1);
        if (why) {
            return why;
        }
    }
    mf_buf_putc(w->out, '}');
    return w->p < w->end && *w->p++ == ')' ? NULL : no_text;
}

static const char *put_part(const struct mf_type *t, struct walk *w, const char *text, size_t n, unsigned depth)
{
    const struct mf_value own = {.kind = MF_TEXT, .len = (uint32_t)n, .data = text};
    struct mf_value canon;
    if (t->shape) {
        struct walk within = {.p = text, .end = text + n, .arena = w->arena, .out = w->out, .err = w->err};
        const char *why =
            t->shape == MF_SHAPE_LIST ? put_array(&t->parts[0], &within, 0) : put_record(t, &within, depth);
        return why || within.p == within.end ? why : no_text;
    }
    if (depth > MF_JSON_DEPTH) {
        return "it is nested too deep";
    }
    if (pg_to_canon(t, w->arena, &own, &canon, w->err) < 0) {
        return failed;
    }
    mf_document_put(w->out, t, &canon);
    return NULL;
}

int pg_document(const struct mf_type *t, struct mf_arena *arena, const struct mf_value *in, struct mf_value *ret,
                struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf out = {.max = DOCUMENT_MAX};
    struct walk w = {.arena = arena, .out = &out, .err = err};
    const char *why = put_part(t, &w, in->data, in->len, 0);
    if (why == failed) {
        return -1;
    }
    if (why) {
        return mf_canon_refuse(t, in, why, err);
    }
    return mf_buf_ok(&out) ? mf_canon_text(arena, out.data, out.len, ret, err) : mf_canon_no_memory(err);
}
