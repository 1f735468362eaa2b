/* What the files of the upgrade's checks share. See check_upgrade.c. */
#ifndef MF_CONNECTOR_MYSQL_CHECK_UPGRADE_H
#define MF_CONNECTOR_MYSQL_CHECK_UPGRADE_H

#include "connector/mysql/check.h"

struct my_upgrade {
    struct my_check *source; /* what is found is told of it */
    struct my_check *target; /* asked what it is and what it understands; its `tables` are those that migrate */
    struct mf_arena arena;   /* texts of one object */
    size_t told;             /* of the check that runs */
};

/* What a check found. NULL: it has none. */
struct my_thing {
    const char *schema, *table, *name, *value;
};

struct my_upgrade_row {
    const char *code;
    int since;                                /* the version that does it; 0: any difference of versions */
    enum mf_severity severity;                /* on that version; a target before it, of its series, gets a note */
    const char *object, *reason, *remedy;     /* with {schema} {table} {name} {value}; in a remedy as quoted names */
    bool (*when)(const struct my_upgrade *u); /* NULL: always */
    /* One of these: a query of schema, table, name, value, with the databases for %s; or a function that calls my_upgrade_tell. */
    const char *sql;
    int (*look)(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
    bool of_target;             /* told of the target */
    bool tables;                /* only tables that migrate; else whatever the filter lets pass */
    const char *before, *after; /* statements around the query */
};

/* Adds a finding, unless very many have been told. */
void my_upgrade_tell(struct my_upgrade *u, const struct my_upgrade_row *row, const struct my_thing *x);
/* Does the row concern this pair of versions? */
bool my_upgrade_applies(const struct my_upgrade_row *row, int source, int target);

/* Is the error a lack of rights or of an object, so that the check says nothing and others go on? */
bool my_upgrade_hidden(const struct mf_error *err);

/* check_upgrade_data.c */
int my_look_members(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_indexes(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_generated(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_generated_casts(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_zero_dates(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_json_values(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_srids(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);

/* check_upgrade_code.c: what is written in SQL and kept on the server, and names */
int my_upgrade_code(struct my_upgrade *u, struct mf_error *err);
int my_look_names(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);

/* check_upgrade_server.c */
int my_look_removed_variables(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_settings(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_modes(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);
int my_look_accounts(struct my_upgrade *u, const struct my_upgrade_row *row, struct mf_error *err);

#endif
