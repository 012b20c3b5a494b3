/* For the programs of unit checks: a list of named checks, and records whose payload follows from a seed. */
#ifndef SHX_TEST_UNITS_H
#define SHX_TEST_UNITS_H

#include "support.h"

typedef struct {
    const char *name;
    void (*run)(void);
} unit;
#define UNIT(name) {#name, name}

/* The main() of a program of unit checks: all of them, or the one that is named. */
static inline int run_units(const unit *units, size_t units_count, int count, char **words) {
    unsigned ran = 0;
    alarm(count > 1 ? 5 : 40);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < units_count; i++) {
        if (count > 1 && strcmp(words[1], units[i].name)) continue;
        units[i].run();
        printf("passed %s\n", units[i].name);
        ran++;
    }
    return ran ? 0 : 2;
}

static unsigned char bytes[1 << 16], copied[SHX_MAX_PAYLOAD];

static inline shx_draft draft_of(uint64_t seed, uint32_t size) {
    fill_payload(bytes, size, seed);
    return (shx_draft){.payload = bytes, .time_ns = seed + 5, .size = size, .kind = SHX_CONTEXT};
}

static inline uint64_t put(segment *s, uint64_t seed, uint32_t size) {
    uint64_t position = 0;
    shx_draft draft = draft_of(seed, size);
    REQUIRE(shx_append(&s->ring, &draft, NULL, &position) == SHX_OK);
    return position;
}

static inline bool reads(segment *s, uint64_t position, uint64_t seed, uint32_t size) {
    shx_view view;
    if (shx_look(&s->ring, position, &view) != SHX_OK || shx_copy(&s->ring, &view, copied) != SHX_OK) return false;
    if (shx_fetch(&s->ring, position, &view, copied, size) != SHX_OK) return false;
    if (size && shx_fetch(&s->ring, position, &view, copied, size - 1) != SHX_TOO_LARGE) return false;
    return view.position == position && view.size == size && view.time_ns == seed + 5 && view.kind == SHX_CONTEXT &&
           view.granules == 1 + (size + 63) / 64 && payload_is(copied, size, seed);
}

static inline uint64_t head_of(segment *s) { return atomic_load(&s->ring.control->writer.head); }

#endif
