/* Talking to the running migration: HTTP over the Unix socket in its state directory. */
#include "cli/command.h"

#include "api/socket.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A reply: a verification names 10,000 rows at most, each with a key of a few hundred bytes. */
#define REPLY_MAX ((size_t)64 * 1024 * 1024)

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
    return mf_buf_append(ctx, data, size * n) < 0 ? 0 : size * n;
}

static enum mf_errclass class_of(const char *name)
{
    for (int c = MF_RETRY; c <= MF_CRASH; c++) {
        if (mf_streq(mf_errclass_name((enum mf_errclass)c), name)) {
            return (enum mf_errclass)c;
        }
    }
    return MF_FATAL;
}

static int not_running(const char *dir, struct mf_error *err)
{
    return mf_fail(err, MF_FATAL, "MFNORUN", "no migration runs in %s", dir);
}

static int failed(const char *dir, CURLcode rc, struct mf_error *err)
{
    if (rc == CURLE_COULDNT_CONNECT) {
        return not_running(dir, err);
    }
    if (rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR || rc == CURLE_PARTIAL_FILE) {
        mf_fail(err, MF_FATAL, "MFGONE", "the run in %s ended before it answered; what it was asked may be done or not",
                dir);
        mf_hint(err, "start it again with `midflight run` and look with `midflight status`");
        return -1;
    }
    return mf_fail(err, MF_FATAL, "MFCTL", "cannot talk to the run in %s: %s", dir, curl_easy_strerror(rc));
}

static int answer(long status, json_t *doc, json_t **ret, struct mf_error *err)
{
    if (status >= 200 && status < 300 && doc) {
        *ret = doc;
        return 0;
    }
    if (doc && mf_json_at(doc, "error")) {
        mf_fail(err, class_of(mf_json_str(doc, "error.class")), mf_json_str(doc, "error.code"), "%s",
                mf_json_str(doc, "error.text"));
        if (mf_json_str(doc, "error.hint")[0]) {
            mf_hint(err, "%s", mf_json_str(doc, "error.hint"));
        }
    } else {
        mf_fail(err, MF_FATAL, "MFCTL", "the run answered %ld with something that is not a document of ours", status);
    }
    json_decref(doc);
    return -1;
}

static CURLcode perform(CURL *curl, const char *socket_path, const char *method, const char *url, const char *body,
                        struct mf_buf *reply)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    if (mf_streq(method, "POST")) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body ? body : "{}");
    } else {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT,
                         strstr(url, "/v1/fence") ? 75L : 30L); /* a fence waits for up to 60 s */
    }
    CURLcode rc = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    return rc;
}

int mf_control(const char *state_dir, const char *method, const char *path, json_t *body, json_t **ret_reply,
               struct mf_error *err)
{
    char socket_path[128];
    MF_CLEANUP_FD int dirfd = -1;
    MF_CLEANUP_BUF struct mf_buf reply = {0};
    MF_CLEANUP_FREE char *url = mf_xasprintf("http://midflight%s", path);
    MF_CLEANUP_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    long status = 0;
    mf_buf_init(&reply, REPLY_MAX);
    if (access(state_dir, F_OK) != 0) {
        return not_running(state_dir, err);
    }
    if (mf_api_socket_path(state_dir, socket_path, sizeof(socket_path), &dirfd, err) < 0) {
        return -1;
    }
    CURL *curl = curl_easy_init();
    if (!curl) {
        return mf_fail(err, MF_FATAL, "MFMEM", "out of memory");
    }
    CURLcode rc = perform(curl, socket_path, method, url, text, &reply);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK) {
        return failed(state_dir, rc, err);
    }
    return answer(status, json_loadb(mf_buf_str(&reply), reply.len, 0, NULL), ret_reply, err);
}

int mf_control_post(const struct mf_args *a, const char *path, json_t *body, json_t **ret_reply, struct mf_error *err)
{
    MF_CLEANUP_FREE char *dir = NULL;
    int rc = mf_cli_state_dir(a, &dir, err);
    if (rc == 0) {
        rc = mf_control(dir, "POST", path, body, ret_reply, err);
    }
    json_decref(body);
    if (rc < 0 && mf_streq(err->code, "MFNORUN")) {
        mf_hint(err, "start it with `midflight run`, or name its state directory with --state DIR");
    }
    return rc;
}
