/* Text that somebody wrote as a statement: it is read to its end whatever it is, and every name told is a string. */
#include "fuzz.h"

#include "connector/mysql/redefine.h"
#include "connector/mysql/statement.h"

#include <string.h>

static void touched(void *ctx, const struct my_touched *t)
{
    size_t *n = ctx;
    MF_FUZZ_CHECK(memchr(t->schema, 0, sizeof t->schema) && memchr(t->table, 0, sizeof t->table));
    (*n)++;
    MF_FUZZ_CHECK((t->effect >= MY_FX_COLUMN_GONE) == (t->column != NULL));
    if (t->effect == MY_FX_COLUMN_MADE) {
        static const char *const types[] = {"int(11)", "varchar(20) charset latin1", "enum('a','b') charset latin1",
                                            "decimal(10,2)"};
        MF_FUZZ_CHECK(memchr(t->column, 0, MY_TOKEN) && (t->ndef == 0 || t->def));
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            struct mf_column c = {.name = "c", .type = types[i]};
            if (my_redefined_keeps(&c, t->def, t->ndef, false)) {
                MF_FUZZ_CHECK(my_redefined_keeps(&c, t->def, t->ndef, true));
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct my_statement s;
    char id[MY_TOKEN];
    size_t n = 0;
    struct my_sql sql = {.text = (const char *)data, .len = size, .schema = "db", .exact = size % 2};
    my_statement_read(&sql, &s, touched, &n);
    MF_FUZZ_CHECK(memchr(s.id, 0, sizeof s.id) != NULL);
    MF_FUZZ_CHECK(s.kind == MY_ST_DDL || s.kind == MY_ST_ROWS ? n > 0 : n == 0);
    if (my_xa_id((const char *)data, size, id, sizeof id)) {
        MF_FUZZ_CHECK(memchr(id, 0, sizeof id) != NULL);
    }
    return 0;
}
