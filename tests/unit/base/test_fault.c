#include "mf_test.h"

#include "base/fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define POINT "base.test"

static int disarm(void **state)
{
    (void)state;
    return mf_fault_arm(NULL, NULL);
}

static void nothing_armed_never_fires(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mf_fault_hit(POINT), 0);
    }
}

static void error_fires_at_the_nth_hit_only(void **state)
{
    (void)state;
    struct mf_error err = {0};
    assert_mf_ok(mf_fault_arm(POINT ":3=error", &err), &err);
    assert_int_equal(mf_fault_hit(POINT), 0);
    assert_int_equal(MF_FAULT(&err, POINT), 0);
    assert_int_equal(MF_FAULT(&err, POINT), -1);
    assert_int_equal(err.cls, MF_RETRY);
    assert_non_null(strstr(err.text, POINT));
    assert_int_equal(mf_fault_hit(POINT), 0);
    assert_int_equal(mf_fault_hit(POINT), 0);
}

static void first_hit_unless_said(void **state)
{
    (void)state;
    struct mf_error err = {0};
    assert_mf_ok(mf_fault_arm(POINT "=error", &err), &err);
    assert_int_equal(mf_fault_hit(POINT), -1);
    assert_int_equal(mf_fault_hit(POINT), 0);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "nosuch=kill",  POINT,     POINT "=", POINT "=explode", POINT ":0=kill",     POINT ":x=kill",
        POINT ":=kill", ":1=kill", "=kill",   POINT ":-1=kill", POINT ":1=kill,x=y", ",",
        POINT "=errors"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mf_error err = {0};
        assert_mf_fails(mf_fault_arm(bad[i], &err), &err, MF_USAGE, "fault");
        assert_int_equal(mf_fault_hit(POINT), 0);
    }
}

static int status_of_child(const char *environment)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("MIDFLIGHT_FAULT", environment, 1);
        atomic_store(&mf_fault_state, 0);
        _exit(mf_fault_hit(POINT) == 0 && mf_fault_hit(POINT) == 0 ? 0 : 9);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    if (WIFSTOPPED(status)) {
        int after;
        kill(pid, SIGCONT);
        assert_int_equal(waitpid(pid, &after, 0), pid);
        assert_true(WIFEXITED(after) && WEXITSTATUS(after) == 0);
    }
    return status;
}

static void kill_kills(void **state)
{
    (void)state;
    int status = status_of_child(POINT ":2=kill");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    status = status_of_child(POINT ":3=kill");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void stop_stops_and_goes_on(void **state)
{
    (void)state;
    int status = status_of_child(POINT "=stop");
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
}

static void error_comes_from_the_environment(void **state)
{
    (void)state;
    int status = status_of_child(POINT ":2=error");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 9);
}

static void a_wrong_environment_is_not_passed_over(void **state)
{
    (void)state;
    fflush(stderr);
    int status = status_of_child("nosuch=kill");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void the_table_is_whole(void **state)
{
    (void)state;
    assert_true(mf_fault_count() >= 1);
    for (size_t i = 0; i < mf_fault_count(); i++) {
        const struct mf_fault_point *p = mf_fault_point(i);
        assert_non_null(strchr(p->name, '.'));
        assert_null(strpbrk(p->name, " :=,"));
        assert_true(strlen(p->sentence) > 10);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(p->name, mf_fault_point(j)->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_armed_never_fires, disarm),
        cmocka_unit_test_teardown(error_fires_at_the_nth_hit_only, disarm),
        cmocka_unit_test_teardown(first_hit_unless_said, disarm),
        cmocka_unit_test_teardown(nonsense_is_refused, disarm),
        cmocka_unit_test(kill_kills),
        cmocka_unit_test(stop_stops_and_goes_on),
        cmocka_unit_test(error_comes_from_the_environment),
        cmocka_unit_test(a_wrong_environment_is_not_passed_over),
        cmocka_unit_test(the_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
