/* conformance memory | conformance postgres|mysql SOURCE_URL TARGET_URL [TEST_PATTERN] */
#include "conformance.h"

#include "base/str.h"

const struct conf_fixture *F;

int main(int argc, char **argv)
{
    if (argc >= 2 && mf_streq(argv[1], "memory")) {
        F = conf_memory();
    } else if (argc >= 4 && mf_streq(argv[1], "postgres")) {
        F = conf_postgres(argv[2], argv[3]);
    } else if (argc >= 4 && mf_streq(argv[1], "mysql")) {
        F = conf_mysql(argv[2], argv[3]);
    } else {
        fprintf(stderr, "usage: conformance memory | postgres|mysql SOURCE_URL TARGET_URL [TEST_PATTERN]\n");
        return 2;
    }
    const char *only = argv[argc - 1];
    if (argc == 5 || (argc == 3 && mf_streq(argv[1], "memory"))) {
        cmocka_set_test_filter(only);
    }
    int failed = 0;
    failed += _cmocka_run_group_tests("read", conf_read_tests, conf_read_count, NULL, NULL);
    failed += _cmocka_run_group_tests("stream", conf_stream_tests, conf_stream_count, NULL, NULL);
    failed += _cmocka_run_group_tests("target", conf_target_tests, conf_target_count, NULL, NULL);
    failed += _cmocka_run_group_tests("traffic", conf_traffic_tests, conf_traffic_count, NULL, NULL);
    return failed ? 1 : 0;
}
