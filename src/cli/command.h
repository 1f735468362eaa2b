/*
 * The command table: name, sentence, arguments, options, exits. Parser, help, shell and docs/reference/commands.md all
 * read it. A command is one row in cli.c and one file.
 */
#ifndef MF_CLI_COMMAND_H
#define MF_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "base/error.h"
#include "config/config.h"

enum mf_exit { MF_EXIT_OK = 0, MF_EXIT_FAILED = 1, MF_EXIT_USAGE = 2, MF_EXIT_REFUSED = 3, MF_EXIT_DIFFERENT = 4 };

struct mf_cli_option {
    const char *name; /* without the dashes; NULL ends a list */
    const char *arg;  /* what its value is called; NULL: it takes none */
    const char *sentence;
};

struct mf_cli_exit {
    int status; /* 0 ends a list after its first row; 1 and 2 are the same everywhere and not listed */
    const char *sentence;
};

struct mf_args;

struct mf_command {
    const char *name;
    const char *words; /* what follows it: "PER_CENT", "[COMMAND]"; "" for nothing */
    int min_words, max_words;
    const char *sentence; /* one line, for the list */
    const char *more;     /* a paragraph or two, for its own help; may be NULL */
    const struct mf_cli_option *options;
    const struct mf_cli_exit *exits;
    bool hidden; /* kept out of the list */
    int (*run)(const struct mf_args *a);
};

extern const struct mf_command mf_commands[];
extern const size_t mf_command_count;
extern const struct mf_cli_option mf_global_options[];

#define MF_ARGS_MAX 64

/* A parsed command line. All strings belong to it. */
struct mf_args {
    const struct mf_command *command;
    const struct mf_cli_option *given[MF_ARGS_MAX];
    const char *values[MF_ARGS_MAX]; /* "" for an option without a value */
    size_t ngiven;
    const char *words[8];
    size_t nwords;
    bool want_help; /* -h */
    char **copies;  /* owns every string */
    size_t ncopies;
};

/* Parses argv[1…]. Secrets are then overwritten in argv itself, so that the process's title does not show them.
 * MF_USAGE with what is wrong. --help and --version become those commands. */
int mf_args_parse(int argc, char **argv, struct mf_args *ret, struct mf_error *err);
void mf_args_free(struct mf_args *a);
/* The last value given, NULL when it was not; "" for an option without a value. */
const char *mf_arg(const struct mf_args *a, const char *name);
const struct mf_command *mf_command_find(const char *name);

/* ---- what it is about (context.c) ---- */

/* The configuration: --config, else two URLs, else ./migration.yaml, else what `run` remembered in the state directory;
 * then --state, --log-level and --set over it. */
int mf_cli_config(const struct mf_args *a, struct mf_config **ret, struct mf_error *err);
/* Names the file in an error of usage that came from what it says. */
void mf_cli_blame(const struct mf_config *c, struct mf_error *err);
/* The state directory alone, as far as it can be known without a whole configuration. The caller frees. */
int mf_cli_state_dir(const struct mf_args *a, char **ret, struct mf_error *err);
/* Remembers in the state directory how this configuration was given, without its secrets. */
int mf_cli_remember(const struct mf_args *a, const struct mf_config *c, struct mf_error *err);

/* ---- the running migration (control.c) ---- */

/* One request to the API of the running migration of a state directory. body may be NULL; *ret_reply is the caller's.
 * MF_FATAL code MFNORUN when none runs there. An error the API answers with keeps its class, code, text and hint. */
int mf_control(const char *state_dir, const char *method, const char *path, json_t *body, json_t **ret_reply,
               struct mf_error *err);
/* The same for commands that need a running one: MFNORUN becomes an error that says what to do. Steals body. */
int mf_control_post(const struct mf_args *a, const char *path, json_t *body, json_t **ret_reply, struct mf_error *err);

/* ---- telling (print.c) ---- */

/* Prints the error (and with --json its document on standard output) and returns the exit status for it. */
int mf_cli_fail(const struct mf_args *a, const struct mf_error *err);
/* With --json the error is put into doc, which is printed. */
int mf_cli_fail_with(const struct mf_args *a, const struct mf_error *err, json_t *doc);
int mf_exit_for(const struct mf_error *err);
void mf_print_json(const json_t *doc);
/* A reply as it is with --json, else as a sentence and its facts. Returns MF_EXIT_OK. */
int mf_cli_reply(const struct mf_args *a, const json_t *reply, const char *sentence);

/* Columns divided by two spaces, the widest item of each deciding; right[i]: numbers. Cells are rows of ncols. */
struct mf_text_table {
    size_t ncols, nrows, cap;
    char **cells;
};
void mf_table_add(struct mf_text_table *t, size_t ncols, const char *const *cells);
void mf_table_print(struct mf_text_table *t, FILE *out, unsigned right_mask);
void mf_text_table_free(struct mf_text_table *t);

/* A value by path ("copy.rows_done"); NULL, 0 or "" when it is not there. */
json_t *mf_json_at(const json_t *doc, const char *path);
int64_t mf_json_int(const json_t *doc, const char *path);
double mf_json_num(const json_t *doc, const char *path);
const char *mf_json_str(const json_t *doc, const char *path);
/* 1234567 as "1,234,567" into buf (32 bytes). */
char *mf_format_count(int64_t n, char *buf, size_t size);

/* The one screen of `status` (status_text.c). */
void mf_status_print(const json_t *status, FILE *out);
/* One line of progress for this phase, no newline: for the terminal and for log lines. */
void mf_status_line(const json_t *status, char *out, size_t n, int bar_width);

/* ---- the commands, one file each ---- */
int mf_cmd_cancel(const struct mf_args *a);
int mf_cmd_check(const struct mf_args *a);
int mf_cmd_complete(const struct mf_args *a);
int mf_cmd_cutover(const struct mf_args *a);
int mf_cmd_freeze(const struct mf_args *a);
int mf_cmd_help(const struct mf_args *a);
int mf_cmd_plan(const struct mf_args *a);
int mf_cmd_quarantine(const struct mf_args *a);
int mf_cmd_reads(const struct mf_args *a);
int mf_cmd_reference(const struct mf_args *a);
int mf_cmd_rollback(const struct mf_args *a);
int mf_cmd_run(const struct mf_args *a);
int mf_cmd_status(const struct mf_args *a);
int mf_cmd_thaw(const struct mf_args *a);
int mf_cmd_fence(const struct mf_args *a);
int mf_cmd_verify(const struct mf_args *a);
int mf_cmd_version(const struct mf_args *a);

/* docs/reference/commands.md */
void mf_cli_reference(FILE *out);

#endif
