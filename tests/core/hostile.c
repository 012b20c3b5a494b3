/* Damaged and hostile segments: an answer, always; never a signal, a hang, or wrong bytes under SHX_OK.
 *
 *   hostile flips FROM STEP           every STEP-th single-bit flip, beginning with bit FROM
 *   hostile mutations SEED COUNT      COUNT random changes of many words
 *   hostile scribbler SEED COUNT      COUNT reads while a thread overwrites the segment
 *
 * The segment lies between two inaccessible pages, so that an access outside it is a signal. */
#include <linux/futex.h>
#include <pthread.h>

#include "support.h"

#define CAPACITY 64u
#define RECORDS 64u
#define GUARD ((size_t)64 << 20) /* more than the largest payload, so that no length can leap over it */

typedef struct {
    uint64_t position, seed;
    uint32_t size;
    uint8_t kind;
} truth;

static segment s;
static char *pristine;
static truth known[RECORDS]; /* all records there ever were, the overwritten ones too */
static unsigned count, built; /* of `known`: now, and in the pristine segment */
static unsigned char *payload;
static uint32_t tags[2][12];

static struct {
    uint64_t whole, missed, damaged, other, appended;
} seen;

/* ---- a segment with something of everything ---- */

static void build_append(uint8_t kind, uint32_t size, uint64_t target) {
    truth *made = &known[count];
    uint64_t n = count++, position;
    REQUIRE(count <= RECORDS);
    fill_payload(payload, size, n);
    shx_draft draft = {.payload = payload, .time_ns = n * 3, .target = target, .size = size, .kind = kind};
    draft.links = kind == SHX_ANNOTATION ? 1u << SHX_CORRELATION : 0x1f;
    for (unsigned i = 0; i < SHX_LINKS; i++) draft.tag[i] = tags[i > 0][(n + i) % 12];
    uint64_t head = atomic_load(&s.ring.control->writer.head);
    if (head > 20) shx_set_drained(&s.ring, head - 20);
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_OK);
    *made = (truth){.position = position, .seed = n, .size = size, .kind = kind};
}

static void build(void) {
    size_t size = shx_segment_size(CAPACITY);
    char *area = mmap(NULL, size + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(area != MAP_FAILED);
    payload = malloc(SHX_MAX_PAYLOAD);
    s.size = size;
    s.map = area + GUARD;
    s.header = (shx_header){.capacity = CAPACITY, .gap_start = 1, .base = 1};
    REQUIRE(mmap(s.map, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == s.map);
    REQUIRE(shx_format(s.map, &s.header) == 0);
    segment_attach(&s, true);
    for (unsigned i = 0; i < 24; i++) tags[i / 12][i % 12] = 1 + i * 13;
    for (unsigned n = 0; n < 30; n++) build_append(n % 5 == 4 ? SHX_SESSION : SHX_CONTEXT, n * 37 % 300, 0);
    build_append(SHX_ANNOTATION, 40, known[count - 2].position);
    build_append(SHX_CONTEXT, 900, 0);
    build_append(SHX_ANNOTATION, 0, known[count - 1].position);
    built = count;
    pristine = malloc(size);
    memcpy(pristine, s.map, size);
}

/* ---- what is done to it ---- */

static void judge_way(uint64_t position, bool at_once) {
    shx_view view;
    shx_status status = at_once ? shx_fetch(&s.ring, position, &view, payload, SHX_MAX_PAYLOAD)
                                : shx_look(&s.ring, position, &view);
    if (!at_once && status == SHX_OK) status = shx_copy(&s.ring, &view, payload);
    if (status == SHX_MISS || status == SHX_ERASED) seen.missed++;
    else if (status == SHX_DAMAGED) seen.damaged++;
    else if (status != SHX_OK) FAIL("read of %lu: status %d", position, status);
    if (status != SHX_OK || view.kind == SHX_PADDING) return;
    for (unsigned i = count; i-- > 0;) { /* the newest first: a wrong `head` gives a position away twice */
        if (known[i].position != position) continue;
        if (view.size != known[i].size || view.kind != known[i].kind || view.time_ns != known[i].seed * 3 ||
            !payload_is(payload, view.size, known[i].seed))
            FAIL("wrong bytes at %lu under SHX_OK", position);
        seen.whole++;
        return;
    }
    FAIL("a record at %lu, where none ever was", position);
}

static void judge_read(uint64_t position) {
    judge_way(position, false);
    judge_way(position, true);
}

static void read_everything(void) {
    uint64_t at = 0;
    for (unsigned i = 0; i < count; i++) judge_read(known[i].position);
    uint64_t from = known[count - 1].position - 40;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t next = shx_resync(&s.ring, from, payload);
        if (next < from || next >= atomic_load(&s.ring.control->writer.head)) break;
        judge_read(next);
        from = next + 1;
    }
    for (unsigned i = 0; i < 24; i++) {
        shx_walk walk;
        uint64_t before = UINT64_MAX;
        shx_walk_start(&s.ring, &walk, i < 12, tags[i / 12][i % 12]);
        while (shx_walk_next(&s.ring, &walk, &at) == SHX_OK) {
            if (at >= before) FAIL("the walk goes up");
            before = at;
            judge_read(at);
        }
    }
}

/* Appends to the damaged segment; what comes back is an answer, and only a whole record is called appended. */
static void write_something(bool owner_died) {
    pthread_mutex_t *mutex = &s.ring.control->writer.mutex;
    static unsigned char fresh[100];
    if (owner_died) mutex->__data.__lock = FUTEX_OWNER_DIED;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t position;
        shx_view view;
        shx_draft draft = {.payload = fresh, .time_ns = (5000 + i) * 3, .size = sizeof fresh, .kind = SHX_ANNOTATION};
        draft.links = 0x1e;
        draft.target = known[28].position;
        fill_payload(fresh, sizeof fresh, 5000 + i);
        memcpy(draft.tag, tags[0], sizeof draft.tag);
        shx_status status = shx_append(&s.ring, &draft, NULL, &position);
        if (status > SHX_INVALID || status == SHX_BUSY || status == SHX_STALLED) FAIL("append: status %d", status);
        if (status != SHX_OK) continue;
        seen.appended++;
        known[count++] = (truth){.position = position, .seed = 5000 + i, .size = sizeof fresh, .kind = SHX_ANNOTATION};
        if (shx_look(&s.ring, position, &view) == SHX_OK &&
            (shx_copy(&s.ring, &view, payload) != SHX_OK || !payload_is(payload, sizeof fresh, 5000 + i)))
            FAIL("appended at %lu, but something else is there", position);
    }
    if (shx_lock_holder(&s.ring)) FAIL("the lock is still held");
}

static void restore(void) {
    memcpy(s.map + SHX_CONTROL_OFFSET, pristine + SHX_CONTROL_OFFSET, s.size - SHX_CONTROL_OFFSET);
    count = built;
}

/* A byte of what is read from the segment: the used part of the control block, the indexes, the ring. */
static size_t mutable_bytes(void) { return sizeof(shx_control) + s.size - SHX_UNIQUE_OFFSET; }
static size_t offset_of(size_t byte) {
    return byte < sizeof(shx_control) ? SHX_CONTROL_OFFSET + byte : SHX_UNIQUE_OFFSET + byte - sizeof(shx_control);
}

static void flips(uint64_t from, uint64_t step) {
    size_t cases = 0, bits = 8 * mutable_bytes();
    for (size_t bit = from; bit < bits; bit += step, cases++) {
        size_t at = offset_of(bit / 8);
        bool in_mutex = at < SHX_CONTROL_OFFSET + sizeof(pthread_mutex_t);
        s.map[at] ^= (char)(1 << bit % 8);
        read_everything();
        if (!in_mutex) write_something(bit / step % 2);
        restore();
    }
    printf("flips %zu of %zu\n", cases, bits);
}

/* Values that code is likely to trip over, next to noise. */
static uint64_t nasty(uint64_t r) {
    static const uint64_t edge[] = {0, 1, 63, 64, 65, UINT32_MAX, UINT64_C(1) << 32, SHX_POSITION_MASK, UINT64_MAX, INT64_MAX};
    uint64_t position = known[r % count].position;
    switch ((r >> 8) % 5) {
    case 0: return random_word(r);
    case 1: return (random_word(r) & ~(uint64_t)UINT32_MAX) | (r >> 16 & (2 * SHX_MAX_PAYLOAD - 1)) >> (r >> 48) % 20;
    case 2: return edge[(r >> 16) % (sizeof edge / sizeof *edge)];
    case 3: return position | (r >> 16 & 15) << SHX_POSITION_BITS | (r >> 20 & 1) << 63;
    default: return known[count - 1].position + (r >> 16) % 200 - 100;
    }
}

static void mutate(uint64_t *random) {
    uint64_t changes = 1 + (random_next(random) % 4 ? random_next(random) % 4 : random_next(random) % 64);
    size_t words = mutable_bytes() / 8;
    while (changes--) {
        uint64_t r = random_next(random);
        /* As often in the control words as in all the rest. */
        size_t word = r & 1 ? (r >> 1) % words : sizeof(pthread_mutex_t) / 8 + (r >> 1) % 32;
        size_t at = offset_of(8 * word);
        if (at < SHX_CONTROL_OFFSET + sizeof(pthread_mutex_t)) continue;
        uint64_t value = nasty(random_next(random));
        memcpy(s.map + at, &value, sizeof value);
    }
}

static void mutations(uint64_t seed, uint64_t cases) {
    uint64_t random = seed;
    for (uint64_t i = 0; i < cases; i++) {
        mutate(&random);
        read_everything();
        write_something(i % 2);
        read_everything();
        restore();
    }
    printf("mutations %lu seed %lu\n", cases, seed);
}

static _Atomic bool over;

static void *scribble(void *argument) {
    uint64_t random = *(uint64_t *)argument;
    size_t words = mutable_bytes() / 8;
    while (!atomic_load(&over)) {
        uint64_t r = random_next(&random), good;
        size_t at = offset_of(8 * ((r >> 8) % words));
        if (at < SHX_CONTROL_OFFSET + sizeof(pthread_mutex_t)) continue;
        memcpy(&good, pristine + at, sizeof good);
        _Atomic uint64_t *word = (_Atomic uint64_t *)(void *)(s.map + at);
        atomic_store(word, nasty(random_next(&random)));
        for (volatile unsigned i = 0; i < r % 64; i++) continue;
        atomic_store(word, good);
    }
    return NULL;
}

static void scribbler(uint64_t seed, uint64_t rounds) {
    pthread_t thread;
    segment_attach(&s, false);
    REQUIRE(pthread_create(&thread, NULL, scribble, &seed) == 0);
    for (uint64_t i = 0; i < rounds; i++) read_everything();
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    printf("scribbler %lu rounds seed %lu\n", rounds, seed);
}

int main(int argc, char **words) {
    if (argc < 4) return 2;
    uint64_t first = strtoull(words[2], NULL, 0), second = strtoull(words[3], NULL, 0);
    alarm(getenv("SHMCTX_TORTURE") ? 3600 : 100); /* a hang ends in a signal */
    build();
    read_everything();
    REQUIRE(seen.damaged == 0 && seen.whole > 20);
    if (!strcmp(words[1], "flips")) flips(first, second);
    else if (!strcmp(words[1], "mutations")) mutations(first, second);
    else scribbler(first, second);
    printf("whole %lu missed %lu damaged %lu appended %lu\n", seen.whole, seen.missed, seen.damaged, seen.appended);
    return 0;
}
