/*
 * TLS, and reading and writing with and without it. require: encrypted, to whoever answers; verify-ca: a certificate of the authorities in `ca`
 * (or the system's); verify-full: and for the very host, by the name that was written in the URL, or by the address the ring told.
 */
#include "connector/cassandra/cql_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *why_ssl(char *buf, size_t n)
{
    unsigned long e = ERR_get_error();
    ERR_error_string_n(e, buf, n);
    ERR_clear_error();
    return e ? buf : "the connection was closed";
}

static int bad_file(const char *what, const char *path, struct mf_error *err)
{
    char buf[256];
    return mf_fail(err, MF_USAGE, "MFTLS", "the %s %s cannot be used: %s", what, path, why_ssl(buf, sizeof(buf)));
}

static int load(SSL_CTX *x, const struct cql_settings *s, struct mf_error *err)
{
    if (s->ca ? SSL_CTX_load_verify_locations(x, s->ca, NULL) != 1 : SSL_CTX_set_default_verify_paths(x) != 1) {
        return bad_file("certificates of the authorities in", s->ca ? s->ca : "the system's folder", err);
    }
    if (s->cert && SSL_CTX_use_certificate_chain_file(x, s->cert) != 1) {
        return bad_file("certificate", s->cert, err);
    }
    if (s->key && SSL_CTX_use_PrivateKey_file(x, s->key, SSL_FILETYPE_PEM) != 1) {
        return bad_file("key", s->key, err);
    }
    return 0;
}

int cql_tls_context(const struct cql_settings *s, SSL_CTX **ret, struct mf_error *err)
{
    *ret = NULL;
    if (s->ssl == CQL_SSL_OFF) {
        return 0;
    }
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    if (!x) {
        return mf_fail(err, MF_FATAL, "MFTLS", "no TLS: out of memory");
    }
    SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION);
    SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(x, s->ssl >= CQL_SSL_VERIFY_CA ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (load(x, s, err) < 0) {
        SSL_CTX_free(x);
        return -1;
    }
    *ret = x;
    return 0;
}

static bool is_address(const char *name)
{
    struct in6_addr any;
    return inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}

int cql_tls_begin(struct cql_conn *k, struct mf_error *err)
{
    const char *name = k->address.name;
    bool address = is_address(name), full = k->c->set.ssl == CQL_SSL_VERIFY_FULL;
    k->ssl = SSL_new(k->c->tls);
    if (!k->ssl || SSL_set_fd(k->ssl, k->fd) != 1) {
        return mf_fail(err, MF_FATAL, "MFTLS", "no TLS with %s: out of memory", name);
    }
    X509_VERIFY_PARAM *p = SSL_get0_param(k->ssl);
    if (full && (address ? X509_VERIFY_PARAM_set1_ip_asc(p, name) : X509_VERIFY_PARAM_set1_host(p, name, 0)) != 1) {
        return mf_fail(err, MF_FATAL, "MFTLS", "no certificate can be for %s", name);
    }
    if (!address) {
        SSL_set_tlsext_host_name(k->ssl, name);
    }
    SSL_set_connect_state(k->ssl);
    return 0;
}

int cql_tls_shake(struct cql_conn *k, struct mf_error *err)
{
    char buf[256];
    ERR_clear_error();
    int rc = SSL_do_handshake(k->ssl), saved = errno;
    int what = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(k->ssl, rc);
    k->tls_wants_write = what == SSL_ERROR_WANT_WRITE;
    if (rc == 1 || what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
        return rc == 1;
    }
    long verify = SSL_get_verify_result(k->ssl);
    if (verify != X509_V_OK && k->c->set.ssl >= CQL_SSL_VERIFY_CA) {
        ERR_clear_error();
        mf_fail(err, MF_FATAL, "MFTLS", "the certificate of %s is not accepted: %s", k->address.name,
                X509_verify_cert_error_string(verify));
        mf_hint(err, "give the file of the authority as ca=… in the URL; verify-full also needs a certificate for that "
                     "very host");
        return -1;
    }
    const char *why = what == SSL_ERROR_SYSCALL && saved ? strerror(saved) : why_ssl(buf, sizeof(buf));
    mf_fail(err, what == SSL_ERROR_SSL ? MF_FATAL : MF_RETRY, "MFTLS", "no TLS with %s: %s", k->address.name, why);
    mf_hint(
        err,
        "does the server speak TLS on this port (client_encryption_options), and want a certificate of its clients?");
    return -1;
}

static int ended(struct cql_conn *k, const char *why, struct mf_error *err)
{
    mf_fail(err, MF_RETRY, "MFNET", "the connection to %s was lost: %s", k->address.name, why);
    if (k->state < CQL_C_READY) {
        mf_hint(err, "does the server expect TLS (ssl=require in the URL), or speak another protocol on this port?");
    }
    return -1;
}

static ssize_t tls_result(struct cql_conn *k, int rc, bool writing, struct mf_error *err)
{
    char buf[256];
    int saved = errno, what = SSL_get_error(k->ssl, rc);
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
        k->tls_wants_write = what == SSL_ERROR_WANT_WRITE && !writing;
        return 0;
    }
    return ended(k, what == SSL_ERROR_SYSCALL && saved ? strerror(saved) : why_ssl(buf, sizeof(buf)), err);
}

ssize_t cql_conn_read(struct cql_conn *k, void *p, size_t n, struct mf_error *err)
{
    if (k->ssl) {
        ERR_clear_error();
        int rc = SSL_read(k->ssl, p, (int)(n < INT32_MAX ? n : INT32_MAX));
        return rc > 0 ? rc : tls_result(k, rc, false, err);
    }
    ssize_t got = recv(k->fd, p, n, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return got > 0 ? got : ended(k, got == 0 ? "the server closed it" : strerror(errno), err);
}

ssize_t cql_conn_write(struct cql_conn *k, const void *p, size_t n, struct mf_error *err)
{
    if (k->ssl) {
        ERR_clear_error();
        int rc = SSL_write(k->ssl, p, (int)(n < INT32_MAX ? n : INT32_MAX));
        return rc > 0 ? rc : tls_result(k, rc, true, err);
    }
    ssize_t put = send(k->fd, p, n, MSG_NOSIGNAL);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return put >= 0 ? put : ended(k, strerror(errno), err);
}
