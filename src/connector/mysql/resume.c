/* See resume.h. */
#include "connector/mysql/resume.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET_BITS 40
#define OFFSET_MASK ((UINT64_C(1) << OFFSET_BITS) - 1)

void my_resume_plain(const char *token, char out[static MF_POSITION_TOKEN])
{
    snprintf(out, MF_POSITION_TOKEN, "%.*s", (int)strcspn(token, " "), token);
}

void my_resume_free(struct my_resume *r)
{
    my_gtid_set_free(r->done);
    my_gtid_set_free(r->from);
    free(r->xa);
    *r = (struct my_resume){0};
}

/* ---- questions ---- */

bool my_again_has(const struct my_again *list, size_t n, const struct my_gtid *g, uint64_t order, size_t *ret_at)
{
    for (size_t i = 0; i < n; i++) {
        const struct my_again *a = &list[i];
        /* MariaDB's list has no server's number: one domain has a number once. */
        bool same = a->order          ? a->order == order
                    : a->gtid.mariadb ? g->mariadb && a->gtid.domain == g->domain && a->gtid.number == g->number
                                      : my_gtid_same(&a->gtid, g);
        if (same) {
            *ret_at = i;
            return true;
        }
    }
    return false;
}

bool my_resume_first_place(const struct my_resume *r, const struct my_place *now, struct my_place *ret)
{
    uint64_t first = UINT64_MAX;
    const char *dot = strrchr(now->file, '.');
    for (size_t i = 0; i < r->nxa; i++) {
        first = r->xa[i].order && r->xa[i].order < first ? r->xa[i].order : first;
    }
    if (first == UINT64_MAX || !dot) {
        return false;
    }
    snprintf(ret->file, sizeof ret->file, "%.*s.%0*" PRIu64, (int)(dot - now->file), now->file, (int)strlen(dot + 1),
             first >> OFFSET_BITS);
    ret->offset = first & OFFSET_MASK;
    return true;
}

bool my_mark_differs(const struct my_mark *a, const struct my_mark *b)
{
    if (!a->unit || !b->unit || !my_gtid_same(&a->gtid, &b->gtid)) {
        return false;
    }
    if (a->server == b->server) {
        return a->sum != b->sum;
    }
    return a->unit == b->unit && a->time && b->time && a->time != b->time;
}

/* ---- writing ---- */

static void put_group(const struct my_again *a, struct mf_buf *out)
{
    if (a->order) {
        mf_buf_printf(out, "%" PRIu64, a->order >> OFFSET_BITS);
    } else if (a->gtid.mariadb) {
        mf_buf_printf(out, "%" PRIu32, a->gtid.domain);
    } else {
        struct my_gtid g = a->gtid;
        g.number = 0;
        my_gtid_print(&g, out);
        out->len -= 2; /* ":0" */
    }
}

static int compare_group(const struct my_again *a, const struct my_again *b)
{
    uint64_t x = a->order ? a->order >> OFFSET_BITS : a->gtid.domain,
             y = b->order ? b->order >> OFFSET_BITS : b->gtid.domain;
    int uuid = memcmp(a->gtid.uuid, b->gtid.uuid, sizeof a->gtid.uuid);
    return x != y ? (x < y ? -1 : 1) : uuid ? uuid : strcmp(a->gtid.tag, b->gtid.tag);
}

static uint64_t number(const struct my_again *a)
{
    return a->order ? a->order & OFFSET_MASK : a->gtid.number;
}

static int compare(const void *a, const void *b)
{
    int group = compare_group(a, b);
    uint64_t x = number(a), y = number(b);
    return group ? group : x < y ? -1 : x > y;
}

/* In their order, each once: the list has differences, and none of them is 0. */
static void sort_once(struct my_resume *r)
{
    size_t kept = r->nxa > 0;
    if (r->nxa > 1) {
        qsort(r->xa, r->nxa, sizeof *r->xa, compare);
    }
    for (size_t i = 1; i < r->nxa; i++) {
        if (compare(&r->xa[kept - 1], &r->xa[i]) != 0) {
            r->xa[kept++] = r->xa[i];
        }
    }
    r->nxa = kept;
}

static void put_list(const struct my_resume *r, struct mf_buf *out)
{
    if (r->from && r->nxa) {
        mf_buf_puts(out, " from ");
        my_gtid_set_print(r->from, out);
    }
    for (size_t i = 0; i < r->nxa && mf_buf_ok(out); i++) {
        const struct my_again *a = &r->xa[i];
        bool new = i == 0 || compare_group(a - 1, a) != 0;
        mf_buf_puts(out, i == 0 ? " xa " : new ? "," : ".");
        if (new) {
            put_group(a, out);
            mf_buf_putc(out, ':');
        }
        mf_buf_printf(out, "%" PRIu64, new ? number(a) : number(a) - number(a - 1));
    }
}

static void put_mark(const struct my_mark *m, struct mf_buf *out)
{
    mf_buf_puts(out, " last ");
    my_gtid_print(&m->gtid, out);
    if (m->before.mariadb) {
        mf_buf_putc(out, '>');
        my_gtid_print(&m->before, out);
    }
    mf_buf_printf(out, "=%c%" PRIu64 ".%08" PRIx32 ".%04x", m->unit, m->time, m->sum, m->server);
}

static void add(struct mf_position *p, const struct mf_buf *more)
{
    if (mf_buf_ok(more) && strlen(p->token) + more->len < sizeof p->token) {
        mf_strlcpy(p->token + strlen(p->token), mf_buf_str(more), sizeof p->token - strlen(p->token));
    }
}

int my_resume_position(struct my_resume *r, struct mf_position *ret, struct mf_error *err)
{
    MF_CLEANUP_BUF struct mf_buf list = {.max = MF_POSITION_TOKEN}, mark = {.max = MF_POSITION_TOKEN};
    if ((r->done ? my_gtid_set_position(r->done, ret, err)
                 : my_file_position(r->place.file, r->place.offset, ret, err)) < 0) {
        return -1;
    }
    sort_once(r);
    put_list(r, &list);
    add(ret, &list);
    if (r->mark.unit) {
        put_mark(&r->mark, &mark);
        add(ret, &mark);
    }
    return 0;
}

/* ---- reading ---- */

static bool take_item(const char *group, size_t n, uint64_t at, bool gtid, bool mariadb, struct my_again *ret)
{
    char text[128];
    uint64_t which = 0;
    if (gtid && !mariadb) {
        return snprintf(text, sizeof text, "%.*s:%" PRIu64, (int)n, group, at) < (int)sizeof text &&
               my_gtid_parse(text, false, &ret->gtid);
    }
    if (n >= sizeof text) {
        return false;
    }
    memcpy(text, group, n);
    text[n] = 0;
    if (!mf_parse_u64(text, &which)) {
        return false;
    }
    if (gtid) {
        ret->gtid = (struct my_gtid){.mariadb = true, .domain = (uint32_t)which, .number = at};
        return which <= UINT32_MAX && at > 0;
    }
    ret->order = which << OFFSET_BITS | at;
    return which > 0 && which >> (63 - OFFSET_BITS) == 0 && at > 0 && at <= OFFSET_MASK;
}

/* "group:1.2,group:3": 1 and 3 of the one, 3 of the other */
static bool take_list(char *text, bool gtid, bool mariadb, struct my_resume *r)
{
    char *rest = NULL;
    r->xa = mf_xcalloc(MF_POSITION_TOKEN,
                       sizeof *r->xa); /* as many as a token has characters, which is more than it names */
    for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        char *colon = strrchr(part, ':'), *more = NULL;
        if (!colon) {
            return false;
        }
        uint64_t at = 0;
        for (char *n = strtok_r(colon + 1, ".", &more); n; n = strtok_r(NULL, ".", &more)) {
            uint64_t further = 0;
            if (!mf_parse_u64(n, &further) || further == 0 || at + further < at) {
                return false;
            }
            at += further;
            if (!take_item(part, (size_t)(colon - part), at, gtid, mariadb, &r->xa[r->nxa])) {
                return false;
            }
            r->nxa++;
        }
    }
    return r->nxa > 0;
}

/* "gtid=u123.9af01c22.1f2e", "gtid>before=…" */
static bool take_mark(char *text, bool mariadb, struct my_mark *m)
{
    char *value = strchr(text, '='), *before = strchr(text, '>');
    int end = 0;
    if (!value) {
        return false;
    }
    *value++ = 0;
    if (before) {
        *before++ = 0;
    }
    return my_gtid_parse(text, mariadb, &m->gtid) && (before != NULL) == mariadb &&
           (!before || (my_gtid_parse(before, true, &m->before) && m->before.domain == m->gtid.domain)) &&
           sscanf(value, "%c%" SCNu64 ".%" SCNx32 ".%" SCNx16 "%n", &m->unit, &m->time, &m->sum, &m->server, &end) ==
               4 &&
           !value[end] && (m->unit == 'u' || m->unit == 's');
}

static bool take_word(const char *word, char *text, bool gtid, bool mariadb, struct my_resume *r)
{
    struct mf_error ignored = {0};
    if (strcmp(word, "xa") == 0) {
        return !r->xa && take_list(text, gtid, mariadb, r);
    }
    if (strcmp(word, "last") == 0) {
        return gtid && !r->mark.unit && take_mark(text, mariadb, &r->mark);
    }
    if (strcmp(word, "from") == 0 && mariadb && !r->from) {
        r->from = my_gtid_set_new(true);
        return my_gtid_set_parse(r->from, text, &ignored) == 0;
    }
    return false;
}

static int take_base(const char *text, bool gtid, bool mariadb, struct my_resume *r, struct mf_error *err)
{
    if (gtid) {
        r->done = my_gtid_set_new(mariadb);
        return my_gtid_set_parse(r->done, text, err);
    }
    return my_parse_file_position(text, r->place.file, sizeof r->place.file, &r->place.offset)
               ? 0
               : mf_fail(err, MF_FATAL, "MFGTID", "\"%.200s\" is no place in a log file", text);
}

int my_resume_read(const char *token, bool gtid, bool mariadb, struct my_resume *ret, struct mf_error *err)
{
    char text[MF_POSITION_TOKEN];
    char *rest = text;
    *ret = (struct my_resume){0};
    if (!mf_strlcpy(text, token, sizeof text)) {
        return mf_fail(err, MF_FATAL, "MFGTID", "a position that is longer than one may be: %.100s", token);
    }
    /* A set as a server prints it has a space or a newline behind its commas; ours never have. */
    char *more = strstr(text, " xa "), *from = strstr(text, " from "), *last = strstr(text, " last ");
    char *first = from ? from : more ? more : last;
    if (first) {
        *first = 0;
        rest = first + 1;
    } else {
        rest = text + strlen(text);
    }
    if (take_base(text, gtid, mariadb, ret, err) < 0) {
        return -1;
    }
    while (*rest) {
        char *word = strsep(&rest, " "), *value = rest ? strsep(&rest, " ") : NULL;
        if (!value || !take_word(word, value, gtid, mariadb, ret)) {
            return mf_fail(err, MF_FATAL, "MFGTID", "\"%.200s\" is no position: not understood at \"%.20s\"", token,
                           word);
        }
        if (!rest) {
            break;
        }
    }
    return 0;
}
