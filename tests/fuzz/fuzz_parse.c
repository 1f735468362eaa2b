/* The small parsers of base: numbers, sizes, durations, patterns, UTF-8, JSON strings, fault specifications. */
#include "fuzz.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/str.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void check_numbers(const char *text)
{
    uint64_t u;
    int64_t s;
    char again[32];
    if (mf_parse_u64(text, &u)) {
        snprintf(again, sizeof(again), "%llu", (unsigned long long)u);
        const char *digits = text + strspn(text, "0");
        MF_FUZZ_CHECK(strcmp(again, *digits ? digits : "0") == 0);
    }
    if (mf_parse_i64(text, &s)) {
        MF_FUZZ_CHECK((s < 0) == (text[0] == '-' && s != 0));
    }
    if (mf_parse_size(text, &u)) {
        MF_FUZZ_CHECK(mf_format_size(u, again, sizeof(again)) == again);
    }
    if (mf_parse_duration(text, &s)) {
        MF_FUZZ_CHECK(s >= 0);
        MF_FUZZ_CHECK(mf_format_duration(s, again, sizeof(again)) == again);
    }
}

static void check_json(const uint8_t *data, size_t size)
{
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, size * 6 + 16);
    mf_buf_putc(&b, '"');
    MF_FUZZ_CHECK(mf_json_escape(&b, (const char *)data, size) == 0);
    mf_buf_putc(&b, '"');
    json_t *v = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    MF_FUZZ_CHECK(v);
    if (mf_utf8_valid(data, size)) {
        MF_FUZZ_CHECK(json_string_length(v) == size && memcmp(json_string_value(v), data, size) == 0);
    }
    json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) {
        return 0;
    }
    check_json(data, size);
    MF_CLEANUP_FREE char *text = mf_xstrndup((const char *)data, size);
    check_numbers(text);
    char *bar = strchr(text, '|');
    if (bar) {
        *bar = '\0';
        mf_glob_match(text, bar + 1);
        size_t there = mf_edit_distance(text, bar + 1);
        MF_FUZZ_CHECK(there == mf_edit_distance(bar + 1, text));
        MF_FUZZ_CHECK((there == 0) == (strcmp(text, bar + 1) == 0) || there == SIZE_MAX);
    }
    MF_FUZZ_CHECK(mf_glob_match("*", text));
    struct mf_error err = {0};
    if (mf_fault_arm(text, &err) < 0) {
        MF_FUZZ_CHECK(err.cls == MF_USAGE);
    }
    mf_fault_arm(NULL, NULL);
    return 0;
}
