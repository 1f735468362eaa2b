/*
 * A bounded blocking queue of pointers between threads: what joins the stages of the pipeline.
 *
 * Any number of producers and consumers. A full queue holds the producer back, which is how a slow target slows the
 * copy instead of filling memory. Closing wakes everyone: pushes are refused, pops go on until it is empty. A pointer
 * popped is the popper's; what is left at free is handed to the drop function.
 */
#ifndef MF_BASE_QUEUE_H
#define MF_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_queue;

/* capacity >= 1 items. drop may be NULL (items are then forgotten at free). NULL only when out of memory. */
struct mf_queue *mf_queue_new(size_t capacity, void (*drop)(void *item));
/* No thread may be inside any more. Accepts NULL. */
void mf_queue_free(struct mf_queue *q);

/* Blocks while full. 0, or -1 when closed: the item then stays the caller's. */
int mf_queue_push(struct mf_queue *q, void *item);
/* As push, for at most timeout_us. 0; 1 when still full; -1 when closed. */
int mf_queue_push_timed(struct mf_queue *q, void *item, int64_t timeout_us);
/* Blocks while empty. 0 and an item, or -1 when closed and empty. */
int mf_queue_pop(struct mf_queue *q, void **ret_item);
/* As pop, for at most timeout_us (0: do not wait). 0 and an item; 1 when still empty; -1 when closed and empty. */
int mf_queue_pop_timed(struct mf_queue *q, void **ret_item, int64_t timeout_us);

/* May be called more than once, from any thread. */
void mf_queue_close(struct mf_queue *q);
bool mf_queue_closed(struct mf_queue *q);
/* Items in it at this moment. */
size_t mf_queue_len(struct mf_queue *q);

#endif
