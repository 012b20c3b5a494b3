/* The ring: append, read, scan, find. Knows nothing of Python.
 *
 * Usage. Map a formatted segment, `shx_open` it into a handle, then:
 *   producer   fill a shx_draft, shx_append                       (serialised by the robust lock)
 *   reader     shx_look, shx_copy                                 (no lock, no writes)
 *   drain      shx_look from `drained` to `head`, then shx_set_drained
 *   search     shx_walk_start, shx_walk_next, and verify each find
 *
 * Correctness in three sentences. An append is invisible until its release store of `head`, so a writer that dies
 * before it leaves only claimed space, which the next holder of the lock turns into padding. A reader copies first and
 * then checks `reserved`: the writer that would overwrite the copy raised `reserved` before its first byte. Every
 * length, distance and position read from the segment is loaded once, checked against the handle's own copy of the
 * geometry, and only then used.
 */
#ifndef SHX_RING_H
#define SHX_RING_H

#include <stdbool.h>

#include "layout.h"

typedef enum {
    SHX_OK = 0,
    SHX_MISS,     /* not in the ring: never written, overwritten, aged out, or no record starts there */
    SHX_DAMAGED,  /* in the ring, but its size or checksum is wrong */
    SHX_ERASED,   /* a record was here whose payload is gone on purpose; its space is still to be passed over */
    SHX_FULL,     /* no space before `drained + capacity` */
    SHX_TOO_LARGE,
    SHX_BUSY,     /* the lock was not free within the spin */
    SHX_STALLED,  /* the lock was not free until the deadline: its holder is stopped */
    SHX_CORRUPT,  /* the control words contradict each other; the segment is poisoned */
    SHX_SEALED_OFF,
    SHX_INVALID,  /* a caller's mistake: a bad argument, or a write through a read-only handle */
} shx_status;

/* A process's view of a segment. The geometry is copied when the handle is made and never read from the map again. */
typedef struct {
    shx_control *control;
    _Atomic uint64_t *unique;
    _Atomic uint64_t *group;
    shx_record *records;
    shx_participant *participants;
    _Atomic uint64_t *counters; /* this process's slot, or `private_counters` where there is none */
    _Atomic uint64_t private_counters[SHX_COUNTERS];
    uint64_t capacity;
    uint64_t bucket_mask;
    uint64_t gap_start;
    uint64_t base;
    uint32_t store_id;
    bool writable;
} shx_ring;

/* What an append writes. Tags come from shx_tag; a link whose bit in `links` is clear is not indexed. A link whose bit
 * in `self` is set is keyed by the record's own position, known only under the lock. */
typedef struct {
    const void *payload;
    uint64_t time_ns;
    uint64_t target; /* annotations: position of the record to mark, or 0 */
    uint32_t size;
    uint32_t tag[SHX_LINKS];
    uint8_t kind;
    uint8_t links;
    uint8_t self;
} shx_draft;

/* A record's header, copied and checked; `shx_copy` needs it to fetch the payload. */
typedef struct {
    uint64_t position;
    uint64_t time_ns;
    uint64_t granules; /* header and payload */
    uint32_t size;
    uint32_t crc;
    uint8_t kind;
    bool annotated;
} shx_view;

typedef struct {
    uint64_t at; /* the record to look at next; 0 when the chain has ended */
    uint32_t tag;
    bool unique;
} shx_walk;

/* Why a header was refused, for a message. */
typedef enum {
    SHX_HEADER_OK = 0,
    SHX_NOT_A_SEGMENT,
    SHX_OTHER_LAYOUT,
    SHX_OTHER_ABI,
    SHX_BAD_CHECKSUM,
    SHX_BAD_GEOMETRY,
} shx_header_fault;

uint32_t shx_abi(void);
uint32_t shx_header_crc(const shx_header *header);
shx_header_fault shx_check_header(const shx_header *header, uint64_t file_size);
/* Fill a zeroed map of shx_segment_size(header->capacity) bytes. 0, or an errno from the mutex. */
int shx_format(void *map, shx_header *header);
void shx_open(shx_ring *ring, void *map, const shx_header *header, bool writable);

uint32_t shx_tag(unsigned link, const void *key, size_t size);
uint32_t shx_tag_position(unsigned link, uint64_t position);

/* Append one record. `deadline` is CLOCK_MONOTONIC; NULL tries without sleeping and answers SHX_BUSY. On SHX_STALLED
 * and SHX_BUSY nothing was written. Wakes whoever waits for `head`. */
shx_status shx_append(shx_ring *ring, const shx_draft *draft, const struct timespec *deadline, uint64_t *position);
/* Write a record at a position of its own into a segment nobody else has seen: rehydration. Positions must grow. */
shx_status shx_place(shx_ring *ring, const shx_draft *draft, uint64_t position);
/* End a rehydration: pads up to the gap and moves all positions to `base`. */
void shx_place_end(shx_ring *ring);

bool shx_live(const shx_ring *ring, uint64_t position);
shx_status shx_look(const shx_ring *ring, uint64_t position, shx_view *view);
shx_status shx_copy(const shx_ring *ring, const shx_view *view, void *payload);
/* shx_look and shx_copy in one, for a reader that has room for the common sizes; SHX_TOO_LARGE sends it to those two. */
shx_status shx_fetch(const shx_ring *ring, uint64_t position, shx_view *view, void *payload, uint32_t room);
/* The first position >= `position` where a record starts, or `head`. Damaged stretches are passed over by testing every
 * granule for a stamp and checksum that fit. `scratch` holds SHX_MAX_PAYLOAD bytes at least. */
uint64_t shx_resync(const shx_ring *ring, uint64_t position, void *scratch);
/* The end of the newest whole record, found by testing every granule and trusting no control word; 0 if there is none.
 * For recovery, on a copy that nobody writes. */
uint64_t shx_last_end(const shx_ring *ring, void *scratch);
/* Where to go on after `position`, over the gap. */
uint64_t shx_after(const shx_ring *ring, uint64_t position);

void shx_walk_start(const shx_ring *ring, shx_walk *walk, bool unique, uint32_t tag);
shx_status shx_walk_next(const shx_ring *ring, shx_walk *walk, uint64_t *position);

/* The leader's stores. Positions only grow: a smaller one is ignored. */
void shx_set_drained(shx_ring *ring, uint64_t position);
void shx_set_tail(shx_ring *ring, uint64_t position);
/* Zero a record's payload, so that every reader takes it for a miss. Its links stay, because older records hang on
 * them. A death within leaves an erased record some of whose bytes are still there: call it again, as often as you like.
 * SHX_OK also if it was erased before; SHX_MISS where no record of that position is. */
shx_status shx_erase(shx_ring *ring, uint64_t position, const struct timespec *deadline);
/* Close this generation to appends; takes the lock so that every append before it is committed. */
shx_status shx_seal(shx_ring *ring, const struct timespec *deadline);
/* Whether there may be a next generation, in which records of this one are annotated from now on. */
static inline bool shx_sealed(const shx_ring *ring) {
    /* Relaxed: who heard of something that the next generation says, heard of it after the seal, and so sees the seal. */
    return atomic_load_explicit(&ring->control->state, memory_order_relaxed) & SHX_SEALED;
}

static inline void shx_count(shx_ring *ring, enum shx_counter counter, uint64_t amount) {
    /* One process, one interpreter lock: a load and a store do, and a lost increment is only a statistic. */
    uint64_t now = atomic_load_explicit(&ring->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&ring->counters[counter], now + amount, memory_order_relaxed);
}

/* Internal to the core: shared by ring.c, repair.c and lock.c. */
shx_record *shx_slot(const shx_ring *ring, uint64_t position);
/* Zero what is behind the header of `granules` granules at a position. */
void shx_clear(shx_ring *ring, uint64_t position, uint64_t granules);
void shx_write_padding(shx_ring *ring, uint64_t position, uint64_t granules);
void shx_link_record(shx_ring *ring, uint64_t position);
shx_status shx_repair(shx_ring *ring);

#endif
