/* Text that somebody wrote as a statement: it is read to its end whatever it is, and every name told is a string. */
#include "fuzz.h"

#include "connector/mysql/statement.h"

#include <string.h>

static void touched(void *ctx, const struct my_touched *t)
{
    size_t *n = ctx;
    MF_FUZZ_CHECK(memchr(t->schema, 0, sizeof t->schema) && memchr(t->table, 0, sizeof t->table));
    (*n)++;
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
