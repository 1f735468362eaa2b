/*
 * ${NAME} from the environment and KEY_file from a file, so that a configuration can be committed without its secrets.
 *
 * In the user:password part of a URL the value of a variable is percent-encoded: a password with "@" or "/" in it would
 * otherwise end the password early and send the rest of it as a host name. Where that part is, is decided on what was
 * written, before anything is put in.
 */
#include "config/option.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The end of user:password in what was written: the last "@" before the first "/", "?" or "#" that is not in ${…}. */
static const char *userinfo_end(const char *text)
{
    const char *p = strstr(text, "://");
    const char *at = NULL;
    if (!p) {
        return text;
    }
    for (p += 3; *p && !strchr("/?#", *p); p++) {
        if (p[0] == '$' && p[1] == '{') {
            p += strcspn(p, "}");
            if (!*p) {
                break;
            }
        } else if (*p == '@') {
            at = p;
        }
    }
    return at ? at : text;
}

static void put(struct mf_buf *b, const char *s, size_t n, bool encode)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)s[i];
        if (encode && !isalnum(ch) && !strchr("-._~", ch)) {
            mf_buf_printf(b, "%%%02X", ch);
        } else {
            mf_buf_putc(b, (char)ch);
        }
    }
}

static void scrub(struct mf_buf *b)
{
    if (b->data) {
        explicit_bzero(b->data, b->len);
    }
    mf_buf_free(b);
}

/* p is at "${"; writes the value and returns the place after "}", or NULL. */
static const char *variable(struct mf_buf *out, const char *p, bool encode, struct mf_error *err)
{
    char name[128];
    const char *start = p + 2;
    size_t n = 0;
    while (isalnum((unsigned char)start[n]) || start[n] == '_') {
        n++;
    }
    const char *close = strchr(start, '}');
    bool has_default = strncmp(start + n, ":-", 2) == 0;
    if (n == 0 || n >= sizeof(name) || isdigit((unsigned char)start[0]) || !close ||
        (start + n != close && !has_default)) {
        mf_fail(err, MF_USAGE, "MFCONF", "a ${…} is not ${NAME} or ${NAME:-otherwise}");
        mf_hint(err, "write $${ for a ${ that is meant as it stands");
        return NULL;
    }
    memcpy(name, start, n);
    name[n] = '\0';
    const char *value = getenv(name);
    if (has_default && (!value || !value[0])) {
        put(out, start + n + 2, (size_t)(close - start) - n - 2, encode);
    } else if (value) {
        put(out, value, strlen(value), encode);
    } else {
        mf_fail(err, MF_USAGE, "MFCONF", "the environment variable %s is not set", name);
        mf_hint(err, "export %s=…, or write ${%s:-otherwise}", name, name);
        return NULL;
    }
    return close + 1;
}

int mf_config_expand(const char *text, bool is_url, char **ret, struct mf_error *err)
{
    MF_CLEANUP(scrub) struct mf_buf out;
    const char *encode_until = is_url ? userinfo_end(text) : text;
    mf_buf_init(&out, (size_t)MF_CONFIG_VALUE_MAX * 4);
    for (const char *p = text; *p;) {
        if (p[0] == '$' && p[1] == '$' && p[2] == '{') {
            mf_buf_puts(&out, "${");
            p += 3;
        } else if (p[0] == '$' && p[1] == '{') {
            p = variable(&out, p, p < encode_until, err);
            if (!p) {
                return -1;
            }
        } else {
            mf_buf_putc(&out, *p++);
        }
    }
    if (!mf_buf_ok(&out)) {
        return mf_fail(err, MF_USAGE, "MFCONF", "it is longer than %d bytes", MF_CONFIG_VALUE_MAX);
    }
    *ret = mf_xstrdup(mf_buf_str(&out));
    return 0;
}

char *mf_config_join(const char *base, const char *path)
{
    if (!base || path[0] == '/') {
        return mf_xstrdup(path);
    }
    return mf_xasprintf("%s/%s", base, path[0] == '.' && path[1] == '/' ? path + 2 : path);
}

int mf_config_read_file(const char *path, const char *base, char **ret, struct mf_error *err)
{
    MF_CLEANUP_FREE char *full = mf_config_join(base, path);
    MF_CLEANUP_FD int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char buf[MF_CONFIG_VALUE_MAX + 2];
    size_t n = 0;
    if (fd < 0) {
        return mf_fail(err, MF_USAGE, "MFCONF", "cannot read the file %s: %s", full, strerror(errno));
    }
    for (;;) {
        ssize_t got = read(fd, buf + n, sizeof(buf) - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return mf_fail(err, MF_USAGE, "MFCONF", "cannot read the file %s: %s", full, strerror(errno));
        }
        n += (size_t)got;
        if (got == 0 || n == sizeof(buf)) {
            break;
        }
    }
    if (n == sizeof(buf) || memchr(buf, '\0', n)) {
        return mf_fail(err, MF_USAGE, "MFCONF", "the file %s is %s", full,
                       n == sizeof(buf) ? "too long for one value" : "not text");
    }
    n -= n > 0 && buf[n - 1] == '\n';
    n -= n > 0 && buf[n - 1] == '\r';
    *ret = mf_xstrndup(buf, n);
    explicit_bzero(buf, sizeof(buf));
    return 0;
}
