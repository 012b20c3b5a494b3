/* One append that is killed: stepped through once to record every state of the segment, then killed for real. */
#ifndef SHX_TEST_EPISODE_H
#define SHX_TEST_EPISODE_H

#include "tracee.h"

#define STOPS_MAX 65536
#define STATES_MAX 2048

typedef struct {
    uint64_t rip;
    unsigned arrival; /* how often the child had come to this address before this stop, and with it */
    unsigned state;
} stop;

typedef struct {
    char *image; /* the segment, the lock as the kernel leaves it if the child dies here */
    uint64_t hash;
    bool died; /* with the lock */
} snapshot;

typedef struct {
    const world *w;
    const char *start;   /* the segment before the append */
    const entry *append; /* what the child appends */
    const entry *flying; /* what may be found in the segment: `append` first, then what died before it */
    unsigned count;      /* of flying */
    shx_status expect;
    stop stops[STOPS_MAX];
    unsigned steps;
    snapshot states[STATES_MAX];
    unsigned state_count;
    unsigned kills;
} episode;

/* Step through the append; judge every state of the segment that has not been seen, as if the child had died in it. */
void episode_trace(episode *e);
/* Fork, run to a stop, SIGKILL, judge: for every `stride`-th stop, every stop with a new state, and every one outside
 * this program, that is within the mutex's own code. */
void episode_kill(episode *e, unsigned stride);
void episode_free(episode *e);
/* The segment as it was before; the lock taken by this process if the scenario wants that. */
void episode_reset(episode *e);
void episode_release(episode *e);

/* Addresses of this program at which a child stood, as offsets from its start, one a line. */
void coverage_write(const char *path);
/* Name what is going on, for the message of a failure. */
void narrate(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Report a verdict of judge() that is not NULL, and end the program. */
void condemn(const char *verdict);
extern bool keep_going;
extern unsigned failures;

#endif
