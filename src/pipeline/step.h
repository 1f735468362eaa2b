/* Every stage is a stepper: one call does a bounded piece of work and says how it went. A thread that calls it in a loop is
 * production; a seeded scheduler that calls many in turn is the simulation. A stepper never sleeps longer than the timeout it is given. */
#ifndef MF_PIPELINE_STEP_H
#define MF_PIPELINE_STEP_H

enum mf_step {
    MF_STEP_MORE,   /* did something; call again */
    MF_STEP_IDLE,   /* nothing to do now */
    MF_STEP_DONE,   /* finished for good */
    MF_STEP_FAILED, /* see err. MF_RETRY: its connection is closed, the next call opens a new one; the caller backs off and bounds the tries */
};

#endif
