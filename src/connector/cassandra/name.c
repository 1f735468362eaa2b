/* Names and literals in CQL. A name is always quoted: what is a word of CQL grows with every version, and an unquoted name loses its capitals. */
#include "connector/cassandra/canon.h"

static void put_quoted(struct mf_buf *b, const char *text, char quote)
{
    mf_buf_putc(b, quote);
    for (; *text; text++) {
        if (*text == quote) {
            mf_buf_putc(b, quote);
        }
        mf_buf_putc(b, *text);
    }
    mf_buf_putc(b, quote);
}

void cass_put_ident(struct mf_buf *b, const char *name)
{
    put_quoted(b, name, '"');
}

void cass_put_name(struct mf_buf *b, const char *keyspace, const char *table)
{
    cass_put_ident(b, keyspace);
    mf_buf_putc(b, '.');
    cass_put_ident(b, table);
}

void cass_put_literal(struct mf_buf *b, const char *text)
{
    put_quoted(b, text, '\'');
}
