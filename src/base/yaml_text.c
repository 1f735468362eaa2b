#include "base/yaml_text.h"

#include "base/str.h"

#include <string.h>
#include <strings.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* As it stands: a word, "string(20)", "placed_at desc", and none that YAML gives another meaning. */
static bool is_plain(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    bool plain = is_letter(text[0]) || (text[0] == '_' && text[1]);
    for (const char *p = text; *p && plain && !mf_streq(p, " desc"); p++) {
        plain = is_letter(*p) || (*p >= '0' && *p <= '9') || strchr("_.()", *p);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words && plain; i++) {
        plain = strcasecmp(text, words[i]) != 0;
    }
    return plain;
}

void mf_yaml_text(struct mf_buf *b, const char *text)
{
    if (is_plain(text)) {
        mf_buf_puts(b, text);
        return;
    }
    mf_buf_putc(b, '"');
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            mf_buf_printf(b, "\\x%02x", (unsigned)(unsigned char)*p);
        } else {
            mf_buf_puts(b, *p == '"' || *p == '\\' ? "\\" : *p == '$' && p[1] == '{' ? "$" : "");
            mf_buf_putc(b, *p);
        }
    }
    mf_buf_putc(b, '"');
}

void mf_yaml_comment(struct mf_buf *b, const char *before, const char *text)
{
    mf_buf_puts(b, before);
    for (; *text; text++) {
        mf_buf_putc(b, (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
    }
    mf_buf_putc(b, '\n');
}
