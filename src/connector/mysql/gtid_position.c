/* Positions made of GTID sets, and of places in files: see gtid.h. */
#include "connector/mysql/gtid.h"

#include "base/cleanup.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int my_gtid_set_position(const struct my_gtid_set *s, struct mf_position *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf text = {.max = 1u << 20};
    my_gtid_set_print(s, &text);
    if (!mf_buf_ok(&text) || text.len >= sizeof ret->token) {
        mf_fail(err, MF_FATAL, "MFGTID",
                "the server's GTID set is %s%zu characters long, and a position holds %zu: %.100s…",
                mf_buf_ok(&text) ? "" : "more than ", text.len, sizeof ret->token - 1, mf_buf_str(&text));
        mf_hint(
            err,
            "it has the transactions of many servers, or gaps; close gaps with empty transactions (SET GTID_NEXT), or "
            "take a server with a shorter history as the source");
        return -1;
    }
    ret->order = my_gtid_set_count(s);
    mf_strlcpy(ret->token, mf_buf_str(&text), sizeof ret->token);
    return 0;
}

#define OFFSET_BITS 40

/* The number at the end of a log file's name. */
static bool file_number(const char *file, uint64_t *ret)
{
    const char *dot = strrchr(file, '.');
    return dot && dot > file && mf_parse_u64(dot + 1, ret);
}

int my_file_position(const char *file, uint64_t offset, struct mf_position *ret, struct mf_error *err)
{
    uint64_t number = 0;
    struct mf_position p;
    if (!file_number(file, &number) || number == 0 || number >> (63 - OFFSET_BITS) || offset >> OFFSET_BITS) {
        return mf_fail(err, MF_FATAL, "MFGTID", "\"%.200s\" at %" PRIu64 " is no position in a binary log", file,
                       offset);
    }
    if (snprintf(p.token, sizeof p.token, "%s:%" PRIu64, file, offset) >= (int)sizeof p.token) {
        return mf_fail(err, MF_FATAL, "MFGTID", "the binary log's name is too long for a position: %.200s", file);
    }
    p.order = number << OFFSET_BITS | offset;
    *ret = p;
    return 0;
}

bool my_parse_file_position(const char *token, char *file, size_t n, uint64_t *ret_offset)
{
    uint64_t offset, number;
    const char *colon = strrchr(token, ':');
    if (!colon || (size_t)(colon - token) >= n || !mf_parse_u64(colon + 1, &offset)) {
        return false;
    }
    memcpy(file, token, (size_t)(colon - token));
    file[colon - token] = '\0';
    *ret_offset = offset;
    return file_number(file, &number);
}
