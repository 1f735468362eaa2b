/* What engine_glue.c (the process and its phases) and goals.c (what the operator asks for) share. */
#ifndef ENGINE_H
#define ENGINE_H

#include "config/config.h"
#include "cutover/cutover.h"
#include "map/map.h"
#include "pipeline/copy.h"
#include "pipeline/pipe.h"
#include "sim.h"
#include "verify/verify.h"

enum phase { PREPARE, SCHEMA, COPY, KEYS, CATCH_UP, INDEXES, REVERSE, SYNCED, ENDING };

struct engine {
    struct world *w;
    struct mf_db *db[2];
    struct mf_pipe_id id[2];
    struct mf_catalog tables[2];
    struct mf_map *map[2]; /* by direction */
    struct mf_pipe *pipe[2];
    struct mf_copy *copy;
    struct mf_copy_worker *copiers[2];
    bool copied[2];
    struct mf_verify *verify;
    bool verified[2];
    struct mf_verify *pass;
    bool passed[2]; /* its workers are done */
    struct mf_position pass_at;
    int64_t pass_began_us;
    bool away; /* writers were asked to stay away */
    struct mf_cutover *cutover;
    bool unsettled; /* a cutover failed after its decision */
    enum phase phase;
    struct mf_config config;
    struct mf_position drain; /* what drained() waits for */
    bool found_fault;         /* this process began after the corruption */
    int stage;                /* inside a goal */
};

/* engine_glue.c */
bool engine_writes_on_target(struct engine *e);
struct mf_pipe *engine_live(struct engine *e);
struct mf_cutover_options engine_cutover_options(struct engine *e, bool back);
int engine_resume(struct engine *e, struct mf_error *err);
/* passes.c */
enum mf_step engine_pass(void *engine, struct mf_cutover_found *ret_found, struct mf_error *err);
void engine_stop_pass(struct engine *e);
bool engine_pass_step(struct engine *e, int worker, struct mf_error *err);
int engine_tend_passes(struct engine *e, struct mf_error *err);
void engine_flag(struct engine *e); /* what the writes flag answers now */

void engine_close_copy(struct engine *e);
void engine_close_verify(struct engine *e);
void engine_close_pipes(struct engine *e);
int engine_enter(struct engine *e, enum phase p, struct mf_error *err);
int engine_next_phase(struct engine *e, struct mf_error *err); /* 0 goes on, 1 waits, -1 failed */

/* goals.c: one step of the operator's, -1 when it failed */
int engine_control(struct engine *e, struct mf_error *err);

#endif
