/* Kills one append at each of its machine instructions.
 *
 * SIGKILL takes effect between two instructions, and what was stored before is what the survivors find. So the states
 * that the death of one writer can leave behind are those between its instructions, and single-stepping finds them all.
 *
 *   stepper [--scenario NAME] [--kill STRIDE] [--second LIMIT] [--kill-second STRIDE] [--waiter STRIDE]
 *           [--reader STRIDE] [--coverage FILE] [--keep-going]
 *
 * Every scenario is traced and every state it leaves is judged. --kill also kills for real: at every STRIDE-th
 * instruction, where the state changes, and inside the mutex's code. --second traces the repair of LIMIT of the states
 * in which the lock's holder is dead, and of those that follow a claim or a commit; --kill-second kills it for real.
 * --waiter kills holders and sleepers of a contended lock. --reader overtakes readers at every STRIDE-th instruction.
 * Exit code 0: nothing wrong; 1: something is; 77: this system refuses ptrace. */
#include <sys/personality.h>

#include "episode.h"
#include "reader.h"
#include "scenario.h"
#include "waiter.h"

typedef struct {
    const char *only, *coverage;
    unsigned kill, second, kill_second, waiter, reader; /* as the options of these names; 0: not at all */
} options;

static episode first, second;
static uint64_t all_steps, all_states, all_kills;

static void report(const char *name, const char *order, const episode *e) {
    printf("%-26s %-7s steps %6u states %4u kills %6u\n", name, order, e->steps, e->state_count, e->kills);
    all_steps += e->steps;
    all_states += e->state_count;
    all_kills += e->kills;
}

/* `flying`: the append of the child, then one that died before it. One that is refused must leave nothing. */
static void begin(episode *e, const world *w, const char *start, const entry *flying, unsigned count, shx_status expect) {
    e->w = w;
    e->start = start;
    e->append = e->flying = flying;
    e->count = expect == SHX_OK ? count : 0;
    e->expect = expect;
}

/* The survivor's append, which repairs, dies too. */
static void kill_the_repair(const char *name, world *w, const snapshot *state, unsigned stride) {
    entry flying[2] = {w->operation, w->operation};
    flying[0].seed = 800;
    flying[0].size = 75;
    flying[0].kind = SHX_CONTEXT;
    flying[0].links = 0x1f;
    flying[0].target = 0;
    if (w->tight) {
        shx_control *control = (shx_control *)(void *)(state->image + SHX_CONTROL_OFFSET);
        atomic_store(&control->drained, atomic_load(&control->writer.head));
    }
    begin(&second, w, state->image, flying, 2, SHX_OK);
    episode_trace(&second);
    if (stride) episode_kill(&second, stride);
    report(name, "second", &second);
    episode_free(&second);
}

/* A claim or a commit lies between this state and the one before: never left out of a sample. */
static bool moved(unsigned i) {
    const shx_control *now = (const void *)(first.states[i].image + SHX_CONTROL_OFFSET);
    const shx_control *before = (const void *)(first.states[i ? i - 1 : 0].image + SHX_CONTROL_OFFSET);
    return now->writer.head != before->writer.head || now->writer.reserved != before->writer.reserved;
}

static void second_order(const char *name, world *w, const options *chosen) {
    unsigned dead = 0, seen = 0, taken = 0;
    for (unsigned i = 0; i < first.state_count; i++) dead += first.states[i].died;
    for (unsigned i = 0; i < first.state_count; i++) {
        if (!first.states[i].died) continue;
        /* Besides, evenly over the states. */
        bool due = seen++ * chosen->second >= taken * dead;
        if (!due && !moved(i)) continue;
        taken += due;
        narrate("%s, repair of state %u", name, i);
        kill_the_repair(name, w, &first.states[i], chosen->kill_second);
    }
}

static void run(const scenario *which, const options *chosen) {
    static world w;
    alarm(1800); /* a survivor that hangs must not hang the tests */
    narrate("%s", which->name);
    scenario_make(which, &w);
    char *start = malloc(w.live.size);
    memcpy(start, w.live.map, w.live.size);
    begin(&first, &w, start, &w.operation, 1, w.expect);
    episode_trace(&first);
    narrate("%s, killed", which->name);
    if (chosen->kill) episode_kill(&first, chosen->kill);
    report(which->name, "first", &first);
    if (chosen->reader && which->overtaken) {
        unsigned reads = reader_overtake(&first, chosen->reader, 8 * chosen->reader);
        printf("%-26s %-7s stops %6u\n", which->name, "reader", reads);
    }
    if (w.expect == SHX_OK && !w.spoilt && chosen->second) second_order(which->name, &w, chosen);
    episode_free(&first);
    free(start);
    scenario_free(&w);
}

static void usage(void) {
    fprintf(stderr, "usage: stepper [--scenario NAME] [--kill STRIDE] [--second LIMIT] [--kill-second STRIDE]\n"
                    "               [--waiter STRIDE] [--reader STRIDE] [--coverage FILE] [--keep-going]\n");
    exit(2);
}

static options parse(int count, char **words) {
    options chosen = {0};
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : NULL;
        if (!strcmp(words[i], "--keep-going")) {
            keep_going = true;
            continue;
        }
        if (!value) usage();
        if (!strcmp(words[i], "--scenario")) chosen.only = value;
        else if (!strcmp(words[i], "--kill")) chosen.kill = (unsigned)atoi(value);
        else if (!strcmp(words[i], "--second")) chosen.second = (unsigned)atoi(value);
        else if (!strcmp(words[i], "--kill-second")) chosen.kill_second = (unsigned)atoi(value);
        else if (!strcmp(words[i], "--waiter")) chosen.waiter = (unsigned)atoi(value);
        else if (!strcmp(words[i], "--reader")) chosen.reader = (unsigned)atoi(value);
        else if (!strcmp(words[i], "--coverage")) chosen.coverage = value;
        else usage();
        i++;
    }
    return chosen;
}

/* The same addresses and no lazy binding, so that two runs take the same steps. */
static void make_reproducible(char **words) {
    const char *bound = getenv("LD_BIND_NOW");
    int now = personality(0xffffffff);
    if (now >= 0 && (now & ADDR_NO_RANDOMIZE) && bound) return;
    if (now < 0 || personality((unsigned long)now | ADDR_NO_RANDOMIZE) < 0 || bound) return; /* refused: go on without */
    setenv("LD_BIND_NOW", "1", 1);
    execv("/proc/self/exe", words);
}

int main(int count, char **words) {
    options chosen = parse(count, words);
    make_reproducible(words);
    unsigned ran = 0;
    for (unsigned i = 0; i < scenario_count; i++) {
        if (chosen.only && strcmp(chosen.only, scenarios[i].name)) continue;
        run(&scenarios[i], &chosen);
        ran++;
    }
    if (!ran) usage();
    if (chosen.waiter) all_kills += waiter_kill(chosen.waiter);
    if (chosen.coverage) coverage_write(chosen.coverage);
    printf("total scenarios %u steps %lu states %lu kills %lu failures %u\n", ran, all_steps, all_states, all_kills, failures);
    return failures ? 1 : 0;
}
