/* Writers, readers and a drain on a ring so small that it is overwritten all the time.
 *
 *   stress threads|processes SEED MILLISECONDS [kill]
 *
 * Every payload follows from its record's id, so each role can tell a whole record from a mixture:
 *   readers  whatever is read as SHX_OK is whole and the record of that position; nothing is ever SHX_DAMAGED
 *   drain    meets every record of every writer, once, in order; what a killed writer was told is there is there
 *   walkers  find only records that have the key
 * With `kill`, writers are SIGKILLed at random moments and replaced; the others must not notice. */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "support.h"

#define CAPACITY 64u
#define WRITERS 2u
#define READERS 2u
#define LIVES 65536u
#define ROLES (WRITERS + READERS + 1)
#define MAX_SIZE 900u

typedef struct {
    _Atomic bool stop, finish; /* for writers and readers; for the drain, once the writers are gone */
    _Atomic uint64_t reads, torn, walks, drained, full;
    _Atomic uint64_t killed;
    _Atomic uint64_t acknowledged[WRITERS][LIVES]; /* appends that returned, by writer and life */
} common;

static segment s;
static common *shared;
static uint64_t seed;

/* writer, life and number of a record in one word */
static uint64_t id_of(uint64_t writer, uint64_t life, uint64_t number) { return writer << 56 | life << 40 | number; }
static uint32_t size_of(uint64_t id) {
    uint64_t r = random_word(id ^ seed);
    return 8 + (uint32_t)(r % 8 ? r / 8 % 120 : r / 8 % (MAX_SIZE - 8));
}
static uint32_t key_of(uint64_t writer) { return shx_tag(SHX_CORRELATION, &writer, sizeof writer); }

static uint64_t drained(void) { return atomic_load_explicit(&s.ring.control->drained, memory_order_acquire); }
static uint64_t head(void) { return atomic_load_explicit(&s.ring.control->writer.head, memory_order_acquire); }

static void write_records(uint64_t writer, uint64_t life) {
    unsigned char payload[MAX_SIZE + 8];
    for (uint64_t number = 0; !atomic_load(&shared->stop);) {
        uint64_t id = id_of(writer, life, number), seen = drained(), position;
        shx_draft draft = {.payload = payload, .time_ns = id, .size = size_of(id), .kind = SHX_CONTEXT};
        fill_payload(payload, draft.size, id);
        memcpy(payload, &id, sizeof id);
        draft.links = 1u << SHX_ALIAS | 1u << SHX_CORRELATION;
        draft.tag[SHX_ALIAS] = shx_tag(SHX_ALIAS, &id, sizeof id);
        draft.tag[SHX_CORRELATION] = key_of(writer);
        struct timespec deadline = deadline_in(20000);
        shx_status status = shx_append(&s.ring, &draft, &deadline, &position);
        if (status == SHX_OK) {
            atomic_store(&shared->acknowledged[writer][life], ++number);
        } else if (status == SHX_FULL) {
            atomic_fetch_add_explicit(&shared->full, 1, memory_order_relaxed);
            shx_wait_drained(&s.ring, seen, 10000000);
        } else {
            FAIL("append: status %d", status);
        }
    }
}

/* The id of a record that was read as SHX_OK; ends the program if it is not whole. */
static uint64_t certify(const shx_view *view, const unsigned char *payload) {
    unsigned char expected[MAX_SIZE + 8];
    uint64_t id;
    if (view->kind != SHX_CONTEXT || view->size < 8 || view->size > MAX_SIZE)
        FAIL("%lu: kind %u, size %u", view->position, view->kind, view->size);
    memcpy(&id, payload, sizeof id);
    fill_payload(expected, view->size, id);
    memcpy(expected, &id, sizeof id);
    if (view->time_ns != id || view->size != size_of(id) || memcmp(expected, payload, view->size) != 0)
        FAIL("%lu: foreign bytes in the record of %lx", view->position, id);
    return id;
}

/* SHX_OK with the view and the record's id (0 for padding), or SHX_MISS. */
static shx_status read_one(uint64_t position, shx_view *view, uint64_t *id) {
    unsigned char payload[CAPACITY * SHX_GRANULE];
    static _Atomic unsigned turn;
    bool at_once = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) % 2;
    shx_status status = at_once ? shx_fetch(&s.ring, position, view, payload, sizeof payload)
                                : shx_look(&s.ring, position, view);
    if (!at_once && status == SHX_OK) {
        status = shx_copy(&s.ring, view, payload);
        if (status == SHX_MISS) atomic_fetch_add_explicit(&shared->torn, 1, memory_order_relaxed);
    }
    if (status != SHX_OK && status != SHX_MISS) FAIL("read of %lu: status %d", position, status);
    if (status != SHX_OK) return status;
    *id = view->kind == SHX_PADDING ? 0 : certify(view, payload);
    atomic_fetch_add_explicit(&shared->reads, 1, memory_order_relaxed);
    return SHX_OK;
}

static void walk_key(uint64_t writer) {
    shx_walk walk;
    uint64_t at, before = UINT64_MAX, id;
    shx_view view;
    for (shx_walk_start(&s.ring, &walk, false, key_of(writer)); shx_walk_next(&s.ring, &walk, &at) == SHX_OK;) {
        if (at >= before) FAIL("the walk goes up");
        before = at;
        if (read_one(at, &view, &id) == SHX_OK && id >> 56 != writer) FAIL("%lu has not the key", at);
        atomic_fetch_add_explicit(&shared->walks, 1, memory_order_relaxed);
    }
}

/* Reads in order, from the oldest undrained record, at random, and again what it read before: the likeliest to go. */
static void read_records(uint64_t number) {
    struct {
        uint64_t position, id;
    } known[32] = {0};
    uint64_t random = seed + 77 * number, position = drained(), id;
    shx_view view;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        uint64_t r = random_next(&random), slot = r >> 8 & 31;
        if (r % 16 == 0) walk_key(r >> 16 & 1);
        if (r % 4 == 0) position = drained();
        if (r % 4 == 1) position = known[slot].position;
        if (r % 4 == 2) position = head() - (r >> 20) % CAPACITY;
        if (read_one(position, &view, &id) != SHX_OK) {
            position = drained();
            continue;
        }
        if (r % 4 == 1 && known[slot].id != id) FAIL("%lu was %lx, is %lx", position, known[slot].id, id);
        known[slot].position = position;
        known[slot].id = id;
        position += view.granules;
    }
}

static uint32_t next_number[WRITERS][LIVES];

static void expect_next(uint64_t id) {
    uint64_t writer = id >> 56, life = id >> 40 & 0xffff, number = id & UINT64_C(0xffffffffff);
    if (writer >= WRITERS) FAIL("writer %lu", writer);
    if (number != next_number[writer][life]) FAIL("record %lx: %u was expected", id, next_number[writer][life]);
    next_number[writer][life]++;
    atomic_fetch_add_explicit(&shared->drained, 1, memory_order_relaxed);
}

/* Nothing that a writer was told is there may be missing; of what it was not told, one record may be there. */
static void check_complete(void) {
    for (unsigned writer = 0; writer < WRITERS; writer++)
        for (unsigned life = 0; life < LIVES; life++) {
            uint64_t told = atomic_load(&shared->acknowledged[writer][life]), found = next_number[writer][life];
            if (found != told && found != told + 1) FAIL("writer %u, life %u: %lu, not %lu", writer, life, found, told);
        }
}

static void drain(void) {
    uint64_t position = drained(), id;
    shx_view view;
    for (unsigned batch = 0;;) {
        bool last = atomic_load(&shared->finish);
        if (position == head()) {
            shx_set_drained(&s.ring, position);
            if (last) break;
            shx_wait_head(&s.ring, position, 1000000);
            continue;
        }
        if (read_one(position, &view, &id) != SHX_OK) FAIL("the drain misses %lu, head %lu", position, head());
        if (view.kind != SHX_PADDING) expect_next(id);
        position += view.granules;
        if (++batch % 4 == 0) shx_set_drained(&s.ring, position);
    }
    check_complete();
}

/* ---- who runs it ---- */

static void play(unsigned role, uint64_t life) {
    if (role < WRITERS) write_records(role, life);
    else if (role < WRITERS + READERS) read_records(role);
    else drain();
}

static void *play_in_thread(void *role) {
    play((unsigned)(uintptr_t)role, 0);
    return NULL;
}

static void pause_us(uint64_t us) {
    struct timespec pause = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    nanosleep(&pause, NULL);
}

static void run_threads(uint64_t ms) {
    pthread_t thread[ROLES];
    for (uintptr_t i = 0; i < ROLES; i++) REQUIRE(pthread_create(&thread[i], NULL, play_in_thread, (void *)i) == 0);
    pause_us(ms * 1000);
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < ROLES - 1; i++) pthread_join(thread[i], NULL);
    atomic_store(&shared->finish, true);
    pthread_join(thread[ROLES - 1], NULL);
}

static pid_t start_role(unsigned role, uint64_t life) {
    pid_t pid = fork();
    if (pid < 0) FAIL("fork");
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(600);
    play(role, life);
    _exit(0);
}

static void await_exit(pid_t pid, bool killed) {
    int status;
    if (waitpid(pid, &status, 0) != pid) FAIL("waitpid");
    if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) FAIL("a process ended with status %x", status);
}

/* SIGKILL after 50 us to 6.4 ms of life, short lives as likely as long ones. */
static void kill_writers(pid_t *pid, uint64_t ms) {
    uint64_t random = seed, life[WRITERS] = {0};
    struct timespec end = deadline_in((long)ms), now;
    do {
        uint64_t r = random_next(&random), writer = r % WRITERS;
        pause_us((50 + (r >> 20) % 50) << (r >> 8) % 7);
        kill(pid[writer], SIGKILL);
        await_exit(pid[writer], true);
        atomic_fetch_add(&shared->killed, 1);
        if (++life[writer] == LIVES) FAIL("out of lives");
        pid[writer] = start_role((unsigned)writer, life[writer]);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

static void run_processes(uint64_t ms, bool with_kills) {
    pid_t pid[ROLES];
    for (unsigned i = 0; i < ROLES; i++) pid[i] = start_role(i, 0);
    if (with_kills) kill_writers(pid, ms);
    else pause_us(ms * 1000);
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < ROLES - 1; i++) await_exit(pid[i], false);
    atomic_store(&shared->finish, true);
    await_exit(pid[ROLES - 1], false);
}

int main(int count, char **words) {
    if (count < 4) return 2;
    seed = strtoull(words[2], NULL, 0);
    uint64_t ms = strtoull(words[3], NULL, 0);
    alarm((unsigned)(ms / 1000) + 60);
    segment_make(&s, CAPACITY, 1, 1);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    if (!strcmp(words[1], "threads")) run_threads(ms);
    else run_processes(ms, count > 4 && !strcmp(words[4], "kill"));
    printf("drained %lu reads %lu torn %lu walked %lu full %lu killed %lu repairs %lu\n", atomic_load(&shared->drained),
           atomic_load(&shared->reads), atomic_load(&shared->torn), atomic_load(&shared->walks),
           atomic_load(&shared->full), atomic_load(&shared->killed), atomic_load(&s.ring.control->repairs));
    return 0;
}
