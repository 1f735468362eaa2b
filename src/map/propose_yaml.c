/* A proposal as the `map:` of a configuration, with the reasons as comments. What config/yaml_map.c reads. */
#include "map/propose.h"

#include "base/cleanup.h"
#include "base/yaml_text.h"

static void put_key(struct mf_buf *b, const struct mf_proposed *p)
{
    mf_buf_puts(b, "    partition: [");
    for (uint16_t i = 0; i < p->npartition; i++) {
        mf_buf_puts(b, i ? ", " : "");
        mf_yaml_text(b, p->of->columns[p->partition[i]].name);
    }
    mf_buf_puts(b, p->nclustering ? "]\n    clustering: [" : "");
    for (uint16_t i = 0; i < p->nclustering; i++) {
        MF_CLEANUP_BUF struct mf_buf one = {.max = 4096};
        mf_buf_printf(&one, "%s%s", p->of->columns[p->clustering[i].column].name,
                      p->clustering[i].descending ? " desc" : "");
        mf_buf_puts(b, i ? ", " : "");
        mf_yaml_text(b, mf_buf_str(&one));
    }
    mf_buf_puts(b, "]\n");
}

void mf_proposed_put_yaml(struct mf_buf *b, const struct mf_proposed *p, const char *const *warnings, size_t n)
{
    MF_CLEANUP_BUF struct mf_buf table = {.max = 4096};
    for (size_t i = 0; i < p->nreasons; i++) {
        mf_yaml_comment(b, "  # ", p->reasons[i]);
    }
    for (size_t i = 0; i < n; i++) {
        mf_yaml_comment(b, "  # WARNING: ", warnings[i]);
    }
    mf_buf_printf(&table, "%s.%s", p->of->schema, p->of->name);
    mf_buf_puts(b, "  - table: ");
    mf_yaml_text(b, mf_buf_str(&table));
    mf_buf_puts(b, "\n    to: ");
    mf_yaml_text(b, p->to);
    mf_buf_putc(b, '\n');
    put_key(b, p);
}
