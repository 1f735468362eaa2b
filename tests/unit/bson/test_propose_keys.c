/* Maps proposed for objects whose keys are data. */
#include "infer_data.h"
#include "propose_text.h"

#include <bson/bson.h>
#include <stdio.h>

/* `documents` documents with so many of 300 names in m, each of one of four types. */
static char *propose_wide(int documents, int each)
{
    struct mf_infer *f = mf_infer_new(NULL);
    for (int i = 0; i < documents; i++) {
        bson_t m, *d = BCON_NEW("_id", BCON_INT32(i));
        BSON_APPEND_DOCUMENT_BEGIN(d, "m", &m);
        for (int k = 0; k < each; k++) {
            int n = (i * each + k) % 300;
            char key[32];
            snprintf(key, sizeof key, "key%c%d", 'a' + n % 26, n);
            switch (n % 4) {
            case 0:
                BSON_APPEND_INT32(&m, key, k);
                break;
            case 1:
                BSON_APPEND_UTF8(&m, key, "x");
                break;
            case 2:
                BSON_APPEND_BOOL(&m, key, true);
                break;
            default:
                BSON_APPEND_DATE_TIME(&m, key, 0);
            }
        }
        bson_append_document_end(d, &m);
        add(f, "c", d);
    }
    char *text = propose(f, NULL);
    mf_infer_free(f);
    return text;
}

static void test_keys_that_are_data_with_unlike_values(void **state)
{
    (void)state;
    char *text = propose_wide(3000, 5);
    if (!strstr(text, "to: c_m\n        kind: map\n") || !strstr(text, "column: value, type: json}") ||
        strstr(text, "keya26")) {
        fail_msg("%s", text);
    }
    free(text);
    text = propose_wide(3000, 60); /* of the same names so many in each document that they are fields */
    assert_null(strstr(text, "kind: map"));
    assert_non_null(strstr(text, "keya26"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_that_are_data_with_unlike_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
