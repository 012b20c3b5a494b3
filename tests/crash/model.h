/* What a segment should hold, kept outside it: the oracle of the kill tests. */
#ifndef SHX_TEST_MODEL_H
#define SHX_TEST_MODEL_H

#include "support.h"

#define MODEL_MAX 128
#define PAYLOAD_MAX 8192
#define IN_FLIGHT_MAX 2

/* One append: the draft, and where the record ended up. */
typedef struct {
    uint64_t position;
    uint64_t target;
    uint64_t seed; /* of the payload; unique in a scenario */
    uint32_t size;
    uint32_t tag[SHX_LINKS];
    uint8_t kind;
    uint8_t links;
    uint8_t self;
} entry;

/* The state in which one scenario starts, and the append that is killed. */
typedef struct {
    segment live;
    entry known[MODEL_MAX]; /* appends that returned, oldest first */
    unsigned count;
    entry operation;
    const struct timespec *deadline;
    shx_status expect; /* of the operation, when nobody kills it */
    bool held;         /* another process holds the lock all the while */
    bool tight;        /* no room for another append until the drain moves on */
    bool spoilt;       /* damaged beforehand: of what follows only the status of appends is judged, it is `expect` */
    bool sealed;
    bool read_only;    /* the operation goes through a read-only handle */
} world;

/* The operation of a world, run in the calling process. */
shx_status world_run(const world *w, shx_ring *ring, const entry *what, uint64_t *position);
/* Run `what` and remember it as known. */
void world_append(world *w, entry what);

/* Judge a segment whose last user was killed. `in_flight` are appends that may or may not have happened; the first
 * `returned` of them did return. The lock is as the kernel left it. Uses the segment up. NULL, or what is wrong. */
const char *judge(const world *w, shx_ring *ring, const entry *in_flight, unsigned flying, unsigned returned);

#endif
