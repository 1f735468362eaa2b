/* A config from anywhere: it is taken or refused as the user's fault, and the refusal never shows a secret. */
#include "fuzz.h"

#include "base/cleanup.h"
#include "bson/shred.h"
#include "config/option.h"

#include <string.h>

#define SECRET "HuNtEr2secret"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A path in the input would open whatever it names; a secret written out in the input is no secret. */
    if (size > 8192 || memmem(data, size, SECRET, strlen(SECRET)) || memmem(data, size, "_file", 5) ||
        memmem(data, size, "hooks", 5) || memmem(data, size, "/dev", 4)) {
        return 0;
    }
    setenv("S", SECRET, 1);
    struct mf_error err = {0};
    struct mf_config *c = NULL;
    struct mf_shred *shred = NULL;
    if (mf_config_parse((const char *)data, size, "m.yaml", NULL, &c, &err) < 0) {
        MF_FUZZ_CHECK(!c);
    } else if (c->documents && mf_shred_compile(c->documents, &shred, &err) < 0) {
        MF_FUZZ_CHECK(!shred);
    } else if (mf_config_finish(c, &err) == 0) {
        MF_FUZZ_CHECK(c->source && c->target && c->migration && c->state_dir);
        MF_FUZZ_CHECK(err.cls == MF_OK);
    }
    if (err.cls != MF_OK) {
        MF_FUZZ_CHECK(err.cls == MF_USAGE);
        MF_FUZZ_CHECK(err.text[0]);
        MF_FUZZ_CHECK(!strstr(err.text, SECRET) && !strstr(err.hint, SECRET));
    }
    mf_shred_free(shred);
    mf_config_free(c);
    return 0;
}
