/* Findings about what the account may do, as far as the server tells (connectionStatus). */
#include "connector/mongodb/check.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* ---- privileges ---- */

static bool has_text(bson_iter_t *list, const char *text)
{
    bson_iter_t at;
    if (!BSON_ITER_HOLDS_ARRAY(list) || !bson_iter_recurse(list, &at)) {
        return false;
    }
    while (bson_iter_next(&at)) {
        if (BSON_ITER_HOLDS_UTF8(&at) && strcmp(bson_iter_utf8(&at, NULL), text) == 0) {
            return true;
        }
    }
    return false;
}

/* A privilege's resource has these collections: `db` "" is any database, `collection` "" any but the server's own. */
static bool covers(const bson_t *privilege, const char *database)
{
    char db[MONGO_NAME], collection[MONGO_NAME];
    if (mongo_true(privilege, "resource.anyResource")) {
        return true;
    }
    if (!mongo_has(privilege, "resource.db")) {
        return false;
    }
    mongo_text(privilege, "resource.db", db, sizeof db);
    mongo_text(privilege, "resource.collection", collection, sizeof collection);
    return (!db[0] || strcmp(db, database) == 0) && !collection[0];
}

bool mongo_may(const bson_t *status, const char *database, const char *action)
{
    bson_iter_t all, list, one, actions;
    const uint8_t *bytes;
    uint32_t n;
    bson_t privilege;
    if (!bson_iter_init(&all, status) ||
        !bson_iter_find_descendant(&all, "authInfo.authenticatedUserPrivileges", &list) ||
        !BSON_ITER_HOLDS_ARRAY(&list) || !bson_iter_recurse(&list, &one)) {
        return false;
    }
    while (bson_iter_next(&one)) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&one)) {
            continue;
        }
        bson_iter_document(&one, &n, &bytes);
        if (bson_init_static(&privilege, bytes, n) && covers(&privilege, database) &&
            bson_iter_init_find(&actions, &privilege, "actions") && has_text(&actions, action)) {
            return true;
        }
    }
    return false;
}

/* ---- what is needed ---- */

struct need {
    const char *action;
    enum mf_severity severity;
    const char *what_for;
};

static void check_needs(struct mongo_check *k, const bson_t *status, const char *database, const struct need *needs,
                        size_t n, const char *role)
{
    char remedy[400], missing[200] = "", what_for[400] = "";
    enum mf_severity worst = MF_NOTE;
    size_t used = 0, said = 0;
    for (size_t i = 0; i < n && used < sizeof missing && said < sizeof what_for; i++) {
        if (!mongo_may(status, database, needs[i].action)) {
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s", used ? ", " : "", needs[i].action);
            said +=
                (size_t)snprintf(what_for + said, sizeof what_for - said, "%s%s", said ? ", " : "", needs[i].what_for);
            worst = needs[i].severity > worst ? needs[i].severity : worst;
        }
    }
    if (missing[0]) {
        snprintf(remedy, sizeof remedy,
                 "db.getSiblingDB(\"admin\").grantRolesToUser(…, [{role: \"%s\", db: \"%.100s\"}])", role, database);
        mongo_say(k, worst, "rights", database, remedy, "the account lacks %s on database %s: it is needed to %s",
                  missing, database, what_for);
    }
}

static const struct need on_source[] = {
    {"find", MF_BLOCKER, "read documents"},
    {"listCollections", MF_BLOCKER, "see the collections"},
    {"changeStream", MF_WARNING, "follow changes"},
    {"collStats", MF_WARNING, "know sizes"},
};
static const struct need on_book[] = {
    {"insert", MF_BLOCKER, "mark places in the stream"},
    {"update", MF_BLOCKER, "keep the books"},
    {"remove", MF_BLOCKER, "clean up"},
    {"createCollection", MF_BLOCKER, "make the books"},
    {"dropDatabase", MF_WARNING, "leave nothing behind"},
};

int mongo_check_rights(struct mongo_check *k, struct mf_error *err)
{
    MONGO_BSON(c);
    bson_t status;
    BSON_APPEND_INT32(&c, "connectionStatus", 1);
    BSON_APPEND_BOOL(&c, "showPrivileges", true);
    if (mongo_command(k->db, NULL, MONGO_PRIMARY, "admin", &c, &status, err) < 0) {
        if (err->cls == MF_RETRY) {
            return -1;
        }
        mf_error_clear(err);
        mongo_say(k, MF_NOTE, "rights", k->db->facts.host, "", "the server does not tell what the account may do");
        return 0;
    }
    if (mongo_has(&status, "authInfo.authenticatedUsers.0") &&
        mongo_has(&status, "authInfo.authenticatedUserPrivileges")) {
        if (k->db->database[0]) {
            check_needs(k, &status, k->db->database, on_source, MF_ARRAY_LEN(on_source), "read");
        }
        check_needs(k, &status, MONGO_BOOK, on_book, MF_ARRAY_LEN(on_book), "dbOwner");
    }
    bson_destroy(&status);
    return 0;
}
