/* docs/reference/config.md, and `midflight help config`: the option table as people read it. */
#include "config/option.h"

#include "base/str.h"

#include <string.h>

static void example(FILE *out)
{
    fputs("```yaml\n"
          "migration: shop\n"
          "source: postgresql://mover:${OLD_DB_PASSWORD}@old-db/shop\n"
          "target: postgresql://mover@new-db/shop?sslmode=verify-full\n"
          "target_password_file: /run/secrets/new-db\n"
          "tables: { include: [public.*], exclude: [public.audit_*] }\n"
          "copy: { jobs: 4, max_load: 0.8 }\n"
          "on_ddl: stop\n"
          "on_divergence: repair\n"
          "quarantine: { on_reject: keep, max_rows: 1000 }\n"
          "verify: { every: 24h }\n"
          "cutover: { max_pause: 500ms, max_lag: 1MB, long_transactions: wait }\n"
          "rollback_window: 7d\n"
          "hooks: { on_cutover: ./switch-dns.sh }\n"
          "```\n",
          out);
}

void mf_config_reference(FILE *out)
{
    char kind[256];
    fputs(
        "# migration.yaml\n\n"
        "From the option table, src/config/options.c.\n\n"
        "Every key, from the table the parser itself uses. A key is written in its section (`copy: { jobs: 8 }`) or\n"
        "with its full name (`copy.jobs: 8`); on the command line as `--set copy.jobs=8`. An unknown key and a key\n"
        "given twice are errors. `source` and `target` are the only ones that must be there, and two URLs on the\n"
        "command line (`--source`, `--target`) do as well as a file.\n\n"
        "- `${NAME}` in a value is replaced by that variable of the environment, `${NAME:-otherwise}` by `otherwise`\n"
        "  when it is not set or empty; `$${` stands for `${`. In the `user:password@` part of a URL the value is\n"
        "  percent-encoded, so a password is put there as it is. In `map:` a variable is refused: what becomes of the\n"
        "  rows must not change with the environment.\n"
        "- A key that takes a URL or a secret may be written with `_file` after it: its value is then the contents of\n"
        "  that file, without the last newline.\n"
        "- Sizes: `4096`, `640kB`, `64MB`, `1.5GB` (1024 throughout). Times: `500ms`, `30s`, `10m`, `1h30m`, `7d`.\n"
        "- Paths are relative to the file they are written in.\n\n",
        out);
    example(out);
    fputs("\n| key | value | default | what it does |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < mf_option_count; i++) {
        const struct mf_option *o = &mf_options[i];
        fprintf(out, "| `%s`%s | %s | %s%s%s | %s |\n", o->key,
                o->type == MF_OPT_SECRET || o->type == MF_OPT_URL ? " (`_file`)" : "",
                mf_option_kind(o, kind, sizeof(kind)), o->init ? "`" : "", o->init ? o->init : "—", o->init ? "`" : "",
                o->sentence);
    }
}
