/* A document whose _id has no text (bson/id.c) is a row whose key is refused: with why, and what tells it from others. The same for its document as it is copied and for a
 * change of it, so that its entry in the quarantine is found again. */
#include "connector/mongodb/mongo_room.h"

#include "model/refused.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#define WORDS 200 /* bytes of the id in the reason */

int mongo_refused_id(struct mf_arena *arena, const struct mf_value *holder, const struct mf_error *why,
                     struct mf_value *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf words = {.max = 4096};
    bson_t d;
    bson_iter_t at;
    MONGO_BSON(alone);
    if (bson_init_static(&d, (const uint8_t *)holder->data, holder->len) && bson_iter_init_find(&at, &d, "_id")) {
        bson_append_iter(&alone, "_id", 3, &at);
    }
    struct mf_value value = {.kind = MF_BINARY, .len = alone.len, .data = (const char *)bson_get_data(&alone)};
    mf_bson_put_json(&words, &value, WORDS);
    const char *text = mf_printf_a(arena, "%s: %s" MF_REFUSED_MARK "%016" PRIx64 ")", why->text, mf_buf_str(&words),
                                   XXH3_64bits(value.data, value.len));
    if (!text) {
        return mf_fail(err, MF_FATAL, "MFBIG", "what there is to say of an _id is too long");
    }
    *ret = (struct mf_value){.kind = MF_REFUSED, .len = (uint32_t)strlen(text), .data = text};
    return 0;
}
