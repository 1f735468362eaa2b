/* What every command prints: errors, facts, tables; and reading values out of a document by path. */
#include "cli/command.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int mf_exit_for(const struct mf_error *err)
{
    /* Nothing is wrong with what was typed when another run has the directory, or when nothing was ever run there. */
    bool typed_well = mf_streq(err->code, "MFLOCKED") || mf_streq(err->code, "MFNOSTATE");
    if (err->cls == MF_USAGE && !typed_well) {
        return MF_EXIT_USAGE;
    }
    return err->cls == MF_ABANDONED ? MF_EXIT_REFUSED : MF_EXIT_FAILED;
}

/* Text from a server goes to a terminal: control characters in it must not. */
static void put_text(FILE *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        fputc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c, out);
    }
}

/* A message that was cut may end inside a character, and a server's may hold anything. */
static json_t *text_json(const char *s)
{
    char clean[sizeof(((struct mf_error *)NULL)->text)];
    size_t n = strlen(s);
    if (mf_utf8_valid(s, n)) {
        return json_string(s);
    }
    for (size_t i = 0; i <= n && i < sizeof(clean); i++) {
        clean[i] = (unsigned char)s[i] < 0x80 ? s[i] : '?';
    }
    clean[sizeof(clean) - 1] = '\0';
    return json_string(clean);
}

int mf_cli_fail_with(const struct mf_args *a, const struct mf_error *err, json_t *doc)
{
    fputs("midflight: ", stderr);
    put_text(stderr, err->text);
    if (err->code[0] && strcmp(err->code, "MFUSAGE") != 0) {
        fprintf(stderr, " [%s]", err->code);
    }
    fputc('\n', stderr);
    if (err->hint[0]) {
        fputs("  what to do: ", stderr);
        put_text(stderr, err->hint);
        fputc('\n', stderr);
    }
    if (mf_arg(a, "json")) {
        json_t *e = json_object();
        json_object_set_new(e, "code", text_json(err->code));
        json_object_set_new(e, "class", text_json(mf_errclass_name(err->cls)));
        json_object_set_new(e, "text", text_json(err->text));
        json_object_set_new(e, "hint", text_json(err->hint));
        json_object_set_new(doc, "error", e);
        mf_print_json(doc);
    }
    return mf_exit_for(err);
}

int mf_cli_fail(const struct mf_args *a, const struct mf_error *err)
{
    json_t *doc = json_object();
    int status = mf_cli_fail_with(a, err, doc);
    json_decref(doc);
    return status;
}

void mf_print_json(const json_t *doc)
{
    json_dumpf(doc, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
}

static void print_value(const char *key, const json_t *v)
{
    char count[32];
    if (json_is_string(v)) {
        printf("  %s: ", key);
        put_text(stdout, json_string_value(v));
        putchar('\n');
    } else if (json_is_integer(v)) {
        printf("  %s: %s\n", key, mf_format_count(json_integer_value(v), count, sizeof(count)));
    } else if (json_is_real(v)) {
        printf("  %s: %.3f\n", key, json_real_value(v));
    } else if (json_is_boolean(v)) {
        printf("  %s: %s\n", key, json_is_true(v) ? "yes" : "no");
    }
}

int mf_cli_reply(const struct mf_args *a, const json_t *reply, const char *sentence)
{
    const char *key;
    json_t *v;
    if (mf_arg(a, "json")) {
        mf_print_json(reply);
        return MF_EXIT_OK;
    }
    puts(sentence);
    json_object_foreach((json_t *)reply, key, v)
    {
        print_value(key, v);
    }
    return MF_EXIT_OK;
}

/* ---- tables ---- */

/* How many places a text takes: characters, not bytes. Wide ones count as one; good enough for names. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

void mf_table_add(struct mf_text_table *t, size_t ncols, const char *const *cells)
{
    t->ncols = ncols;
    if (t->nrows == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->cells = mf_xreallocarray(t->cells, t->cap * ncols, sizeof(char *));
    }
    for (size_t i = 0; i < ncols; i++) {
        t->cells[t->nrows * ncols + i] = mf_xstrdup(cells[i] ? cells[i] : "");
    }
    t->nrows++;
}

static void print_cell(FILE *out, const char *s, size_t room, bool right, bool last)
{
    size_t pad = room - width(s);
    for (size_t i = 0; right && i < pad; i++) {
        fputc(' ', out);
    }
    put_text(out, s);
    for (size_t i = 0; !right && !last && i < pad; i++) {
        fputc(' ', out);
    }
}

void mf_table_print(struct mf_text_table *t, FILE *out, unsigned right_mask)
{
    size_t widths[16] = {0};
    size_t n = t->ncols < MF_ARRAY_LEN(widths) ? t->ncols : MF_ARRAY_LEN(widths);
    for (size_t r = 0; r < t->nrows; r++) {
        for (size_t i = 0; i < n; i++) {
            size_t w = width(t->cells[r * t->ncols + i]);
            widths[i] = w > widths[i] ? w : widths[i];
        }
    }
    for (size_t r = 0; r < t->nrows; r++) {
        for (size_t i = 0; i < n; i++) {
            fputs("  ", out);
            print_cell(out, t->cells[r * t->ncols + i], widths[i], (right_mask >> i) & 1, i + 1 == n);
        }
        fputc('\n', out);
    }
}

void mf_text_table_free(struct mf_text_table *t)
{
    for (size_t i = 0; i < t->nrows * t->ncols; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    *t = (struct mf_text_table){0};
}

/* ---- documents ---- */

json_t *mf_json_at(const json_t *doc, const char *path)
{
    char name[64];
    while (doc && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof(name)) {
            return NULL;
        }
        memcpy(name, path, n);
        name[n] = '\0';
        doc = json_object_get(doc, name);
        path += n + (path[n] == '.');
    }
    return (json_t *)doc;
}

int64_t mf_json_int(const json_t *doc, const char *path)
{
    const json_t *v = mf_json_at(doc, path);
    return json_is_real(v) ? (int64_t)json_real_value(v) : json_integer_value(v);
}

double mf_json_num(const json_t *doc, const char *path)
{
    return json_number_value(mf_json_at(doc, path));
}

const char *mf_json_str(const json_t *doc, const char *path)
{
    const char *s = json_string_value(mf_json_at(doc, path));
    return s ? s : "";
}

char *mf_format_count(int64_t n, char *buf, size_t size)
{
    char digits[32];
    uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)u);
    size_t at = 0;
    if (n < 0 && at + 1 < size) {
        buf[at++] = '-';
    }
    for (int i = 0; i < len && at + 2 < size; i++) {
        buf[at++] = digits[i];
        if ((len - 1 - i) % 3 == 0 && i + 1 < len) {
            buf[at++] = ',';
        }
    }
    buf[at] = '\0';
    return buf;
}
