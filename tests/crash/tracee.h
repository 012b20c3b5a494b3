/* A child process under ptrace that runs one append and can be stopped before any of its instructions. */
#ifndef SHX_TEST_TRACEE_H
#define SHX_TEST_TRACEE_H

#include <sys/types.h>

#include "model.h"

#define EXIT_NO_PTRACE 77

typedef struct {
    pid_t pid;
    uint64_t rip;
    uint64_t return_address; /* where the append ends */
    uint64_t entry_stack;
    bool exited;
    int status; /* the append's, once exited */
} tracee;

/* Fork a child that appends `what` to `ring`, stopped before the first instruction of shx_append. */
void tracee_start(tracee *child, const world *w, shx_ring *ring, const entry *what);
/* One instruction on. False once the append has returned. */
bool tracee_step(tracee *child);
/* On to the `arrival`-th time (from here, 1 is the next) that the child stands before the instruction at `address`. */
void tracee_run_to(tracee *child, uint64_t address, unsigned arrival);
/* Let it finish; its append's status is then in `status`. */
void tracee_finish(tracee *child);
void tracee_kill(tracee *child);
/* What the kernel does to the lock when the child dies here, done to `image`, a copy of the child's segment. False if
 * the child holds the lock and the kernel would not know. */
bool tracee_death(const tracee *child, const shx_control *live, shx_control *image);

#endif
