/* See relations.h. */
#include "connector/mysql/relations.h"

#include "base/mem.h"
#include "connector/mysql/dump.h"
#include "connector/mysql/mysql_room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TABLES  (1u << 20)
#define SHAPE_BYTES (64u << 20)

/* Tables of ours that every stream has. */
static const char *const books[] = {"checkpoint", "heartbeat", "epoch"};

/* ---- since when ---- */

struct my_since {
    struct my_since *next;
    char token[MF_POSITION_TOKEN];
    struct my_gtid_set *set; /* NULL: a place in a file */
    uint64_t order;
};

static int since_of(struct my_relations *r, const char *token, const struct my_since **ret, struct mf_error *err)
{
    for (struct my_since *s = r->sinces; s; s = s->next) {
        if (strcmp(s->token, token) == 0) {
            *ret = s;
            return 0;
        }
    }
    struct my_since *s = mf_xcalloc(1, sizeof *s);
    struct my_place at = {0};
    s->next = r->sinces;
    r->sinces = s;
    mf_strlcpy(s->token, token, sizeof s->token);
    if (!r->db->gtid) {
        if (!my_parse_file_position(token, at.file, sizeof at.file, &at.offset)) {
            return mf_fail(err, MF_FATAL, "MFSLOT", "midflight.settings holds no position: %.100s", token);
        }
        s->order = my_place_order(&at);
    } else {
        s->set = my_gtid_set_new(r->db->mariadb);
        if (my_gtid_set_parse(s->set, token, err) < 0) {
            return -1;
        }
    }
    *ret = s;
    return 0;
}

bool my_since_has(const struct my_since *s, const struct my_gtid *g, const struct my_place *at)
{
    return s->set ? my_gtid_set_has(s->set, g) : my_place_order(at) <= s->order;
}

bool my_rel_before(const struct my_rel *rel, const struct my_gtid *g, const struct my_place *at)
{
    return rel->since && my_since_has(rel->since, g, at);
}

/* ---- the list ---- */

bool my_relations_same(const struct my_relations *r, const char *a, const char *b)
{
    return (r->db->lower_case_names ? strcasecmp(a, b) : strcmp(a, b)) == 0;
}

static size_t hash(const char *schema, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const char *p = schema; *p; p++) {
        h = (h ^ (uint8_t)(*p | 32)) * UINT64_C(0x100000001b3); /* without case, whether it counts or not */
    }
    for (const char *p = name; *p; p++) {
        h = (h ^ (uint8_t)(*p | 32)) * UINT64_C(0x100000001b3);
    }
    return (size_t)(h ^ h >> 32);
}

static struct my_rel **slot(const struct my_relations *r, const char *schema, const char *name)
{
    size_t i = hash(schema, name) & (r->nslots - 1);
    while (r->slots[i] &&
           !(my_relations_same(r, r->slots[i]->name, name) && my_relations_same(r, r->slots[i]->schema, schema))) {
        i = (i + 1) & (r->nslots - 1);
    }
    return &r->slots[i];
}

struct my_rel *my_relations_find(const struct my_relations *r, const char *schema, const char *name)
{
    return r->nslots ? *slot(r, schema, name) : NULL;
}

static void grow(struct my_relations *r)
{
    r->cap = r->cap ? r->cap * 2 : 64;
    r->rels = mf_xreallocarray(r->rels, r->cap, sizeof *r->rels);
    free(r->slots);
    r->nslots = r->cap * 2;
    r->slots = mf_xcalloc(r->nslots, sizeof *r->slots);
    for (size_t i = 0; i < r->n; i++) {
        *slot(r, r->rels[i]->schema, r->rels[i]->name) = r->rels[i];
    }
}

static struct my_rel *add(struct my_relations *r, const char *schema, const char *name)
{
    struct my_rel *rel = my_relations_find(r, schema, name);
    if (rel) {
        return rel;
    }
    if (r->n == r->cap) {
        grow(r);
    }
    rel = mf_xcalloc(1, sizeof *rel);
    rel->schema = mf_xstrdup(schema);
    rel->name = mf_xstrdup(name);
    mf_arena_init(&rel->arena, SHAPE_BYTES);
    *slot(r, schema, name) = rel;
    r->rels[r->n++] = rel;
    return rel;
}

bool my_object_name(const char *object, char *schema, char *table, size_t n)
{
    struct my_tokens t;
    my_tokens_init(&t, object, strlen(object), true);
    if (my_token_next(&t) != MY_TOKEN_QUOTED || t.cut || !mf_strlcpy(schema, t.text, n)) {
        return false;
    }
    if (my_token_next(&t) != MY_TOKEN_PUNCT || t.quote != '.') {
        return false;
    }
    return my_token_next(&t) == MY_TOKEN_QUOTED && !t.cut && mf_strlcpy(table, t.text, n) &&
           my_token_next(&t) == MY_TOKEN_END;
}

static int take(struct my_relations *r, MYSQL_ROW row, struct mf_error *err)
{
    char schema[MY_TOKEN], table[MY_TOKEN];
    if (mf_streq(row[1], "settled") && row[2]) {
        return since_of(r, row[2], &r->settled, err);
    }
    if (!row[0] || !row[1] || !row[2] || r->n >= MAX_TABLES || !my_object_name(row[1], schema, table, sizeof schema)) {
        return mf_fail(err, MF_FATAL, "MFSLOT", "midflight.settings holds no table's name: %.100s",
                       row[1] ? row[1] : "NULL");
    }
    if (my_relations_find(r, schema, table)) {
        return 0;
    }
    const struct my_since *since = NULL;
    if (since_of(r, row[2], &since, err) < 0) {
        return -1;
    }
    add(r, schema, table)->since = since;
    return 0;
}

int my_relations_read(struct my_relations *r, MYSQL *c, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *rows = NULL;
    const char *d = my_direction(r->pipe.direction);
    pthread_mutex_lock(&r->db->lock);
    r->tables_added = r->db->tables_added;
    pthread_mutex_unlock(&r->db->lock);
    for (size_t i = 0; i < MF_ARRAY_LEN(books); i++) {
        add(r, MY_BOOK, books[i]);
    }
    if (my_queryf(c, &rows, err,
                  "SELECT kind, object, value FROM midflight.settings WHERE migration = '%s'"
                  " AND (kind = 'published %s' OR (kind = 'stream %s' AND object = 'settled'))",
                  r->pipe.migration, d, d) < 0) {
        return -1;
    }
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(rows))) {
        if (take(r, row, err) < 0) {
            return -1;
        }
    }
    return 0;
}

void my_relations_free(struct my_relations *r)
{
    for (size_t i = 0; i < r->n; i++) {
        mf_arena_free(&r->rels[i]->arena);
        free(r->rels[i]->schema);
        free(r->rels[i]->name);
        free(r->rels[i]);
    }
    while (r->sinces) {
        struct my_since *s = r->sinces;
        r->sinces = s->next;
        my_gtid_set_free(s->set);
        free(s);
    }
    free(r->rels);
    free(r->slots);
    *r = (struct my_relations){0};
}

/* ---- what statements do ---- */

/* Where names are kept without case the statement may have another one, and what letters beyond ASCII have which is not known here. */
void my_relations_statement(const struct my_relations *r, const struct my_event *e, struct my_statement *ret,
                            my_touched_sink *emit, void *ctx)
{
    struct my_sql sql = {.text = e->query.text,
                         .len = e->query.len,
                         .schema = e->query.schema,
                         .exact = e->query.utf8 && !r->db->lower_case_names};
    my_statement_read(&sql, ret, emit, ctx);
}

void my_shown(const char *statement, size_t n, char out[static MY_WHY])
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 4 < MY_WHY; i++) {
        char c = statement[i];
        bool space = (unsigned char)c <= ' ';
        if (!space || (at > 0 && out[at - 1] != ' ')) {
            out[at++] = space ? ' ' : c;
        }
    }
    while (at > 0 && !mf_utf8_valid(out, at)) { /* cut inside a character, or written in another character set */
        at--;
    }
    if (at + 4 >= MY_WHY - 4) {
        memcpy(out + at, "...", 3);
        at += 3;
    }
    out[at] = 0;
}

void my_rel_forget(struct my_rel *rel, const char *statement, size_t n)
{
    if (rel->state != MY_REL_GONE) {
        rel->state = MY_REL_UNKNOWN;
        rel->dirty = true;
        my_shown(statement, n, rel->why);
    }
}

void my_rel_gone(struct my_rel *rel, const char *statement, size_t n)
{
    if (rel->state != MY_REL_GONE) {
        rel->state = MY_REL_GONE;
        rel->dirty = true;
        my_shown(statement, n, rel->why);
    }
}
