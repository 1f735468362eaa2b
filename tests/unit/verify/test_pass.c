/* Passes: what differs on the side that takes writes and tells nobody of them is carried to the other, whatever that one refuses. */
#include <stdio.h>
#include <string.h>

#include "mf_test.h"

#include "map/map.h"
#include "pipeline/pipe.h"
#include "verify/verify.h"

#include "connector/memory/memory.h"

struct pair {
    struct mf_mem_server *origin, *replica;
    struct mf_db *odb, *rdb;
    struct mf_catalog ocat, rcat;
    struct mf_map *map;
    struct mf_state *state;
    struct mf_pipe *pipe;
    uint64_t rng;
    int max_deletes; /* of passes */
};

static uint32_t below(struct pair *p, uint32_t n)
{
    p->rng = p->rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(p->rng >> 33) % n;
}

static const struct mf_mem_column columns[] = {
    {.name = "id", .in_key = true}, {.name = "v", .text = true}, {.name = "u", .text = true}};

static struct mf_db *open_server(struct mf_mem_server *s, const char *url, enum mf_side side)
{
    struct mf_error err = {0};
    struct mf_db *db = NULL;
    struct mf_mem_column c[3];
    memcpy(c, columns, sizeof c);
    c[2].unique = side == MF_SOURCE; /* the other side keeps nothing unique */
    assert_mf_ok(mf_mem_create_table(s, "public", "item", c, 3, &err), &err);
    struct mf_db_options o = {.url = url, .side = side};
    assert_mf_ok(mf_connector_memory.open(&o, &db, &err), &err);
    struct mf_pipe_id id = {.migration = "m"};
    assert_mf_ok(db->connector->target->prepare(db, &id, &err), &err);
    return db;
}

static void open_pipe(struct pair *p)
{
    struct mf_error err = {0};
    struct mf_pipe_options o = {.id = {.migration = "m", .direction = MF_REVERSE},
                                .origin = p->odb,
                                .replica = p->rdb,
                                .state = p->state,
                                .map = p->map,
                                .by_pass = true,
                                .max_quarantined = 100,
                                .retry_ms = 1000};
    assert_mf_ok(mf_pipe_open(&o, &p->pipe, &err), &err);
    assert_int_equal(mf_apply_step(p->pipe->apply, 0, &err), MF_STEP_IDLE);
    assert_true(mf_apply_consistent(p->pipe->apply));
}

static void begin(struct pair *p, uint64_t seed)
{
    struct mf_error err = {0};
    *p = (struct pair){
        .rng = seed, .origin = mf_mem_server_new("pass-origin"), .replica = mf_mem_server_new("pass-replica")};
    struct mf_mem_knobs *k = mf_mem_knobs(p->origin);
    k->stamped = seed;
    k->unordered = k->silent = true;
    p->odb = open_server(p->origin, "mems://pass-origin", MF_TARGET);
    p->rdb = open_server(p->replica, "mem://pass-replica", MF_SOURCE);
    assert_mf_ok(p->odb->connector->source->catalog(p->odb, NULL, &p->ocat, &err), &err);
    assert_mf_ok(p->rdb->connector->source->catalog(p->rdb, NULL, &p->rcat, &err), &err);
    assert_mf_ok(mf_map_new(&p->ocat, &p->rcat, MF_DDL_STOP, &p->map, &err), &err);
    assert_mf_ok(mf_state_open(NULL, &p->state, &err), &err);
    open_pipe(p);
}

static void end(struct pair *p)
{
    mf_pipe_close(p->pipe);
    mf_map_free(p->map);
    mf_catalog_free(&p->ocat);
    mf_catalog_free(&p->rcat);
    mf_state_close(p->state);
    p->odb->connector->close(p->odb);
    p->rdb->connector->close(p->rdb);
    mf_mem_server_free(p->origin);
    mf_mem_server_free(p->replica);
}

static struct mf_value text(const char *s)
{
    return s ? (struct mf_value){.kind = MF_TEXT, .len = (uint32_t)strlen(s), .data = s}
             : (struct mf_value){.kind = MF_NULL};
}

/* v NULL: the row goes. */
static void put(struct pair *p, const char *id, const char *v, const char *u)
{
    struct mf_error err = {0};
    struct mf_mem_txn *t = mf_mem_begin(p->origin);
    struct mf_value values[3] = {text(id), text(v), text(u)};
    struct mf_row row = {3, values}, old;
    for (size_t i = 0; i < mf_mem_count(t, "public", "item"); i++) {
        assert_true(mf_mem_row_at(t, "public", "item", i, &old));
        if (mf_value_equal(&old.values[0], &values[0])) {
            assert_mf_ok(mf_mem_delete(t, "public", "item", &old, &err), &err);
            break;
        }
    }
    if (v) {
        assert_mf_ok(mf_mem_insert(t, "public", "item", &row, &err), &err);
    }
    assert_mf_ok(mf_mem_commit(t, NULL, &err), &err);
}

static void write_some(struct pair *p)
{
    char id[16], v[24], u[24];
    snprintf(id, sizeof id, "%u", below(p, 40));
    snprintf(v, sizeof v, "v%u", below(p, 100000));
    snprintf(u, sizeof u, "u%s", id);
    put(p, id, below(p, 4) ? v : NULL, u);
}

static struct mf_verify *new_pass(struct pair *p)
{
    struct mf_error err = {0};
    struct mf_verify *v = NULL;
    struct mf_verify_options o = {.pipe = p->pipe,
                                  .state = p->state,
                                  .map = p->map,
                                  .tables = &p->ocat,
                                  .sample = 1,
                                  .repair = true,
                                  .pass = true,
                                  .max_deletes = p->max_deletes,
                                  .snapshot_ms = 1,
                                  .chunk_rows = 1 + below(p, 10)};
    assert_mf_ok(mf_verify_new(&o, &v, &err), &err);
    return v;
}

static int try_pass(struct pair *p, bool writes, struct mf_verify_stats *ret, struct mf_error *err)
{
    struct mf_verify *v = new_pass(p);
    enum mf_step s = MF_STEP_MORE;
    for (int i = 0; s != MF_STEP_DONE && s != MF_STEP_FAILED; i++) {
        if (writes && below(p, 3) == 0) {
            write_some(p);
        }
        s = mf_verify_step(v, (int)below(p, 2), err);
        if ((s != MF_STEP_FAILED && mf_apply_step(p->pipe->apply, 0, err) == MF_STEP_FAILED) || i > 100000) {
            fail_msg("a pass: %s", err->text);
        }
    }
    mf_verify_stats(v, ret);
    mf_verify_free(v);
    return s == MF_STEP_FAILED ? -1 : 0;
}

static void pass(struct pair *p, bool writes, struct mf_verify_stats *ret)
{
    struct mf_error err = {0};
    assert_mf_ok(try_pass(p, writes, ret, &err), &err);
    assert_true(ret->finished);
}

static void assert_equal_sides(struct pair *p)
{
    assert_int_equal(mf_mem_table_digest(p->origin, "public", "item"),
                     mf_mem_table_digest(p->replica, "public", "item"));
}

static int count_one(void *ctx, const struct mf_quarantined *q, struct mf_error *err)
{
    (void)q, (void)err;
    ++*(int *)ctx;
    return 0;
}

static int quarantined(struct pair *p)
{
    struct mf_error err = {0};
    int n = 0;
    assert_mf_ok(p->rdb->connector->target->quarantine_list(p->rdb, &p->pipe->id, count_one, &n, &err), &err);
    return n;
}

static void test_everything_comes_back(void **st)
{
    (void)st;
    struct pair p;
    struct mf_verify_stats s;
    struct mf_verify_summary last;
    bool found = false;
    begin(&p, 1);
    for (int i = 0; i < 100; i++) {
        write_some(&p);
    }
    pass(&p, false, &s);
    assert_true(s.rows_repaired > 0);
    assert_int_equal(s.rows_left, 0);
    assert_equal_sides(&p);
    put(&p, "5", NULL, NULL);
    put(&p, "6", "another", "u6");
    pass(&p, false, &s);
    assert_equal_sides(&p);
    pass(&p, false, &s);
    assert_int_equal(s.rows_differing, 0);
    assert_mf_ok(mf_state_verify_last(p.state, &last, &found, NULL), &(struct mf_error){0});
    assert_false(found);
    end(&p);
}

static void test_what_is_written_meanwhile_comes_with_the_next(void **st)
{
    (void)st;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct pair p;
        struct mf_verify_stats s;
        begin(&p, seed);
        for (int i = 0; i < 4; i++) {
            pass(&p, true, &s);
            assert_int_equal(s.rows_left, 0);
        }
        pass(&p, false, &s);
        assert_equal_sides(&p);
        end(&p);
    }
}

static void test_unique_values_are_exchanged(void **st)
{
    (void)st;
    struct pair p;
    struct mf_verify_stats s;
    char id[8], u[8];
    begin(&p, 3);
    for (int i = 1; i <= 9; i++) {
        snprintf(id, sizeof id, "%d", i);
        snprintf(u, sizeof u, "u%d", i);
        put(&p, id, "v", u);
    }
    pass(&p, false, &s);
    for (int i = 1; i <= 6; i++) { /* all of six in a ring; the seventh takes over what the eighth had */
        snprintf(id, sizeof id, "%d", i);
        snprintf(u, sizeof u, "u%d", i % 6 + 1);
        put(&p, id, "v", u);
    }
    put(&p, "7", "v", "u8");
    put(&p, "8", NULL, NULL);
    pass(&p, false, &s);
    assert_int_equal(s.rows_left, 0);
    assert_int_equal(s.rows_refused, 0);
    assert_int_equal(quarantined(&p), 0);
    assert_equal_sides(&p);
    end(&p);
}

static void test_what_is_refused_goes_to_quarantine_and_out_of_it(void **st)
{
    (void)st;
    struct pair p;
    struct mf_verify_stats s;
    begin(&p, 4);
    mf_mem_set_max_len(p.replica, "public", "item", "v", 8);
    put(&p, "1", "good", "u1");
    put(&p, "2", "far too long", "u2");
    put(&p, "3", "also too long", "u3");
    put(&p, "4", "twice", "u1");
    for (int i = 0; i < 2; i++) { /* each pass tries them again, and there is one entry for each */
        pass(&p, false, &s);
        assert_int_equal(s.rows_left, 0);
        assert_int_equal(s.rows_refused, 3);
        assert_int_equal(quarantined(&p), 3);
    }
    put(&p, "2", "short", "u2");
    put(&p, "3", NULL, NULL);
    put(&p, "4", "twice", "u4");
    pass(&p, false, &s);
    assert_int_equal(quarantined(&p), 0);
    assert_equal_sides(&p);
    end(&p);
}

static bool replica_has(struct pair *p, const char *id, const char *v)
{
    struct mf_mem_txn *t = mf_mem_begin(p->replica);
    struct mf_value key = text(id), value = text(v);
    struct mf_row row;
    bool found = false;
    for (size_t i = 0; !found && i < mf_mem_count(t, "public", "item"); i++) {
        found = mf_mem_row_at(t, "public", "item", i, &row) && mf_value_equal(&row.values[0], &key) &&
                mf_value_equal(&row.values[1], &value);
    }
    mf_mem_abort(t);
    return found;
}

static void test_what_the_replica_has_of_a_refused_row_stays(void **st)
{
    (void)st;
    struct pair p;
    struct mf_verify_stats s;
    begin(&p, 6);
    mf_mem_set_max_len(p.replica, "public", "item", "v", 8);
    put(&p, "1", "good", "u1");
    put(&p, "2", "good", "u2");
    pass(&p, false, &s);
    put(&p, "1", "far too long", "u1");
    put(&p, "2", "better", "u2");
    for (int i = 0; i < 2; i++) {
        pass(&p, false, &s);
        assert_int_equal(s.rows_refused, 1);
        assert_non_null(strstr(s.refusal, "(id=1)"));
        assert_int_equal(quarantined(&p), 1);
        assert_true(replica_has(&p, "1", "good"));
        assert_true(replica_has(&p, "2", "better"));
    }
    end(&p);
}

static void test_more_than_quarantine_takes_fails_the_pass_alone(void **st)
{
    (void)st;
    struct pair p;
    struct mf_error err = {0};
    char id[16];
    begin(&p, 7);
    mf_mem_set_max_len(p.replica, "public", "item", "v", 8);
    for (int i = 0; i < 101; i++) {
        snprintf(id, sizeof id, "%d", i);
        put(&p, id, "far too long", id);
    }
    struct mf_verify *v = new_pass(&p);
    enum mf_step s = MF_STEP_MORE;
    for (int i = 0; s != MF_STEP_FAILED && i < 100000; i++) {
        s = mf_verify_step(v, 0, &err);
        assert_int_equal(mf_apply_step(p.pipe->apply, 0, &(struct mf_error){0}), MF_STEP_IDLE);
    }
    assert_string_equal(err.code, "MFQUAR");
    assert_int_equal(quarantined(&p), 0);
    mf_verify_free(v);
    end(&p);
}

/* Refused before anything is written, until the bound allows it. */
static void test_a_table_that_was_emptied_is_not_emptied_here(void **st)
{
    (void)st;
    struct pair p;
    struct mf_verify_stats s;
    struct mf_error err = {0};
    char id[16];
    begin(&p, 6);
    for (int i = 0; i < 400; i++) {
        snprintf(id, sizeof id, "%d", i);
        put(&p, id, "v", NULL);
    }
    pass(&p, false, &s);
    for (int i = 0; i < 99; i++) { /* a quarter, but few */
        snprintf(id, sizeof id, "%d", i);
        put(&p, id, NULL, NULL);
    }
    p.max_deletes = 20;
    pass(&p, false, &s);
    assert_equal_sides(&p);
    uint64_t before = mf_mem_table_digest(p.replica, "public", "item");
    for (int i = 99; i < 200; i++) {
        snprintf(id, sizeof id, "%d", i);
        put(&p, id, NULL, NULL);
    }
    put(&p, "399", "changed", NULL);
    assert_int_equal(try_pass(&p, false, &s, &err), -1);
    assert_string_equal(err.code, "MFEMPTIED");
    assert_int_equal(err.cls, MF_ABANDONED);
    assert_non_null(strstr(err.text, "101 of the source's 301 rows"));
    assert_true(before == mf_mem_table_digest(p.replica, "public", "item"));
    p.max_deletes = 34;
    pass(&p, false, &s);
    assert_equal_sides(&p);
    end(&p);
}

static void test_the_position_is_kept(void **st)
{
    (void)st;
    struct pair p;
    struct mf_error err = {0};
    struct mf_position at = {.order = 4711, .token = "then"}, is;
    struct mf_apply_stats s;
    begin(&p, 5);
    mf_apply_stats(p.pipe->apply, &s);
    assert_int_equal(s.reached, 0);
    assert_mf_ok(mf_apply_passed(p.pipe->apply, &at, 1, &err), &err);
    mf_pipe_close(p.pipe);
    open_pipe(&p);
    mf_apply_position(p.pipe->apply, &is);
    mf_apply_stats(p.pipe->apply, &s);
    assert_int_equal(is.order, 4711);
    assert_string_equal(is.token, "then");
    assert_true(s.lag_us > 1000000);
    assert_int_equal(mf_pipe_behind(p.pipe, 1u << 30), 0);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_what_is_written_meanwhile_comes_with_the_next),
        cmocka_unit_test(test_unique_values_are_exchanged),
        cmocka_unit_test(test_what_is_refused_goes_to_quarantine_and_out_of_it),
        cmocka_unit_test(test_a_table_that_was_emptied_is_not_emptied_here),
        cmocka_unit_test(test_what_the_replica_has_of_a_refused_row_stays),
        cmocka_unit_test(test_more_than_quarantine_takes_fails_the_pass_alone),
        cmocka_unit_test(test_the_position_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
