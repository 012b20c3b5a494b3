#include "lock.h"

#include <errno.h>

/* Tries before sleeping. An append holds the lock for well under a microsecond: sleeping at once on a contended lock
 * made two producers no faster than one, trying 50 to 300 times 1.4-1.5 times as fast (docs/decisions). */
#define SPIN_TRIES 100

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int shx_lock_init(shx_control *control) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error) return error;
    if (!error) error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error) error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!error) error = pthread_mutex_init(&control->writer.mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error;
}

static int acquire(pthread_mutex_t *mutex, const struct timespec *deadline) {
    int error = EBUSY;
    for (int i = 0; i < SPIN_TRIES && error == EBUSY; i++) {
        error = pthread_mutex_trylock(mutex);
        if (error == EBUSY) pause_cpu();
    }
    if (error == EBUSY && deadline) error = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, deadline);
    return error;
}

/* The holder died. What it claimed and did not commit becomes padding; a repair that fails poisons the segment, and
 * the mutex is made consistent all the same, so that nobody ever meets ENOTRECOVERABLE. */
static void take_over(shx_ring *ring) {
    shx_control *control = ring->control;
    if (shx_repair(ring) != SHX_OK) atomic_fetch_or_explicit(&control->state, SHX_POISONED, memory_order_relaxed);
    atomic_fetch_add_explicit(&control->repairs, 1, memory_order_relaxed);
    pthread_mutex_consistent(&control->writer.mutex);
}

shx_status shx_lock_enter(shx_ring *ring, const struct timespec *deadline) {
    shx_control *control = ring->control;
    switch (acquire(&control->writer.mutex, deadline)) {
    case 0:
        break;
    case EOWNERDEAD:
        take_over(ring);
        break;
    case EBUSY:
        return SHX_BUSY;
    case ETIMEDOUT:
        return SHX_STALLED;
    default: /* EINVAL, EDEADLK, ENOTRECOVERABLE: the mutex itself was overwritten */
        return SHX_CORRUPT;
    }
    uint32_t state = atomic_load_explicit(&control->state, memory_order_relaxed);
    if (!state) return SHX_OK;
    shx_lock_leave(ring);
    return state & SHX_POISONED ? SHX_CORRUPT : SHX_SEALED_OFF;
}

void shx_lock_leave(shx_ring *ring) { pthread_mutex_unlock(&ring->control->writer.mutex); }

uint32_t shx_lock_holder(const shx_ring *ring) {
#if defined(__GLIBC__)
    /* The futex word: the owner's thread id in the low 30 bits. */
    return (uint32_t)ring->control->writer.mutex.__data.__lock & 0x3fffffffu;
#else
    return 0;
#endif
}
