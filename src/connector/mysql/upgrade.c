/* See upgrade.h. */
#include "connector/mysql/upgrade.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "connector/mysql/sqltoken.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- reserved words ---- */

/* 80011 is the first version of 8.0 for production. A scenario test holds what is in force in 8.0.15 against that server's own list. */
static const struct {
    const char *word;
    int since, until; /* until: the first version that gave it back, 0: none has */
} reserved[] = {
    {"ARRAY", 80017, 80019},   {"CUBE", 80011, 0},
    {"CUME_DIST", 80011, 0},   {"DENSE_RANK", 80011, 0},
    {"EMPTY", 80011, 0},       {"EXCEPT", 80011, 0},
    {"FIRST_VALUE", 80011, 0}, {"FUNCTION", 80011, 0},
    {"GROUPING", 80011, 0},    {"GROUPS", 80011, 0},
    {"INTERSECT", 80031, 0},   {"JSON_TABLE", 80011, 0},
    {"LAG", 80011, 0},         {"LAST_VALUE", 80011, 0},
    {"LATERAL", 80014, 0},     {"LEAD", 80011, 0},
    {"MANUAL", 80400, 0},      {"MEMBER", 80017, 80019},
    {"NTH_VALUE", 80011, 0},   {"NTILE", 80011, 0},
    {"OF", 80011, 0},          {"OVER", 80011, 0},
    {"PARALLEL", 80400, 0},    {"PERCENT_RANK", 80011, 0},
    {"PERSIST", 80011, 80016}, {"PERSIST_ONLY", 80011, 80016},
    {"QUALIFY", 80400, 0},     {"RANK", 80011, 0},
    {"RECURSIVE", 80011, 0},   {"ROW", 80011, 0},
    {"ROWS", 80011, 0},        {"ROW_NUMBER", 80011, 0},
    {"SYSTEM", 80011, 0},      {"TABLESAMPLE", 80400, 0},
    {"WINDOW", 80011, 0},
};

const char *my_reserved_word(size_t i, int *ret_since, int *ret_until)
{
    if (i >= MF_ARRAY_LEN(reserved)) {
        return NULL;
    }
    *ret_since = reserved[i].since;
    *ret_until = reserved[i].until;
    return reserved[i].word;
}

int my_reserved_since(const char *word, int source, int target)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(reserved); i++) {
        int since = reserved[i].since, until = reserved[i].until;
        if (strcasecmp(word, reserved[i].word) == 0) {
            bool over = until && until <= target, to_come = since > target && since / 100 != target / 100;
            return over || to_come || since <= source ? 0 : since;
        }
    }
    return 0;
}

/* ---- removed functions ---- */

/* 8.0 has the spatial ones under these names only; those that compare rectangles are what the old ones did. */
static const struct {
    const char *name, *instead;
} removed[] = {
    {"AREA", "ST_Area"},
    {"ASBINARY", "ST_AsBinary"},
    {"ASTEXT", "ST_AsText"},
    {"ASWKB", "ST_AsWKB"},
    {"ASWKT", "ST_AsWKT"},
    {"BUFFER", "ST_Buffer"},
    {"CENTROID", "ST_Centroid"},
    {"CONTAINS", "MBRContains"},
    {"CONVEXHULL", "ST_ConvexHull"},
    {"CROSSES", "ST_Crosses"},
    {"DECODE", "AES_DECRYPT"},
    {"DES_DECRYPT", "AES_DECRYPT"},
    {"DES_ENCRYPT", "AES_ENCRYPT"},
    {"DIMENSION", "ST_Dimension"},
    {"DISJOINT", "MBRDisjoint"},
    {"DISTANCE", "ST_Distance"},
    {"ENCODE", "AES_ENCRYPT"},
    {"ENCRYPT", "SHA2"},
    {"ENDPOINT", "ST_EndPoint"},
    {"ENVELOPE", "ST_Envelope"},
    {"EQUALS", "MBREquals"},
    {"EXTERIORRING", "ST_ExteriorRing"},
    {"GEOMCOLLFROMTEXT", "ST_GeomCollFromText"},
    {"GEOMCOLLFROMWKB", "ST_GeomCollFromWKB"},
    {"GEOMETRYCOLLECTIONFROMTEXT", "ST_GeomCollFromText"},
    {"GEOMETRYCOLLECTIONFROMWKB", "ST_GeomCollFromWKB"},
    {"GEOMETRYFROMTEXT", "ST_GeomFromText"},
    {"GEOMETRYFROMWKB", "ST_GeomFromWKB"},
    {"GEOMETRYN", "ST_GeometryN"},
    {"GEOMETRYTYPE", "ST_GeometryType"},
    {"GEOMFROMTEXT", "ST_GeomFromText"},
    {"GEOMFROMWKB", "ST_GeomFromWKB"},
    {"GLENGTH", "ST_Length"},
    {"INTERIORRINGN", "ST_InteriorRingN"},
    {"INTERSECTS", "MBRIntersects"},
    {"ISCLOSED", "ST_IsClosed"},
    {"ISEMPTY", "ST_IsEmpty"},
    {"ISSIMPLE", "ST_IsSimple"},
    {"LINEFROMTEXT", "ST_LineFromText"},
    {"LINEFROMWKB", "ST_LineFromWKB"},
    {"LINESTRINGFROMTEXT", "ST_LineFromText"},
    {"LINESTRINGFROMWKB", "ST_LineFromWKB"},
    {"MBREQUAL", "MBREquals"},
    {"MLINEFROMTEXT", "ST_MLineFromText"},
    {"MLINEFROMWKB", "ST_MLineFromWKB"},
    {"MPOINTFROMTEXT", "ST_MPointFromText"},
    {"MPOINTFROMWKB", "ST_MPointFromWKB"},
    {"MPOLYFROMTEXT", "ST_MPolyFromText"},
    {"MPOLYFROMWKB", "ST_MPolyFromWKB"},
    {"MULTILINESTRINGFROMTEXT", "ST_MLineFromText"},
    {"MULTILINESTRINGFROMWKB", "ST_MLineFromWKB"},
    {"MULTIPOINTFROMTEXT", "ST_MPointFromText"},
    {"MULTIPOINTFROMWKB", "ST_MPointFromWKB"},
    {"MULTIPOLYGONFROMTEXT", "ST_MPolyFromText"},
    {"MULTIPOLYGONFROMWKB", "ST_MPolyFromWKB"},
    {"NUMGEOMETRIES", "ST_NumGeometries"},
    {"NUMINTERIORRINGS", "ST_NumInteriorRings"},
    {"NUMPOINTS", "ST_NumPoints"},
    {"OVERLAPS", "MBROverlaps"},
    {"PASSWORD", ""},
    {"POINTFROMTEXT", "ST_PointFromText"},
    {"POINTFROMWKB", "ST_PointFromWKB"},
    {"POINTN", "ST_PointN"},
    {"POLYFROMTEXT", "ST_PolyFromText"},
    {"POLYFROMWKB", "ST_PolyFromWKB"},
    {"POLYGONFROMTEXT", "ST_PolyFromText"},
    {"POLYGONFROMWKB", "ST_PolyFromWKB"},
    {"SRID", "ST_SRID"},
    {"STARTPOINT", "ST_StartPoint"},
    {"TOUCHES", "ST_Touches"},
    {"WITHIN", "MBRWithin"},
    {"X", "ST_X"},
    {"Y", "ST_Y"},
};

const char *my_removed_function(const char *name)
{
    for (size_t i = 0; i < MF_ARRAY_LEN(removed); i++) {
        if (strcasecmp(name, removed[i].name) == 0) {
            return removed[i].instead;
        }
    }
    return NULL;
}

/* ---- texts ---- */

#define DEPTH 64 /* brackets within brackets; what is deeper is not looked at */

struct level {
    bool grouped, ordered; /* in the statement that is read: GROUP BY, ORDER BY */
    bool in_group;         /* in the list of GROUP BY */
};

struct scanning {
    struct my_tokens t;
    struct my_scan *ret;
    struct level levels[DEPTH];
    size_t depth;
    char word[MY_TOKEN], before[MY_TOKEN]; /* the last word, and the token before it ("." and so on as themselves) */
};

/* After these a name and a bracket are no call. */
static const char *const no_call[] = {".",          "TABLE",      "INTO",      "FUNCTION", "PROCEDURE", "CALL",
                                      "INDEX",      "KEY",        "EXISTS",    "FROM",     "JOIN",      "UPDATE",
                                      "REFERENCES", "VIEW",       "PARTITION", "INSERT",   "REPLACE",   "USING",
                                      "ON",         "CONSTRAINT", "UNIQUE",    "CURSOR"};

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(word, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void note_call(struct scanning *s)
{
    const char *instead = my_removed_function(s->word);
    s->ret->casts = s->ret->casts || strcasecmp(s->word, "CAST") == 0 || strcasecmp(s->word, "CONVERT") == 0;
    if (!instead || is_one_of(s->before, no_call, MF_ARRAY_LEN(no_call))) {
        return;
    }
    char said[100];
    snprintf(said, sizeof said, *instead ? "%.40s() (%s)" : "%.40s()", s->word, instead);
    size_t used = strlen(s->ret->removed);
    if (!strstr(s->ret->removed, said)) {
        snprintf(s->ret->removed + used, sizeof s->ret->removed - used, "%s%s", used ? ", " : "", said);
    }
}

static void end_statement(struct scanning *s)
{
    struct level *l = &s->levels[s->depth < DEPTH ? s->depth : DEPTH - 1];
    s->ret->group_alone = s->ret->group_alone || (s->depth == 0 && l->grouped && !l->ordered);
    *l = (struct level){0};
}

static void bracket(struct scanning *s, char c)
{
    if (c == '(' && s->word[0]) {
        note_call(s);
    }
    if (c == '(') {
        s->depth++;
        if (s->depth < DEPTH) {
            s->levels[s->depth] = (struct level){0};
        }
    } else if (c == ')' && s->depth > 0) {
        s->depth--;
    }
}

static const char *const ends_list[] = {"HAVING", "LIMIT", "WITH", "INTO", "PROCEDURE", "FOR", "LOCK"};
static const char *const ends_select[] = {"UNION", "END", "BEGIN", "THEN", "ELSE", "DO"};

static void keyword(struct scanning *s)
{
    struct level *l = &s->levels[s->depth < DEPTH ? s->depth : DEPTH - 1];
    const char *w = s->t.text;
    if (strcasecmp(w, "BY") == 0 && (strcasecmp(s->word, "GROUP") == 0 || strcasecmp(s->word, "ORDER") == 0)) {
        bool group = strcasecmp(s->word, "GROUP") == 0;
        l->grouped = l->grouped || group;
        l->ordered = l->ordered || !group;
        l->in_group = group;
    } else if (strcasecmp(w, "ASC") == 0 || strcasecmp(w, "DESC") == 0) {
        s->ret->group_order = s->ret->group_order || (l->in_group && s->depth < DEPTH);
    } else if (is_one_of(w, ends_select, MF_ARRAY_LEN(ends_select))) {
        end_statement(s);
    } else if (is_one_of(w, ends_list, MF_ARRAY_LEN(ends_list))) {
        l->in_group = false;
    }
}

void my_scan_text(const char *text, size_t n, bool backslash, struct my_scan *ret)
{
    struct scanning s = {.ret = ret};
    *ret = (struct my_scan){0};
    my_tokens_init(&s.t, text, n, backslash);
    for (enum my_token_kind kind; (kind = my_token_next(&s.t)) != MY_TOKEN_END;) {
        if (kind == MY_TOKEN_WORD) {
            keyword(&s);
            mf_strlcpy(s.before, s.word[0] ? s.word : s.before, sizeof s.before);
            mf_strlcpy(s.word, s.t.text, sizeof s.word);
            continue;
        }
        if (kind == MY_TOKEN_PUNCT && (s.t.quote == '(' || s.t.quote == ')')) {
            bracket(&s, s.t.quote);
        } else if (kind == MY_TOKEN_PUNCT && s.t.quote == ';') {
            end_statement(&s);
        }
        s.before[0] = kind == MY_TOKEN_PUNCT ? s.t.quote : '`';
        s.before[1] = 0;
        s.word[0] = 0;
    }
    end_statement(&s);
}
