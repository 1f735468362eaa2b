#include "api/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

int mf_api_socket_path(const char *state_dir, char *path, size_t n, int *ret_dirfd, struct mf_error *err)
{
    const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    int len = snprintf(path, n, "%s/" MF_API_SOCKET, state_dir);
    *ret_dirfd = -1;
    if (len > 0 && (size_t)len < room && (size_t)len < n) {
        return 0;
    }
    int fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return mf_fail(err, MF_FATAL, "MFSOCK", "cannot open the state directory %s: %s", state_dir, strerror(errno));
    }
    snprintf(path, n, "/proc/self/fd/%d/" MF_API_SOCKET, fd);
    *ret_dirfd = fd;
    return 0;
}
