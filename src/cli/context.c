/*
 * Which migration a command is about.
 *
 * `run` writes STATE/config.json: the path of the configuration it was given, or its URLs when they hold no secret, and
 * the --set it was given but for secrets. So every other command needs only the state directory.
 */
#include "cli/command.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REMEMBERED   "config.json"
#define DEFAULT_FILE "migration.yaml"
#define DEFAULT_DIR  "./midflight-state"

static json_t *remembered(const char *dir)
{
    MF_CLEANUP_FREE char *path = mf_xasprintf("%s/" REMEMBERED, dir);
    json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (doc && !json_is_object(doc)) {
        json_decref(doc);
        doc = NULL;
    }
    return doc;
}

/* One "key=value" of --set. */
static int set_pair(struct mf_config *c, const char *pair, struct mf_error *err)
{
    char key[MF_CONFIG_KEY_MAX];
    const char *eq = strchr(pair, '=');
    if (!eq || eq == pair || (size_t)(eq - pair) >= sizeof(key)) {
        mf_fail(err, MF_USAGE, "MFUSAGE", "--set takes KEY=VALUE");
        mf_hint(err, "for example --set copy.jobs=8");
        return -1;
    }
    memcpy(key, pair, (size_t)(eq - pair));
    key[eq - pair] = '\0';
    return mf_config_set(c, key, eq + 1, err);
}

static int overrides(const struct mf_args *a, struct mf_config *c, struct mf_error *err)
{
    static const char *const direct[][2] = {
        {"source", "source"}, {"target", "target"}, {"state", "state"}, {"log-level", "log.level"}};
    for (size_t i = 0; i < MF_ARRAY_LEN(direct); i++) {
        const char *value = mf_arg(a, direct[i][0]);
        if (value && mf_config_set(c, direct[i][1], value, err) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < a->ngiven; i++) {
        if (mf_streq(a->given[i]->name, "set") && set_pair(c, a->values[i], err) < 0) {
            mf_error_prefix(err, "--set");
            return -1;
        }
    }
    return 0;
}

static int from_remembered(const char *dir, json_t *doc, struct mf_config **ret, struct mf_error *err)
{
    const char *path = json_string_value(json_object_get(doc, "config"));
    const char *source = json_string_value(json_object_get(doc, "source"));
    const char *target = json_string_value(json_object_get(doc, "target"));
    json_t *sets = json_object_get(doc, "set");
    json_t *pair;
    size_t i;
    struct mf_config *c = NULL;
    if (path ? mf_config_load(path, &c, err) < 0
             : source && target && mf_config_from_urls(source, target, &c, err) < 0) {
        mf_error_prefix(err, "the migration of %s", dir);
        return -1;
    }
    if (!c) {
        mf_fail(err, MF_USAGE, "MFCONF",
                "the migration of %s was started with URLs that hold a password, which is not kept", dir);
        mf_hint(err, "give --source URL and --target URL again, or --config FILE");
        return -1;
    }
    json_array_foreach(sets, i, pair)
    {
        if (json_is_string(pair) && set_pair(c, json_string_value(pair), err) < 0) {
            mf_config_free(c);
            return -1;
        }
    }
    *ret = c;
    return 0;
}

/* Where the configuration comes from when neither --config nor two URLs say it. */
static int found_config(const struct mf_args *a, struct mf_config **ret, struct mf_error *err)
{
    const char *state = mf_arg(a, "state");
    json_t *doc = remembered(state ? state : DEFAULT_DIR);
    bool here = access(DEFAULT_FILE, F_OK) == 0;
    int rc = -1;
    if (doc && (state || !here)) { /* a state directory that was named knows best */
        rc = from_remembered(state ? state : DEFAULT_DIR, doc, ret, err);
    } else if (here) {
        rc = mf_config_load(DEFAULT_FILE, ret, err);
    } else {
        mf_fail(err, MF_USAGE, "MFCONF", "there is no configuration: no --config, no ./" DEFAULT_FILE ", nothing in %s",
                state ? state : DEFAULT_DIR);
        mf_hint(err, "write migration.yaml, or give --source URL and --target URL");
    }
    json_decref(doc);
    return rc;
}

int mf_cli_config(const struct mf_args *a, struct mf_config **ret, struct mf_error *err)
{
    const char *path = mf_arg(a, "config");
    const char *source = mf_arg(a, "source");
    const char *target = mf_arg(a, "target");
    struct mf_config *c = NULL;
    int rc;
    if (path) {
        rc = mf_config_load(path, &c, err);
    } else if (source && target) {
        rc = mf_config_from_urls(source, target, &c, err);
    } else {
        rc = found_config(a, &c, err);
    }
    if (rc < 0) {
        return -1;
    }
    if (overrides(a, c, err) < 0 || mf_config_finish(c, err) < 0) {
        mf_config_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void mf_cli_blame(const struct mf_config *c, struct mf_error *err)
{
    bool of_the_state = mf_streq(err->code, "MFLOCKED") || mf_streq(err->code, "MFSTATE");
    if (err->cls == MF_USAGE && !of_the_state && c->path && !strstr(err->text, c->path)) {
        mf_error_prefix(err, "%s", c->path);
    }
}

int mf_cli_state_dir(const struct mf_args *a, char **ret, struct mf_error *err)
{
    const char *state = mf_arg(a, "state");
    const char *path = mf_arg(a, "config");
    struct mf_config *c = NULL;
    struct mf_error ignored;
    if (state) {
        *ret = mf_xstrdup(state);
        return 0;
    }
    if (!path && access(DEFAULT_FILE, F_OK) == 0) {
        path = DEFAULT_FILE;
    }
    /* A variable that is not set in this shell must not keep anyone from looking at a migration that runs. */
    if (path && mf_config_load(path, &c, err) < 0 && access(DEFAULT_DIR, F_OK) != 0) {
        return -1;
    }
    if (c && overrides(a, c, &ignored) == 0) {
        *ret = mf_xstrdup(c->state_dir);
    } else {
        *ret = mf_xstrdup(DEFAULT_DIR);
    }
    mf_config_free(c);
    return 0;
}

/* True when nothing but variables' names stands where a URL's secrets do. */
static bool holds_no_secret(const char *url)
{
    MF_CLEANUP_FREE char *plain = mf_xstrdup(url);
    for (char *p = strstr(plain, "${"); p; p = strstr(p, "${")) {
        char *end = strchr(p, '}');
        if (!end || memmem(p, (size_t)(end - p), ":-", 2)) {
            return false;
        }
        memmove(p, end + 1, strlen(end + 1) + 1);
    }
    MF_CLEANUP_FREE char *shown = mf_url_redact(plain);
    for (char *p = strstr(shown, "***"); p; p = strstr(p, "***")) {
        memmove(p, p + 3, strlen(p + 3) + 1);
    }
    return mf_streq(shown, plain);
}

static json_t *sets_to_keep(const struct mf_args *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->ngiven; i++) {
        char key[MF_CONFIG_KEY_MAX];
        size_t n = strcspn(a->values[i], "=");
        if (!mf_streq(a->given[i]->name, "set") || n >= sizeof(key)) {
            continue;
        }
        memcpy(key, a->values[i], n);
        key[n] = '\0';
        const struct mf_option *o = mf_option_find(key);
        if (o && o->type != MF_OPT_SECRET && o->type != MF_OPT_URL && o->type != MF_OPT_PATH) {
            json_array_append_new(list, json_string(a->values[i]));
        }
    }
    return list;
}

static int write_file(const char *path, const char *text, struct mf_error *err)
{
    MF_CLEANUP_FREE char *next = mf_xasprintf("%s.new", path);
    MF_CLEANUP_FD int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) < 0 || rename(next, path) < 0) {
        return mf_fail(err, MF_FATAL, "MFSTATE", "cannot write %s: %s", path, strerror(errno));
    }
    return 0;
}

int mf_cli_remember(const struct mf_args *a, const struct mf_config *c, struct mf_error *err)
{
    MF_CLEANUP_FREE char *path = mf_xasprintf("%s/" REMEMBERED, c->state_dir);
    json_t *doc = json_object();
    char absolute[PATH_MAX];
    const char *source = mf_arg(a, "source");
    const char *target = mf_arg(a, "target");
    json_t *old = remembered(c->state_dir);
    if (c->path && realpath(c->path, absolute)) {
        json_object_set_new(doc, "config", json_string(absolute));
    } else if (source && target && holds_no_secret(source) && holds_no_secret(target)) {
        json_object_set_new(doc, "source", json_string(source));
        json_object_set_new(doc, "target", json_string(target));
    } else if (!source && !target && old) { /* this run itself came from what is remembered */
        json_decref(doc);
        json_decref(old);
        return 0;
    }
    json_decref(old);
    json_object_set_new(doc, "set", sets_to_keep(a));
    char *text = json_dumps(doc, JSON_INDENT(1));
    json_decref(doc);
    int rc = text ? write_file(path, text, err) : mf_fail(err, MF_FATAL, "MFSTATE", "cannot write %s", path);
    free(text);
    return rc;
}
