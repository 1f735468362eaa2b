#include "model/doc_map.h"

#include <stdlib.h>

void mf_doc_map_free(struct mf_doc_map *m)
{
    if (m) {
        mf_arena_free(&m->arena);
        free(m);
    }
}
