#include "scenario.h"

#include <sys/wait.h>

#define CAPACITY 64u
#define BUCKETS (CAPACITY / 2)
#define BASE 1u

static uint32_t tag_in(uint32_t bucket, uint32_t number) { return bucket + number * BUCKETS; }

static const uint64_t first_seed = 100;

/* A context with all five keys, some of them shared with other records. */
static entry context(world *w, uint32_t size) {
    uint64_t n = first_seed + w->count;
    entry made = {.seed = n, .size = size, .kind = SHX_CONTEXT, .links = 0x1f};
    made.tag[SHX_ALIAS] = tag_in((uint32_t)n % BUCKETS, 3);
    made.tag[SHX_CORRELATION] = tag_in(5, 1);
    made.tag[SHX_AGENT] = tag_in(6 + (uint32_t)n % 2, 1);
    made.tag[SHX_SESSION_ID] = tag_in(9, 1 + (uint32_t)n % 3);
    made.tag[SHX_PARENT] = tag_in(10 + (uint32_t)n % BUCKETS, 2);
    return made;
}

static entry annotation(world *w, uint64_t target) {
    entry made = context(w, 33);
    made.kind = SHX_ANNOTATION;
    made.links = 1u << SHX_CORRELATION | 1u << SHX_PARENT;
    made.target = target;
    return made;
}

static uint64_t head_of(const world *w) { return atomic_load(&w->live.ring.control->writer.head); }
static void drain_to(world *w, uint64_t position) { shx_set_drained(&w->live.ring, position); }

/* Append until `head` has gone round and stands `room` granules before the end of the ring; drain all but `undrained`. */
static void advance(world *w, uint64_t room, uint64_t undrained) {
    uint64_t goal = 2 * CAPACITY - room;
    while (head_of(w) < goal) {
        uint64_t left = goal - head_of(w), in_ring = CAPACITY - (head_of(w) & (CAPACITY - 1));
        uint64_t most = left < 4 ? left : left == 5 ? 3 : 4;
        if (most > in_ring) most = in_ring;
        world_append(w, context(w, (uint32_t)(most - 1) * SHX_GRANULE));
        if (head_of(w) > undrained) drain_to(w, head_of(w) - undrained);
    }
}

static void advance_to_room(world *w, uint64_t room) { advance(w, room, 24); }

static void first_record(world *w) {
    w->operation = context(w, 100);
    w->operation.self = 1u << SHX_CORRELATION;
}

static void wrap_with_padding(world *w) {
    advance_to_room(w, 2);
    w->operation = context(w, 200);
}

static void end_of_ring(world *w) {
    advance_to_room(w, 4);
    w->operation = context(w, 3 * SHX_GRANULE);
}

static void bucket_collisions(world *w) {
    for (unsigned i = 0; i < 6; i++) {
        entry made = context(w, 20 * i);
        for (unsigned link = 0; link < SHX_LINKS; link++) made.tag[link] = tag_in(4, 1 + (i + link) % 3);
        world_append(w, made);
    }
    w->operation = context(w, 50);
    for (unsigned link = 0; link < SHX_LINKS; link++) w->operation.tag[link] = tag_in(4, 1 + link % 2);
}

static void eviction(world *w) {
    advance_to_room(w, 20);
    drain_to(w, head_of(w));
    w->operation = context(w, 6 * SHX_GRANULE + 5);
}

static void many_granules(world *w) {
    advance_to_room(w, 30);
    drain_to(w, head_of(w) - 10);
    w->operation = context(w, 14 * SHX_GRANULE + 61);
}

static void annotate_live(world *w) {
    for (unsigned i = 0; i < 3; i++) world_append(w, context(w, 70));
    world_append(w, annotation(w, w->known[0].position));
    w->operation = annotation(w, w->known[1].position);
}

static void annotate_again(world *w) {
    world_append(w, context(w, 70));
    world_append(w, annotation(w, w->known[0].position));
    w->operation = annotation(w, w->known[0].position);
}

static void annotate_evicted(world *w) {
    advance_to_room(w, 20);
    w->operation = annotation(w, w->known[0].position);
}

/* The new record takes the slot of the record that it annotates. */
static void annotate_own_victim(world *w) {
    advance_to_room(w, 20);
    drain_to(w, head_of(w));
    uint64_t victim = head_of(w) - CAPACITY;
    for (unsigned i = 0; i < w->count && w->known[i].position <= victim; i++) w->operation.target = w->known[i].position;
    w->operation = annotation(w, w->operation.target);
}

static void exact_fit(world *w) {
    advance_to_room(w, 20);
    drain_to(w, 0);
    uint64_t free_space = CAPACITY - (head_of(w) - atomic_load(&w->live.ring.control->drained));
    while (free_space > 8) {
        world_append(w, context(w, 3 * SHX_GRANULE));
        free_space = CAPACITY - (head_of(w) - atomic_load(&w->live.ring.control->drained));
    }
    w->operation = context(w, (uint32_t)(free_space - 1) * SHX_GRANULE);
    w->tight = true;
}

static void one_too_many(world *w) {
    exact_fit(w);
    w->operation.size += 1;
    w->expect = SHX_FULL;
}

/* The record would fit, the padding that must come before it would not. */
static void no_room_for_padding(world *w) {
    advance(w, 2, 48);
    w->operation = context(w, 15 * SHX_GRANULE);
    w->tight = true;
    w->expect = SHX_FULL;
}

static void empty_without_keys(world *w) {
    world_append(w, context(w, 10));
    w->operation = context(w, 0);
    w->operation.links = 0;
}

static void awaited(world *w) {
    world_append(w, context(w, 10));
    w->operation = context(w, 90);
    atomic_store(&w->live.ring.control->head_waiters, 1);
}

static void scribbled_buckets(world *w) {
    w->operation = context(w, 90);
    for (unsigned link = 0; link < SHX_LINKS; link++) {
        _Atomic uint64_t *table = link ? w->live.ring.group : w->live.ring.unique;
        atomic_store(&table[w->operation.tag[link] & (BUCKETS - 1)], link % 2 ? SHX_POSITION_MASK : 1000);
    }
}

static void sealed_segment(world *w) {
    first_record(w);
    w->sealed = true;
    w->expect = SHX_SEALED_OFF;
    REQUIRE(shx_seal(&w->live.ring, NULL) == SHX_OK);
}

static void contradiction(world *w) {
    first_record(w);
    w->spoilt = true;
    w->expect = SHX_CORRUPT;
    atomic_store(&w->live.ring.control->drained, 50);
}

/* A process that takes the lock and dies with it. */
static void die_holding(world *w) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit((int)shx_lock_enter(&w->live.ring, NULL));
    int status;
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == SHX_OK);
}

static void death_in_contradiction(world *w) {
    contradiction(w);
    die_holding(w);
}

/* The record that a repair would link again is not what it was. */
static void death_after(world *w, uint64_t stamp, uint64_t size_crc) {
    world_append(w, context(w, 10));
    w->operation = context(w, 30);
    w->spoilt = true;
    shx_record *record = shx_slot(&w->live.ring, w->known[0].position);
    atomic_store(&record->stamp, stamp);
    atomic_store(&record->size_crc, size_crc);
    die_holding(w);
}

static void death_after_damaged_size(world *w) {
    death_after(w, BASE | (uint64_t)SHX_CONTEXT << SHX_POSITION_BITS, UINT64_MAX);
}

static void death_after_damaged_kind(world *w) { death_after(w, BASE, 10); }
static void death_after_damaged_stamp(world *w) { death_after(w, 0, 10); }

static void death_after_lost_start(world *w) {
    death_after(w, 0, 10);
    atomic_store(&w->live.ring.control->writer.last, 0);
}

static void death_and_old_age(world *w) {
    world_append(w, context(w, 10));
    w->operation = context(w, 30);
    w->spoilt = true;
    shx_set_tail(&w->live.ring, head_of(w));
    die_holding(w);
}

static void overwritten_mutex(world *w) {
    first_record(w);
    w->spoilt = true;
    w->expect = SHX_CORRUPT;
    w->live.ring.control->writer.mutex.__data.__kind = 0x5a;
}

/* Records read back from the database, before the gap; one of them is annotated, and shares keys with the new one. */
static void across_the_gap(world *w) {
    segment_free(&w->live);
    segment_make(&w->live, CAPACITY, 3 * CAPACITY - 5, 9 * CAPACITY - 5);
    for (uint64_t at = 3 * CAPACITY - 30; at < 3 * CAPACITY - 10; at += 3 + at % 2) {
        static unsigned char payload[SHX_GRANULE + 20];
        entry made = context(w, sizeof payload);
        fill_payload(payload, made.size, made.seed);
        shx_draft draft = {.payload = payload, .time_ns = made.seed * 1000, .size = made.size, .kind = made.kind, .links = 0x1f};
        memcpy(draft.tag, made.tag, sizeof draft.tag);
        made.position = at;
        REQUIRE(shx_place(&w->live.ring, &draft, at) == SHX_OK);
        w->known[w->count++] = made;
    }
    shx_place_end(&w->live.ring);
    w->operation = annotation(w, w->known[1].position);
}

static void too_large(world *w) {
    w->operation = context(w, CAPACITY / 4 * SHX_GRANULE);
    w->expect = SHX_TOO_LARGE;
}

static void invalid_kind(world *w) {
    w->operation = context(w, 10);
    w->operation.kind = SHX_PADDING;
    w->expect = SHX_INVALID;
}

static void unknown_kind(world *w) {
    invalid_kind(w);
    w->operation.kind = SHX_LAST_KIND + 1;
}

static void read_only(world *w) {
    first_record(w);
    w->read_only = true;
    w->expect = SHX_INVALID;
}

static void end_of_positions(world *w) {
    w->operation = context(w, 700);
    w->expect = SHX_INVALID;
    w->spoilt = true; /* nothing can follow, at whatever size */
    atomic_store(&w->live.ring.control->writer.reserved, SHX_POSITION_MASK);
    atomic_store(&w->live.ring.control->writer.head, SHX_POSITION_MASK);
    atomic_store(&w->live.ring.control->drained, SHX_POSITION_MASK);
}

static void busy(world *w) {
    world_append(w, context(w, 10));
    w->operation = context(w, 30);
    w->held = true;
    w->expect = SHX_BUSY;
}

static void stalled(world *w) {
    static const struct timespec past = {1, 0};
    busy(w);
    w->deadline = &past;
    w->expect = SHX_STALLED;
}

const scenario scenarios[] = {
    {"first-record", first_record, false},
    {"wrap-with-padding", wrap_with_padding, true},
    {"end-of-ring", end_of_ring, false},
    {"bucket-collisions", bucket_collisions, false},
    {"eviction", eviction, true},
    {"many-granules", many_granules, false},
    {"annotate-live", annotate_live, true},
    {"annotate-again", annotate_again, false},
    {"annotate-evicted", annotate_evicted, false},
    {"annotate-own-victim", annotate_own_victim, false},
    {"exact-fit", exact_fit, false},
    {"one-too-many", one_too_many, false},
    {"no-room-for-padding", no_room_for_padding, false},
    {"empty-without-keys", empty_without_keys, false},
    {"awaited", awaited, false},
    {"scribbled-buckets", scribbled_buckets, false},
    {"sealed", sealed_segment, false},
    {"contradiction", contradiction, false},
    {"death-in-contradiction", death_in_contradiction, false},
    {"death-after-damaged-size", death_after_damaged_size, false},
    {"death-after-damaged-kind", death_after_damaged_kind, false},
    {"death-after-damaged-stamp", death_after_damaged_stamp, false},
    {"death-after-lost-start", death_after_lost_start, false},
    {"death-and-old-age", death_and_old_age, false},
    {"overwritten-mutex", overwritten_mutex, false},
    {"across-the-gap", across_the_gap, false},
    {"unknown-kind", unknown_kind, false},
    {"read-only", read_only, false},
    {"end-of-positions", end_of_positions, false},
    {"too-large", too_large, false},
    {"invalid-kind", invalid_kind, false},
    {"busy", busy, false},
    {"stalled", stalled, false},
};
const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;

void scenario_make(const scenario *which, world *w) {
    memset(w, 0, sizeof *w);
    segment_make(&w->live, CAPACITY, BASE, BASE);
    which->prepare(w);
}

void scenario_free(world *w) { segment_free(&w->live); }
