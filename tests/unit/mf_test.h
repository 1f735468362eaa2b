/* What every unit test includes: cmocka with what it needs before it, and a few assertions of our own. */
#ifndef MF_TESTS_UNIT_MF_TEST_H
#define MF_TESTS_UNIT_MF_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

/* A call that must return 0; prints the error when it does not. */
#define assert_mf_ok(call, err)                                                                                        \
    do {                                                                                                               \
        if ((call) != 0) {                                                                                             \
            fail_msg("%s: %s [%s] %s", #call, (err)->text, (err)->code, (err)->hint);                                  \
        }                                                                                                              \
    } while (0)

/* A call that must return -1 with this class and with this text somewhere in its message. */
#define assert_mf_fails(call, err, want_cls, want_text)                                                                \
    do {                                                                                                               \
        mf_error_clear(err);                                                                                           \
        assert_int_equal((call), -1);                                                                                  \
        assert_string_equal(mf_errclass_name((err)->cls), mf_errclass_name(want_cls));                                 \
        if (!__builtin_strstr((err)->text, want_text)) {                                                               \
            fail_msg("%s: expected \"%s\" in \"%s\"", #call, want_text, (err)->text);                                  \
        }                                                                                                              \
    } while (0)

#endif
