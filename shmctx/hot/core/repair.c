/* What the next holder of the lock does for one that died with it. Idempotent: it may die too, at any instruction. */
#include "ring.h"

#define RELAXED memory_order_relaxed

static uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, RELAXED); }

/* Only one record can be claimed and uncommitted, and it does not cross the end of the ring. */
static bool sane(const shx_ring *ring, uint64_t reserved, uint64_t head, uint64_t drained) {
    if (head > reserved || reserved > SHX_POSITION_MASK || drained > head) return false;
    if (reserved - drained > ring->capacity) return false;
    return reserved == head || reserved - head <= ring->capacity - (head & (ring->capacity - 1));
}

shx_status shx_repair(shx_ring *ring) {
    shx_writer_line *writer = &ring->control->writer;
    uint64_t head = load(&writer->head);
    uint64_t reserved = load(&writer->reserved);
    uint64_t last = load(&writer->last);
    if (!sane(ring, reserved, head, load(&ring->control->drained))) return SHX_CORRUPT;
    if (reserved > head) {
        /* Claimed, not committed. Readers have given up what was there; the space cannot be handed back, because
         * `reserved` never shrinks, so it becomes padding. */
        shx_clear(ring, head, reserved - head);
        shx_write_padding(ring, head, reserved - head);
        /* Release: as in publish. */
        atomic_store_explicit(&writer->head, reserved, memory_order_release);
        return SHX_OK;
    }
    /* Committed, perhaps not linked (or linked in part, or marked in part). Linking again changes nothing. */
    shx_view view;
    if (last < head && shx_look(ring, last, &view) == SHX_OK && view.kind != SHX_PADDING)
        shx_link_record(ring, last);
    return SHX_OK;
}
