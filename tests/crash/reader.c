#include "reader.h"

typedef enum { LOOK_AND_COPY, FETCH, WALK, WAYS } way;
static const char *const way_name[WAYS] = {"look", "fetch", "walk"};

/* What a child is told to do, and in shared memory what comes of it. */
typedef struct {
    shx_ring *ring;
    uint64_t position;
    uint32_t tag;
    way how;
    shx_view view;
    shx_status status;
    unsigned met_count;
    uint64_t met[64];
    unsigned char payload[PAYLOAD_MAX];
} reading;

/* A function of its own, so that the stepping ends where the whole read does. */
static __attribute__((noinline)) shx_status read_once(reading *read) {
    shx_walk walk;
    if (read->how == FETCH) return shx_fetch(read->ring, read->position, &read->view, read->payload, PAYLOAD_MAX);
    if (read->how == LOOK_AND_COPY) {
        shx_status status = shx_look(read->ring, read->position, &read->view);
        return status == SHX_OK ? shx_copy(read->ring, &read->view, read->payload) : status;
    }
    shx_walk_start(read->ring, &walk, false, read->tag);
    while (read->met_count < 64 && shx_walk_next(read->ring, &walk, &read->met[read->met_count]) == SHX_OK)
        read->met_count++;
    return SHX_OK;
}

static shx_status run_reading(void *context) { return read_once(context); }

/* ---- judging ---- */

/* The segment changes from one image to another under the reader; `committed`: the append's record is in the second. */
typedef struct {
    const char *before, *after;
    bool committed;
} change;

static entry appended; /* the traced append, with its position */

static const entry *entry_at(const episode *e, uint64_t position) {
    if (position == appended.position) return &appended;
    for (unsigned i = 0; i < e->w->count; i++)
        if (e->w->known[i].position == position) return &e->w->known[i];
    return NULL;
}

static void judge_reading(const episode *e, const reading *read, const change *turn) {
    const shx_view *view = &read->view;
    for (unsigned i = 0; i < read->met_count; i++)
        if (read->met[i] == appended.position && !turn->committed) condemn("a walk met what was never committed");
    if (read->how == WALK || read->status == SHX_MISS) return;
    if (read->status != SHX_OK) condemn("a read that was overtaken is called damaged");
    const entry *expected = entry_at(e, read->position);
    if (view->kind == SHX_PADDING) {
        if (expected != &appended || turn->committed) condemn("a record was read as padding");
        return;
    }
    if (expected == &appended && !turn->committed) condemn("a record was read that was never committed");
    if (view->size != expected->size || view->kind != expected->kind || view->time_ns != expected->seed * 1000 ||
        !payload_is(read->payload, view->size, expected->seed))
        condemn("a read that was overtaken returns other bytes");
}

/* ---- running ---- */

static unsigned reads;

static void begin_reading(const episode *e, tracee *child, reading *read, const change *turn) {
    memset(&read->view, 0, sizeof *read - offsetof(reading, view));
    memcpy(e->w->live.map, turn->before, e->w->live.size);
    tracee_start(child, run_reading, read, (uint64_t)(uintptr_t)read_once);
}

/* The addresses of one undisturbed read. */
static unsigned trace_reading(const episode *e, reading *read, const change *turn, uint64_t *rip, unsigned most) {
    tracee child;
    unsigned steps = 0;
    begin_reading(e, &child, read, turn);
    do {
        REQUIRE(steps < most);
        rip[steps++] = child.rip;
    } while (tracee_step(&child));
    tracee_kill(&child);
    return steps;
}

static unsigned arrivals(const uint64_t *rip, unsigned at) {
    unsigned count = 0;
    for (unsigned i = 1; i <= at; i++) count += rip[i] == rip[at];
    return count;
}

static void overtake(const episode *e, reading *read, const change *turn, unsigned stride) {
    static uint64_t rip[8192];
    unsigned steps = trace_reading(e, read, turn, rip, 8192);
    for (unsigned at = 0; at < steps; at += stride) {
        tracee child;
        begin_reading(e, &child, read, turn);
        tracee_run_to(&child, rip[at], arrivals(rip, at));
        memcpy(e->w->live.map, turn->after, e->w->live.size);
        tracee_finish(&child);
        read->status = (shx_status)child.status;
        judge_reading(e, read, turn);
        reads++;
    }
}

static uint64_t head_in(const char *image) {
    return ((const shx_control *)(const void *)(image + SHX_CONTROL_OFFSET))->writer.head;
}

static uint64_t reserved_in(const char *image) {
    return ((const shx_control *)(const void *)(image + SHX_CONTROL_OFFSET))->writer.reserved;
}

/* What the next append makes of a moment in which the writer died. */
static const char *survivors(const episode *e, const char *image) {
    static segment other;
    uint64_t position;
    entry next = *e->append;
    next.seed = 600;
    segment_like(&other, &e->w->live);
    memcpy(other.map, image, other.size);
    shx_set_drained(&other.ring, head_in(image));
    if (world_run(e->w, &other.ring, &next, &position) != SHX_OK) condemn("the survivor's append failed");
    return other.map;
}

static void overtake_all_ways(const episode *e, reading *read, const change *turn, unsigned stride, unsigned moment,
                              const char *kind) {
    uint64_t victim = e->w->known[0].position;
    const char *last = e->states[e->state_count - 1].image;
    for (unsigned i = 0; i < e->w->count; i++)
        if (e->w->known[i].position + e->w->live.header.capacity < reserved_in(last)) victim = e->w->known[i].position;
    for (read->how = 0; read->how < WAYS; read->how++) {
        for (unsigned i = 0; i < (read->how == WALK ? 1 : 2); i++) {
            read->position = i ? victim : appended.position;
            narrate("%s of %lu, overtaken at moment %u, %s", way_name[read->how], read->position, moment, kind);
            overtake(e, read, turn, stride);
        }
    }
}

unsigned reader_overtake(const episode *e, unsigned stride, unsigned state_stride) {
    reading *read = mmap(NULL, sizeof *read, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(read != MAP_FAILED);
    const snapshot *states = e->states;
    const char *last = states[e->state_count - 1].image;
    appended = *e->append;
    appended.position = ((const shx_control *)(const void *)(last + SHX_CONTROL_OFFSET))->writer.last;
    read->ring = (shx_ring *)&e->w->live.ring;
    read->tag = appended.tag[SHX_CORRELATION];
    reads = 0;
    for (unsigned i = 0; i + 1 < e->state_count; i++) {
        const char *now = states[i].image, *next = states[i + 1].image;
        bool around = head_in(now) != head_in(next) || reserved_in(now) != reserved_in(next);
        if (!around && i % state_stride) continue;
        bool committed = head_in(now) > appended.position;
        overtake_all_ways(e, read, &(change){e->start, now, committed}, stride, i, "from before the append");
        overtake_all_ways(e, read, &(change){now, last, true}, stride, i, "to the end of the append");
        if (reserved_in(now) <= appended.position) continue; /* the survivor's record gets the position */
        overtake_all_ways(e, read, &(change){now, survivors(e, now), committed}, stride, i, "the writer being dead");
    }
    munmap(read, sizeof *read);
    return reads;
}
