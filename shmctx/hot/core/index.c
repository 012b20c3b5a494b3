/* Chains through the log: a bucket holds the position of its newest record, each record the distance to the next
 * older one. A chain ends where positions stop being live, so eviction touches no index.
 * After FASTER's hash index over a log (Chandramouli et al., SIGMOD 2018) and deflate's head/prev chains. */
#include "crc32c.h"
#include "ring.h"

#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire

/* MurmurHash3's 32-bit finaliser (Appleby, public domain): CRC alone keeps near keys in near buckets. */
static uint32_t mix(uint32_t hash) {
    hash ^= hash >> 16;
    hash *= 0x85ebca6bu;
    hash ^= hash >> 13;
    hash *= 0xc2b2ae35u;
    hash ^= hash >> 16;
    return hash ? hash : 1; /* 0 marks a link that is not used */
}

uint32_t shx_tag(unsigned link, const void *key, size_t size) {
    return mix(shx_crc_bytes(shx_crc_word(SHX_CRC_START, (uint64_t)link << 32 | (uint32_t)size), key, size));
}

uint32_t shx_tag_position(unsigned link, uint64_t position) {
    /* Bit 63 keeps a native position apart from a string of eight bytes. */
    uint64_t key = position | UINT64_C(1) << 63;
    return shx_tag(link, &key, sizeof key);
}

void shx_walk_start(const shx_ring *ring, shx_walk *walk, bool unique, uint32_t tag) {
    const _Atomic uint64_t *bucket = (unique ? ring->unique : ring->group) + (tag & ring->bucket_mask);
    walk->tag = tag;
    walk->unique = unique;
    /* Acquire: pairs with the release in shx_link_record. */
    walk->at = atomic_load_explicit(bucket, ACQUIRE) & SHX_POSITION_MASK;
}

/* Which of the record's links led here, by the bucket of its tag; and whether one has the very tag looked for. */
static bool follow(const shx_ring *ring, const shx_walk *walk, const shx_record *record, uint32_t *back) {
    bool match = false;
    unsigned first = walk->unique ? SHX_ALIAS : SHX_CORRELATION;
    unsigned last = walk->unique ? SHX_ALIAS : SHX_PARENT;
    *back = 0;
    for (unsigned i = first; i <= last; i++) {
        uint64_t link = atomic_load_explicit(&record->link[i], RELAXED);
        uint32_t tag = (uint32_t)link;
        if (!tag || ((tag ^ walk->tag) & ring->bucket_mask)) continue;
        *back = (uint32_t)(link >> 32);
        match |= tag == walk->tag;
    }
    return match;
}

shx_status shx_walk_next(const shx_ring *ring, shx_walk *walk, uint64_t *position) {
    while (walk->at) {
        uint64_t at = walk->at;
        const shx_record *record = shx_slot(ring, at);
        if (!shx_live(ring, at)) break;
        if ((atomic_load_explicit(&record->stamp, ACQUIRE) & SHX_POSITION_MASK) != at) break;
        uint32_t back;
        bool match = follow(ring, walk, record, &back);
        /* As in shx_copy: links read from a slot that is being reused are thrown away. */
        atomic_thread_fence(ACQUIRE);
        if (!shx_live(ring, at)) break;
        /* Strictly downwards, so the walk ends whatever the segment holds. */
        walk->at = back && back < at ? at - back : 0;
        if (match) {
            *position = at;
            return SHX_OK;
        }
    }
    walk->at = 0;
    return SHX_MISS;
}
