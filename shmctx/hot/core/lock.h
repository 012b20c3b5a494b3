/* The one way into the critical section. */
#ifndef SHX_LOCK_H
#define SHX_LOCK_H

#include <time.h>

#include "ring.h"

int shx_lock_init(shx_control *control);
/* SHX_OK with the lock held and the segment whole, or another status without it. A dead holder's work is repaired
 * before this returns. `deadline` NULL: spin only. */
shx_status shx_lock_enter(shx_ring *ring, const struct timespec *deadline);
void shx_lock_leave(shx_ring *ring);
/* The thread id in the lock word, 0 if it is free: for a message that names a stalled holder. */
uint32_t shx_lock_holder(const shx_ring *ring);

#endif
