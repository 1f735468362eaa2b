/*
 * The one option table: parser, defaults, bounds, help and the reference page all read it, so they cannot disagree.
 * Adding an option is a field in struct mf_config and a row in options.c.
 */
#ifndef MF_CONFIG_OPTION_H
#define MF_CONFIG_OPTION_H

#include "config/config.h"

enum mf_option_type {
    MF_OPT_TEXT,   /* char * */
    MF_OPT_SECRET, /* char *, never shown */
    MF_OPT_URL,    /* char *, may hold a password: never shown but through mf_url_redact */
    MF_OPT_PATH,   /* char *, relative to the file it was written in */
    MF_OPT_LIST,   /* struct mf_string_list */
    MF_OPT_COUNT,  /* int64_t */
    MF_OPT_REAL,   /* double */
    MF_OPT_SIZE,   /* int64_t, bytes */
    MF_OPT_TIME,   /* int64_t, milliseconds */
    MF_OPT_FLAG,   /* bool */
    MF_OPT_WORD,   /* an enum whose values are the ordinals of words */
    MF_OPT_CHOICE, /* char *, one of words */
    MF_OPT_MAP,    /* struct mf_query_map *, or struct mf_doc_map * of `documents`; only in a file */
};

struct mf_option {
    const char *key; /* "copy.jobs" */
    enum mf_option_type type;
    size_t offset;            /* of the field in struct mf_config */
    const char *init;         /* the default as one would write it; NULL: none */
    int64_t min, max;         /* COUNT, SIZE (bytes), TIME (milliseconds); REAL: in thousandths */
    const char *const *words; /* WORD, CHOICE: NULL-terminated */
    const char *sentence;
};

extern const struct mf_option mf_options[];
extern const size_t mf_option_count;

/* How deep nesting of names goes and how long anything from a config may be. */
#define MF_CONFIG_KEY_MAX   64
#define MF_CONFIG_VALUE_MAX 16384
#define MF_CONFIG_FILE_MAX  (1024 * 1024)
#define MF_CONFIG_LIST_MAX  10000

/* NULL when there is none. */
const struct mf_option *mf_option_find(const char *key);
/* True when some key begins with "name.". */
bool mf_option_section(const char *name);
/* For KEY_file: the option whose value the file holds; NULL when key is not of that form or the option takes none. */
const struct mf_option *mf_option_for_file(const char *key);
/* The nearest key or section by edit distance, or NULL when none is near. Static storage. */
const char *mf_option_nearest(const char *key);
/* MF_USAGE: no such key, with the nearest; what cannot be a key (it may be a secret in the wrong place) is not shown. */
int mf_option_unknown(const char *key, struct mf_error *err);

/* Parses and stores one value, replacing what was there. The error says what is wrong with it without its key, and
 * quotes `shown`, what was written before variables and files were put in, never text. base:
 * the folder that paths are relative to, NULL for the current one. */
int mf_option_set(struct mf_config *c, const struct mf_option *o, const char *text, const char *shown, const char *base,
                  struct mf_error *err);
/* Stores a list; the items are copied. */
int mf_option_set_list(struct mf_config *c, const struct mf_option *o, const char *const *items, size_t n,
                       struct mf_error *err);
/* What a value looks like, for messages and the reference: "a number from 1 to 64". Into out. */
const char *mf_option_kind(const struct mf_option *o, char *out, size_t n);
void mf_option_free_value(struct mf_config *c, const struct mf_option *o);

/* Replaces ${NAME} and ${NAME:-otherwise} by the environment and $${ by ${. In a URL's user:password part a value is
 * percent-encoded, so that any password may stand there as it is. MF_USAGE names the variable that is not set, never a
 * value. *ret is the caller's to free. */
int mf_config_expand(const char *text, bool is_url, char **ret, struct mf_error *err);
/* The contents of a file without its last newline: for KEY_file. */
int mf_config_read_file(const char *path, const char *base, char **ret, struct mf_error *err);
/* path, or base/path when it is relative and base is given. The caller frees. */
char *mf_config_join(const char *base, const char *path);
/* A configuration with every default set. */
struct mf_config *mf_config_new(void);
/* As mf_config_load from memory; path names it in messages and base resolves its paths. Also the fuzz target's way in. */
int mf_config_parse(const char *text, size_t len, const char *path, const char *base, struct mf_config **ret,
                    struct mf_error *err);

#endif
