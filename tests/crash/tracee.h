/* A child process under ptrace that runs one call of the core and can be stopped before any of its instructions. */
#ifndef SHX_TEST_TRACEE_H
#define SHX_TEST_TRACEE_H

#include <sys/types.h>

#include "model.h"

#define EXIT_NO_PTRACE 77

typedef struct {
    pid_t pid;
    uint64_t rip;
    uint64_t return_address; /* where the call ends */
    uint64_t entry_stack;
    bool exited;
    int status; /* the call's, once exited */
} tracee;

/* Fork a child that runs body(context), stopped before the first instruction of the function at `entered`. */
void tracee_start(tracee *child, shx_status (*body)(void *), void *context, uint64_t entered);
/* The same for an append of `what` to `ring`. */
void tracee_append(tracee *child, const world *w, shx_ring *ring, const entry *what);
/* One instruction on. False once the call has returned. */
bool tracee_step(tracee *child);
/* On to the `arrival`-th time (from here, 1 is the next) that the child stands before the instruction at `address`. */
void tracee_run_to(tracee *child, uint64_t address, unsigned arrival);
/* Let it finish; its call's status is then in `status`. */
void tracee_finish(tracee *child);
void tracee_kill(tracee *child);
/* What the kernel does to the lock when the child dies here, done to `image`, a copy of the child's segment. False if
 * the child holds the lock and the kernel would not know. */
bool tracee_death(const tracee *child, const shx_control *live, shx_control *image);

#endif
