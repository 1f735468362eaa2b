/* What is changed of a source's definitions, and what is not. */
#include "mf_test.h"

#include "base/cleanup.h"
#include "connector/mysql/schema_mend.h"

#include <string.h>

static bool old_names(void *ctx, const char *name)
{
    (void)ctx;
    return strncmp(name, "utf8_", 5) == 0;
}

static bool new_names(void *ctx, const char *name)
{
    (void)ctx;
    return strncmp(name, "utf8mb3_", 8) == 0;
}

static const struct my_mend mysql_57 = {.version = 50719, .has_collation = old_names},
                            mysql_80 = {.version = 80045, .has_collation = new_names},
                            maria = {.mariadb = true, .version = 101119, .has_collation = new_names};

static const char *of_source(void *ctx, const char *charset)
{
    (void)ctx;
    return strcmp(charset, "utf8mb4") == 0 ? "utf8mb4_general_ci"
           : strcmp(charset, "utf8") == 0  ? "utf8_general_ci"
                                           : NULL;
}

static const struct my_mend from_57 = {.version = 80045, .has_collation = new_names, .default_collation = of_source};

static void tail(const struct my_mend *m, const char *text, const char *want, const char *want_told)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    char told[200];
    my_mend_tail(m, (struct my_piece){text, strlen(text)}, &b, told, sizeof told);
    assert_string_equal(mf_buf_str(&b), want);
    assert_string_equal(told, want_told);
}

static void what_is_of_the_sources_files_stays_behind(void **state)
{
    (void)state;
    tail(&mysql_80, "ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=latin1", "ENGINE=InnoDB DEFAULT CHARSET=latin1",
         "");
    tail(&mysql_80, "ENGINE=InnoDB DATA DIRECTORY='/mnt/it''s/' INDEX DIRECTORY='/x/'", "ENGINE=InnoDB",
         "DATA DIRECTORY, INDEX DIRECTORY");
    tail(&mysql_80, "ENGINE=InnoDB ROW_FORMAT=FIXED COMMENT='x'", "ENGINE=InnoDB COMMENT='x'", "ROW_FORMAT=FIXED");
    tail(&mysql_80, "ENGINE=InnoDB ROW_FORMAT=DYNAMIC", "ENGINE=InnoDB ROW_FORMAT=DYNAMIC", "");
    tail(&mysql_80, "/*!50100 TABLESPACE `my ts` */ ENGINE=InnoDB", "/*!50100 */ ENGINE=InnoDB", "TABLESPACE");
    tail(&mysql_80,
         "ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (id)\n(PARTITION p0 DATA DIRECTORY = '/a' ENGINE = InnoDB,\n"
         " PARTITION p1 DATA DIRECTORY = '/b' ENGINE = InnoDB) */",
         "ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (id)\n(PARTITION p0 ENGINE = InnoDB,\n"
         " PARTITION p1 ENGINE = InnoDB) */",
         "DATA DIRECTORY");
}

static void what_only_looks_like_it_stays(void **state)
{
    (void)state;
    tail(&mysql_80, "COMMENT='AUTO_INCREMENT=5 utf8_bin' X=`utf8_bin`",
         "COMMENT='AUTO_INCREMENT=5 utf8_bin' X=`utf8_bin`", "");
    tail(&mysql_80, "(PARTITION tablespace VALUES LESS THAN (3), PARTITION data VALUES IN (1))",
         "(PARTITION tablespace VALUES LESS THAN (3), PARTITION data VALUES IN (1))", "");
    tail(&mysql_80, "AUTO_INCREMENT", "AUTO_INCREMENT", "");
    tail(&mysql_80, "", "", "");
}

static void a_collation_has_the_targets_name(void **state)
{
    (void)state;
    tail(&mysql_80, "COLLATE=utf8_unicode_ci", "COLLATE=utf8mb3_unicode_ci", "");
    tail(&mysql_57, "COLLATE=utf8mb3_bin", "COLLATE=utf8_bin", "");
    tail(&mysql_57, "COLLATE=utf8_bin", "COLLATE=utf8_bin", "");
    tail(&mysql_57, "DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb4_0900_ai_ci",
         "DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb4_0900_ai_ci", "");
}

/* What the source's server leaves out is said, because the target's would take its own default. */
static void a_collation_that_is_not_said_is_the_sources(void **state)
{
    (void)state;
    tail(&from_57, "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
         "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci", "");
    tail(&from_57, "DEFAULT CHARSET=utf8mb4 COMMENT='x'",
         "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='x'", "");
    tail(&from_57, "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin", "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin", "");
    tail(&from_57, "`a` text CHARACTER SET utf8 NOT NULL COMMENT 'CHARACTER SET utf8'",
         "`a` text CHARACTER SET utf8 COLLATE utf8mb3_general_ci NOT NULL COMMENT 'CHARACTER SET utf8'", "");
    tail(&from_57, "`a` text CHARACTER SET utf8 COLLATE utf8_bin", "`a` text CHARACTER SET utf8 COLLATE utf8mb3_bin",
         "");
    tail(&from_57, "`CHARACTER` SET utf8, x CHARACTER SET latin9", "`CHARACTER` SET utf8, x CHARACTER SET latin9", "");
    tail(&from_57, "CHARACTER SET", "CHARACTER SET", "");
    tail(&from_57, "CHARSET=", "CHARSET=", "");
}

static void modes(const struct my_mend *m, const char *list, const char *want, const char *want_told)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    char told[200];
    my_mend_modes(m, list, &b, told, sizeof told);
    assert_string_equal(mf_buf_str(&b), want);
    assert_string_equal(told, want_told);
}

static void modes_that_the_target_does_not_know_are_left_out(void **state)
{
    (void)state;
    modes(&mysql_80, "STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION",
          "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", "");
    modes(&mysql_57, "NO_AUTO_CREATE_USER,ORACLE", "NO_AUTO_CREATE_USER,ORACLE", "");
    modes(&mysql_80, "ORACLE,DB2", "", "ORACLE, DB2");
    modes(&maria, "TIME_TRUNCATE_FRACTIONAL,ANSI_QUOTES", "ANSI_QUOTES", "TIME_TRUNCATE_FRACTIONAL");
    modes(&mysql_80, "", "", "");
}

static void definers(void **state)
{
    (void)state;
    char account[100];
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    static const char view[] =
        "CREATE ALGORITHM=UNDEFINED DEFINER=`a``b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=x'";
    my_definer(view, account, sizeof account);
    assert_string_equal(account, "`a``b`@`%`");
    my_without_definer(view, &b);
    assert_string_equal(mf_buf_str(&b),
                        "CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=x'");
    mf_buf_reset(&b);
    static const char bare[] = "CREATE PROCEDURE `p`(DEFINER INT) SELECT DEFINER=1";
    my_definer(bare, account, sizeof account);
    assert_string_equal(account, "");
    my_without_definer(bare, &b);
    assert_string_equal(mf_buf_str(&b), bare);
}

static void event(const char *text, const char *want, bool enabled)
{
    MF_CLEANUP_BUF struct mf_buf b = {.max = 4096};
    struct mf_error err = {0};
    bool was = !enabled;
    if (!want) {
        assert_mf_fails(my_event_disabled(text, &b, &was, &err), &err, MF_FATAL, "another form");
        return;
    }
    assert_mf_ok(my_event_disabled(text, &b, &was, &err), &err);
    assert_string_equal(mf_buf_str(&b), want);
    assert_int_equal(was, enabled);
}

static void events_are_made_disabled(void **state)
{
    (void)state;
    event("CREATE DEFINER=`r`@`h` EVENT `PRESERVE ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE DO "
          "SELECT 1",
          "CREATE DEFINER=`r`@`h` EVENT `PRESERVE ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE DISABLE "
          "DO SELECT 1",
          true);
    event("… ON COMPLETION PRESERVE DISABLE ON SLAVE COMMENT 'ENABLE' DO x",
          "… ON COMPLETION PRESERVE DISABLE COMMENT 'ENABLE' DO x", false);
    event("… ON COMPLETION PRESERVE DISABLE DO x", "… ON COMPLETION PRESERVE DISABLE DO x", false);
    event("… ON COMPLETION PRESERVE DO ENABLE", NULL, false);
    event("", NULL, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_of_the_sources_files_stays_behind),
        cmocka_unit_test(what_only_looks_like_it_stays),
        cmocka_unit_test(a_collation_has_the_targets_name),
        cmocka_unit_test(a_collation_that_is_not_said_is_the_sources),
        cmocka_unit_test(modes_that_the_target_does_not_know_are_left_out),
        cmocka_unit_test(definers),
        cmocka_unit_test(events_are_made_disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
