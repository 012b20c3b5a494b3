/* What handles, headers, the lock and the waits promise. `handles [NAME]` runs one of the checks. */
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "units.h"

static void a_read_only_handle_reads_and_moves_nothing(void) {
    segment s;
    segment_make(&s, 64, 1, 1);
    uint64_t position = put(&s, 6, 60);
    REQUIRE(mprotect(s.map, s.size, PROT_READ) == 0);
    segment_attach(&s, false);
    REQUIRE(reads(&s, position, 6, 60));
    shx_set_drained(&s.ring, position + 1);
    shx_set_tail(&s.ring, position + 1);
    REQUIRE(atomic_load(&s.ring.control->drained) == 1 && !shx_wait_head(&s.ring, head_of(&s), 1000000));
    REQUIRE(shx_wait_head(&s.ring, 0, 1000000));
    shx_count(&s.ring, SHX_HOT_HITS, 3);
    REQUIRE(atomic_load(&s.ring.counters[SHX_HOT_HITS]) == 3);
    segment_free(&s);
}

static void another_header_is_refused_with_its_fault(void) {
    segment s;
    segment_make(&s, 64, 1, 1);
    REQUIRE(shx_check_header(&s.header, s.size) == SHX_HEADER_OK);
    REQUIRE(shx_check_header(&s.header, s.size - 1) == SHX_BAD_GEOMETRY);
    REQUIRE(shx_check_header(&s.header, 100) == SHX_NOT_A_SEGMENT);
    for (size_t bit = 0; bit < 8 * sizeof s.header; bit++) {
        shx_header flipped = s.header;
        ((unsigned char *)&flipped)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        size_t byte = bit / 8;
        shx_header_fault expected = byte < 8 ? SHX_NOT_A_SEGMENT : byte < 12 ? SHX_OTHER_LAYOUT : byte < 16 ? SHX_OTHER_ABI
                                  : byte < offsetof(shx_header, crc) + 4 ? SHX_BAD_CHECKSUM : SHX_HEADER_OK;
        REQUIRE(shx_check_header(&flipped, s.size) == expected);
    }
    segment_free(&s);
}

static void impossible_geometry_is_refused_under_a_valid_checksum(void) {
    segment s;
    segment_make(&s, 64, 65, 129);
    shx_header bad[14];
    for (unsigned i = 0; i < 14; i++) bad[i] = s.header;
    bad[0].capacity = 32, bad[1].capacity = 96, bad[2].capacity = UINT64_C(1) << 40, bad[3].segment_size += 4096;
    bad[4].buckets *= 2, bad[5].store_id = 1 << 24, bad[6].gap_start = 0, bad[7].gap_start = 193, bad[8].base = 130;
    bad[9].base = UINT64_C(1) << 60, memset(bad[10].name, 'n', sizeof bad[10].name);
    memset(bad[11].database, 'd', sizeof bad[11].database), memset(bad[12].boot_id, 'b', sizeof bad[12].boot_id);
    bad[13].capacity = 0;
    for (unsigned i = 0; i < 14; i++) {
        bad[i].crc = shx_header_crc(&bad[i]);
        REQUIRE(shx_check_header(&bad[i], s.size) == SHX_BAD_GEOMETRY);
    }
    segment_free(&s);
}

static void *append_while_held(void *argument) {
    segment *s = argument;
    uint64_t position;
    shx_draft draft = draft_of(1, 1);
    struct timespec soon = deadline_in(20);
    REQUIRE(shx_lock_holder(&s->ring) != 0 && shx_lock_holder(&s->ring) != (uint32_t)syscall(SYS_gettid));
    REQUIRE(shx_append(&s->ring, &draft, NULL, &position) == SHX_BUSY);
    REQUIRE(shx_append(&s->ring, &draft, &soon, &position) == SHX_STALLED);
    return NULL;
}

static void a_held_lock_is_an_answer_not_a_hang(void) {
    segment s;
    pthread_t thread;
    segment_make(&s, 64, 1, 1);
    REQUIRE(shx_lock_enter(&s.ring, NULL) == SHX_OK && shx_lock_holder(&s.ring) == (uint32_t)syscall(SYS_gettid));
    REQUIRE(pthread_create(&thread, NULL, append_while_held, &s) == 0 && pthread_join(thread, NULL) == 0);
    shx_lock_leave(&s.ring);
    REQUIRE(shx_lock_holder(&s.ring) == 0 && head_of(&s) == 1);
    put(&s, 1, 1);
    segment_free(&s);
}

enum word { HEAD, DRAINED, URGENT };
typedef struct {
    segment *s;
    enum word word;
    _Atomic bool done;
} sleeper;

static void *sleep_for_a_minute(void *argument) {
    sleeper *me = argument;
    shx_ring *ring = &me->s->ring;
    const uint64_t minute = UINT64_C(60000000000);
    bool moved = me->word == HEAD ? shx_wait_head(ring, 1, minute)
               : me->word == DRAINED ? shx_wait_drained(ring, 1, minute) : shx_wait_urgent(ring, 0, minute);
    REQUIRE(moved);
    atomic_store(&me->done, true);
    return NULL;
}

static bool asleep(sleeper *me) {
    shx_control *control = me->s->ring.control;
    return me->word == URGENT || atomic_load(me->word == HEAD ? &control->head_waiters : &control->drained_waiters);
}

/* The alarm of run_units comes before the end of the sleep: a wake-up that is lost ends the program. */
static void who_moves_a_word_wakes_its_sleepers(void) {
    for (enum word word = HEAD; word <= URGENT; word++) {
        segment s;
        pthread_t thread;
        segment_make(&s, 64, 1, 1);
        sleeper me = {.s = &s, .word = word};
        REQUIRE(pthread_create(&thread, NULL, sleep_for_a_minute, &me) == 0);
        while (!asleep(&me)) sched_yield();
        usleep(20000); /* from the hint to the futex: it works in either order, this makes the later one likely */
        REQUIRE(!atomic_load(&me.done));
        if (word == HEAD) put(&s, 1, 1);
        if (word == DRAINED) shx_set_drained(&s.ring, 2);
        if (word == URGENT) shx_request_drain(&s.ring);
        REQUIRE(pthread_join(thread, NULL) == 0 && atomic_load(&me.done));
        segment_free(&s);
    }
}

static void a_wait_ends_at_its_limit(void) {
    segment s;
    segment_make(&s, 64, 1, 1);
    REQUIRE(!shx_wait_head(&s.ring, 1, 1000000) && !shx_wait_drained(&s.ring, 1, 1000000));
    REQUIRE(!shx_wait_urgent(&s.ring, 0, 1000000) && shx_wait_urgent(&s.ring, 9, 1000000));
    segment_free(&s);
}

static const unit units[] = {
    UNIT(a_read_only_handle_reads_and_moves_nothing),
    UNIT(another_header_is_refused_with_its_fault),
    UNIT(impossible_geometry_is_refused_under_a_valid_checksum),
    UNIT(a_held_lock_is_an_answer_not_a_hang),
    UNIT(who_moves_a_word_wakes_its_sleepers),
    UNIT(a_wait_ends_at_its_limit),
};

int main(int count, char **words) { return run_units(units, sizeof units / sizeof *units, count, words); }
