/* What the C tests share: a segment in anonymous shared memory, reproducible payloads, and a way to fail. */
#ifndef SHX_TEST_SUPPORT_H
#define SHX_TEST_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lock.h"
#include "ring.h"
#include "wait.h"

#define FAIL(...)                                                  \
    do {                                                           \
        fprintf(stderr, "FAILED %s:%d: ", __FILE__, __LINE__);     \
        fprintf(stderr, __VA_ARGS__);                              \
        fputc('\n', stderr);                                       \
        _exit(1);                                                  \
    } while (0)
#define REQUIRE(condition)                              \
    do {                                                \
        if (!(condition)) FAIL("not so: %s", #condition); \
    } while (0)

/* A mapped segment; `ring` is the handle through which the test uses it. */
typedef struct {
    char *map;
    size_t size;
    shx_header header;
    shx_ring ring;
} segment;

/* SplitMix64 (Steele, Lea, Flood 2014): one well mixed word per counter value. */
static inline uint64_t random_word(uint64_t counter) {
    uint64_t z = counter + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint64_t random_next(uint64_t *state) { return random_word((*state)++); }

/* `size` bytes that follow from `seed` alone, so whoever reads them can tell whether they are whole. */
static inline void fill_payload(void *payload, uint32_t size, uint64_t seed) {
    unsigned char *out = payload;
    for (uint32_t at = 0; at < size; at += 8) {
        uint64_t word = random_word(seed * UINT64_C(0x100000001b3) + at);
        memcpy(out + at, &word, size - at < 8 ? size - at : 8);
    }
}

static inline bool payload_is(const void *payload, uint32_t size, uint64_t seed) {
    const unsigned char *bytes = payload;
    for (uint32_t at = 0; at < size; at += 8) {
        uint64_t word = random_word(seed * UINT64_C(0x100000001b3) + at);
        if (memcmp(bytes + at, &word, size - at < 8 ? size - at : 8) != 0) return false;
    }
    return true;
}

static inline void segment_attach(segment *made, bool writable) {
    shx_open(&made->ring, made->map, &made->header, writable);
}

static inline void segment_make(segment *made, uint64_t capacity, uint64_t gap_start, uint64_t base) {
    memset(made, 0, sizeof *made);
    made->header.capacity = capacity;
    made->header.gap_start = gap_start;
    made->header.base = base;
    made->header.store_id = 0x5a5a5a;
    made->size = shx_segment_size(capacity);
    made->map = mmap(NULL, made->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made->map == MAP_FAILED) FAIL("mmap of %zu bytes", made->size);
    if (shx_format(made->map, &made->header)) FAIL("shx_format");
    segment_attach(made, true);
}

static inline void segment_free(segment *made) { munmap(made->map, made->size); }

/* Make `copy`, zeroed or of an earlier use, a segment like `model`; what it holds is to be overwritten. */
static inline void segment_like(segment *copy, const segment *model) {
    if (copy->size && copy->size != model->size) segment_free(copy);
    if (copy->size != model->size) segment_make(copy, model->header.capacity, model->header.gap_start, model->header.base);
    copy->header = model->header;
    segment_attach(copy, true);
}

/* A CLOCK_MONOTONIC deadline `ms` milliseconds from now. */
static inline struct timespec deadline_in(long ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms % 1000 * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

#endif
