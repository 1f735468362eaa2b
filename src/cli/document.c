/* Any document as text: facts by line, lists of like objects as tables, long texts as blocks. For `plan`, whose document
 * grows with every kind of database. */
#include "cli/document.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define COLUMNS_MAX 8

/* "rows_per_second" as "rows per second". */
static void label(const char *key, char *out, size_t n)
{
    const char *ms = strstr(key, "_ms_"); /* the value says its unit itself */
    snprintf(out, n, "%.*s%s", ms ? (int)(ms - key) : (int)strlen(key), key, ms ? ms + 3 : "");
    for (char *p = out; *p; p++) {
        *p = *p == '_' ? ' ' : *p;
    }
}

static void cell(const char *key, const json_t *v, char *out, size_t n)
{
    char buf[32];
    if (json_is_string(v)) {
        mf_strlcpy(out, json_string_value(v), n);
    } else if (json_is_number(v) && json_number_value(v) < 0 && (mf_streq(key, "rows") || mf_streq(key, "bytes"))) {
        mf_strlcpy(out, "?", n); /* no statistics yet */
    } else if (json_is_number(v) && strstr(key, "bytes") && json_number_value(v) >= 0) {
        mf_format_size((uint64_t)json_number_value(v), buf, sizeof(buf));
        snprintf(out, n, "%s%s", buf, mf_ends_with(key, "_per_second") ? "/s" : "");
    } else if (json_is_number(v) && mf_ends_with(key, "seconds")) {
        mf_strlcpy(out, mf_format_duration((int64_t)(json_number_value(v) * 1e6), buf, sizeof(buf)), n);
    } else if (json_is_number(v) && strstr(key, "_ms")) {
        mf_strlcpy(out, mf_format_duration((int64_t)(json_number_value(v) * 1e3), buf, sizeof(buf)), n);
    } else if (json_is_integer(v) && mf_streq(key, "id")) { /* is typed again */
        snprintf(out, n, "%lld", (long long)json_integer_value(v));
    } else if (json_is_integer(v)) {
        mf_strlcpy(out, mf_format_count(json_integer_value(v), buf, sizeof(buf)), n);
    } else if (json_is_real(v)) {
        snprintf(out, n, "%.2f", json_real_value(v));
    } else if (json_is_boolean(v)) {
        mf_strlcpy(out, json_is_true(v) ? "yes" : "no", n);
    } else {
        mf_strlcpy(out, json_is_null(v) ? "—" : "…", n);
    }
}

/* Whole, without what moves a terminal. */
static void print_line(const char *text, FILE *out)
{
    for (; *text; text++) {
        fputc((unsigned char)*text < 0x20 && *text != '\t' ? '?' : *text, out);
    }
    fputc('\n', out);
}

static void print_block(const char *text, FILE *out)
{
    fputs("    ", out);
    for (; *text; text++) {
        if (*text == '\n' && text[1]) {
            fputs("\n    ", out);
        } else if (*text != '\n') {
            fputc((unsigned char)*text < 0x20 && *text != '\t' ? '?' : *text, out);
        }
    }
    fputc('\n', out);
}

static void print_list_of_objects(const json_t *list, FILE *out)
{
    const char *keys[COLUMNS_MAX];
    char heads[COLUMNS_MAX][64];
    size_t n = 0;
    unsigned right = 0;
    struct mf_text_table t = {0};
    const char *key;
    json_t *v;
    json_t *item;
    size_t i;
    json_object_foreach(json_array_get(list, 0), key, v)
    {
        if (n < COLUMNS_MAX && !json_is_object(v) && !json_is_array(v)) {
            right |= json_is_number(v) ? 1U << n : 0;
            keys[n] = key;
            label(key, heads[n], sizeof(heads[n]));
            n++;
        }
    }
    if (n == 0) {
        return;
    }
    const char *cells[COLUMNS_MAX];
    for (size_t k = 0; k < n; k++) {
        cells[k] = heads[k];
    }
    mf_table_add(&t, n, cells);
    json_array_foreach((json_t *)list, i, item)
    {
        char text[COLUMNS_MAX][512];
        for (size_t k = 0; k < n; k++) {
            cell(keys[k], json_object_get(item, keys[k]), text[k], sizeof(text[k]));
            cells[k] = text[k];
        }
        mf_table_add(&t, n, cells);
    }
    mf_table_print(&t, out, right);
    mf_text_table_free(&t);
}

static void print_member(const char *key, const json_t *v, int depth, FILE *out)
{
    char name[64];
    char text[1024];
    json_t *item;
    size_t i;
    label(key, name, sizeof(name));
    if (json_is_object(v)) {
        fprintf(out, "\n%s\n", name);
        mf_document_print(v, depth + 1, out);
    } else if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
        fprintf(out, "\n%s\n", name);
        print_list_of_objects(v, out);
    } else if (json_is_array(v)) {
        fprintf(out, "\n%s\n", name);
        json_array_foreach((json_t *)v, i, item)
        {
            cell("", item, text, sizeof(text));
            fprintf(out, "%4zu. %s\n", i + 1, text);
        }
    } else if (json_is_string(v) && strchr(json_string_value(v), '\n')) {
        fprintf(out, "\n%s\n", name);
        print_block(json_string_value(v), out);
    } else if (json_is_string(v)) {
        fprintf(out, "%s%s: ", depth ? "  " : "", name);
        print_line(json_string_value(v), out);
    } else {
        cell(key, v, text, sizeof(text));
        fprintf(out, "%s%s: %s\n", depth ? "  " : "", name, text);
    }
}

void mf_document_print(const json_t *doc, int depth, FILE *out)
{
    const char *key;
    json_t *v;
    if (depth > 8) {
        return;
    }
    json_object_foreach((json_t *)doc, key, v)
    {
        print_member(key, v, depth, out);
    }
}
