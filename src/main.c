#include "cli/cli.h"

#include <malloc.h>
#include <stdlib.h>

#define LARGE (4 << 20) /* bytes: above the buffers of ordinary work, below a value that is called large */

int main(int argc, char **argv)
{
#ifdef M_MMAP_THRESHOLD
    /* What is freed of a large value goes back to the system at once. Left alone, malloc takes the first that is freed
     * as the measure and keeps the next ones, each thread for itself. */
    mallopt(M_MMAP_THRESHOLD, LARGE);
#endif
    /* libmongoc keeps counters in /dev/shm, where a process that is killed leaves them. Before any thread reads the
     * environment. */
    setenv("MONGOC_DISABLE_SHM", "1", 1);
    return mf_cli_main(argc, argv);
}
