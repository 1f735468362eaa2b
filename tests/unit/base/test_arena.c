#include "mf_test.h"

#include "base/arena.h"
#include "base/cleanup.h"

#include <string.h>

static void pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 10 << 20);
    unsigned char *pieces[500];
    for (size_t i = 0; i < MF_ARRAY_LEN(pieces); i++) {
        pieces[i] = mf_alloc(&a, i * 7 % 300 + 1);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)(i & 0xff), i * 7 % 300 + 1);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(pieces); i++) {
        for (size_t j = 0; j < i * 7 % 300 + 1; j++) {
            assert_int_equal(pieces[i][j], i & 0xff);
        }
    }
}

static void maximum_is_kept(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 1 << 16);
    size_t got = 0;
    while (mf_alloc(&a, 1000)) {
        got += 1000;
    }
    assert_true(got <= 1 << 16);
    assert_true(got > (1 << 16) - 3000);
    assert_true(mf_arena_used(&a) <= 1 << 16);
    assert_null(mf_alloc(&a, SIZE_MAX));
    assert_null(mf_alloc(&a, SIZE_MAX - 8));
    mf_arena_reset(&a);
    assert_int_equal(mf_arena_used(&a), 0);
    assert_non_null(mf_alloc(&a, 1 << 16));
    assert_null(mf_alloc(&a, 1));
}

static void absurd_sizes_do_not_wrap(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, SIZE_MAX);
    assert_null(mf_alloc(&a, SIZE_MAX));
    assert_null(mf_alloc(&a, SIZE_MAX - 4));
    assert_null(mf_alloc_array(&a, SIZE_MAX / 2, 3));
    assert_null(mf_memdup_a(&a, "", SIZE_MAX));
    assert_int_equal(mf_arena_used(&a), 0);
    assert_non_null(mf_alloc(&a, 0));
}

static void reset_keeps_one_chunk_and_not_a_huge_one(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 64 << 20);
    for (int i = 0; i < 1000; i++) {
        assert_non_null(mf_alloc(&a, 1000));
    }
    assert_non_null(mf_alloc(&a, 32 << 20));
    assert_true(a.held > 32 << 20);
    mf_arena_reset(&a);
    assert_true(a.held > 0);
    assert_true(a.held <= 1 << 20);
    size_t held = a.held;
    for (int i = 0; i < 10; i++) {
        assert_non_null(mf_alloc(&a, 1000));
        mf_arena_reset(&a);
        assert_int_equal(a.held, held);
    }
}

static void a_large_piece_does_not_waste_the_open_chunk(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 64 << 20);
    char *small = mf_alloc(&a, 16);
    assert_non_null(mf_alloc(&a, 5 << 20));
    char *next = mf_alloc(&a, 16);
    assert_ptr_equal(next, small + 16);
}

static void copies_end_with_a_nul(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 1 << 16);
    assert_string_equal(mf_strdup_a(&a, "hello"), "hello");
    assert_string_equal(mf_memdup_a(&a, "hello", 2), "he");
    assert_string_equal(mf_memdup_a(&a, NULL, 0), "");
    assert_string_equal(mf_printf_a(&a, "%d-%s", 5, "x"), "5-x");
    char *zero = mf_alloc0(&a, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zero[i], 0);
    }
}

static void alloc0_clears_memory_used_before(void **state)
{
    (void)state;
    MF_CLEANUP_ARENA struct mf_arena a;
    mf_arena_init(&a, 1 << 16);
    memset(mf_alloc(&a, 1000), 0xaa, 1000);
    mf_arena_reset(&a);
    unsigned char *p = mf_alloc_array(&a, 10, 100);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(p[i], 0);
    }
}

static void free_accepts_null_and_zero(void **state)
{
    (void)state;
    struct mf_arena a = {0};
    mf_arena_free(NULL);
    mf_arena_free(&a);
    assert_null(mf_alloc(&a, 1));
    mf_arena_init(&a, 100);
    assert_non_null(mf_alloc(&a, 10));
    mf_arena_free(&a);
    assert_non_null(mf_alloc(&a, 10));
    mf_arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(maximum_is_kept),
        cmocka_unit_test(absurd_sizes_do_not_wrap),
        cmocka_unit_test(reset_keeps_one_chunk_and_not_a_huge_one),
        cmocka_unit_test(a_large_piece_does_not_waste_the_open_chunk),
        cmocka_unit_test(copies_end_with_a_nul),
        cmocka_unit_test(alloc0_clears_memory_used_before),
        cmocka_unit_test(free_accepts_null_and_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
