/* Linked into the thread sanitizer's builds only. Its runtime (as of gcc 12) does not know pthread_mutex_clocklock and
 * reports the unlock of a mutex that was taken by it. The same wait through a function that it knows. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *deadline) {
    struct timespec now, until;
    clock_gettime(clock, &now);
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t left = (deadline->tv_sec - now.tv_sec) * INT64_C(1000000000) + (deadline->tv_nsec - now.tv_nsec);
    int64_t sum = until.tv_nsec + (left > 0 ? left : 0);
    until.tv_sec += sum / 1000000000;
    until.tv_nsec = sum % 1000000000;
    return pthread_mutex_timedlock(mutex, &until);
}
