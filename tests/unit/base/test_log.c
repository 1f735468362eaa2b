#include "mf_test.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int sink = -1;
static char text[1 << 20];

static int open_sink(void **state)
{
    (void)state;
    sink = memfd_create("log", 0);
    return sink < 0 ? -1 : 0;
}

static int close_sink(void **state)
{
    (void)state;
    mf_log_setup(MF_LOG_AUTO, MF_INFO, STDERR_FILENO);
    return close(sink);
}

static const char *written(void)
{
    ssize_t n = pread(sink, text, sizeof(text) - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void text_is_one_line_a_message(void **state)
{
    (void)state;
    mf_log_setup(MF_LOG_TEXT, MF_INFO, sink);
    mf_log(MF_WARN, "copy", "slow: %d", 7);
    assert_non_null(strstr(written(), " warning copy: slow: 7\n"));
}

static void levels_below_are_dropped(void **state)
{
    (void)state;
    mf_log_setup(MF_LOG_TEXT, MF_WARN, sink);
    mf_log(MF_INFO, "copy", "hidden");
    mf_log(MF_DEBUG, "copy", "hidden");
    assert_string_equal(written(), "");
    assert_false(mf_log_enabled(MF_INFO));
    mf_log_set_level(MF_DEBUG);
    mf_log(MF_DEBUG, "copy", "shown");
    assert_non_null(strstr(written(), "shown"));
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    mf_log_setup(MF_LOG_TEXT, MF_INFO, sink);
    mf_log(MF_INFO, "copy", "%s", "a\x1b[31mb\nfake: line\r");
    const char *s = written();
    assert_null(strchr(s, '\x1b'));
    assert_null(strchr(s, '\r'));
    assert_ptr_equal(strchr(s, '\n'), s + strlen(s) - 1);
}

static void json_parses_whatever_the_bytes(void **state)
{
    (void)state;
    char all[256];
    for (int i = 1; i < 256; i++) {
        all[i - 1] = (char)i;
    }
    all[255] = '\0';
    mf_log_setup(MF_LOG_AUTO, MF_INFO, sink); /* no terminal: JSON */
    mf_log(MF_INFO, "copy", "%s", all);
    json_error_t bad;
    json_t *line = json_loads(written(), 0, &bad);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(line, "area")), "copy");
    assert_memory_equal(json_string_value(json_object_get(line, "message")), all, 127);
    json_decref(line);
}

static void errors_come_with_code_and_hint(void **state)
{
    (void)state;
    struct mf_error err = {0};
    mf_fail(&err, MF_FATAL, "55006", "slot \"s\" is active");
    mf_hint(&err, "stop the other run");
    mf_log_setup(MF_LOG_JSON, MF_INFO, sink);
    mf_log_error("stream", &err);
    json_t *line = json_loads(written(), 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(line, "class")), "fatal");
    assert_string_equal(json_string_value(json_object_get(line, "code")), "55006");
    assert_string_equal(json_string_value(json_object_get(line, "hint")), "stop the other run");
    json_decref(line);
    assert_int_equal(ftruncate(sink, 0), 0);
    assert_int_equal(lseek(sink, 0, SEEK_SET), 0);
    mf_log_setup(MF_LOG_TEXT, MF_INFO, sink);
    mf_log_error_at(MF_WARN, "stream", &err);
    assert_non_null(strstr(written(), "warning stream: slot \"s\" is active [55006]\n"));
    assert_non_null(strstr(written(), "hint: stop the other run\n"));
}

static void *chatter(void *arg)
{
    for (int i = 0; i < 200; i++) {
        mf_log(MF_INFO, "crowd", "%s", (const char *)arg);
    }
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static const char *const words[] = {"aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc"};
    pthread_t threads[MF_ARRAY_LEN(words)];
    mf_log_setup(MF_LOG_JSON, MF_INFO, sink);
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        pthread_create(&threads[i], NULL, chatter, (void *)(uintptr_t)words[i]);
    }
    for (size_t i = 0; i < MF_ARRAY_LEN(words); i++) {
        pthread_join(threads[i], NULL);
    }
    written();
    size_t lines = 0;
    char *save = NULL;
    for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
        json_t *line = json_loads(s, 0, NULL);
        assert_non_null(line);
        json_decref(line);
        lines++;
    }
    assert_int_equal(lines, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_is_one_line_a_message, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(levels_below_are_dropped, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(control_characters_do_not_reach_the_terminal, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(json_parses_whatever_the_bytes, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(errors_come_with_code_and_hint, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(lines_of_threads_do_not_mix, open_sink, close_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
