/* The stage where the replica's own server applies: a server that is slow to stop, stops by itself, and stops for a reason. */
#include "mf_test.h"
#include "pipeline/apply.h"

#include <stdio.h>
#include <string.h>

/* A server: where it is, whether it runs, until where. */
static struct {
    bool applying, attached;
    uint64_t at, until, received;
    int resumed, paused;
    struct mf_error trouble;
} server;

static int status(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_replication_status *ret,
                  struct mf_error *err)
{
    (void)db, (void)pipe, (void)err;
    *ret = (struct mf_replication_status){.attached = server.attached,
                                          .receiving = true,
                                          .applying = server.applying,
                                          .executed = {.order = server.at},
                                          .received = server.received,
                                          .trouble = server.trouble};
    return 0;
}

static int resume(struct mf_db *db, struct mf_db *source, const struct mf_pipe_id *pipe,
                  const struct mf_position *until, struct mf_error *err)
{
    (void)db, (void)source, (void)pipe, (void)err;
    server.applying = true;
    server.until = until->order;
    server.resumed++;
    return 0;
}

static int pause_it(struct mf_db *db, const struct mf_pipe_id *pipe, struct mf_error *err)
{
    (void)db, (void)pipe, (void)err;
    server.applying = false;
    server.paused++;
    return 0;
}

static const struct mf_replication_ops ops = {.status = status, .resume = resume, .pause = pause_it};
static const struct mf_connector connector = {.name = "fake", .replication = &ops};
static struct mf_db db = {.connector = &connector, .side = MF_TARGET};

static struct mf_apply *begin(void)
{
    struct mf_apply *a = NULL;
    struct mf_error err = {0};
    struct mf_apply_options o = {
        .origin = &db, .replica = &db, .by_server = true, .window_bytes = 1 << 20, .window_changes = 10};
    memset(&server, 0, sizeof server);
    server.attached = true;
    server.at = server.received = 100;
    assert_mf_ok(mf_apply_new(&o, &a, &err), &err);
    return a;
}

static void look(struct mf_apply *a)
{
    struct mf_error err = {0};
    assert_int_equal(mf_apply_step(a, 0, &err), MF_STEP_IDLE);
}

static void barrier(struct mf_apply *a, uint64_t order)
{
    mf_apply_set_barrier(a, &(struct mf_position){.order = order});
}

/* verify's way: held, then a position, then exactly there. */
static void test_exactly_at_a_position(void **state)
{
    (void)state;
    struct mf_apply *a = begin();
    struct mf_position at;
    look(a);
    assert_true(server.applying && server.until == 0);
    assert_false(mf_apply_held(a));
    barrier(a, 1);
    assert_false(mf_apply_held(a)); /* nobody has told the server yet */
    server.at = 110;
    look(a);
    assert_int_equal(server.paused, 1);
    assert_false(mf_apply_held(a)); /* told, not seen standing */
    look(a);
    assert_true(mf_apply_held(a));
    assert_false(mf_apply_at_barrier(a));
    mf_apply_position(a, &at);
    assert_int_equal(at.order, 110);
    barrier(a, 120);
    look(a);
    assert_true(server.applying && server.until == 120);
    assert_false(mf_apply_at_barrier(a));
    server.at = 120;
    server.applying = false; /* it stops there by itself */
    look(a);
    assert_true(mf_apply_at_barrier(a));
    server.received = 130;
    look(a);
    assert_true(mf_apply_at_barrier(a) && server.at == 120 && server.resumed == 2);
    barrier(a, 0);
    assert_false(mf_apply_held(a));
    look(a);
    assert_true(server.applying && server.until == 0);
    mf_apply_free(a);
}

/* One that has gone past is never exactly there. */
static void test_past_it(void **state)
{
    (void)state;
    struct mf_apply *a = begin();
    look(a);
    barrier(a, 90);
    look(a);
    look(a);
    assert_true(!server.applying && mf_apply_held(a));
    assert_false(mf_apply_at_barrier(a));
    mf_apply_free(a);
}

static void test_trouble(void **state)
{
    (void)state;
    struct mf_apply *a = begin();
    struct mf_error err = {0};
    mf_fail(&server.trouble, MF_FATAL, "1032", "of an earlier run");
    look(a); /* it is started first */
    assert_int_equal(server.resumed, 1);
    server.applying = false; /* and stops again */
    assert_int_equal(mf_apply_step(a, 0, &err), MF_STEP_FAILED);
    assert_true(err.cls == MF_FATAL && strcmp(err.code, "1032") == 0);
    server.trouble = (struct mf_error){0};
    look(a);
    server.applying = false; /* by somebody else */
    assert_int_equal(mf_apply_step(a, 0, &err), MF_STEP_FAILED);
    assert_true(err.cls == MF_RETRY && server.applying);
    look(a);
    server.attached = false;
    assert_int_equal(mf_apply_step(a, 0, &err), MF_STEP_FAILED);
    assert_int_equal(err.cls, MF_FATAL);
    mf_apply_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exactly_at_a_position),
        cmocka_unit_test(test_past_it),
        cmocka_unit_test(test_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
