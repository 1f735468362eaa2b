/* A proposal as the `map:` of a configuration, with the reasons as comments. What config/yaml_map.c reads. */
#include "map/propose.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <string.h>

/* As a text of YAML in which nothing is replaced: a "${" is written as the configuration wants one that is meant as it stands. */
static void put_text(struct mf_buf *b, const char *text)
{
    bool plain = text[0] >= 'a' && text[0] <= 'z' && !mf_streq(text, "null");
    for (const char *p = text; *p && plain; p++) {
        plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_' || *p == '.' ||
                (*p == ' ' && mf_streq(p, " desc"));
    }
    if (plain) {
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

static void put_comment(struct mf_buf *b, const char *before, const char *text)
{
    mf_buf_puts(b, before);
    for (; *text; text++) {
        mf_buf_putc(b, (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
    }
    mf_buf_putc(b, '\n');
}

static void put_key(struct mf_buf *b, const struct mf_proposed *p)
{
    mf_buf_puts(b, "    partition: [");
    for (uint16_t i = 0; i < p->npartition; i++) {
        mf_buf_puts(b, i ? ", " : "");
        put_text(b, p->of->columns[p->partition[i]].name);
    }
    mf_buf_puts(b, p->nclustering ? "]\n    clustering: [" : "");
    for (uint16_t i = 0; i < p->nclustering; i++) {
        MF_CLEANUP_BUF struct mf_buf one = {.max = 4096};
        mf_buf_printf(&one, "%s%s", p->of->columns[p->clustering[i].column].name,
                      p->clustering[i].descending ? " desc" : "");
        mf_buf_puts(b, i ? ", " : "");
        put_text(b, mf_buf_str(&one));
    }
    mf_buf_puts(b, "]\n");
}

void mf_proposed_put_yaml(struct mf_buf *b, const struct mf_proposed *p, const char *const *warnings, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf table = {.max = 4096};
    for (size_t i = 0; i < p->nreasons; i++) {
        put_comment(b, "  # ", p->reasons[i]);
    }
    for (size_t i = 0; i < n; i++) {
        put_comment(b, "  # WARNING: ", warnings[i]);
    }
    mf_buf_printf(&table, "%s.%s", p->of->schema, p->of->name);
    mf_buf_puts(b, "  - table: ");
    put_text(b, mf_buf_str(&table));
    mf_buf_puts(b, "\n    to: ");
    put_text(b, p->to);
    mf_buf_putc(b, '\n');
    put_key(b, p);
}
