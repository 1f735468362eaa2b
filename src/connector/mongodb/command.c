/* Commands, their replies, and what went wrong with them. */
#include "connector/mongodb/mongo_room.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

/* What passes by itself: https://github.com/mongodb/specifications (retryable reads and writes, change streams), and commands that were told to stop. */
bool mongo_passes(int64_t code)
{
    static const int codes[] = {6,   7,   43,   50,    63,    64,    89,    91,    100,   112,
                                117, 133, 134,  150,   175,   189,   234,   237,   251,   262,
                                290, 317, 9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436};
    for (size_t i = 0; i < MF_ARRAY_LEN(codes); i++) {
        if (codes[i] == code) {
            return true;
        }
    }
    return false;
}

static bool labelled_transient(const bson_t *reply)
{
    return mongoc_error_has_label(reply, "TransientTransactionError") ||
           mongoc_error_has_label(reply, "RetryableWriteError") ||
           mongoc_error_has_label(reply, "UnknownTransactionCommitResult") ||
           mongoc_error_has_label(reply, "ResumableChangeStreamError");
}

static int fail_server(const bson_error_t *e, const bson_t *reply, struct mf_error *err)
{
    char code[16], name[80] = "";
    int64_t number = reply ? mongo_int(reply, "code", e->code) : e->code;
    bool transient = mongo_passes(number) || (reply && labelled_transient(reply));
    if (reply) {
        mongo_text(reply, "codeName", name, sizeof name);
    }
    snprintf(code, sizeof code, "%" PRId64, number);
    mf_fail(err, transient ? MF_RETRY : MF_FATAL, code, "%s%s%s%s", e->message, *name ? " (" : "", name,
            *name ? ")" : "");
    if (number == 13) {
        mf_hint(err, "the account of the URL lacks a right; `midflight check` says which role has it");
    } else if (number == 18) {
        mf_hint(err, "check user, password, authSource and authMechanism of the URL");
    }
    return -1;
}

/* A certificate that is refused stays so; whatever else is said of TLS may be a server that just ends. */
static bool never_connects(const char *message)
{
    static const char *const words[] = {"certificate verify failed", "ertificate", "wrong version number", "ipher",
                                        "initialize TLS"};
    for (size_t i = 0; strstr(message, "TLS") && i < MF_ARRAY_LEN(words); i++) {
        if (strstr(message, words[i])) {
            return true;
        }
    }
    return false;
}

/* What the other end may want that the URL does not say: it ends the connection then, and gives no reason. */
static const char *what_may_be_wanted(const struct mongo_db *db)
{
    return !mongoc_uri_get_tls(db->uri) ? "; where they take TLS only, tls=true belongs into it"
           : !mongoc_uri_get_option_as_utf8(db->uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, NULL)
               ? "; where they want a certificate of their clients, tlsCertificateKeyFile belongs into it"
               : "";
}

static int fail_network(const struct mongo_db *db, const bson_error_t *e, struct mf_error *err)
{
    if (never_connects(e->message)) {
        mf_fail(err, MF_FATAL, "MFTLS", "%s: %s", db->facts.host, e->message);
        mf_hint(
            err,
            "TLS failed: give the file of the authority as tlsCAFile=… in the URL; its host names must be those of the "
            "server's certificate; a certificate of ours with its key is tlsCertificateKeyFile");
        return -1;
    }
    mf_fail(err, MF_RETRY, "MFNET", "%s: %s", db->facts.host, e->message);
    mf_hint(err, "check that the servers run, and that hosts, ports and replicaSet of the URL reach them from here%s",
            what_may_be_wanted(db));
    return -1;
}

int mongo_fail(const struct mongo_db *db, const bson_error_t *e, const bson_t *reply, struct mf_error *err)
{
    bool login = (e->domain == MONGOC_ERROR_CLIENT && e->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
                 e->domain == MONGOC_ERROR_SASL || e->domain == MONGOC_ERROR_SCRAM;
    bool wire =
        e->code == MONGOC_ERROR_PROTOCOL_BAD_WIRE_VERSION || e->code == MONGOC_ERROR_SERVER_SELECTION_BAD_WIRE_VERSION;
    if (login) {
        mf_fail(err, MF_FATAL, "MFAUTH", "%s does not let us in: %s", db->facts.host, e->message);
        mf_hint(err, "check user, password, authSource and authMechanism of the URL");
        return -1;
    }
    if (wire && (e->domain == MONGOC_ERROR_PROTOCOL || e->domain == MONGOC_ERROR_SERVER_SELECTION)) {
        mf_fail(err, MF_FATAL, "MFVERSION", "%s: %s", db->facts.host, e->message);
        mf_hint(err, "servers from MongoDB 3.6 on can be read");
        return -1;
    }
    if (e->domain == MONGOC_ERROR_SERVER || e->domain == MONGOC_ERROR_WRITE_CONCERN ||
        e->domain == MONGOC_ERROR_QUERY) {
        return fail_server(e, reply, err);
    }
    if (e->domain == MONGOC_ERROR_STREAM || e->domain == MONGOC_ERROR_SERVER_SELECTION ||
        (e->domain == MONGOC_ERROR_PROTOCOL && e->code == MONGOC_ERROR_PROTOCOL_INVALID_REPLY)) {
        return fail_network(db, e, err);
    }
    return mf_fail(err, MF_FATAL, "MFMONGO", "%s", e->message);
}

int mongo_cursor_failed(const struct mongo_db *db, mongoc_cursor_t *cursor, struct mf_error *err)
{
    bson_error_t e;
    const bson_t *reply = NULL;
    return mongoc_cursor_error_document(cursor, &e, &reply) ? mongo_fail(db, &e, reply, err) : 0;
}

bool mongo_is_error(const struct mf_error *err, int number)
{
    int64_t code;
    return mf_parse_i64(err->code, &code) && code == number;
}

/* ---- replies ---- */

static bool find(const bson_t *reply, const char *path, bson_iter_t *ret)
{
    bson_iter_t at;
    return bson_iter_init(&at, reply) && bson_iter_find_descendant(&at, path, ret);
}

int64_t mongo_int(const bson_t *reply, const char *path, int64_t otherwise)
{
    bson_iter_t at;
    if (!find(reply, path, &at)) {
        return otherwise;
    }
    if (BSON_ITER_HOLDS_DOUBLE(&at)) {
        double d = bson_iter_double(&at);
        return d >= -9e18 && d <= 9e18 ? (int64_t)d : otherwise;
    }
    return BSON_ITER_HOLDS_INT(&at) ? bson_iter_as_int64(&at) : otherwise;
}

void mongo_text(const bson_t *reply, const char *path, char *ret, size_t n)
{
    bson_iter_t at;
    mf_strlcpy(ret, find(reply, path, &at) && BSON_ITER_HOLDS_UTF8(&at) ? bson_iter_utf8(&at, NULL) : "", n);
}

bool mongo_true(const bson_t *reply, const char *path)
{
    bson_iter_t at;
    return find(reply, path, &at) && bson_iter_as_bool(&at);
}

bool mongo_has(const bson_t *reply, const char *path)
{
    bson_iter_t at;
    return find(reply, path, &at);
}

uint64_t mongo_timestamp(const bson_t *reply, const char *path)
{
    bson_iter_t at;
    uint32_t seconds = 0, increment = 0;
    if (!find(reply, path, &at) || !BSON_ITER_HOLDS_TIMESTAMP(&at)) {
        return 0;
    }
    bson_iter_timestamp(&at, &seconds, &increment);
    return (uint64_t)seconds << 32 | increment;
}

void mongo_position_of(uint64_t time, struct mf_position *ret)
{
    *ret = (struct mf_position){.order = time};
    snprintf(ret->token, sizeof ret->token, "%" PRIu64 ".%" PRIu64, time >> 32, time & UINT32_MAX);
}

/* ---- commands ---- */

/* A write that was answered "ok" may have failed all the same. */
static int write_failed(const struct mongo_db *db, const bson_t *reply, struct mf_error *err)
{
    bson_error_t e = {.domain = MONGOC_ERROR_SERVER};
    if (mongo_has(reply, "writeErrors.0")) {
        e.code = (uint32_t)mongo_int(reply, "writeErrors.0.code", 0);
        mongo_text(reply, "writeErrors.0.errmsg", e.message, sizeof e.message);
        return mongo_fail(db, &e, NULL, err);
    }
    if (mongo_has(reply, "writeConcernError")) {
        mongo_text(reply, "writeConcernError.errmsg", e.message, sizeof e.message);
        return mf_fail(err, MF_RETRY, "64", "a write was not acknowledged by a majority: %s", e.message);
    }
    return 0;
}

static bool run(mongoc_client_t *c, enum mongo_how how, const char *database, const bson_t *command, bson_t *reply,
                bson_error_t *e)
{
    if (how == MONGO_WRITE) {
        return mongoc_client_write_command_with_opts(c, database, command, NULL, reply, e);
    }
    mongoc_read_prefs_t *primary = how == MONGO_PRIMARY ? mongoc_read_prefs_new(MONGOC_READ_PRIMARY) : NULL;
    const mongoc_read_prefs_t *prefs = primary ? primary : mongoc_client_get_read_prefs(c);
    bool ok = mongoc_client_command_simple(c, database, command, prefs, reply, e);
    mongoc_read_prefs_destroy(primary);
    return ok;
}

void mongo_ask_durable(const struct mongo_db *db, bson_t *command, int wtimeout_ms)
{
    bson_t concern;
    bool set = db->can.replica_set || db->can.sharded, disk = db->can.speaks == MONGO_GENUINE;
    if (!set && !disk) {
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(command, "writeConcern", &concern);
    if (set) {
        BSON_APPEND_UTF8(&concern, "w", "majority");
        BSON_APPEND_INT32(&concern, "wtimeout", wtimeout_ms > 0 ? wtimeout_ms : 60000);
    }
    if (disk) { /* also where writeConcernMajorityJournalDefault is false */
        BSON_APPEND_BOOL(&concern, "j", true);
    }
    bson_append_document_end(command, &concern);
}

void mongo_ask_majority(const struct mongo_db *db, bson_t *command)
{
    bson_t concern;
    if (db->can.majority) {
        BSON_APPEND_DOCUMENT_BEGIN(command, "readConcern", &concern);
        BSON_APPEND_UTF8(&concern, "level", "majority");
        bson_append_document_end(command, &concern);
    }
}

/* As it was given, with the bound of time, and for writes with whose word is waited for. */
static void bound(struct mongo_db *db, enum mongo_how how, const bson_t *command, bson_t *ret)
{
    int left = mongo_time_left(db);
    bson_concat(ret, command);
    if (left > 0 && how != MONGO_WRITE && !bson_has_field(command, "maxTimeMS") &&
        !bson_has_field(command, "getMore")) {
        BSON_APPEND_INT32(ret, "maxTimeMS", left);
    }
    if (how == MONGO_WRITE && !bson_has_field(command, "writeConcern")) {
        mongo_ask_durable(db, ret, left);
    }
}

int mongo_command(struct mongo_db *db, mongoc_client_t *c, enum mongo_how how, const char *database,
                  const bson_t *command, bson_t *ret_reply, struct mf_error *err)
{
    MONGO_LEASE(db, own);
    MONGO_BSON(bounded);
    MONGO_BSON(reply);
    bson_error_t e = {0};
    if (!c && mongo_borrow(db, &own.client, err) < 0) {
        return -1;
    }
    bound(db, how, command, &bounded);
    bson_destroy(&reply);
    bool ok = run(c ? c : own.client, how, database, &bounded, &reply, &e);
    if (!ok) {
        return mongo_fail(db, &e, &reply, err);
    }
    if (how == MONGO_WRITE && write_failed(db, &reply, err) < 0) {
        return -1;
    }
    if (ret_reply) {
        bson_copy_to(&reply, ret_reply);
    }
    return 0;
}

/* ---- cursors ---- */

static mongoc_read_prefs_t *prefs_of(mongoc_client_t *c, enum mongo_how how)
{
    return how == MONGO_ANYWHERE ? mongoc_read_prefs_copy(mongoc_client_get_read_prefs(c))
                                 : mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
}

/* A cursor lives on one server, and in the session it was opened in. */
static int choose_server(struct mongo_look *l, const mongoc_read_prefs_t *prefs, bson_t *opts, struct mf_error *err)
{
    bson_error_t e = {0};
    mongoc_server_description_t *server = mongoc_client_select_server(l->client, false, prefs, &e);
    if (!server) {
        return mongo_fail(l->db, &e, NULL, err);
    }
    BSON_APPEND_INT32(opts, "serverId", (int32_t)mongoc_server_description_id(server));
    mongoc_server_description_destroy(server);
    if (!l->db->can.sessions) {
        return 0;
    }
    mongoc_session_opt_t *how = mongoc_session_opts_new();
    mongoc_session_opts_set_causal_consistency(how, false);
    l->session = mongoc_client_start_session(l->client, how, &e);
    mongoc_session_opts_destroy(how);
    return l->session && mongoc_client_session_append(l->session, opts, &e) ? 0 : mongo_fail(l->db, &e, NULL, err);
}

static int open_cursor(struct mongo_look *l, enum mongo_how how, const char *database, const bson_t *command,
                       struct mf_error *err)
{
    MONGO_BSON(opts);
    bson_t reply;
    bson_error_t e = {0};
    mongoc_read_prefs_t *prefs = prefs_of(l->client, how);
    if (choose_server(l, prefs, &opts, err) < 0) {
        mongoc_read_prefs_destroy(prefs);
        return -1;
    }
    bool ok = mongoc_client_command_with_opts(l->client, database, command, prefs, &opts, &reply, &e);
    mongoc_read_prefs_destroy(prefs);
    if (!ok) {
        mongo_fail(l->db, &e, &reply, err);
        bson_destroy(&reply);
        return -1;
    }
    l->time = mongo_timestamp(&reply, "operationTime");
    l->whole = mongo_int(&reply, "cursor.id", 0) == 0;
    if (mongo_int(command, "batchSize", 0) > 0) { /* of the batches that follow, too */
        BSON_APPEND_INT32(&opts, "batchSize", (int32_t)mongo_int(command, "batchSize", 0));
    }
    l->cursor = mongoc_cursor_new_from_command_reply_with_opts(l->client, &reply, &opts);
    return mongo_cursor_failed(l->db, l->cursor, err);
}

int mongo_look_open(struct mongo_db *db, enum mongo_how how, const char *database, const bson_t *command,
                    struct mongo_look *ret, struct mf_error *err)
{
    struct mongo_look l = {.db = db};
    if (mongo_borrow(db, &l.client, err) < 0 || open_cursor(&l, how, database, command, err) < 0) {
        mongo_look_close(&l);
        return -1;
    }
    *ret = l;
    return 0;
}

int mongo_look_next(struct mongo_look *l, const bson_t **ret, struct mf_error *err)
{
    return mongoc_cursor_next(l->cursor, ret) ? 1 : mongo_cursor_failed(l->db, l->cursor, err);
}

uint64_t mongo_look_time(const struct mongo_look *l)
{
    uint32_t seconds = 0, increment = 0;
    if (l->session) {
        mongoc_client_session_get_operation_time(l->session, &seconds, &increment);
        return (uint64_t)seconds << 32 | increment;
    }
    return l->whole ? l->time : 0;
}

void mongo_look_close(struct mongo_look *l)
{
    if (l->cursor) {
        mongoc_cursor_destroy(l->cursor);
    }
    if (l->session) {
        mongoc_client_session_destroy(l->session);
    }
    mongo_return(l->db, l->client);
    *l = (struct mongo_look){.db = l->db};
}

int mongo_each(struct mongo_db *db, enum mongo_how how, const char *database, const bson_t *command,
               mongo_each_fn *each, void *ctx, struct mf_error *err)
{
    MONGO_BSON(bounded);
    struct mongo_look l;
    const bson_t *document;
    int rc;
    bound(db, how, command, &bounded);
    if (mongo_look_open(db, how, database, &bounded, &l, err) < 0) {
        return -1;
    }
    while ((rc = mongo_look_next(&l, &document, err)) == 1 && (rc = each(ctx, document, err)) == 0) {}
    mongo_look_close(&l);
    return rc;
}
