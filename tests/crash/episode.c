#include "episode.h"

#include <linux/futex.h>
#include <stdarg.h>

#include "crc32c.h"

bool keep_going;
unsigned failures;

/* ---- saying where we are ---- */

static char story[256];

void narrate(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(story, sizeof story, format, arguments);
    va_end(arguments);
}

void condemn(const char *verdict) {
    if (!verdict) return;
    printf("FAILED %s: %s\n", story, verdict);
    fflush(stdout);
    failures++;
    if (!keep_going || failures >= 20) _exit(1);
}

/* ---- which instructions were stop points ---- */

extern const char __executable_start, etext;
static unsigned char *visited;

static bool of_program(uint64_t rip) {
    return rip >= (uint64_t)(uintptr_t)&__executable_start && rip < (uint64_t)(uintptr_t)&etext;
}

static void visit(uint64_t rip) {
    if (!visited) visited = calloc(1, (size_t)(&etext - &__executable_start));
    if (of_program(rip)) visited[rip - (uint64_t)(uintptr_t)&__executable_start] = 1;
}

void coverage_write(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) FAIL("cannot write %s", path);
    for (ptrdiff_t i = 0; visited && i < &etext - &__executable_start; i++)
        if (visited[i]) fprintf(file, "%lx\n", (unsigned long)i);
    fclose(file);
}

/* How often each address was met: open addressing, cleared per episode. */
#define MET_SLOTS 16384u
static struct {
    uint64_t rip;
    unsigned times;
} met[MET_SLOTS];

static unsigned meet(uint64_t rip) {
    unsigned at = (unsigned)random_word(rip) % MET_SLOTS;
    while (met[at].rip && met[at].rip != rip) at = (at + 1) % MET_SLOTS;
    met[at].rip = rip;
    return ++met[at].times;
}

/* ---- states ---- */

/* The parts of a segment that an append can change: the control block, then the indexes and the ring. */
static size_t indexes_on(const world *w) { return w->live.size - SHX_UNIQUE_OFFSET; }

static bool same(const world *w, const char *a, const char *b) {
    return !memcmp(a + SHX_CONTROL_OFFSET, b + SHX_CONTROL_OFFSET, sizeof(shx_control)) &&
           !memcmp(a + SHX_UNIQUE_OFFSET, b + SHX_UNIQUE_OFFSET, indexes_on(w));
}

static uint64_t hash_of(const world *w, const char *map) {
    uint32_t control = shx_crc_bytes(SHX_CRC_START, map + SHX_CONTROL_OFFSET, sizeof(shx_control));
    return (uint64_t)control << 32 | shx_crc_bytes(control, map + SHX_UNIQUE_OFFSET, indexes_on(w));
}

static segment *scratch_for(const world *w) {
    static segment scratch;
    segment_like(&scratch, &w->live);
    return &scratch;
}

static shx_control *control_in(char *image) { return (shx_control *)(void *)(image + SHX_CONTROL_OFFSET); }

static void judge_image(episode *e, const char *image, unsigned returned) {
    segment *scratch = scratch_for(e->w);
    memcpy(scratch->map, image, scratch->size);
    /* Another process holds the lock: nobody can append, and reads are what episode_kill judges. */
    if (!e->w->held) condemn(judge(e->w, &scratch->ring, e->flying, e->count, returned));
}

/* The number of the state that the segment is in now; a new one is kept and judged. */
static unsigned enter_state(episode *e, const tracee *child) {
    uint64_t hash = hash_of(e->w, e->w->live.map);
    for (unsigned i = e->state_count; i-- > 0;)
        if (e->states[i].hash == hash) return i;
    REQUIRE(e->state_count < STATES_MAX);
    snapshot *made = &e->states[e->state_count];
    made->hash = hash;
    made->image = malloc(e->w->live.size);
    memcpy(made->image, e->w->live.map, e->w->live.size);
    if (!tracee_death(child, e->w->live.ring.control, control_in(made->image)))
        condemn("the child holds the lock, but not in a way the kernel would notice");
    made->died = (uint32_t)control_in(made->image)->writer.mutex.__data.__lock & FUTEX_OWNER_DIED;
    judge_image(e, made->image, 0);
    return e->state_count++;
}

void episode_reset(episode *e) {
    memcpy(e->w->live.map, e->start, e->w->live.size);
    if (e->w->held) REQUIRE(shx_lock_enter((shx_ring *)&e->w->live.ring, NULL) == SHX_OK);
}

void episode_release(episode *e) {
    if (e->w->held) shx_lock_leave((shx_ring *)&e->w->live.ring);
}

static void record(episode *e, const tracee *child, char *previous) {
    REQUIRE(e->steps < STOPS_MAX);
    stop *here = &e->stops[e->steps];
    here->rip = child->rip;
    here->arrival = e->steps ? meet(child->rip) : 0;
    here->state = e->steps ? here[-1].state : 0;
    visit(child->rip);
    if (!e->steps || !same(e->w, previous, e->w->live.map)) {
        here->state = enter_state(e, child);
        memcpy(previous, e->w->live.map, e->w->live.size);
    }
    e->steps++;
}

void episode_trace(episode *e) {
    tracee child;
    char *previous = malloc(e->w->live.size);
    memset(met, 0, sizeof met);
    episode_reset(e);
    tracee_append(&child, e->w, (shx_ring *)&e->w->live.ring, e->append);
    do {
        record(e, &child, previous);
    } while (tracee_step(&child));
    tracee_finish(&child);
    if (child.status != (int)e->expect) condemn("the append nobody killed: another status than expected");
    episode_release(e);
    judge_image(e, e->w->live.map, e->expect == SHX_OK);
    free(previous);
}

/* ---- killing ---- */

/* The real segment, against the one recorded in the same place: all but the mutex, where thread ids differ. */
static bool as_recorded(const episode *e, const stop *at) {
    const char *real = e->w->live.map, *image = e->states[at->state].image;
    size_t beyond = SHX_CONTROL_OFFSET + sizeof(pthread_mutex_t);
    return !memcmp(real + beyond, image + beyond, sizeof(shx_control) - sizeof(pthread_mutex_t)) &&
           !memcmp(real + SHX_UNIQUE_OFFSET, image + SHX_UNIQUE_OFFSET, indexes_on(e->w));
}

static void kill_at(episode *e, const stop *at) {
    tracee child;
    const shx_control *control = e->w->live.ring.control;
    episode_reset(e);
    tracee_append(&child, e->w, (shx_ring *)&e->w->live.ring, e->append);
    tracee_run_to(&child, at->rip, at->arrival);
    tracee_kill(&child);
    if (!as_recorded(e, at)) condemn("the segment is not as it was in the first run");
    uint32_t word = (uint32_t)control->writer.mutex.__data.__lock;
    if (!e->w->held && (word & FUTEX_OWNER_DIED) != (e->states[at->state].died ? FUTEX_OWNER_DIED : 0))
        condemn("the kernel did something else with the lock");
    episode_release(e);
    condemn(judge(e->w, (shx_ring *)&e->w->live.ring, e->flying, e->count, 0));
    e->kills++;
}

void episode_kill(episode *e, unsigned stride) {
    for (unsigned i = 0; i < e->steps; i++) {
        const stop *at = &e->stops[i];
        bool changed = i == 0 || at->state != at[-1].state;
        bool in_mutex = !of_program(at->rip) && at->arrival <= 2; /* a spin tries the same lock a hundred times */
        if (changed || in_mutex || i % stride == 0) kill_at(e, at);
    }
}

void episode_free(episode *e) {
    for (unsigned i = 0; i < e->state_count; i++) free(e->states[i].image);
    e->steps = e->state_count = e->kills = 0;
}
