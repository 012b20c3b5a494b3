#include "wait.h"

#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLIND_STEP_NS UINT64_C(10000000) /* a read-only handle looks again this often */

static void futex_sleep(const void *word, uint32_t seen, uint64_t timeout_ns) {
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

static void futex_wake_all(const void *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

/* The kernel compares 32 bits: the low half of a position. 2^32 granules cannot pass within one sleep. */
static const void *low_half(const _Atomic uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word;
#else
    return (const char *)word + 4;
#endif
}

static bool sleep_on(shx_ring *ring, _Atomic uint64_t *word, _Atomic uint32_t *hint, uint64_t seen,
                     uint64_t timeout_ns) {
    if (ring->writable) {
        /* Hint first, then look: with the waker's mirror image (move, then read the hint; wake below) at least one
         * of the two sees the other. Sequential consistency, because each stores one word and loads the other. */
        atomic_store_explicit(hint, 1, memory_order_seq_cst);
        atomic_thread_fence(memory_order_seq_cst);
    }
    if (atomic_load_explicit(word, memory_order_acquire) != seen) return true;
    /* On the hint, not on the word: a waker that moved the word before we looked at it may take our hint back and wake
     * the sleepers before we are one of them; then the kernel finds the hint gone and we look again. */
    if (ring->writable) futex_sleep(hint, 1, timeout_ns);
    else futex_sleep(low_half(word), (uint32_t)seen, timeout_ns < BLIND_STEP_NS ? timeout_ns : BLIND_STEP_NS);
    return atomic_load_explicit(word, memory_order_acquire) != seen;
}

static void wake(_Atomic uint32_t *hint) {
    /* Orders the caller's store of the position before the load of the hint; sleep_on relies on it. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(hint, memory_order_relaxed) == 0) return;
    atomic_store_explicit(hint, 0, memory_order_relaxed);
    futex_wake_all(hint);
}

bool shx_wait_head(shx_ring *ring, uint64_t seen, uint64_t timeout_ns) {
    shx_control *control = ring->control;
    return sleep_on(ring, &control->writer.head, &control->head_waiters, seen, timeout_ns);
}

bool shx_wait_drained(shx_ring *ring, uint64_t seen, uint64_t timeout_ns) {
    shx_control *control = ring->control;
    return sleep_on(ring, &control->drained, &control->drained_waiters, seen, timeout_ns);
}

bool shx_wait_urgent(shx_ring *ring, uint32_t seen, uint64_t timeout_ns) {
    _Atomic uint32_t *urgent = &ring->control->urgent;
    if (atomic_load_explicit(urgent, memory_order_relaxed) == seen) futex_sleep(urgent, seen, timeout_ns);
    return atomic_load_explicit(urgent, memory_order_relaxed) != seen;
}

void shx_request_drain(shx_ring *ring) {
    atomic_fetch_add_explicit(&ring->control->urgent, 1, memory_order_relaxed);
    futex_wake_all(&ring->control->urgent);
    futex_wake_all(&ring->control->head_waiters);
}

void shx_wake_head(shx_ring *ring) { wake(&ring->control->head_waiters); }

void shx_wake_drained(shx_ring *ring) { wake(&ring->control->drained_waiters); }
