/* Help, from the tables. */
#include "cli/command.h"

#include "base/str.h"
#include "config/option.h"

#include <string.h>

static void print_options(const struct mf_cli_option *o, FILE *out)
{
    for (; o->name; o++) {
        char head[64];
        snprintf(head, sizeof(head), "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        fprintf(out, "  %-24s %s\n", head, o->sentence);
    }
}

static void help_all(FILE *out)
{
    fputs("midflight moves a live database to another server without downtime, and can go back.\n\n"
          "usage: midflight COMMAND [OPTION]…\n\n",
          out);
    for (size_t i = 0; i < mf_command_count; i++) {
        if (!mf_commands[i].hidden) {
            fprintf(out, "  %-11s %s\n", mf_commands[i].name, mf_commands[i].sentence);
        }
    }
    fputs("\noptions of every command:\n", out);
    print_options(mf_global_options, out);
    fputs("\n`midflight help COMMAND` says more about one, `midflight help config` lists the configuration's keys.\n"
          "Exits: 0 done, 1 failed, 2 usage or configuration, 3 refused or blocked, 4 the sides differ.\n",
          out);
}

static void help_one(const struct mf_command *c, FILE *out)
{
    fprintf(out, "usage: midflight %s%s%s [OPTION]…\n\n%s\n", c->name, c->words[0] ? " " : "", c->words, c->sentence);
    if (c->more) {
        fprintf(out, "\n%s\n", c->more);
    }
    if (c->options->name) {
        fputs("\noptions:\n", out);
        print_options(c->options, out);
    }
    fputs("\noptions of every command:\n", out);
    print_options(mf_global_options, out);
    fputs("\nexits:\n", out);
    for (const struct mf_cli_exit *e = c->exits;; e++) {
        fprintf(out, "  %d  %s\n", e->status, e->sentence);
        if (e->status == 0) {
            break;
        }
    }
    fputs("  1  failed\n  2  usage or configuration\n", out);
}

static void help_config(FILE *out)
{
    char kind[256];
    for (size_t i = 0; i < mf_option_count; i++) {
        const struct mf_option *o = &mf_options[i];
        fprintf(out, "%s: %s%s%s\n    %s\n", o->key, mf_option_kind(o, kind, sizeof(kind)), o->init ? "; default " : "",
                o->init ? o->init : "", o->sentence);
    }
}

int mf_cmd_help(const struct mf_args *a)
{
    struct mf_error err = {0};
    if (a->nwords == 0) {
        help_all(stdout);
        return MF_EXIT_OK;
    }
    if (mf_streq(a->words[0], "config")) {
        help_config(stdout);
        return MF_EXIT_OK;
    }
    const struct mf_command *c = mf_command_find(a->words[0]);
    if (!c) {
        mf_fail(&err, MF_USAGE, "MFUSAGE", "there is no command \"%.40s\"", a->words[0]);
        mf_hint(&err, "`midflight help` lists them");
        return mf_cli_fail(a, &err);
    }
    help_one(c, stdout);
    return MF_EXIT_OK;
}

static void reference_options(const struct mf_cli_option *o, FILE *out)
{
    fputs("| option | does |\n|---|---|\n", out);
    for (; o->name; o++) {
        const char *arg = o->arg ? o->arg : "";
        fprintf(out, "| `--%s%s", o->name, o->arg ? " " : "");
        for (; *arg; arg++) { /* a bar would end the cell */
            fprintf(out, *arg == '|' ? "\\|" : "%c", *arg);
        }
        fprintf(out, "` | %s |\n", o->sentence);
    }
}

void mf_cli_reference(FILE *out)
{
    fputs("# Commands\n\nFrom the command table, src/cli/cli.c.\n\n"
          "Options of every command:\n\n",
          out);
    reference_options(mf_global_options, out);
    fputs("\nExits of every command: 0 done, 1 failed, 2 usage or configuration. Others stand with their command.\n",
          out);
    for (size_t i = 0; i < mf_command_count; i++) {
        const struct mf_command *c = &mf_commands[i];
        if (c->hidden) {
            continue;
        }
        fprintf(out, "\n## midflight %s%s%s\n\n%c%s.\n", c->name, c->words[0] ? " " : "", c->words,
                c->sentence[0] >= 'a' && c->sentence[0] <= 'z' ? c->sentence[0] - 32 : c->sentence[0], c->sentence + 1);
        if (c->more) {
            fprintf(out, "\n%s\n", c->more);
        }
        if (c->options->name) {
            fputc('\n', out);
            reference_options(c->options, out);
        }
        for (const struct mf_cli_exit *e = c->exits; e->status; e++) {
            fprintf(out, "\nExit %d: %s.\n", e->status, e->sentence);
        }
    }
}
