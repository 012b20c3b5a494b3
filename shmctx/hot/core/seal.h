/* Checksums of records: of those that are whole, and of those that were erased. */
#ifndef SHX_SEAL_H
#define SHX_SEAL_H

#include "crc32c.h"
#include "ring.h"

/* What a record's header says, after the payload's checksum. */
static inline uint32_t seal_crc(uint32_t crc, uint64_t time_ns, uint32_t size, uint64_t stamp) {
    crc = shx_crc_word(crc, time_ns);
    crc = shx_crc_word(crc, size);
    return shx_crc_word(crc, stamp) ^ SHX_CRC_START;
}

/* The checksum of a record that was erased: of its header alone, from a start that no payload begins with. */
static inline uint32_t erased_crc(const shx_view *view) {
    uint64_t stamp = view->position | (uint64_t)view->kind << SHX_POSITION_BITS;
    return seal_crc(~SHX_CRC_START, view->time_ns, view->size, stamp);
}

/* Whether the header at the view's slot is that of an erased record. */
static inline bool is_erased(const shx_ring *ring, const shx_view *view) {
    uint64_t size_crc = atomic_load_explicit(&shx_slot(ring, view->position)->size_crc, memory_order_relaxed);
    return view->kind != SHX_PADDING && (uint32_t)size_crc == view->size && size_crc >> 32 == erased_crc(view);
}

#endif
