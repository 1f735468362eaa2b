/* The Unix socket of a state directory: where the API of the running migration listens. */
#ifndef MF_API_SOCKET_H
#define MF_API_SOCKET_H

#include <stddef.h>

#include "base/error.h"

#define MF_API_SOCKET "api.sock"

/* A socket's address has room for 107 bytes of path. A longer one is reached through /proc/self/fd and a descriptor of
 * the directory, which stays open for as long as the path is used: *ret_dirfd, -1 when none was needed, the caller's to
 * close. path has room for n >= 108 bytes. */
int mf_api_socket_path(const char *state_dir, char *path, size_t n, int *ret_dirfd, struct mf_error *err);

#endif
