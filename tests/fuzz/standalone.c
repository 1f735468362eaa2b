/*
 * Runs a fuzz target without libFuzzer: every seed in the folder named by the first argument (or the files named by
 * all of them), every cut of a seed, and mutations made by a generator with a fixed start, so that a failure comes
 * back on the next run. FUZZ_RUNS in the environment sets how many mutations a seed gets.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX ((size_t)64 * 1024)

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* From an allocation of exactly that size, so that a checker sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        abort();
    }
    if (size) {
        memcpy(copy, data, size);
    }
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static size_t mutate(uint8_t *data, size_t size)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '\'', '"', '\\', '%', ':', '@'};
    for (uint64_t n = next_random() % 4 + 1; n; n--) {
        size_t at = size ? next_random() % size : 0;
        switch (next_random() % 5) {
        case 0:
            if (size) {
                data[at] ^= (uint8_t)(1u << next_random() % 8);
            }
            break;
        case 1:
            if (size) {
                data[at] = edges[next_random() % sizeof(edges)];
            }
            break;
        case 2:
            size = at;
            break;
        case 3:
            if (size < INPUT_MAX) {
                memmove(data + at + 1, data + at, size - at);
                data[at] = (uint8_t)next_random();
                size++;
            }
            break;
        default:
            if (size) {
                memmove(data + at, data + at + 1, size - at - 1);
                size--;
            }
            break;
        }
    }
    return size;
}

static void run_seed(const uint8_t *seed, size_t size, unsigned long mutations)
{
    static uint8_t work[INPUT_MAX + 1];
    run(seed, size);
    for (size_t cut = 0; cut < size && cut < 4096; cut++) {
        run(seed, cut);
    }
    for (unsigned long i = 0; i < mutations; i++) {
        memcpy(work, seed, size);
        run(work, mutate(work, size));
    }
}

static void run_file(const char *path, unsigned long mutations)
{
    static uint8_t seed[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    size_t size = fread(seed, 1, sizeof(seed), f);
    fclose(f);
    run_seed(seed, size, mutations);
}

static void run_folder(const char *path, unsigned long mutations)
{
    DIR *d = opendir(path);
    if (!d) {
        return; /* a target without seeds starts from nothing */
    }
    for (struct dirent *e; (e = readdir(d));) {
        char file[4096];
        struct stat st;
        int n = snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        if (n > 0 && (size_t)n < sizeof(file) && stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            run_file(file, mutations);
        }
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    const char *runs = getenv("FUZZ_RUNS");
    unsigned long mutations = runs ? strtoul(runs, NULL, 10) : 2000;
    run_seed((const uint8_t *)"", 0, mutations);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISREG(st.st_mode)) {
            run_file(argv[i], mutations);
        } else {
            run_folder(argv[i], mutations);
        }
    }
    return 0;
}
