/* A configuration's life: defaults, load, overrides, and the checks that need all of it. */
#include "config/option.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mf_config *mf_config_new(void)
{
    struct mf_config *c = mf_xcalloc(1, sizeof(*c));
    struct mf_error err;
    for (size_t i = 0; i < mf_option_count; i++) {
        if (mf_options[i].init &&
            mf_option_set(c, &mf_options[i], mf_options[i].init, mf_options[i].init, NULL, &err) < 0) {
            abort(); /* the table is wrong; a unit test walks it */
        }
    }
    return c;
}

void mf_config_free(struct mf_config *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < mf_option_count; i++) {
        mf_option_free_value(c, &mf_options[i]);
    }
    mf_shred_free(c->shred);
    free(c->path);
    free(c);
}

#define SICK_LEAST_MS INT64_C(50)
#define SICK_MOST_MS  INT64_C(3600000)

static int read_whole(const char *path, struct mf_buf *out, struct mf_error *err)
{
    MF_CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        mf_fail(err, MF_USAGE, "MFCONF", "cannot read the configuration %s: %s", path, strerror(errno));
        mf_hint(err, "name it with --config FILE, or give --source URL and --target URL");
        return -1;
    }
    for (;;) {
        if (mf_buf_reserve(out, 4096) < 0) {
            return mf_fail(err, MF_USAGE, "MFCONF", "%s is larger than a configuration may be (1 MB)", path);
        }
        ssize_t n = read(fd, out->data + out->len, 4096);
        if (n < 0 && errno != EINTR) {
            return mf_fail(err, MF_USAGE, "MFCONF", "cannot read the configuration %s: %s", path, strerror(errno));
        }
        if (n == 0) {
            return 0;
        }
        out->len += n > 0 ? (size_t)n : 0;
    }
}

int mf_config_load(const char *path, struct mf_config **ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {0};
    MF_CLEANUP_FREE char *base = mf_xstrdup(path);
    mf_buf_init(&text, MF_CONFIG_FILE_MAX + 4096);
    char *slash = strrchr(base, '/');
    if (slash == base) {
        slash++;
    }
    if (slash) {
        *slash = '\0';
    }
    if (read_whole(path, &text, err) < 0 ||
        mf_config_parse(mf_buf_str(&text), text.len, path, slash ? base : NULL, ret, err) < 0) {
        return -1;
    }
    (*ret)->path = mf_xstrdup(path);
    return 0;
}

int mf_config_set(struct mf_config *c, const char *key, const char *value, struct mf_error *err)
{
    char *text = NULL;
    const struct mf_option *o = mf_option_find(key);
    bool from_file = !o;
    if (!o) {
        o = mf_option_for_file(key);
    }
    if (!o) {
        return mf_option_unknown(key, err);
    }
    int rc = mf_config_expand(value, o->type == MF_OPT_URL && !from_file, &text, err);
    if (rc == 0 && from_file) {
        char *contents = NULL;
        rc = mf_config_read_file(text, NULL, &contents, err);
        free(text);
        text = contents;
    }
    if (rc == 0) {
        rc = mf_option_set(c, o, text, value, NULL, err);
    }
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
    if (rc < 0) {
        mf_error_prefix(err, "%s", key);
    }
    return rc;
}

int mf_config_from_urls(const char *source, const char *target, struct mf_config **ret, struct mf_error *err)
{
    struct mf_config *c = mf_config_new();
    if (mf_config_set(c, "source", source, err) < 0 || mf_config_set(c, "target", target, err) < 0) {
        mf_config_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

/* The database's name in a URL: the last part of its path, or what dbname= says. */
static void database_of(const char *url, char *out, size_t n)
{
    const char *p = strstr(url, "://");
    p = p ? p + 3 : url;
    p += strcspn(p, "/?#");
    const char *name = *p == '/' ? p + 1 : "";
    size_t len = strcspn(name, "?#");
    const char *query = strchr(p, '?');
    const char *dbname = query ? strstr(query, "dbname=") : NULL;
    if (len == 0 && dbname && (dbname[-1] == '?' || dbname[-1] == '&')) {
        name = dbname + 7;
        len = strcspn(name, "&#");
    }
    snprintf(out, n, "%.*s", (int)(len > 1000 ? 1000 : len), name);
}

static void name_from_source(struct mf_config *c)
{
    char name[41];
    database_of(c->source, name, sizeof(name));
    for (char *p = name; *p; p++) {
        *p = isalnum((unsigned char)*p) && (unsigned char)*p < 0x80 ? (char)tolower((unsigned char)*p) : '_';
    }
    c->migration = mf_xstrdup(name[0] ? name : "migration");
}

static int check_name(const struct mf_config *c, struct mf_error *err)
{
    size_t n = strspn(c->migration, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (c->migration[n] || n == 0 || n > 40) {
        mf_fail(err, MF_USAGE, "MFCONF", "migration: what it is set to cannot be a name");
        mf_hint(err, "use lower-case letters, digits and _, at most 40 of them");
        return -1;
    }
    return 0;
}

static bool loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    return mf_streq(host, "localhost") ||
           (inet_pton(AF_INET, host, &v4) == 1 && ((const unsigned char *)&v4.s_addr)[0] == 127) ||
           (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6));
}

int mf_config_listen(const struct mf_config *c, char *ret_host, size_t n, uint16_t *ret_port, bool *ret_loopback,
                     struct mf_error *err)
{
    char host[256];
    uint64_t port;
    const char *colon = strrchr(c->api.listen, ':');
    size_t len = colon ? (size_t)(colon - c->api.listen) : 0;
    const char *start = c->api.listen;
    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    }
    if (!colon || len == 0 || len >= sizeof(host) || len >= n || !mf_parse_u64(colon + 1, &port) || port > 65535) {
        mf_fail(err, MF_USAGE, "MFCONF", "api.listen: what it is set to is not host:port");
        mf_hint(err, "write 127.0.0.1:8080, or [::1]:8080");
        return -1;
    }
    snprintf(host, sizeof(host), "%.*s", (int)len, start);
    memcpy(ret_host, host, len + 1);
    *ret_port = (uint16_t)port;
    *ret_loopback = loopback(host);
    return 0;
}

static int check_api(const struct mf_config *c, struct mf_error *err)
{
    char host[256];
    uint16_t port;
    bool local;
    if (c->api.token && strlen(c->api.token) < 16) {
        return mf_fail(err, MF_USAGE, "MFCONF", "api.token: it is shorter than 16 characters");
    }
    if (!c->api.listen) {
        return 0;
    }
    if (mf_config_listen(c, host, sizeof(host), &port, &local, err) < 0) {
        return -1;
    }
    if (!local && !c->api.token) {
        mf_fail(err, MF_USAGE, "MFCONF", "api.listen: %s can be reached from other machines and there is no api.token",
                c->api.listen);
        mf_hint(err, "set api.token or api.token_file, or listen on 127.0.0.1");
        return -1;
    }
    return 0;
}

static int check_hook(const char *key, const char *path, struct mf_error *err)
{
    struct stat st;
    if (!path) {
        return 0;
    }
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0) {
        mf_fail(err, MF_USAGE, "MFCONF", "%s: %s is not a program that can be run", key, path);
        mf_hint(err, "chmod +x %.200s", path);
        return -1;
    }
    return 0;
}

static int check_urls(const struct mf_config *c, struct mf_error *err)
{
    if (!c->source || !c->target) {
        mf_fail(err, MF_USAGE, "MFCONF", "there is no %s database", c->source ? "target" : "source");
        mf_hint(err, "write %s: URL in migration.yaml, or give --%s URL", c->source ? "target" : "source",
                c->source ? "target" : "source");
        return -1;
    }
    if (mf_streq(c->source, c->target)) {
        return mf_fail(err, MF_USAGE, "MFCONF", "source and target are the same URL");
    }
    return 0;
}

/* "wait" or "degrade after 2s". */
static int check_sick(struct mf_config *c, struct mf_error *err)
{
    static const char degrade[] = "degrade after ";
    const char *text = c->on_sick_target;
    int64_t us = 0;
    c->sick_after_ms = 0;
    if (mf_streq(text, "wait")) {
        return 0;
    }
    if (!mf_starts_with(text, degrade) || !mf_parse_duration(text + sizeof(degrade) - 1, &us) ||
        us < SICK_LEAST_MS * 1000 || us > SICK_MOST_MS * 1000) {
        mf_fail(err, MF_USAGE, "MFCONF", "on_sick_target: \"%.60s\" is neither \"wait\" nor like \"degrade after 2s\"",
                text);
        mf_hint(err, "the time is from 50ms to 1h");
        return -1;
    }
    c->sick_after_ms = us / 1000;
    return 0;
}

/* A name stands in a path as it is. */
static int check_flag(const char *key, const char *name, struct mf_error *err)
{
    size_t n = strlen(name);
    if (n == 0 || n > 100 ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] != '\0' ||
        name[0] == '.') {
        return mf_fail(err, MF_USAGE, "MFCONF",
                       "%s: a flag's name is letters, digits, _, - and dots within it, at most 100", key);
    }
    return 0;
}

static int check_flags(const struct mf_config *c, struct mf_error *err)
{
    if (check_flag("flags.reads", c->flags.reads, err) < 0 || check_flag("flags.writes", c->flags.writes, err) < 0 ||
        check_flag("flags.writes_on_target", c->flags.writes_on_target, err) < 0) {
        return -1;
    }
    if (mf_streq(c->flags.reads, c->flags.writes) || mf_streq(c->flags.reads, c->flags.writes_on_target) ||
        mf_streq(c->flags.writes, c->flags.writes_on_target)) {
        return mf_fail(err, MF_USAGE, "MFCONF", "flags: two of them have the same name");
    }
    return 0;
}

static int check_all(struct mf_config *c, struct mf_error *err)
{
    if (check_urls(c, err) < 0) {
        return -1;
    }
    if (!c->migration) {
        name_from_source(c);
    }
    if (check_name(c, err) < 0 || check_api(c, err) < 0 || check_sick(c, err) < 0 || check_flags(c, err) < 0 ||
        check_hook("hooks.on_before_cutover", c->hooks.on_before_cutover, err) < 0 ||
        check_hook("hooks.on_cutover", c->hooks.on_cutover, err) < 0 ||
        check_hook("hooks.on_rollback", c->hooks.on_rollback, err) < 0 ||
        check_hook("hooks.on_complete", c->hooks.on_complete, err) < 0) {
        return -1;
    }
    if (c->mode == MF_MODE_NATIVE && c->dual_writes == MF_DUAL_WRITES_ON) {
        return mf_fail(err, MF_USAGE, "MFCONF",
                       "dual_writes: not with mode: native, where midflight does not apply the changes");
    }
    if (c->map_only && !c->map && !c->documents) {
        return mf_fail(err, MF_USAGE, "MFCONF", "map_only: there is no map, so nothing would migrate");
    }
    if ((c->map || c->documents) && c->mode == MF_MODE_NATIVE) {
        return mf_fail(err, MF_USAGE, "MFCONF",
                       "map: not with mode: native, where the servers copy their tables as they are");
    }
    size_t parents = c->map ? mf_query_map_parents(c->map) : 0;
    if (parents && c->dual_writes == MF_DUAL_WRITES_ON) {
        mf_fail(err, MF_USAGE, "MFCONF",
                "%s:%zu: map: a column of another table does not go with dual_writes: a commit that waits for the "
                "target is "
                "not shown to readers yet, and has to be read to know which rows have the column",
                c->map->path, parents);
        mf_hint(err, "take the column out of the map, or dual_writes out of the configuration");
        return -1;
    }
    if (c->map) {
        c->map->only = c->map_only;
    }
    if (c->spool.segment_bytes > c->spool.budget_bytes / 4) {
        return mf_fail(err, MF_USAGE, "MFCONF",
                       "spool.segment is more than a quarter of spool.budget: the spool could not be emptied in time");
    }
    return 0;
}

int mf_config_finish(struct mf_config *c, struct mf_error *err)
{
    mf_shred_free(c->shred);
    c->shred = NULL;
    if (c->documents && mf_shred_compile(c->documents, &c->shred, err) < 0) {
        return -1; /* it names the file */
    }
    if (check_all(c, err) < 0) {
        if (c->path) {
            mf_error_prefix(err, "%s", c->path);
        }
        return -1;
    }
    return 0;
}
