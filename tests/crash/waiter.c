#include "waiter.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "episode.h"
#include "scenario.h"

#define SLEEPER_DEADLINE_MS 20000
#define WAKE_LIMIT_MS 5000

static world w;
static char *start;
static unsigned kills;
static uint64_t hold_from; /* steps until the child holds the lock */

static uint32_t lock_word(void) {
    return (uint32_t)__atomic_load_n(&w.live.ring.control->writer.mutex.__data.__lock, __ATOMIC_ACQUIRE);
}

static void brief_pause(void) {
    struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
}

static entry sleepers_entry(void) {
    entry made = w.operation;
    made.seed = 700;
    made.size = 45;
    return made;
}

static pid_t start_sleeper(void) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    uint64_t position;
    struct timespec deadline = deadline_in(SLEEPER_DEADLINE_MS);
    entry what = sleepers_entry();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    w.deadline = &deadline;
    _exit((int)world_run(&w, &w.live.ring, &what, &position));
}

/* The thread `pid` sleeps in a futex: that is what /proc says of it, and the lock word has the bit that it set. */
static bool sleeps(pid_t pid) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file) return false;
    int found = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return found == 1 && state == 'S' && lock_word() & FUTEX_WAITERS;
}

static void await_sleep(pid_t pid) {
    for (int i = 0; !sleeps(pid); i++) {
        if (i > WAKE_LIMIT_MS * 5) FAIL("the second process never went to sleep");
        brief_pause();
    }
}

static void await_success(pid_t pid) {
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < WAKE_LIMIT_MS * 5 && !ended; i++) {
        ended = waitpid(pid, &status, WNOHANG);
        if (!ended) brief_pause();
    }
    if (ended != pid) condemn("the sleeper was not woken");
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != SHX_OK) condemn("the sleeper could not append");
}

/* A child that holds the lock, and another process asleep on it. */
static pid_t contend(tracee *holder) {
    memcpy(w.live.map, start, w.live.size);
    tracee_append(holder, &w, &w.live.ring, &w.operation);
    for (uint64_t i = 0; i < hold_from; i++) tracee_step(holder);
    pid_t sleeper = start_sleeper();
    await_sleep(sleeper);
    return sleeper;
}

static void step_many(tracee *child, unsigned steps) {
    while (steps-- && tracee_step(child)) continue;
}

static void kill_holder(unsigned steps) {
    tracee holder;
    pid_t sleeper = contend(&holder);
    step_many(&holder, steps);
    narrate("the holder killed %u steps after it took the lock", steps);
    tracee_kill(&holder);
    kills++;
    await_success(sleeper);
    entry flying[2] = {sleepers_entry(), w.operation};
    condemn(judge(&w, &w.live.ring, flying, 2, 1));
}

static void kill_sleeper(unsigned steps) {
    tracee holder;
    int status;
    pid_t sleeper = contend(&holder);
    step_many(&holder, steps);
    bool held = (lock_word() & FUTEX_TID_MASK) == (uint32_t)holder.pid;
    narrate("the sleeper killed %u steps after the holder took the lock", steps);
    kill(sleeper, SIGKILL);
    waitpid(sleeper, &status, 0);
    kills++;
    if (held) {
        uint64_t position;
        entry what = sleepers_entry();
        if (world_run(&w, &w.live.ring, &what, &position) != SHX_BUSY) condemn("two in the critical section");
    }
    tracee_finish(&holder);
    if (holder.status != SHX_OK) condemn("the holder's append failed");
    entry flying[2] = {w.operation, sleepers_entry()};
    condemn(judge(&w, &w.live.ring, flying, 2, 1));
}

/* Where the lock is taken, where it is given back (under contention, which takes other paths) and how long it takes. */
static void survey(uint64_t *unlocked, uint64_t *length) {
    tracee child;
    memcpy(w.live.map, start, w.live.size);
    tracee_append(&child, &w, &w.live.ring, &w.operation);
    for (hold_from = 0; (lock_word() & FUTEX_TID_MASK) != (uint32_t)child.pid; hold_from++) REQUIRE(tracee_step(&child));
    tracee_kill(&child);
    pid_t sleeper = contend(&child);
    *unlocked = *length = 0;
    while (tracee_step(&child)) {
        ++*length;
        if (!*unlocked && (lock_word() & FUTEX_TID_MASK) != (uint32_t)child.pid) *unlocked = *length;
    }
    tracee_finish(&child);
    await_success(sleeper);
}

unsigned waiter_kill(unsigned stride) {
    uint64_t unlocked, length;
    for (unsigned i = 0; i < scenario_count; i++)
        if (!strcmp(scenarios[i].name, "annotate-live")) scenario_make(&scenarios[i], &w);
    start = malloc(w.live.size);
    memcpy(start, w.live.map, w.live.size);
    survey(&unlocked, &length);
    for (unsigned i = 0; i < length; i++) {
        /* Around taking the lock (the first steps) and giving it back (to the wake-up and a little beyond). */
        bool in_mutex = i < 30 || (i + 30 > unlocked && i < unlocked + 30);
        if (!in_mutex && i % stride) continue;
        kill_holder(i);
        if (i % 4 == 0 || stride == 1) kill_sleeper(i);
    }
    printf("%-26s %-7s steps %6lu kills %6u\n", "contended", "waiter", length, kills);
    free(start);
    scenario_free(&w);
    return kills;
}
