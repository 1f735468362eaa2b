#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX       4096
#define LINE_MAX_BYTES ((size_t)64 * 1024)

static struct {
    pthread_mutex_t lock; /* held while a line is written; guards fd and format */
    int fd;
    enum mf_log_format format;
    atomic_int level;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO, .format = MF_LOG_AUTO, .level = MF_INFO};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void mf_log_setup(enum mf_log_format format, enum mf_log_level level, int fd)
{
    pthread_mutex_lock(&sink.lock);
    sink.format = format;
    sink.fd = fd;
    pthread_mutex_unlock(&sink.lock);
    mf_log_set_level(level);
}

void mf_log_set_level(enum mf_log_level level)
{
    atomic_store(&sink.level, (int)level);
}

int mf_log_enabled(enum mf_log_level level)
{
    return (int)level >= atomic_load_explicit(&sink.level, memory_order_relaxed);
}

/* A JSON string; bytes that are not UTF-8 come out as U+FFFD, so that every line parses. */
static void put_json(struct mf_buf *b, const char *s)
{
    mf_buf_putc(b, '"');
    mf_json_escape(b, s, strlen(s));
    mf_buf_putc(b, '"');
}

static void put_json_line(struct mf_buf *b, enum mf_log_level level, const char *area, const char *text,
                          const struct mf_error *err)
{
    char now[40];
    mf_buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"area\":", mf_format_utc(mf_wall_us(), now, sizeof(now)),
                  level_names[level]);
    put_json(b, area);
    mf_buf_puts(b, ",\"message\":");
    put_json(b, text);
    if (err) {
        mf_buf_printf(b, ",\"class\":\"%s\",\"code\":", mf_errclass_name(err->cls));
        put_json(b, err->code);
        if (err->hint[0]) {
            mf_buf_puts(b, ",\"hint\":");
            put_json(b, err->hint);
        }
    }
    mf_buf_puts(b, "}\n");
}

/* What a database says must not move the cursor or colour the terminal, nor fake a second line. */
static void put_plain(struct mf_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f) {
            mf_buf_printf(b, c == '\n' ? "\\n" : "\\x%02x", c);
        } else {
            mf_buf_putc(b, *s);
        }
    }
}

static void put_text_line(struct mf_buf *b, enum mf_log_level level, const char *area, const char *text,
                          const struct mf_error *err)
{
    char now[40];
    mf_format_utc(mf_wall_us(), now, sizeof(now));
    mf_buf_printf(b, "%.8s %-7s %s: ", now + 11, level_names[level], area);
    put_plain(b, text);
    if (err && err->code[0]) {
        mf_buf_puts(b, " [");
        put_plain(b, err->code);
        mf_buf_putc(b, ']');
    }
    if (err && err->hint[0]) {
        mf_buf_puts(b, "\n         hint: ");
        put_plain(b, err->hint);
    }
    mf_buf_putc(b, '\n');
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            return; /* nobody to tell */
        }
        p += w;
        n -= (size_t)w;
    }
}

static void emit(enum mf_log_level level, const char *area, const char *text, const struct mf_error *err)
{
    int saved = errno;
    struct mf_buf b;
    mf_buf_init(&b, LINE_MAX_BYTES);
    pthread_mutex_lock(&sink.lock);
    int as_text = sink.format == MF_LOG_TEXT || (sink.format == MF_LOG_AUTO && isatty(sink.fd));
    (as_text ? put_text_line : put_json_line)(&b, level, area, text, err);
    if (mf_buf_ok(&b)) {
        write_all(sink.fd, b.data, b.len);
    }
    pthread_mutex_unlock(&sink.lock);
    mf_buf_free(&b);
    errno = saved;
}

void mf_log(enum mf_log_level level, const char *area, const char *fmt, ...)
{
    if (!mf_log_enabled(level)) {
        return;
    }
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    emit(level, area, text, NULL);
}

void mf_log_error_at(enum mf_log_level level, const char *area, const struct mf_error *err)
{
    if (mf_log_enabled(level)) {
        emit(level, area, err->text, err);
    }
}

void mf_log_error(const char *area, const struct mf_error *err)
{
    mf_log_error_at(MF_ERROR, area, err);
}
