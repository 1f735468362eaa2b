/* What a statement is, names and calls, so far as it decides whether it may be planned. See query_text.h. */
#include "connector/mysql/query_text.h"

#include "base/str.h"
#include "connector/mysql/query_walk.h"
#include "connector/mysql/sqltoken.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- what may be planned ---- */

struct shape {
    bool select, join, using_, into, comma; /* a comma outside brackets before SET */
    size_t select_at;                       /* where the first SELECT stands */
};

static struct shape look(const char *text, size_t n)
{
    struct my_walk w = {.p = text, .n = n};
    struct shape s = {0};
    bool set = false;
    size_t depth = 0;
    while (my_walk_next(&w)) {
        if (my_walk_is(&w, "SELECT") && !s.select) {
            s.select = true;
            s.select_at = depth == 0 ? (size_t)(w.word - text) : n;
        }
        s.join = s.join || my_walk_is(&w, "JOIN") || my_walk_is(&w, "STRAIGHT_JOIN");
        s.using_ = s.using_ || my_walk_is(&w, "USING");
        s.into = s.into || my_walk_is(&w, "INTO");
        set = set || my_walk_is(&w, "SET") || my_walk_is(&w, "WHERE");
        s.comma = s.comma || (w.word[0] == ',' && depth == 0 && !set);
        depth += w.word[0] == '(';
        depth -= w.word[0] == ')' && depth > 0;
    }
    return s;
}

size_t my_query_planned(const char *text, size_t n, enum my_query_plan *ret)
{
    struct my_walk w = {.p = text, .n = n};
    *ret = MY_PLAN_NONE;
    if (!my_walk_next(&w)) {
        return n;
    }
    struct shape s = look(text, n);
    size_t at = (size_t)(w.word - text);
    if ((my_walk_is(&w, "SELECT") || my_walk_is(&w, "WITH") || w.word[0] == '(') && !s.into) {
        *ret = MY_PLAN_READ;
        return at;
    }
    if ((my_walk_is(&w, "INSERT") || my_walk_is(&w, "REPLACE")) && s.select && s.select_at < n &&
        !memmem(text, n, "DUPLICATE", strlen("DUPLICATE"))) {
        *ret = MY_PLAN_READ;
        return s.select_at;
    }
    if (my_walk_is(&w, "UPDATE") || my_walk_is(&w, "DELETE")) {
        bool delete = my_walk_is(&w, "DELETE");
        while (my_walk_next(&w) &&
               (my_walk_is(&w, "LOW_PRIORITY") || my_walk_is(&w, "QUICK") || my_walk_is(&w, "IGNORE"))) {}
        bool one = !s.select && !s.join && !s.using_ && !s.comma && (!delete || my_walk_is(&w, "FROM"));
        *ret = one ? MY_PLAN_WRITE : MY_PLAN_NONE;
        return one ? at : n;
    }
    return n;
}

void my_query_names(const char *text, size_t n, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct my_walk w = {.p = text, .n = n};
    char name[MY_QUERY_NAME];
    while (my_walk_next(&w)) {
        size_t i = (size_t)(w.word - w.p);
        if (w.word[0] == '`' && my_sql_name(w.p, w.n, &i, name, sizeof name)) {
            each(ctx, name);
        }
    }
}

/* ---- functions ---- */

/* Without effect, and done in no time that depends on anything but their arguments. */
static const char pure[] =
    " abs acos adddate addtime aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg bin bit_and"
    " bit_count bit_length bit_or bit_xor cast ceil ceiling char char_length character character_length"
    " charset coalesce coercibility collation compress concat concat_ws conv convert convert_tz cos cot"
    " count crc32 curdate current_date current_time current_timestamp current_user curtime database date"
    " date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear default degrees"
    " elt exp export_set extract extractvalue field find_in_set floor format from_base64 from_days"
    " from_unixtime get_format greatest group_concat hex hour if ifnull inet6_aton inet6_ntoa inet_aton"
    " inet_ntoa insert instr interval is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 isnull json_array"
    " json_array_append json_array_insert json_arrayagg json_contains json_contains_path json_depth"
    " json_extract json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve"
    " json_object json_objectagg json_pretty json_quote json_remove json_replace json_search json_set"
    " json_storage_size json_type json_unquote json_valid last_day lcase least left length ln localtime"
    " localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate maketime match max"
    " mbrcontains mbrcoveredby mbrcovers mbrdisjoint mbrequals mbrintersects mbroverlaps mbrtouches"
    " mbrwithin md5 microsecond mid min minute mod month monthname name_const now nullif oct"
    " octet_length ord period_add period_diff pi point position pow power quarter quote radians rand"
    " random_bytes repeat replace reverse right round rpad rtrim schema sec_to_time second session_user"
    " sha sha1 sha2 sign sin soundex space sqrt st_area st_asbinary st_asgeojson st_astext st_buffer"
    " st_centroid st_contains st_crosses st_dimension st_disjoint st_distance st_distance_sphere"
    " st_envelope st_equals st_geohash st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb"
    " st_intersects st_isvalid st_length st_overlaps st_pointfromtext st_srid st_touches st_within st_x"
    " st_y std stddev stddev_pop stddev_samp str_to_date strcmp subdate substr substring substring_index"
    " subtime sum sysdate system_user tan time time_format time_to_sec timediff timestamp timestampadd"
    " timestampdiff to_base64 to_days to_seconds trim truncate ucase uncompress uncompressed_length"
    " unhex unix_timestamp updatexml upper user utc_date utc_time utc_timestamp uuid values var_pop"
    " var_samp variance version week weekday weekofyear weight_string year yearweek ";

/* Words that may stand before a bracket in a view's text and call nothing. */
static const char plain[] =
    " all and any as by case div else exists from having in is join like not on or over regexp rlike"
    " select some then union using when where xor between decimal binary against distinct with ";

static bool is_listed(const char *list, const char *name)
{
    char word[MY_QUERY_NAME + 2];
    snprintf(word, sizeof word, " %s ", name);
    return strcasestr(list, word) && !strchr(name, ' ');
}

bool my_query_calls_unknown(const char *text, size_t n, bool any, char *ret, size_t size)
{
    struct my_walk w = {.p = text, .n = n};
    char name[MY_QUERY_NAME];
    bool columns = false; /* after INTO the name of a table and its columns */
    while (my_walk_next(&w)) {
        size_t i = (size_t)(w.word - w.p);
        bool quoted = w.word[0] == '`', word = !quoted && my_walk_is_word(&w);
        columns = my_walk_is(&w, "INTO") || (columns && (quoted || w.word[0] == '.'));
        if ((!quoted && !(any && word)) || !my_walk_follows(&w, "(") || columns) {
            continue;
        }
        if (!my_sql_name(w.p, w.n, &i, name, sizeof name) ||
            (!is_listed(pure, name) && (quoted || !is_listed(plain, name)))) {
            mf_strlcpy(ret, name, size);
            return true;
        }
    }
    return false;
}
