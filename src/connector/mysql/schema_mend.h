/* What of a source's definitions is changed for a target, each by a listed rule. Pure; any thread. */
#ifndef MF_CONNECTOR_MYSQL_SCHEMA_MEND_H
#define MF_CONNECTOR_MYSQL_SCHEMA_MEND_H

#include "connector/mysql/schema_split.h"

struct my_mend {
    bool mariadb; /* the target */
    int version;
    /* Does the target have this collation? NULL: whatever is asked for. */
    bool (*has_collation)(void *ctx, const char *name);
    /* The source's default collation of a character set, NULL: not known. A server leaves it out of what it prints, and the target's
     * default may be another: utf8mb4 compares in another way since 8.0. */
    const char *(*default_collation)(void *ctx, const char *charset);
    void *ctx;
};

/* Appends the tail of a table (options, partitions) without what does not travel. *ret_told: what was left out that somebody may want
 * to know, as a list for a sentence; "" when nothing was. */
void my_mend_tail(const struct my_mend *m, struct my_piece tail, struct mf_buf *out, char *ret_told, size_t n);

/* The same collation under its other name (utf8_…, utf8mb3_…); false: it has only one. */
bool my_collation_other(const char *name, char *out, size_t n);
/* Appends a definition with every collation said, under the name the target knows: utf8_… is utf8mb3_… on newer servers. */
void my_mend_names(const struct my_mend *m, struct my_piece text, struct mf_buf *out);

/* Appends a list of SQL modes without those the target does not know; *ret_told as above. */
void my_mend_modes(const struct my_mend *m, const char *modes, struct mf_buf *out, char *ret_told, size_t n);

/* The account of DEFINER=… into out, as `user`@`host`; "" when there is none. */
void my_definer(const char *text, char *out, size_t n);
/* Appends the text without its DEFINER. */
void my_without_definer(const char *text, struct mf_buf *out);

/* We hold a text in UTF-8. Said in the character set it was written in, the bytes would mean something else, unless they are the same there. */
bool my_said_in_utf8(const char *text, const char *charset);
/* Appends SET SESSION … with what a trigger is made with, as far as it can be said. charset and collation may be NULL. */
void my_put_made_with(struct mf_buf *out, const char *mode, const char *text, const char *charset,
                      const char *collation);

/* Appends CREATE EVENT … with DISABLE in place of ENABLE or DISABLE ON SLAVE; *ret_was_enabled. MFDDL when the text has no such place. */
int my_event_disabled(const char *text, struct mf_buf *out, bool *ret_was_enabled, struct mf_error *err);

#endif
