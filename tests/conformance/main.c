/* conformance memory|faces|stamped [TEST_PATTERN] | conformance postgres|mysql|pair SOURCE_URL TARGET_URL [TEST_PATTERN] */
#include "conformance.h"

#include "base/str.h"

const struct conf_fixture *F;

/* The fixture of one database, for its side of a pair. */
static const struct conf_fixture *conf_one(const char *url)
{
    return mf_starts_with(url, "cassandra") ? conf_cassandra(url)
           : mf_starts_with(url, "mysql")   ? conf_mysql(url, url)
                                            : conf_postgres(url, url);
}

int main(int argc, char **argv)
{
    bool stamped =
        argc >= 2 && mf_streq(argv[1], "stamped"); /* the target keeps the last write: what it is asked instead */
    bool memory = stamped || (argc >= 2 && (mf_streq(argv[1], "memory") || mf_streq(argv[1], "faces")));
    if (memory) {
        F = conf_memory(mf_streq(argv[1], "faces"), stamped);
    } else if (argc >= 4 && mf_streq(argv[1], "postgres")) {
        F = conf_postgres(argv[2], argv[3]);
    } else if (argc >= 4 && mf_streq(argv[1], "mysql")) {
        F = conf_mysql(argv[2], argv[3]);
    } else if (argc >= 4 && mf_streq(argv[1], "pair")) {
        F = conf_pair(conf_one(argv[2]), conf_one(argv[3]));
        stamped = mf_starts_with(argv[3], "cassandra");
    } else {
        fprintf(stderr,
                "usage: conformance memory|faces|stamped | postgres|mysql|pair SOURCE_URL TARGET_URL [TEST_PATTERN]\n");
        return 2;
    }
    const char *only = argv[argc - 1];
    if (argc == 5 || (argc == 3 && memory)) {
        cmocka_set_test_filter(only);
    }
    int failed = 0;
    if (stamped) {
        return _cmocka_run_group_tests("stamped", conf_stamped_tests, conf_stamped_count, NULL, NULL) ? 1 : 0;
    }
    failed += _cmocka_run_group_tests("read", conf_read_tests, conf_read_count, NULL, NULL);
    failed += _cmocka_run_group_tests("stream", conf_stream_tests, conf_stream_count, NULL, NULL);
    failed += _cmocka_run_group_tests("load", conf_load_tests, conf_load_count, NULL, NULL);
    failed += _cmocka_run_group_tests("target", conf_target_tests, conf_target_count, NULL, NULL);
    failed += _cmocka_run_group_tests("together", conf_together_tests, conf_together_count, NULL, NULL);
    failed += _cmocka_run_group_tests("traffic", conf_traffic_tests, conf_traffic_count, NULL, NULL);
    return failed ? 1 : 0;
}
