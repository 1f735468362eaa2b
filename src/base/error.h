/*
 * Errors that answer "what next?".
 *
 * A function that can fail returns 0 or -1 and fills the caller's struct mf_error: a class that says what may be done
 * about it, a code (the server's SQLSTATE, or our own MFxxx), a sentence, and a hint. Library layers never log; the
 * owner of the work does, once. Every function here accepts a NULL error, keeps no pointer, allocates nothing and may
 * be called on any thread; one struct mf_error belongs to one thread at a time.
 */
#ifndef MF_BASE_ERROR_H
#define MF_BASE_ERROR_H

#include <stdarg.h>

enum mf_errclass {
    MF_OK = 0,
    MF_RETRY,     /* transient: connection lost, deadlock, timeout; the same work may be tried again, within a bound */
    MF_FATAL,     /* stop the run: trying again cannot help */
    MF_ROW,       /* this row's fault: a value the target cannot hold */
    MF_CONFLICT,  /* a conflict inside a window: apply it again in source order */
    MF_USAGE,     /* the command line or the configuration is wrong */
    MF_ABANDONED, /* given up on purpose; everything is as it was before */
    MF_CRASH,     /* a simulated crash (memory connector, sweeps): unwind, clean up nothing outside */
};

struct mf_error {
    enum mf_errclass cls;
    char code[16];   /* SQLSTATE or MFxxx; never empty once an error is set */
    char text[1024]; /* what happened, to which object, what it means */
    char hint[512];  /* what to do; may be empty */
};

/* Fills err, replacing what it held, and always returns -1. A NULL or empty code becomes "MF000". Text that does not
 * fit is cut at the end. The arguments may point into err->text itself. */
int mf_fail(struct mf_error *err, enum mf_errclass cls, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int mf_vfail(struct mf_error *err, enum mf_errclass cls, const char *code, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

/* Sets what to do about it. No trailing full stop needed; one sentence or two. */
void mf_hint(struct mf_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "CONTEXT: " in front of the text, e.g. mf_error_prefix(err, "copying %s", name). The end is cut if need be. */
void mf_error_prefix(struct mf_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void mf_error_clear(struct mf_error *err);

/* A word for the class: "retry", "fatal", … Static storage. */
const char *mf_errclass_name(enum mf_errclass cls);

#endif
