/*
 * Running pg_dump.
 *
 * The password goes by the environment of the child and never by its arguments, which everybody can read. The file is
 * readable by us alone and takes its name when it is whole.
 */
#include "connector/postgres/pg_program.h"

#include "base/mem.h"
#include "base/str.h"
#include "connector/postgres/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DUMP_MAX  ((size_t)1 << 30)
#define SAID_MAX  8192
#define MAX_PATHS 64

extern char **environ;

/* ---- a child and what it says ---- */

struct words { /* an argument or environment vector, NULL-terminated; owns its strings */
    char **v;
    size_t n, cap;
};

static void add_word(struct words *w, char *s)
{
    if (w->n + 2 > w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->v = mf_xrealloc(w->v, w->cap * sizeof(*w->v));
    }
    w->v[w->n++] = s;
    w->v[w->n] = NULL;
}

static void free_words(struct words *w)
{
    for (size_t i = 0; i < w->n; i++) {
        explicit_bzero(w->v[i], strlen(w->v[i]));
        free(w->v[i]);
    }
    free(w->v);
}

/* Runs to the end; standard output goes to out_fd, and the end of standard error to said. Returns the exit status, or -1. */
static int run(const char *path, char *const *argv, char *const *env, int out_fd, char *said, size_t n)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -1;
    }
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
    posix_spawn_file_actions_adddup2(&fa, fds[1], 2);
    pid_t pid;
    int rc = posix_spawn(&pid, path, &fa, NULL, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    close(fds[1]);
    if (rc != 0) {
        close(fds[0]);
        snprintf(said, n, "%s", strerror(rc));
        return -1;
    }
    char piece[1024];
    size_t len = 0;
    ssize_t got;
    while ((got = read(fds[0], piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR)) {
        for (ssize_t i = 0; i < got; i++) {
            if (len == n - 1) { /* the end matters: --verbose says much before it */
                memmove(said, said + n / 2, n - 1 - n / 2);
                len -= n / 2;
            }
            said[len++] = piece[i];
        }
    }
    said[len] = 0;
    close(fds[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* ---- which pg_dump ---- */

static int major_of(const char *path)
{
    char said[SAID_MAX] = "", out[256] = "";
    char tmp[] = "/tmp/midflight-version-XXXXXX";
    char *argv[] = {(char *)path, (char *)"--version", NULL};
    int fd = mkostemp(tmp, O_CLOEXEC), major = 0;
    if (fd < 0) {
        return 0;
    }
    unlink(tmp);
    if (run(path, argv, environ, fd, said, sizeof(said)) == 0 && pread(fd, out, sizeof(out) - 1, 0) > 0) {
        const char *digits = strpbrk(out, "0123456789");
        major = digits ? (int)strtol(digits, NULL, 10) : 0;
    }
    close(fd);
    return major;
}

/* Better: not newer than the target and as new as possible; otherwise as old as possible. */
static bool better(int candidate, int best, int target)
{
    if (best == 0) {
        return true;
    }
    if (candidate <= target) {
        return best > target || candidate > best;
    }
    return best > target && candidate < best;
}

int pg_find_dump(int source_version, int target_version, char *ret_path, size_t n, int *ret_major, struct mf_error *err)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin/pg_dump", "/usr/pgsql-*/bin/pg_dump",
                                           "/opt/homebrew/opt/postgresql@*/bin/pg_dump"};
    int source = source_version / 10000, target = target_version / 10000, best = 0, newest = 0;
    glob_t g = {0};
    for (size_t i = 0; i < MF_ARRAY_LEN(patterns); i++) {
        glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &g);
    }
    struct words paths = {0};
    for (size_t i = 0; i < g.gl_pathc && i < MAX_PATHS; i++) {
        add_word(&paths, mf_xstrdup(g.gl_pathv[i]));
    }
    globfree(&g);
    const char *path = getenv("PATH");
    while (path && *path && paths.n < MAX_PATHS) {
        size_t len = strcspn(path, ":");
        add_word(&paths, mf_xasprintf("%.*s/pg_dump", (int)len, path));
        path += len + (path[len] == ':');
    }
    for (size_t i = 0; i < paths.n && best != target;
         i++) { /* the one in PATH may be a wrapper that takes long to answer */
        int major = access(paths.v[i], X_OK) == 0 ? major_of(paths.v[i]) : 0;
        newest = major > newest ? major : newest;
        if (major >= source && better(major, best, target) && strlen(paths.v[i]) < n) {
            best = major;
            mf_strlcpy(ret_path, paths.v[i], n);
        }
    }
    free_words(&paths);
    if (!best) {
        mf_fail(err, MF_FATAL, "MFPGDUMP",
                "no pg_dump of version %d or later was found%s; it is needed to read the schema", source,
                newest ? " (only older ones)" : "");
        mf_hint(err, "apt-get install postgresql-client-%d (from apt.postgresql.org where the distribution has it not)",
                target >= source ? target : source);
        return -1;
    }
    *ret_major = best;
    return 0;
}

/* ---- the dump ---- */

/* key='value' for every parameter that is no secret; secrets into the environment. */
static char *conninfo(struct pg_db *db, struct words *env)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 64u << 10};
    const char *password = db->password;
    for (PQconninfoOption *o = db->params; o->keyword; o++) {
        if (!o->val || strcmp(o->keyword, "application_name") == 0) {
            continue;
        }
        if (strcmp(o->keyword, "password") == 0) {
            password = password ? password : o->val;
            continue;
        }
        if (o->dispchar && *o->dispchar == '*') {
            continue;
        }
        mf_buf_printf(&b, "%s='", o->keyword);
        for (const char *v = o->val; *v; v++) {
            if (*v == '\'' || *v == '\\') {
                mf_buf_putc(&b, '\\');
            }
            mf_buf_putc(&b, *v);
        }
        mf_buf_puts(&b, "' ");
    }
    mf_buf_puts(&b, "application_name='midflight schema'");
    for (char **e = environ; *e; e++) {
        if (!mf_starts_with(*e, "PGOPTIONS=") && !mf_starts_with(*e, "PGDATABASE=") &&
            !(password && mf_starts_with(*e, "PGPASSWORD="))) {
            add_word(env, mf_xstrdup(*e));
        }
    }
    if (password) {
        add_word(env, mf_xasprintf("PGPASSWORD=%s", password));
    }
    return mf_buf_ok(&b) ? mf_xstrdup(mf_buf_str(&b)) : NULL;
}

/* -T "schema"."table" for every table the filter leaves out. */
static int exclude_tables(struct pg_db *src, const struct mf_filter *filter, struct words *args, struct mf_error *err)
{
    PG_LEASE(src, l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    if (pg_lease(src, &l.conn, err) < 0 ||
        pg_query(l.conn, &r, err,
                 "WITH RECURSIVE up(oid, root) AS ("
                 " SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'p' AND NOT c.relispartition"
                 " UNION ALL SELECT i.inhrelid, up.root FROM pg_catalog.pg_inherits i JOIN up ON i.inhparent = up.oid)"
                 " SELECT n.nspname, c.relname, rn.nspname, rc.relname FROM pg_catalog.pg_class c"
                 " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN up ON up.oid = c.oid"
                 " LEFT JOIN pg_catalog.pg_class rc ON rc.oid = up.root AND rc.oid <> c.oid"
                 " LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace"
                 " WHERE c.relkind IN ('r', 'p') AND " PG_USER_NAMESPACE " ORDER BY c.oid") < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        const char *schema = PQgetvalue(r, i, 0), *name = PQgetvalue(r, i, 1);
        if (pg_filter_matches(filter, schema, name, pg_get(r, i, 2), pg_get(r, i, 3))) {
            continue;
        }
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
        pg_put_name(&b, schema, name);
        add_word(args, mf_xstrdup("-T"));
        add_word(args, mf_xstrdup(mf_buf_str(&b)));
    }
    return 0;
}

/* What tables need of the source, and lack, to be made: partitioned tables above them, sequences of their defaults. (Types and functions
 * pg_dump gives only with everything.) */
static const char needs_sql[] =
    "WITH RECURSIVE up(oid) AS (SELECT pg_catalog.unnest($1::oid[])"
    " UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN up ON i.inhrelid = up.oid) "
    "SELECT c.oid = ANY ($1::oid[]), n.nspname, c.relname,"
    " pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.oid IN (SELECT oid FROM up) OR (c.relkind = 'S' AND c.oid IN (SELECT d.refobjid FROM up"
    " JOIN pg_catalog.pg_attrdef a ON a.adrelid = up.oid JOIN pg_catalog.pg_depend d"
    " ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = a.oid"
    " AND d.refclassid = 'pg_catalog.pg_class'::regclass)) ORDER BY c.oid";

static int exists(struct pg_db *db, const char *name, bool *ret, struct mf_error *err)
{
    PG_LEASE(db, l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    const char *values[] = {name};
    if (pg_lease(db, &l.conn, err) < 0 ||
        pg_query_params(l.conn, &r, err, "SELECT pg_catalog.to_regclass($1) IS NOT NULL", 1, values) < 0) {
        return -1;
    }
    *ret = pg_get_bool(r, 0, 0);
    return 0;
}

/* -t "schema"."table" for these tables and what they need. */
static int only_tables(struct pg_db *src, struct pg_db *dst, const struct mf_catalog *tables, struct words *args,
                       struct mf_error *err)
{
    PG_LEASE(src, l);
    PG_CLEANUP_RESULT PGresult *r = NULL;
    MF_CLEANUP_BUF struct mf_buf ids = {.max = 1u << 20};
    for (size_t i = 0; i < tables->n; i++) {
        mf_buf_printf(&ids, "%s%u", i ? "," : "{", tables->tables[i].id);
    }
    mf_buf_puts(&ids, "}");
    const char *values[] = {mf_buf_str(&ids)};
    if (pg_lease(src, &l.conn, err) < 0 || pg_query_params(l.conn, &r, err, needs_sql, 1, values) < 0) {
        return -1;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        bool there = false;
        if (!pg_get_bool(r, i, 0) && exists(dst, PQgetvalue(r, i, 3), &there, err) < 0) {
            return -1;
        }
        if (there) {
            continue;
        }
        MF_CLEANUP_BUF struct mf_buf b = {.max = 1024};
        pg_put_name(&b, PQgetvalue(r, i, 1), PQgetvalue(r, i, 2));
        add_word(args, mf_xstrdup("-t"));
        add_word(args, mf_xstrdup(mf_buf_str(&b)));
    }
    return 0;
}

/* The last error pg_dump wrote, without its progress. */
static const char *complaint(char *said)
{
    char *at = NULL;
    for (char *p = said; (p = strstr(p, "error:")); p++) {
        at = p;
    }
    at = at ? at : said;
    for (char *p = at; *p; p++) {
        *p = *p == '\n' ? ' ' : *p;
    }
    return at;
}

static int write_to(struct pg_db *src, const char *program, const struct words *args, const struct words *env,
                    const char *file, struct mf_error *err)
{
    MF_CLEANUP_FREE char *said = mf_xcalloc(1, SAID_MAX), *tmp = mf_xasprintf("%s.tmp", file);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return mf_fail(err, MF_FATAL, "MFFILE", "cannot write %s: %s", tmp, strerror(errno));
    }
    int status = run(program, args->v, env->v, fd, said, SAID_MAX);
    bool durable = fsync(fd) == 0;
    close(fd);
    if (status != 0) {
        unlink(tmp);
        return mf_fail(err, MF_RETRY, "MFPGDUMP", "%s could not read the schema of %s at %s: %s", program,
                       src->facts.database, src->facts.host, complaint(said));
    }
    if (!durable || rename(tmp, file) < 0) {
        return mf_fail(err, MF_FATAL, "MFFILE", "cannot write %s: %s", file, strerror(errno));
    }
    return 0;
}

int pg_dump_write(struct pg_db *src, struct pg_db *dst, const struct mf_schema_job *job, const char *file,
                  struct mf_error *err)
{
    static const char *const options[] = {"pg_dump",
                                          "--schema-only",
                                          "--verbose",
                                          "--no-publications",
                                          "--no-subscriptions",
                                          "--no-tablespaces",
                                          "--lock-wait-timeout=30000",
                                          "--exclude-schema=midflight"};
    char program[512];
    int major;
    if (pg_find_dump(src->version, dst->version, program, sizeof(program), &major, err) < 0) {
        return -1;
    }
    struct words args = {0}, env = {0};
    for (size_t i = 0; i < MF_ARRAY_LEN(options); i++) {
        add_word(&args, mf_xstrdup(options[i]));
    }
    if (!src->sql_ascii) {
        add_word(&args, mf_xstrdup("--encoding=UTF8"));
    }
    char *info = conninfo(src, &env);
    add_word(&args, mf_xasprintf("--dbname=%s", info ? info : ""));
    free(info);
    int rc =
        job->addition ? only_tables(src, dst, job->tables, &args, err) : exclude_tables(src, job->filter, &args, err);
    rc = rc < 0 ? -1 : write_to(src, program, &args, &env, file, err);
    free_words(&args);
    free_words(&env);
    return rc;
}

int pg_dump_read(const char *file, struct pg_dump *ret, struct mf_error *err)
{
    MF_CLEANUP_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    struct pg_dump d = {.text = {.max = DUMP_MAX}};
    if (fd < 0 || fstat(fd, &st) < 0) {
        return mf_fail(err, MF_FATAL, "MFFILE", "cannot read %s: %s", file, strerror(errno));
    }
    if (mf_buf_reserve(&d.text, (size_t)st.st_size + 1) < 0) {
        return mf_fail(err, MF_FATAL, "MFBIG", "the schema in %s is too big (%lld bytes)", file, (long long)st.st_size);
    }
    ssize_t got;
    while (d.text.len < (size_t)st.st_size &&
           (got = read(fd, d.text.data + d.text.len, (size_t)st.st_size - d.text.len)) > 0) {
        d.text.len += (size_t)got;
    }
    d.text.data[d.text.len] = 0;
    if (pg_dump_split(&d, err) < 0) {
        pg_dump_free(&d);
        return -1;
    }
    *ret = d;
    return 0;
}
