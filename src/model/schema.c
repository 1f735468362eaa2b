#include "model/schema.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

void mf_schema_free(struct mf_schema *s)
{
    if (s) {
        mf_arena_free(&s->arena);
        *s = (struct mf_schema){0};
    }
}

const struct mf_schema_table *mf_schema_find(const struct mf_schema *s, const char *schema, const char *name)
{
    for (size_t i = 0; i < s->ntables; i++) {
        if (mf_streq(s->tables[i].name, name) && mf_streq(s->tables[i].schema, schema)) {
            return &s->tables[i];
        }
    }
    return NULL;
}

void mf_schema_rename(struct mf_schema *s, const char *from, const char *to)
{
    if (!from || !to || mf_streq(from, to)) {
        return;
    }
    for (size_t i = 0; i < s->ntables; i++) {
        struct mf_schema_table *t = &s->tables[i];
        if (mf_streq(t->schema, from)) {
            t->schema = to;
        }
        for (size_t k = 0; k < t->nforeign; k++) {
            if (mf_streq(t->foreign[k].ref_schema, from)) {
                t->foreign[k].ref_schema = to;
            }
        }
    }
}

/* ---- names of what is made ---- */

void mf_schema_name(const char *prefix, const char *name, bool other, char out[static MF_SCHEMA_NAME])
{
    char whole[1024];
    const char *glue = prefix && *prefix ? "_" : "";
    size_t np = prefix ? strlen(prefix) : 0;
    bool has = np > 0 && mf_starts_with(name, prefix) && (name[np] == '_' || name[np] == 0);
    snprintf(whole, sizeof whole, "%s%s%s", has || !prefix ? "" : prefix, has ? "" : glue, name);
    if (!other && strlen(whole) < MF_SCHEMA_NAME) {
        mf_strlcpy(out, whole, MF_SCHEMA_NAME);
        return;
    }
    /* Of both parts with a NUL between them, so that no two pairs are the same bytes. */
    XXH3_state_t *h = XXH3_createState();
    XXH3_64bits_reset(h);
    XXH3_64bits_update(h, prefix ? prefix : "", np + 1);
    XXH3_64bits_update(h, name, strlen(name));
    unsigned tail = (unsigned)XXH3_64bits_digest(h);
    XXH3_freeState(h);
    size_t n = mf_utf8_cut(whole, strlen(whole), MF_SCHEMA_NAME - 10);
    memcpy(out, whole, n);
    snprintf(out + n, 10, "_%08x", tail);
}
