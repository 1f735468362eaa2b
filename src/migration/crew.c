/* Threads: crews of workers that share one stepper, and single jobs that block for long. */
#include "migration/internal.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_MOST_MS  10000

static void pause_ms(struct mf_crew *crew, int ms)
{
    for (int64_t until = mf_now_us() + ms * 1000LL; mf_now_us() < until && !crew->stop && !crew->failed;) {
        struct timespec t = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&t, NULL);
    }
}

/* The control thread need not sleep its pause out: something has ended. */
static void wake_control(struct mf_migration *m)
{
    pthread_mutex_lock(&m->request_lock);
    pthread_cond_broadcast(&m->request_changed);
    pthread_mutex_unlock(&m->request_lock);
}

struct seat {
    struct mf_crew *crew;
    int worker;
};

/* One worker: steps until done. A lost connection is tried again, with growing pauses, for retry_ms; anything else ends the crew. */
static void *work(void *arg)
{
    struct seat seat = *(struct seat *)arg;
    free(arg);
    struct mf_crew *crew = seat.crew;
    int64_t failing_since = 0;
    int wait = PAUSE_FIRST_MS;
    while (!crew->stop && !crew->failed) {
        struct mf_error err = {0};
        enum mf_step step = crew->step(crew->m, seat.worker, &err);
        if (step == MF_STEP_DONE) {
            break;
        }
        if (step == MF_STEP_MORE) {
            failing_since = 0;
            wait = PAUSE_FIRST_MS;
        } else if (step == MF_STEP_IDLE) {
            pause_ms(crew, 20);
        } else {
            failing_since = failing_since ? failing_since : mf_now_us();
            bool again = err.cls == MF_RETRY && mf_now_us() - failing_since < crew->m->config->retry_ms * 1000;
            if (!again) {
                pthread_mutex_lock(&crew->lock);
                if (!crew->failed) {
                    crew->err = err;
                }
                crew->failed = true;
                pthread_mutex_unlock(&crew->lock);
                break;
            }
            mf_log_error_at(MF_WARN, "migration", &err);
            pause_ms(crew, wait);
            wait = wait * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : wait * 2;
        }
    }
    atomic_fetch_sub(&crew->left, 1);
    wake_control(crew->m);
    return NULL;
}

int mf_crew_start(struct mf_crew *crew, struct mf_migration *m, int n,
                  enum mf_step (*step)(struct mf_migration *, int, struct mf_error *), struct mf_error *err)
{
    crew->m = m;
    crew->step = step;
    crew->stop = crew->failed = false;
    crew->n = 0;
    pthread_mutex_init(&crew->lock, NULL);
    for (int i = 0; i < n; i++) {
        struct seat *seat = mf_xmalloc(sizeof *seat);
        *seat = (struct seat){crew, i};
        atomic_fetch_add(&crew->left, 1);
        if (pthread_create(&crew->threads[i], NULL, work, seat) != 0) {
            free(seat);
            atomic_fetch_sub(&crew->left, 1);
            mf_crew_stop(crew);
            return mf_fail(err, MF_RETRY, "MFTHREAD", "no thread could be made for worker %d", i);
        }
        crew->n++;
    }
    return 0;
}

static void join(struct mf_crew *crew)
{
    for (int i = 0; i < crew->n; i++) {
        pthread_join(crew->threads[i], NULL);
    }
    crew->n = 0;
}

bool mf_crew_finished(struct mf_crew *crew)
{
    if (crew->left > 0) {
        return false;
    }
    join(crew);
    return true;
}

void mf_crew_stop(struct mf_crew *crew)
{
    crew->stop = true;
    join(crew);
}

static void *run_job(void *arg)
{
    struct mf_migration *m = arg;
    m->job.rc = m->job.work(m, &m->job.err);
    m->job.done = true;
    wake_control(m);
    return NULL;
}

enum mf_step mf_job_step(struct mf_migration *m, int (*work_fn)(struct mf_migration *, struct mf_error *),
                         struct mf_error *err)
{
    struct mf_job *job = &m->job;
    if (!job->running) {
        job->work = work_fn;
        job->done = false;
        job->err = (struct mf_error){0};
        if (pthread_create(&job->thread, NULL, run_job, m) != 0) {
            mf_fail(err, MF_RETRY, "MFTHREAD", "no thread could be made");
            return MF_STEP_FAILED;
        }
        job->running = true;
        return MF_STEP_IDLE;
    }
    if (!job->done) {
        return MF_STEP_IDLE;
    }
    mf_job_wait(m);
    if (job->rc < 0) {
        *err = job->err;
        return MF_STEP_FAILED;
    }
    return MF_STEP_MORE;
}

void mf_job_wait(struct mf_migration *m)
{
    if (m->job.running) {
        pthread_join(m->job.thread, NULL);
        m->job.running = false;
    }
}
