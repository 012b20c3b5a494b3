/* Bounded sleeping on words of the segment. */
#ifndef SHX_WAIT_H
#define SHX_WAIT_H

#include "ring.h"

/* Sleep until `head` (or `drained`) differs from `seen`, at most `timeout_ns`; true if it does. Spurious and early
 * returns happen: callers look again. A read-only handle cannot ask to be woken and sleeps in short steps. */
bool shx_wait_head(shx_ring *ring, uint64_t seen, uint64_t timeout_ns);
bool shx_wait_drained(shx_ring *ring, uint64_t seen, uint64_t timeout_ns);
/* Sleep until somebody asks for an immediate drain, that is until the count differs from `seen`. */
bool shx_wait_urgent(shx_ring *ring, uint32_t seen, uint64_t timeout_ns);
/* Wakes the leader wherever it sleeps: between batches, or waiting for records. */
void shx_request_drain(shx_ring *ring);

/* For who moved a position: wake its sleepers if there are any. */
void shx_wake_head(shx_ring *ring);
void shx_wake_drained(shx_ring *ring);

#endif
