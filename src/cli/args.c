/* From argv to struct mf_args, by the tables of options. */
#include "cli/command.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/*
 * Overwrites a password in argv: other users of the machine can read it there. What replaces it is never longer than
 * what stood there.
 */
static void hide(char *in_argv, const char *shown)
{
    size_t room = strlen(in_argv);
    memset(in_argv, 0, room);
    memcpy(in_argv, shown, strlen(shown) < room ? strlen(shown) : room);
}

static bool may_be_secret(const char *option, const char *value)
{
    return mf_streq(option, "source") || mf_streq(option, "target") ||
           (mf_streq(option, "set") &&
            (mf_starts_with(value, "source") || mf_starts_with(value, "target") || mf_starts_with(value, "api.token")));
}

static void hide_value(char *in_argv, const char *option, const char *value)
{
    if (!may_be_secret(option, value)) {
        return;
    }
    if (mf_streq(option, "set")) {
        hide(in_argv, "***");
        return;
    }
    MF_CLEANUP_FREE char *shown = mf_url_redact(value);
    hide(in_argv, strlen(shown) <= strlen(in_argv) ? shown : "***");
}

static const struct mf_cli_option *find_option(const struct mf_cli_option *list, const char *name, size_t n)
{
    for (; list && list->name; list++) {
        if (strlen(list->name) == n && strncmp(list->name, name, n) == 0) {
            return list;
        }
    }
    return NULL;
}

static const char *nearest_option(const struct mf_command *c, const char *name)
{
    const struct mf_cli_option *lists[] = {mf_global_options, c ? c->options : NULL};
    const char *best = NULL;
    size_t distance = 3;
    for (size_t i = 0; i < 2; i++) {
        for (const struct mf_cli_option *o = lists[i]; o && o->name; o++) {
            size_t d = mf_edit_distance(name, o->name);
            if (d < distance) {
                distance = d;
                best = o->name;
            }
        }
    }
    return best;
}

static const char *nearest_command(const char *name)
{
    const char *best = NULL;
    size_t distance = 4;
    for (size_t i = 0; i < mf_command_count; i++) {
        size_t d = mf_edit_distance(name, mf_commands[i].name);
        if (d < distance && d < strlen(name) && !mf_commands[i].hidden) {
            distance = d;
            best = mf_commands[i].name;
        }
    }
    return best;
}

static int unknown_command(const char *name, struct mf_error *err)
{
    const char *near = nearest_command(name);
    mf_fail(err, MF_USAGE, "MFUSAGE", "there is no command \"%.40s\"%s%s%s", name, near ? "; did you mean \"" : "",
            near ? near : "", near ? "\"?" : "");
    mf_hint(err, "`midflight help` lists them");
    return -1;
}

static int unknown_option(const struct mf_command *c, const char *name, size_t n, struct mf_error *err)
{
    char shown[48];
    snprintf(shown, sizeof(shown), "%.*s", (int)(n > 40 ? 40 : n), name);
    const char *near = nearest_option(c, shown);
    mf_fail(err, MF_USAGE, "MFUSAGE", "%s%sthere is no option --%s%s%s%s", c ? c->name : "", c ? ": " : "", shown,
            near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
    mf_hint(err, "`midflight help%s%s` lists them", c ? " " : "", c ? c->name : "");
    return -1;
}

/* The command is the first word; it may stand after global options. */
static const struct mf_command *command_in(int argc, char **argv, struct mf_error *err)
{
    for (int i = 1; i < argc; i++) {
        if (mf_streq(argv[i], "--version")) {
            return mf_command_find("version");
        }
        if (mf_streq(argv[i], "-h")) {
            return mf_command_find("help");
        }
        if (argv[i][0] == '-' && argv[i][1] == '-' && argv[i][2]) {
            const struct mf_cli_option *o = find_option(mf_global_options, argv[i] + 2, strcspn(argv[i] + 2, "="));
            i += o && o->arg && !strchr(argv[i], '=') ? 1 : 0;
            continue;
        }
        const struct mf_command *c = mf_command_find(argv[i]);
        if (!c) {
            unknown_command(argv[i], err);
        }
        return c;
    }
    return mf_command_find("help");
}

static int take_option(struct mf_args *a, int argc, char **argv, int *i, struct mf_error *err)
{
    char *in_argv = argv[*i];
    const char *name = a->copies[*i] + 2;
    size_t n = strcspn(name, "=");
    const char *value = name[n] == '=' ? name + n + 1 : NULL;
    const struct mf_cli_option *o = find_option(mf_global_options, name, n);
    if (!o) {
        o = find_option(a->command->options, name, n);
    }
    if (!o) {
        return unknown_option(a->command, name, n, err);
    }
    if (!o->arg && value) {
        return mf_fail(err, MF_USAGE, "MFUSAGE", "--%s takes no value", o->name);
    }
    if (o->arg && !value) {
        if (*i + 1 >= argc) {
            return mf_fail(err, MF_USAGE, "MFUSAGE", "--%s needs a value: --%s %s", o->name, o->name, o->arg);
        }
        ++*i;
        in_argv = argv[*i];
        value = a->copies[*i];
    }
    if (a->ngiven == MF_ARGS_MAX) {
        return mf_fail(err, MF_USAGE, "MFUSAGE", "there are more than %d options", MF_ARGS_MAX);
    }
    a->given[a->ngiven] = o;
    a->values[a->ngiven++] = value ? value : "";
    if (value) {
        hide_value(in_argv, o->name, value);
    }
    return 0;
}

static int take_all(struct mf_args *a, int argc, char **argv, struct mf_error *err)
{
    bool only_words = false;
    bool command_seen = false;
    for (int i = 1; i < argc; i++) {
        const char *s = a->copies[i];
        if (!only_words && strcmp(s, "--") == 0) {
            only_words = true;
        } else if (!only_words && s[0] == '-' && s[1] == '-') {
            if (mf_streq(s, "--version") && mf_streq(a->command->name, "version")) {
                continue;
            }
            if (take_option(a, argc, argv, &i, err) < 0) {
                return -1;
            }
        } else if (!only_words && strcmp(s, "-h") == 0) {
            a->want_help = true;
        } else if (!only_words && s[0] == '-' && s[1]) {
            return unknown_option(a->command, s + 1, strlen(s + 1), err);
        } else if (!command_seen && mf_streq(s, a->command->name)) {
            command_seen = true;
        } else if (a->nwords == MF_ARRAY_LEN(a->words)) {
            return mf_fail(err, MF_USAGE, "MFUSAGE", "%s: there are too many words", a->command->name);
        } else {
            a->words[a->nwords++] = s;
        }
    }
    return 0;
}

int mf_args_parse(int argc, char **argv, struct mf_args *ret, struct mf_error *err)
{
    *ret = (struct mf_args){0};
    const struct mf_command *command = command_in(argc, argv, err);
    if (!command) {
        return -1;
    }
    ret->command = command;
    ret->ncopies = (size_t)argc;
    ret->copies = mf_xcalloc((size_t)argc + 1, sizeof(char *));
    for (int i = 0; i < argc; i++) {
        ret->copies[i] = mf_xstrdup(argv[i]);
    }
    if (take_all(ret, argc, argv, err) < 0) {
        return -1;
    }
    if ((ret->want_help || mf_arg(ret, "help")) && !mf_streq(ret->command->name, "help")) {
        ret->words[0] = ret->command->name;
        ret->nwords = 1;
        ret->command = mf_command_find("help");
    }
    if ((int)ret->nwords < ret->command->min_words || (int)ret->nwords > ret->command->max_words) {
        mf_fail(err, MF_USAGE, "MFUSAGE", "usage: midflight %s%s%s [OPTION]…", ret->command->name,
                ret->command->words[0] ? " " : "", ret->command->words);
        mf_hint(err, "`midflight help %s`", ret->command->name);
        return -1;
    }
    return 0;
}

void mf_args_free(struct mf_args *a)
{
    for (size_t i = 0; i < a->ncopies; i++) {
        explicit_bzero(a->copies[i], strlen(a->copies[i]));
        free(a->copies[i]);
    }
    free(a->copies);
    *a = (struct mf_args){0};
}

const char *mf_arg(const struct mf_args *a, const char *name)
{
    for (size_t i = a ? a->ngiven : 0; i > 0; i--) {
        if (mf_streq(a->given[i - 1]->name, name)) {
            return a->values[i - 1];
        }
    }
    return NULL;
}
