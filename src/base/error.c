#include "base/error.h"

#include <stdio.h>
#include <string.h>

int mf_vfail(struct mf_error *err, enum mf_errclass cls, const char *code, const char *fmt, va_list ap)
{
    if (!err) {
        return -1;
    }
    /* The arguments may point into *err (rewording an error), so format aside first. */
    struct mf_error fresh = {.cls = cls};
    snprintf(fresh.code, sizeof(fresh.code), "%s", code && *code ? code : "MF000");
    vsnprintf(fresh.text, sizeof(fresh.text), fmt, ap);
    *err = fresh;
    return -1;
}

int mf_fail(struct mf_error *err, enum mf_errclass cls, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    mf_vfail(err, cls, code, fmt, ap);
    va_end(ap);
    return -1;
}

void mf_hint(struct mf_error *err, const char *fmt, ...)
{
    if (!err) {
        return;
    }
    char hint[sizeof(err->hint)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(hint, sizeof(hint), fmt, ap);
    va_end(ap);
    memcpy(err->hint, hint, sizeof(hint));
}

void mf_error_prefix(struct mf_error *err, const char *fmt, ...)
{
    if (!err) {
        return;
    }
    char text[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* A context as long as the whole text would push the message out: give it at most half. */
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used > sizeof(text) / 2) {
        used = sizeof(text) / 2;
    }
    size_t room = sizeof(text) - used - 3;
    size_t len = strnlen(err->text, room);
    memcpy(text + used, ": ", 2);
    memcpy(text + used + 2, err->text, len);
    text[used + 2 + len] = '\0';
    memcpy(err->text, text, used + 3 + len);
}

void mf_error_clear(struct mf_error *err)
{
    if (err) {
        err->cls = MF_OK;
        err->code[0] = err->text[0] = err->hint[0] = '\0';
    }
}

const char *mf_errclass_name(enum mf_errclass cls)
{
    switch (cls) {
    case MF_OK:
        return "ok";
    case MF_RETRY:
        return "retry";
    case MF_FATAL:
        return "fatal";
    case MF_ROW:
        return "row";
    case MF_CONFLICT:
        return "conflict";
    case MF_USAGE:
        return "usage";
    case MF_ABANDONED:
        return "abandoned";
    case MF_CRASH:
        return "crash";
    }
    return "unknown";
}
