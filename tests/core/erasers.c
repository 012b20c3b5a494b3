/* Erasers beside writers and readers: what is read is whole or a miss, never damaged; and an eraser may die anywhere.
 *
 *   erasers threads SEED MILLISECONDS    readers copy what erasers take away, on a ring that is overwritten all the time
 *   erasers killed SEED ROUNDS           an eraser is SIGKILLed at a random moment; the next one ends its work */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "support.h"

#define CAPACITY 256u
#define SIZE 900u

static segment s;
static uint64_t seed;
static _Atomic bool stop;
static _Atomic uint64_t reads, erased, misses;

static uint64_t word_of(_Atomic uint64_t *word) { return atomic_load_explicit(word, memory_order_acquire); }

static uint64_t append(uint64_t id) {
    static _Thread_local unsigned char payload[SIZE + 8];
    uint64_t position;
    shx_draft draft = {.payload = payload, .time_ns = id, .size = (uint32_t)(random_word(id ^ seed) % SIZE), .kind = SHX_CONTEXT};
    fill_payload(payload, draft.size, id);
    struct timespec deadline = deadline_in(20000);
    shx_status status = shx_append(&s.ring, &draft, &deadline, &position);
    if (status != SHX_OK) FAIL("append: status %d", status);
    return position;
}

static void *write_records(void *none) {
    for (uint64_t id = 1; !atomic_load(&stop); id++) {
        append(id);
        shx_set_drained(&s.ring, word_of(&s.ring.control->writer.head)); /* one writer: nobody is ahead of it */
    }
    return none;
}

static void *erase_records(void *number) {
    uint64_t random = seed + *(uint64_t *)number;
    while (!atomic_load(&stop)) {
        uint64_t position = word_of(&s.ring.control->writer.head) - random_next(&random) % CAPACITY;
        struct timespec deadline = deadline_in(20000);
        shx_status status = shx_erase(&s.ring, position, &deadline);
        if (status == SHX_OK) atomic_fetch_add(&erased, 1);
        else if (status != SHX_MISS) FAIL("erase of %lu: status %d", position, status);
    }
    return NULL;
}

static void *read_records(void *number) {
    unsigned char payload[SIZE + 8];
    uint64_t random = seed + 1000 + *(uint64_t *)number;
    while (!atomic_load(&stop)) {
        shx_view view;
        uint64_t draw = random_next(&random), position = word_of(&s.ring.control->writer.head) - draw % CAPACITY;
        shx_status status = draw >> 32 & 1 ? shx_fetch(&s.ring, position, &view, payload, SIZE) : shx_look(&s.ring, position, &view);
        if (!(draw >> 32 & 1) && status == SHX_OK) status = shx_copy(&s.ring, &view, payload);
        if (status == SHX_MISS || status == SHX_ERASED) {
            atomic_fetch_add(&misses, status == SHX_ERASED);
            continue;
        }
        if (status != SHX_OK) FAIL("read of %lu: status %d", position, status);
        if (view.kind == SHX_PADDING) continue;
        if (!payload_is(payload, view.size, view.time_ns)) FAIL("%lu is not whole", position);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

static void run_threads(unsigned milliseconds) {
    void *(*const roles[])(void *) = {write_records, erase_records, erase_records, read_records, read_records};
    pthread_t threads[5];
    uint64_t numbers[5];
    for (unsigned i = 0; i < 5; i++) {
        numbers[i] = i;
        REQUIRE(!pthread_create(&threads[i], NULL, roles[i], &numbers[i]));
    }
    usleep(milliseconds * 1000);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 5; i++) pthread_join(threads[i], NULL);
}

static bool is_zero(uint64_t position, uint64_t granules) {
    _Atomic uint64_t *words = (_Atomic uint64_t *)(shx_slot(&s.ring, position) + 1);
    for (uint64_t i = 0; i < (granules - 1) * SHX_WORDS; i++)
        if (atomic_load(words + i)) return false;
    return true;
}

/* After a death: every record is whole or erased; erasing what is erased leaves zeroes; the neighbours are whole. */
static void judge(const uint64_t *at, const uint64_t *ids, unsigned count) {
    unsigned char payload[SIZE + 8];
    for (unsigned i = 0; i < count; i++) {
        shx_view view;
        REQUIRE(shx_look(&s.ring, at[i], &view) == SHX_OK);
        shx_status status = shx_copy(&s.ring, &view, payload);
        if (status == SHX_OK) {
            if (!payload_is(payload, view.size, ids[i])) FAIL("%lu is not whole", at[i]);
            atomic_fetch_add(&reads, 1);
            continue;
        }
        if (status != SHX_ERASED) FAIL("read of %lu: status %d", at[i], status);
        atomic_fetch_add(&erased, 1);
        struct timespec deadline = deadline_in(20000);
        REQUIRE(shx_erase(&s.ring, at[i], &deadline) == SHX_OK && is_zero(at[i], view.granules));
    }
}

static void run_killed(unsigned rounds) {
    uint64_t random = seed, at[12], ids[12], id = 1;
    for (unsigned round = 0; round < rounds; round++) {
        shx_set_drained(&s.ring, word_of(&s.ring.control->writer.head));
        for (unsigned i = 0; i < 12; i++) at[i] = append(ids[i] = id++);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (!child) {
            for (unsigned i = 0; i < 12; i++) {
                struct timespec deadline = deadline_in(20000);
                shx_erase(&s.ring, at[i], &deadline);
            }
            _exit(0);
        }
        for (volatile uint64_t spin = random_next(&random) % 200000; spin; spin--) {}
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        judge(at, ids, 12);
    }
    atomic_store(&misses, s.ring.control->repairs);
}

int main(int count, char **words) {
    if (count != 4) return 2;
    seed = strtoull(words[2], NULL, 0);
    segment_make(&s, CAPACITY, 1, 1);
    if (!strcmp(words[1], "threads")) run_threads((unsigned)atoi(words[3]));
    else run_killed((unsigned)atoi(words[3]));
    printf("reads %lu erased %lu missed %lu\n", reads, erased, misses);
    return 0;
}
