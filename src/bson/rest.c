#include "bson/internal.h"

bool shred_put_rest(const struct plan_node *n, const uint8_t *document, struct mf_buf *b)
{
    size_t at = elem_put_begin(b);
    bool any = false;
    uint16_t hint = 0;
    struct elem_walk w;
    struct elem e;
    elem_begin(&w, document);
    while (elem_next(&w, &e)) {
        int i = plan_child(n, e.key, e.nkey, &hint);
        const struct plan_node *k = i < 0 ? NULL : n->children[i];
        if (!k) {
            elem_put(b, e.key, e.nkey, &e);
            any = true;
        } else if (k->open && !k->ignored && !k->column && !k->list && e.type == BSON_TYPE_DOCUMENT) {
            size_t before = b->len;
            elem_put_key(b, BSON_TYPE_DOCUMENT, e.key, e.nkey);
            if (shred_put_rest(k, e.value, b)) {
                any = true;
            } else {
                elem_cut(b, before);
            }
        }
    }
    elem_put_end(b, at);
    return any;
}
