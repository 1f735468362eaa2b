/*
 * The log: one line a fact, text for a terminal and JSON elsewhere. Written whole, so that lines of two threads never
 * mix. Only the owner of a piece of work logs it. Secrets never come here: print URLs with mf_url_redact().
 */
#ifndef MF_BASE_LOG_H
#define MF_BASE_LOG_H

#include "base/error.h"

enum mf_log_level { MF_DEBUG, MF_INFO, MF_WARN, MF_ERROR };
enum mf_log_format { MF_LOG_AUTO, MF_LOG_TEXT, MF_LOG_JSON };

/* Before other threads start. fd stays the caller's and open. Unless called: automatic, MF_INFO, standard error. */
void mf_log_setup(enum mf_log_format format, enum mf_log_level level, int fd);
/* Any thread, at any time. */
void mf_log_set_level(enum mf_log_level level);
/* True when a message of this level would be written: to skip costly preparation. */
int mf_log_enabled(enum mf_log_level level);

/* area: a word for the part that speaks ("copy", "apply"). Any thread. Long messages are cut at 4 KiB; control
 * characters come out escaped. */
void mf_log(enum mf_log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The error's text, code and hint, as an error. */
void mf_log_error(const char *area, const struct mf_error *err);
/* The same at a level of choice, e.g. MF_WARN for one that will be retried. */
void mf_log_error_at(enum mf_log_level level, const char *area, const struct mf_error *err);

#endif
