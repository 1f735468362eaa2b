/*
 * What becomes of a source on a newer MySQL: a table of checks, each against the live source with the live target at hand.
 *
 * The way is a logical copy: objects are made anew from what the source prints, rows are written anew. So what only stands in the way of starting a
 * new server on old files (its dictionary, its file names) is no finding here, and what the copy mends by a listed rule is a note. What the
 * target would refuse while the schema is made is a blocker: then it would stop the run after hours. What goes through and breaks the
 * application afterwards is a warning.
 *
 * A deprecation or a reserved word of a later version of the target's series is told as a note with that version: patches of a
 * series are taken without another migration.
 */
#include "connector/mysql/check_upgrade.h"

#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#define LISTED 100 /* findings of one check; more are counted */

/* ---- when ---- */

/* Applications on the target may not write zero dates. */
static bool refuses_zero_dates(const struct my_upgrade *u)
{
    const char *mode = my_check_var(u->target, "sql_mode");
    return strstr(mode, "STRICT_") && (strstr(mode, "NO_ZERO_DATE") || strstr(mode, "NO_ZERO_IN_DATE"));
}

/* Whoever has less does not see a database that is there. */
static bool sees_databases(const struct my_upgrade *u)
{
    return my_grants_have(&u->source->grants, "SHOW DATABASES", NULL, NULL) ||
           my_grants_have(&u->source->grants, "SELECT", NULL, NULL);
}

/* ---- the table ---- */

static const struct my_upgrade_row rows[] = {
    /* Names. */
    {"reserved-word", 80011, MF_WARNING, "{value}",
     "{name} is a reserved word: statements that name it without backquotes fail on the target",
     "put backquotes around {name} in every statement; the copy does so by itself", .look = my_look_names},
    {"dollar-name", 80032, MF_WARNING, "{value}",
     "its name begins with $: statements that name it without backquotes are deprecated",
     "put backquotes around {name} in every statement",
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_NAME, CONCAT('table ', TABLE_SCHEMA, '.', TABLE_NAME)"
            " FROM information_schema.TABLES WHERE TABLE_NAME LIKE '$%' AND TABLE_SCHEMA IN (%s) UNION ALL"
            " SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, CONCAT('column ', TABLE_SCHEMA, '.', TABLE_NAME, '.',"
            " COLUMN_NAME) FROM information_schema.COLUMNS WHERE COLUMN_NAME LIKE '$%' AND TABLE_SCHEMA IN (%s)"
            " UNION ALL SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_NAME, CONCAT(LOWER(ROUTINE_TYPE), ' ',"
            " ROUTINE_SCHEMA, '.', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_NAME LIKE '$%'"
            " AND ROUTINE_SCHEMA IN (%s) UNION ALL SELECT SCHEMA_NAME, '', SCHEMA_NAME, CONCAT('database ',"
            " SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '$%' AND SCHEMA_NAME IN (%s)"},
    {"old-name", 80011, MF_WARNING, "table {schema}.{table}",
     "its name or its database's is of before 5.1, or was put there as a file: it is copied under this name, which no "
     "later tool mends",
     "RENAME TABLE {table} TO …; -- for a database: ALTER DATABASE {schema} UPGRADE DATA DIRECTORY NAME;",
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, NULL, NULL FROM information_schema.TABLES WHERE TABLE_SCHEMA IN (%s)"
            " AND (TABLE_NAME LIKE '#mysql50#%' OR TABLE_SCHEMA LIKE '#mysql50#%')",
     .tables = true},
    /* InnoDB's own dictionary: information_schema cuts names at 64. */
    {"foreign-key-name", 80011, MF_BLOCKER, "foreign key {name} of {schema}.{table}",
     "its name has {value} characters and the target takes 64",
     "ALTER TABLE {table} DROP FOREIGN KEY {name}; -- and add it again under a shorter name",
     .sql = "SELECT SUBSTRING_INDEX(FOR_NAME, '/', 1), SUBSTRING_INDEX(FOR_NAME, '/', -1), SUBSTRING_INDEX(ID, '/',"
            " -1), CHAR_LENGTH(SUBSTRING_INDEX(ID, '/', -1)) FROM information_schema.INNODB_SYS_FOREIGN"
            " WHERE CHAR_LENGTH(SUBSTRING_INDEX(ID, '/', -1)) > 64 AND SUBSTRING_INDEX(FOR_NAME, '/', 1) IN (%s)",
     .tables = true},
    {"foreign-key-twice", 80011, MF_BLOCKER, "foreign key {name} of {schema}.{table}",
     "{value} foreign keys of this database have this name, which is one whatever its case on the target",
     "ALTER TABLE {table} DROP FOREIGN KEY {name}; -- and add it again under another name",
     .sql = "SELECT SUBSTRING_INDEX(MIN(FOR_NAME), '/', 1), SUBSTRING_INDEX(MIN(FOR_NAME), '/', -1),"
            " SUBSTRING_INDEX(MIN(ID), '/', -1), COUNT(*) FROM information_schema.INNODB_SYS_FOREIGN"
            " WHERE SUBSTRING_INDEX(FOR_NAME, '/', 1) IN (%s) GROUP BY LOWER(ID) HAVING COUNT(*) > 1"},
    /* Tables and columns. */
    {"enum-member", 80011, MF_BLOCKER, "column {schema}.{table}.{name}",
     "a member of its ENUM or SET has {value} characters and the target takes 255",
     "ALTER TABLE {table} MODIFY {name} …;", .look = my_look_members},
    {"index-too-large", 80011, MF_BLOCKER, "index {name} of {schema}.{table}",
     "{value}: the target takes 767 bytes of a column in this row format", "ALTER TABLE {table} ROW_FORMAT = DYNAMIC;",
     .look = my_look_indexes},
    {"column-default", 80011, MF_BLOCKER, "column {schema}.{table}.{name}",
     "it has a default, and a column of type {value} may have none", "ALTER TABLE {table} ALTER {name} DROP DEFAULT;",
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA IN (%s) AND COLUMN_DEFAULT IS NOT NULL AND COLUMN_DEFAULT <> 'NULL' AND (DATA_TYPE IN"
            " ('json', 'geometry', 'point', 'linestring', 'polygon', 'multipoint', 'multilinestring', 'multipolygon',"
            " 'geometrycollection') OR DATA_TYPE REGEXP 'blob$|text$')",
     .tables = true},
    {"generated-function", 80011, MF_BLOCKER, "column {schema}.{table}.{name}",
     "it is generated by what the target does not have: {value}",
     "ALTER TABLE {table} MODIFY {name} …; -- with another expression", .look = my_look_generated},
    {"generated-cast", 80028, MF_WARNING, "column {schema}.{table}.{name}",
     "it is generated with CAST or CONVERT, which differ for some values: the target computes it anew",
     "compare its values on both sides after the copy", .look = my_look_generated_casts},
    {"zero-date-default", 80011, MF_WARNING, "column {schema}.{table}.{name}",
     "its default is {value}: under the target's sql_mode an INSERT that leaves it out fails",
     "ALTER TABLE {table} ALTER {name} SET DEFAULT …; -- or take NO_ZERO_DATE and NO_ZERO_IN_DATE out of the target's "
     "sql_mode",
     .when = refuses_zero_dates,
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA IN (%s) AND DATA_TYPE IN ('date', 'datetime', 'timestamp')"
            " AND COLUMN_DEFAULT REGEXP '^[0-9]{4}-(00-|[0-9]{2}-00)'",
     .tables = true},
    {"zero-date", 80011, MF_WARNING, "column {schema}.{table}.{name}",
     "it holds dates with a month or day of zero ({value}): they are carried over, and under the target's sql_mode an "
     "UPDATE that writes one fails",
     "UPDATE {table} SET {name} = … WHERE MONTH({name}) = 0 OR DAYOFMONTH({name}) = 0; -- or take NO_ZERO_DATE and "
     "NO_ZERO_IN_DATE out of the target's sql_mode",
     .when = refuses_zero_dates, .look = my_look_zero_dates},
    {"json-values", 0, MF_WARNING, "column {schema}.{table}.{name}",
     "documents with values that SQL made of a DATETIME, DATE, TIME, BLOB or BIT ({value}): they arrive as the texts "
     "they print as, JSON_TYPE and comparisons tell the difference, and verify cannot",
     "UPDATE {table} SET {name} = CAST(CAST({name} AS CHAR) AS JSON); -- on the source, where the application takes "
     "texts as well",
     .look = my_look_json_values},
    {"old-temporal", 80011, MF_NOTE, "table {schema}.{table}",
     "columns in the format of before 5.6.4 ({value}): the copy makes them anew", "", .tables = true,
     .before = "SET SESSION show_old_temporals = ON", .after = "SET SESSION show_old_temporals = OFF",
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, NULL, GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION SEPARATOR ', ')"
            " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN (%s) AND COLUMN_TYPE LIKE '%5.5 binary format%'"
            " GROUP BY TABLE_SCHEMA, TABLE_NAME ORDER BY NULL"},
    {"utf8mb3", 80011, MF_NOTE, "table {schema}.{table}",
     "columns in utf8mb3, which is deprecated ({value}): they are made as they are",
     "ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4; -- after the migration has ended", .tables = true,
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, NULL, GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION SEPARATOR ', ')"
            " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN (%s) AND CHARACTER_SET_NAME IN ('utf8', 'utf8mb3')"
            " GROUP BY TABLE_SCHEMA, TABLE_NAME ORDER BY NULL"},
    {"utf8mb3", 80011, MF_NOTE, "database {schema}", "its default character set is utf8mb3, which is deprecated",
     "ALTER DATABASE {schema} CHARACTER SET utf8mb4; -- after the migration has ended",
     .sql = "SELECT SCHEMA_NAME, NULL, NULL, NULL FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN (%s)"
            " AND DEFAULT_CHARACTER_SET_NAME IN ('utf8', 'utf8mb3')"},
    {"shared-tablespace", 80011, MF_NOTE, "table {schema}.{table}",
     "it, or a partition of it, is in the tablespace {value}: it is made in a file of its own", "", .tables = true,
     .sql = "SELECT DISTINCT SUBSTRING_INDEX(t.NAME, '/', 1), SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(t.NAME,"
            " '/', -1), '#P#', 1), '#p#', 1), NULL, s.NAME FROM information_schema.INNODB_SYS_TABLES t"
            " JOIN information_schema.INNODB_SYS_TABLESPACES s ON s.SPACE = t.SPACE WHERE t.SPACE_TYPE = 'General'"
            " AND SUBSTRING_INDEX(t.NAME, '/', 1) IN (%s)"},
    {"deprecated-type", 80017, MF_NOTE, "column {schema}.{table}.{name}", "{value} is deprecated", "", .tables = true,
     .sql =
         "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, IF(EXTRA LIKE '%auto_increment%', CONCAT('AUTO_INCREMENT of ',"
         " DATA_TYPE), COLUMN_TYPE) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN (%s)"
         " AND ((DATA_TYPE IN ('float', 'double') AND EXTRA LIKE '%auto_increment%') OR (COLUMN_TYPE LIKE"
         " '%zerofill%' AND DATA_TYPE <> 'year') OR COLUMN_TYPE LIKE 'float(%' OR COLUMN_TYPE LIKE 'double(%' OR"
         " (DATA_TYPE IN ('float', 'double', 'decimal') AND COLUMN_TYPE LIKE '%unsigned%') OR COLUMN_TYPE ="
         " 'year(2)')"},
    {"partition-dates", 80029, MF_NOTE, "table {schema}.{table}",
     "a partition is bounded by a date with other signs than - and : between its parts ({value}), which is deprecated",
     "", .tables = true,
     .sql = "SELECT TABLE_SCHEMA, TABLE_NAME, NULL, MIN(PARTITION_DESCRIPTION) FROM information_schema.PARTITIONS"
            " WHERE TABLE_SCHEMA IN (%s) AND PARTITION_DESCRIPTION REGEXP '^''[0-9]{2,4}[^-0-9a-zA-Z,'']'"
            " GROUP BY TABLE_SCHEMA, TABLE_NAME"},
    {"spatial-srid", 80011, MF_WARNING, "column {schema}.{table}.{name}",
     "it holds geometries of another reference system than 0 ({value}): 5.7 computes on a plane, 8.0 as the system "
     "says, "
     "with latitude before longitude in geographic ones",
     "look at every statement that computes with {name}", .look = my_look_srids},
    /* Routines and events of no database. */
    {"orphan", 80011, MF_NOTE, "{name} {schema}.{table}", "its database does not exist: it stays behind", "",
     .when = sees_databases,
     .sql = "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, LOWER(ROUTINE_TYPE), NULL FROM information_schema.ROUTINES"
            " WHERE " MY_USER_SCHEMA(
                "ROUTINE_SCHEMA") " AND ROUTINE_SCHEMA NOT IN (SELECT SCHEMA_NAME FROM"
                                  " information_schema.SCHEMATA) UNION ALL"
                                  " SELECT EVENT_SCHEMA, EVENT_NAME, 'event', NULL FROM information_schema.EVENTS"
                                  " WHERE " MY_USER_SCHEMA(
                                      "EVENT_SCHEMA") " AND EVENT_SCHEMA NOT IN (SELECT SCHEMA_NAME FROM"
                                                      " information_schema.SCHEMATA)"},
    /* The server. */
    {"sql-mode-removed", 80011, MF_NOTE, "sql_mode",
     "{value}: the target has never heard of it, and a statement or configuration that sets it fails",
     "take it out of the configuration and of what applications set when they connect", .look = my_look_modes},
    {"variable-removed", 80011, MF_NOTE, "{name}", "it is set to {value}, and the target has no such variable",
     "take it out of the configuration and of what applications set", .look = my_look_removed_variables},
    {"server-setting", 0, MF_NOTE, "{name}", "{value}", "", .look = my_look_settings, .of_target = true},
    {"account-plugin", 80011, MF_WARNING, "{name}", "{value}",
     "ALTER USER … IDENTIFIED WITH caching_sha2_password BY …; -- when the account is made on the target",
     .look = my_look_accounts},
};

bool my_upgrade_applies(const struct my_upgrade_row *row, int source, int target)
{
    return source < row->since ? target >= row->since || target / 100 == row->since / 100 : row->since == 0;
}

/* ---- telling ---- */

static const char *field(const struct my_thing *x, const char *name, size_t n)
{
    const char *v = strncmp(name, "schema", n) == 0  ? x->schema
                    : strncmp(name, "table", n) == 0 ? x->table
                    : strncmp(name, "name", n) == 0  ? x->name
                                                     : x->value;
    return v ? v : "";
}

/* Fills in a template. quoted: names as they stand in a statement, a table with its database. */
static void fill(const char *text, const struct my_thing *x, bool quoted, struct mf_buf *out)
{
    for (const char *p = text; *p;) {
        size_t plain = strcspn(p, "{"), n;
        mf_buf_append(out, p, plain);
        p += plain;
        if (!*p) {
            return;
        }
        n = strcspn(++p, "}");
        const char *v = field(x, p, n);
        if (quoted && *p == 't') {
            my_put_name(out, x->schema ? x->schema : "", v);
        } else if (quoted && *p != 'v') {
            my_put_ident(out, v);
        } else {
            mf_buf_puts(out, v);
        }
        p += n + (p[n] == '}');
    }
}

static void put_version(int version, struct mf_buf *out)
{
    mf_buf_printf(out, " (from %d.%d.%d on)", version / 10000, version / 100 % 100, version % 100);
}

#define TEXT_MAX 4096 /* of one part of a finding; names of many columns are cut */

void my_upgrade_tell(struct my_upgrade *u, const struct my_upgrade_row *row, const struct my_thing *x)
{
    bool later = row->since > u->target->db->version;
    if (u->told++ >= LISTED) {
        return;
    }
    MF_CLEANUP_BUF struct mf_buf object = {.max = TEXT_MAX}, reason = {.max = TEXT_MAX}, remedy = {.max = TEXT_MAX};
    char value[1024];
    struct my_thing y = *x;
    if (x->value && !mf_strlcpy(value, x->value, sizeof value)) {
        size_t end = sizeof value - 4;
        while (end > 0 && ((unsigned char)value[end] & 0xc0) == 0x80) {
            end--;
        }
        memcpy(value + end, "…", 4);
    }
    y.value = x->value ? value : NULL;
    fill(row->object, &y, false, &object);
    fill(row->reason, &y, false, &reason);
    fill(row->remedy, &y, true, &remedy);
    if (later) {
        put_version(row->since, &reason);
    }
    my_check_say(row->of_target ? u->target : u->source, later ? MF_NOTE : row->severity, row->code,
                 mf_buf_str(&object), mf_buf_str(&remedy), "%s", mf_buf_str(&reason));
}

static void tell_rest(struct my_upgrade *u, const struct my_upgrade_row *row)
{
    if (u->told > LISTED) {
        my_check_say(u->source, row->since > u->target->db->version ? MF_NOTE : row->severity, row->code,
                     u->source->db->facts.host, "", "and %zu more like these", u->told - LISTED);
    }
}

/* ---- running ---- */

bool my_upgrade_hidden(const struct mf_error *err)
{
    static const unsigned numbers[] = {ER_SPECIFIC_ACCESS_DENIED_ERROR,
                                       ER_TABLEACCESS_DENIED_ERROR,
                                       ER_DBACCESS_DENIED_ERROR,
                                       ER_COLUMNACCESS_DENIED_ERROR,
                                       ER_UNKNOWN_TABLE,
                                       ER_NO_SUCH_TABLE};
    for (size_t i = 0; i < MF_ARRAY_LEN(numbers); i++) {
        if (my_is_error(err, numbers[i])) {
            return true;
        }
    }
    return false;
}

static int run_query(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err)
{
    MY_CLEANUP_RESULT MYSQL_RES *r = NULL;
    struct my_check *s = u->source;
    if (row->before && my_exec(s->c, err, row->before) < 0) {
        return -1;
    }
    int rc = my_check_ask(s, &r, err, row->sql);
    if (rc < 0 && my_upgrade_hidden(err)) { /* account-process and the like say so */
        mf_error_clear(err);
        rc = 0;
    }
    for (MYSQL_ROW x; r && (x = mysql_fetch_row(r));) {
        bool wanted = row->tables ? my_check_migrates(s, x[0], x[1]) != NULL
                                  : !x[1] || !*x[1] || mf_filter_match(s->filter, x[0], x[1]);
        if (wanted) {
            my_upgrade_tell(u, row, &(struct my_thing){x[0], x[1], x[2], x[3]});
        }
    }
    return rc == 0 && row->after ? my_exec(s->c, err, row->after) : rc;
}

static int run_all(struct my_upgrade *u, struct mf_error *err)
{
    int source = u->source->db->version, target = u->target->db->version;
    for (size_t i = 0; i < MF_ARRAY_LEN(rows); i++) {
        const struct my_upgrade_row *row = &rows[i];
        if (!my_upgrade_applies(row, source, target) || (row->when && !row->when(u))) {
            continue;
        }
        u->told = 0;
        if ((row->sql ? run_query(u, row, err) : row->look(u, row, err)) < 0) {
            mf_error_prefix(err, "looking for %s", row->code);
            return -1;
        }
        tell_rest(u, row);
    }
    return my_upgrade_code(u, err);
}

int my_check_upgrade(struct my_check *source, struct my_check *target, struct mf_error *err)
{
    struct my_upgrade u = {.source = source, .target = target};
    if (source->db->mariadb || target->db->mariadb || source->db->version / 100 > target->db->version / 100) {
        return 0;
    }
    mf_arena_init(&u.arena, MY_SQL_MAX);
    int rc = run_all(&u, err);
    mf_arena_free(&u.arena);
    return rc;
}
