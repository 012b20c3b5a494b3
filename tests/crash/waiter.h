/* Deaths around a contended lock: a second process sleeps on it when the first one, or it, is killed. */
#ifndef SHX_TEST_WAITER_H
#define SHX_TEST_WAITER_H

/* At every instruction in which the mutex is locked or unlocked, and at every `stride`-th of the others:
 *   - the holder is killed: the sleeper must wake, repair and append, long before its own deadline;
 *   - the holder lives and the sleeper is killed: the lock must still exclude, and work afterwards.
 * Returns the number of kills. */
unsigned waiter_kill(unsigned stride);

#endif
