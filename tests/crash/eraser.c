/* Stops an erasure before each of its machine instructions: what readers make of the state, and what its death leaves.
 *
 *   eraser [STRIDE]    kills at every STRIDE-th instruction (1)
 *
 * Whatever the state, the record is whole or erased, never damaged, and its neighbours are whole. Whoever erases again
 * finds nothing left of it but zeroes, and the ring takes appends. Exit code 0, 1 (something is wrong), 77 (no ptrace). */
#include "tracee.h"

#define SIZE 300u
#define RECORDS 3u

typedef struct {
    shx_ring *ring;
    uint64_t position;
} erasure;

static segment s;
static uint64_t at[RECORDS];
static unsigned whole, erased, kills;

static __attribute__((noinline)) shx_status erase_once(void *context) {
    const erasure *what = context;
    return shx_erase(what->ring, what->position, NULL);
}

static uint64_t append(uint64_t seed) {
    unsigned char payload[SIZE];
    uint64_t position = 0;
    fill_payload(payload, SIZE, seed);
    shx_draft draft = {.payload = payload, .time_ns = seed, .size = SIZE, .kind = SHX_CONTEXT};
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_OK);
    return position;
}

/* Both ways of reading agree that the record is whole, or that it is erased. */
static bool is_whole(uint64_t position, uint64_t seed) {
    unsigned char payload[SIZE];
    shx_view view;
    REQUIRE(shx_look(&s.ring, position, &view) == SHX_OK && view.granules == 1 + (SIZE + 63) / 64);
    shx_status status = shx_copy(&s.ring, &view, payload);
    if (status != SHX_OK && status != SHX_ERASED) FAIL("a record that is being erased is called %d", status);
    REQUIRE(shx_fetch(&s.ring, position, &view, payload, SIZE) == status);
    if (status == SHX_OK) REQUIRE(payload_is(payload, SIZE, seed));
    return status == SHX_OK;
}

static void judge_state(void) {
    if (is_whole(at[1], 1)) whole++;
    else erased++;
    REQUIRE(is_whole(at[0], 0) && is_whole(at[2], 2));
}

/* After a death the lock is free, the erasure can be done again, and the ring goes on. */
static void survive(void) {
    REQUIRE(shx_erase(&s.ring, at[1], NULL) == SHX_OK && !is_whole(at[1], 1));
    const _Atomic uint64_t *words = (const _Atomic uint64_t *)(shx_slot(&s.ring, at[1]) + 1);
    for (unsigned i = 0; i < (SIZE + 63) / 64 * SHX_WORDS; i++) REQUIRE(!atomic_load(words + i));
    REQUIRE(is_whole(append(9), 9) && is_whole(at[0], 0) && is_whole(at[2], 2));
    REQUIRE(shx_lock_holder(&s.ring) == 0 && !atomic_load(&s.ring.control->state));
}

int main(int count, char **words) {
    unsigned stride = count > 1 ? (unsigned)atoi(words[1]) : 1, steps = 0;
    alarm(600);
    segment_make(&s, 64, 1, 1);
    for (unsigned i = 0; i < RECORDS; i++) at[i] = append(i);
    char *start = malloc(s.size);
    memcpy(start, s.map, s.size);
    erasure what = {&s.ring, at[1]};
    for (bool running = true; running;) {
        tracee child;
        memcpy(s.map, start, s.size);
        tracee_start(&child, erase_once, &what, (uint64_t)(uintptr_t)erase_once);
        for (unsigned step = 0; running && step < steps; step++) running = tracee_step(&child);
        if (running) judge_state();
        tracee_kill(&child);
        survive();
        kills++;
        steps += stride;
    }
    printf("steps %u kills %u whole %u erased %u\n", steps, kills, whole, erased);
    return 0;
}
