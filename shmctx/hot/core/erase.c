/* Taking bytes out of the ring: a record's payload, and what older records left behind newer ones. */
#include "lock.h"
#include "seal.h"

#define RELAXED memory_order_relaxed

static uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, RELAXED); }
static void store(_Atomic uint64_t *word, uint64_t value) { atomic_store_explicit(word, value, RELAXED); }

void shx_clear(shx_ring *ring, uint64_t position, uint64_t granules) {
    _Atomic uint64_t *words = (_Atomic uint64_t *)(shx_slot(ring, position) + 1);
    for (uint64_t i = 0; i < (granules - 1) * SHX_WORDS; i++) store(words + i, 0);
}

/* Whether the payload where it lies fits the checksum; its last word is filled with zeroes, as the checksum's is. */
static bool fits(const shx_ring *ring, const shx_view *view) {
    const _Atomic uint64_t *words = (const _Atomic uint64_t *)(shx_slot(ring, view->position) + 1);
    uint32_t crc = SHX_CRC_START;
    for (uint64_t left = view->size; left; left -= left < sizeof(uint64_t) ? left : sizeof(uint64_t))
        crc = shx_crc_word(crc, load(words++));
    uint64_t stamp = view->position | (uint64_t)view->kind << SHX_POSITION_BITS;
    return seal_crc(crc, view->time_ns, view->size, stamp) == view->crc;
}

/* Under the lock, or in a segment that takes no appends: nobody reuses the slot meanwhile. */
static shx_status erase(shx_ring *ring, uint64_t position) {
    shx_view view;
    shx_status status = shx_look(ring, position, &view);
    if (status != SHX_OK) return status;
    if (view.kind == SHX_PADDING) return SHX_MISS;
    /* A damaged size would take the neighbours too. */
    if (!is_erased(ring, &view) && !fits(ring, &view)) return SHX_DAMAGED;
    /* One store, so it is erased or it is not, wherever the eraser dies. */
    store(&shx_slot(ring, position)->size_crc, view.size | (uint64_t)erased_crc(&view) << 32);
    /* Release fence: pairs with the acquire fence in shx_copy; who saw one of the zeroes sees the checksum too. */
    atomic_thread_fence(memory_order_release);
    shx_clear(ring, position, view.granules);
    return SHX_OK;
}

shx_status shx_erase(shx_ring *ring, uint64_t position, const struct timespec *deadline) {
    if (!ring->writable) return SHX_INVALID;
    shx_status lock = shx_lock_enter(ring, deadline);
    if (lock == SHX_BUSY || lock == SHX_STALLED) return lock;
    shx_status status = erase(ring, position);
    if (lock == SHX_OK) shx_lock_leave(ring); /* else it is sealed or poisoned */
    return status;
}
