/* What base does when there is no memory: fail cleanly where it may, say so and abort where it may not. */
#include "mf_test.h"
#include "sweep.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/str.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int fill_a_buffer(void *arg)
{
    (void)arg;
    MF_CLEANUP_BUF struct mf_buf b;
    mf_buf_init(&b, 100000);
    for (int i = 0; i < 1000; i++) {
        size_t before = b.len;
        if (mf_buf_printf(&b, "%d,", i) < 0) {
            assert_int_equal(b.len, before);
            assert_false(mf_buf_ok(&b));
            /* What was there is still there, and it works again after a reset. */
            assert_true(before == 0 || memcmp(b.data, "0,", 2) == 0);
            mf_sweep_arm(0, false);
            mf_buf_reset(&b);
            assert_int_equal(mf_buf_puts(&b, "x"), 0);
            return -1;
        }
    }
    assert_true(b.len > 3000);
    return 0;
}

static void a_buffer_survives(void **state)
{
    (void)state;
    assert_true(mf_sweep(fill_a_buffer, NULL, true) > 0);
}

static int steal_from_nothing(void *arg)
{
    (void)arg;
    struct mf_buf b;
    size_t n = 7;
    mf_buf_init(&b, 10);
    MF_CLEANUP_FREE char *s = mf_buf_steal(&b, &n);
    if (!s) {
        assert_int_equal(n, 7);
        return -1;
    }
    return 0;
}

static void stealing_survives(void **state)
{
    (void)state;
    assert_int_equal(mf_sweep(steal_from_nothing, NULL, true), 1);
}

static int fill_an_arena(void *arg)
{
    (void)arg;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 10 << 20);
    for (size_t i = 1; i < 300; i++) {
        size_t used = mf_arena_used(&a);
        size_t held = a.held;
        char *p = mf_alloc(&a, i * 37);
        if (!p) {
            assert_int_equal(mf_arena_used(&a), used);
            assert_int_equal(a.held, held);
            mf_sweep_arm(0, false);
            assert_non_null(mf_alloc(&a, i * 37));
            return -1;
        }
        memset(p, 'x', i * 37);
    }
    return 0;
}

static void an_arena_survives(void **state)
{
    (void)state;
    assert_true(mf_sweep(fill_an_arena, NULL, true) > 3);
    assert_true(mf_sweep(fill_an_arena, NULL, false) > 3);
}

static int make_a_queue(void *arg)
{
    (void)arg;
    struct mf_queue *q = mf_queue_new(10, NULL);
    int rc = q ? 0 : -1;
    mf_queue_free(q);
    return rc;
}

static void a_queue_survives(void **state)
{
    (void)state;
    assert_int_equal(mf_sweep(make_a_queue, NULL, true), 1);
}

static int log_a_line(void *arg)
{
    (void)arg;
    struct mf_error err = {0};
    mf_fail(&err, MF_FATAL, "X1", "text");
    mf_log_error("area", &err); /* without memory the line is lost, nothing else */
    return mf_sweep_fired() ? -1 : 0;
}

static void the_log_survives(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    assert_non_null(f);
    mf_log_setup(MF_LOG_JSON, MF_INFO, fileno(f));
    assert_true(mf_sweep(log_a_line, NULL, true) > 0);
    mf_log_setup(MF_LOG_AUTO, MF_INFO, STDERR_FILENO);
    fclose(f);
}

static void no_return(void (*call)(void))
{
    int pipe_ends[2];
    char said[256] = "";
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        mf_sweep_arm(1, false);
        call();
        _exit(0);
    }
    close(pipe_ends[1]);
    ssize_t n = read(pipe_ends[0], said, sizeof(said) - 1);
    close(pipe_ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_true(n > 0);
    assert_non_null(strstr(said, "out of memory"));
}

static void use_malloc(void)
{
    free(mf_xmalloc(10));
}
static void use_calloc(void)
{
    free(mf_xcalloc(10, 10));
}
static void use_realloc(void)
{
    free(mf_xrealloc(NULL, 10));
}
static void use_strdup(void)
{
    free(mf_xstrdup("x"));
}
static void use_overflow(void)
{
    free(mf_xreallocarray(NULL, SIZE_MAX / 2, 3));
}

static void control_structures_abort_and_say_why(void **state)
{
    (void)state;
    no_return(use_malloc);
    no_return(use_calloc);
    no_return(use_realloc);
    no_return(use_strdup);
    no_return(use_overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_survives), cmocka_unit_test(stealing_survives),
        cmocka_unit_test(an_arena_survives), cmocka_unit_test(a_queue_survives),
        cmocka_unit_test(the_log_survives),  cmocka_unit_test(control_structures_abort_and_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
