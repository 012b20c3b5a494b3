#include "ring.h"

#include <string.h>

#include "crc32c.h"
#include "lock.h"
#include "seal.h"
#include "wait.h"

#define RELAXED memory_order_relaxed
#define ACQUIRE memory_order_acquire
#define RELEASE memory_order_release

static uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, RELAXED); }
static void store(_Atomic uint64_t *word, uint64_t value) { atomic_store_explicit(word, value, RELAXED); }

shx_record *shx_slot(const shx_ring *ring, uint64_t position) {
    return &ring->records[position & (ring->capacity - 1)];
}

static uint64_t granules_of(uint32_t size) { return 1 + ((uint64_t)size + SHX_GRANULE - 1) / SHX_GRANULE; }

/* ---- writing: everything here runs under the lock ---- */

static void write_payload(shx_record *record, const unsigned char *payload, uint32_t size) {
    _Atomic uint64_t *words = (_Atomic uint64_t *)(record + 1);
    size_t left = size;
    uint64_t word;
    for (; left >= sizeof word; payload += sizeof word, left -= sizeof word) {
        memcpy(&word, payload, sizeof word);
        store(words++, word);
    }
    if (left) {
        word = 0;
        memcpy(&word, payload, left);
        store(words++, word);
    }
    /* Up to the granule's end: what was forgotten must not lie on behind a newer record. */
    for (; (uintptr_t)words % SHX_GRANULE; words++) store(words, 0);
}

/* Readers look at `reserved` after copying: it must be seen to cover [head, end) before any byte there changes. */
static void claim(shx_ring *ring, uint64_t head, uint64_t end) {
    store(&ring->control->writer.last, head);
    /* Release: after the `head` of a wrap's padding, so that a repair never finds claimed space across the ring's end. */
    atomic_store_explicit(&ring->control->writer.reserved, end, RELEASE);
    /* Pairs with the acquire fence in shx_copy: who saw one of the bytes written from here on sees `reserved` too. */
    atomic_thread_fence(RELEASE);
}

void shx_write_padding(shx_ring *ring, uint64_t position, uint64_t granules) {
    shx_record *record = shx_slot(ring, position);
    /* Padding's size field counts granules beyond the header, not bytes: a gap may exceed 4 GiB. */
    uint32_t size = (uint32_t)(granules - 1);
    uint64_t stamp = position | (uint64_t)SHX_PADDING << SHX_POSITION_BITS;
    uint32_t crc = seal_crc(SHX_CRC_START, 0, size, stamp);
    store(&record->stamp, 0);
    /* Orders the invalid stamp before the new header: a reader of this position's predecessor in the slot must not take
     * half a header for a whole one (it would fail its checksum; this spares it the detour). */
    atomic_thread_fence(RELEASE);
    store(&record->time_ns, 0);
    store(&record->size_crc, size | (uint64_t)crc << 32);
    for (int i = 0; i < (int)SHX_LINKS; i++) store(&record->link[i], 0);
    /* Release: shx_look's acquire of the stamp makes the header readable. */
    atomic_store_explicit(&record->stamp, stamp, RELEASE);
}

static uint64_t pack_link(uint32_t tag, uint64_t back) { return tag | back << 32; }

static _Atomic uint64_t *bucket_of(const shx_ring *ring, unsigned link, uint32_t tag) {
    return (link == SHX_ALIAS ? ring->unique : ring->group) + (tag & ring->bucket_mask);
}

static void write_links(shx_ring *ring, shx_record *record, const shx_draft *draft, uint64_t position) {
    for (unsigned i = 0; i < SHX_LINKS; i++) {
        uint64_t link = 0;
        if (draft->links >> i & 1) {
            uint32_t tag = draft->self >> i & 1 ? shx_tag_position(i, position) : draft->tag[i];
            uint64_t newest = load(bucket_of(ring, i, tag));
            /* A bucket that names nothing older (empty, or scribbled over) starts a new chain. */
            uint64_t back = newest && newest < position ? position - newest : 0;
            link = pack_link(tag, back > UINT32_MAX ? 0 : back);
            /* A tag of 0 with no distance reads as "no link"; shx_tag never returns 0. */
        }
        store(&record->link[i], link);
    }
    if (draft->target && draft->target < position && position - draft->target <= UINT32_MAX)
        store(&record->link[SHX_ALIAS], pack_link(0, position - draft->target));
}

static void write_record(shx_ring *ring, const shx_draft *draft, uint32_t crc, uint64_t position) {
    shx_record *record = shx_slot(ring, position);
    uint64_t stamp = position | (uint64_t)draft->kind << SHX_POSITION_BITS;
    write_links(ring, record, draft, position);
    store(&record->time_ns, draft->time_ns);
    store(&record->size_crc, draft->size | (uint64_t)seal_crc(crc, draft->time_ns, draft->size, stamp) << 32);
    write_payload(record, draft->payload, draft->size);
    /* Release: shx_look's acquire of the stamp makes the header and payload readable. */
    atomic_store_explicit(&record->stamp, stamp, RELEASE);
}

/* THE commit. Release: whoever acquires `head` (the drain, followers, walkers) may read every record before it. */
static void publish(shx_ring *ring, uint64_t end) {
    atomic_store_explicit(&ring->control->writer.head, end, RELEASE);
}

static void mark_annotated(shx_ring *ring, uint64_t target) {
    if (!shx_live(ring, target)) return;
    shx_record *record = shx_slot(ring, target);
    uint64_t stamp = load(&record->stamp);
    if ((stamp & SHX_POSITION_MASK) != target) return;
    /* Release: a reader that sees the mark finds the annotation's record and bucket. */
    atomic_store_explicit(&record->stamp, stamp | SHX_ANNOTATED, RELEASE);
}

void shx_link_record(shx_ring *ring, uint64_t position) {
    shx_record *record = shx_slot(ring, position);
    bool annotation = (load(&record->stamp) >> SHX_POSITION_BITS & 0x7f) == SHX_ANNOTATION;
    for (unsigned i = annotation ? 1 : 0; i < SHX_LINKS; i++) {
        uint64_t link = load(&record->link[i]);
        if (!link) continue;
        /* Release: a walker that acquires the bucket finds the record behind it. Nothing newer can be linked while the
         * lock is held, so a repair may run this again. */
        atomic_store_explicit(bucket_of(ring, i, (uint32_t)link), position, RELEASE);
    }
    uint64_t back = load(&record->link[SHX_ALIAS]) >> 32;
    if (annotation && back && back < position) mark_annotated(ring, position - back);
}

/* Padding needed before a record of `need` granules at `head`, so that it does not cross the end of the ring. */
static uint64_t wrap_padding(const shx_ring *ring, uint64_t head, uint64_t need) {
    uint64_t room = ring->capacity - (head & (ring->capacity - 1));
    return need > room ? room : 0;
}

static shx_status append_locked(shx_ring *ring, const shx_draft *draft, uint32_t crc, uint64_t *position) {
    shx_writer_line *writer = &ring->control->writer;
    uint64_t head = load(&writer->head);
    /* Acquire: the leader has copied everything before `drained` out; its loads come before our stores there. */
    uint64_t drained = atomic_load_explicit(&ring->control->drained, ACQUIRE);
    uint64_t need = granules_of(draft->size);
    uint64_t padding = wrap_padding(ring, head, need);
    if (load(&writer->reserved) != head || head > SHX_POSITION_MASK || drained > head ||
        head - drained > ring->capacity) {
        atomic_fetch_or_explicit(&ring->control->state, SHX_POISONED, RELAXED);
        return SHX_CORRUPT;
    }
    if (head + padding + need > SHX_POSITION_MASK) return SHX_INVALID;
    if (head - drained + padding + need > ring->capacity) return SHX_FULL;
    if (padding) {
        claim(ring, head, head + padding);
        shx_clear(ring, head, padding);
        shx_write_padding(ring, head, padding);
        head += padding;
        publish(ring, head);
    }
    claim(ring, head, head + need);
    write_record(ring, draft, crc, head);
    publish(ring, head + need);
    shx_link_record(ring, head);
    *position = head;
    return SHX_OK;
}

static bool valid_draft(const shx_ring *ring, const shx_draft *draft) {
    return ring->writable && draft->kind > SHX_PADDING && draft->kind <= SHX_LAST_KIND;
}

/* Ask for memory that the append will write, so that cache misses and page faults happen out here. Not for the lines at
 * `head`: the holder of the lock is writing there, and taking them away from it made the slowest puts of eight producers
 * two to four times as slow. */
static void warm_up(const shx_ring *ring, const shx_draft *draft) {
    uint64_t head = load(&ring->control->writer.head);
    uint64_t need = granules_of(draft->size);
    for (unsigned i = 0; i < SHX_LINKS; i++)
        if ((draft->links & ~draft->self) >> i & 1) __builtin_prefetch((const void *)bucket_of(ring, i, draft->tag[i]), 1);
    /* A prefetch does not fault a page in: once a page, load from the next one. */
    const uint64_t page = SHX_PAGE / SHX_GRANULE;
    if ((head & (page - 1)) < need) load(&shx_slot(ring, head + page)->stamp);
}

shx_status shx_append(shx_ring *ring, const shx_draft *draft, const struct timespec *deadline, uint64_t *position) {
    if (!valid_draft(ring, draft)) return SHX_INVALID;
    if (draft->size > SHX_MAX_PAYLOAD || granules_of(draft->size) > ring->capacity / 4) return SHX_TOO_LARGE;
    uint32_t crc = shx_crc_bytes(SHX_CRC_START, draft->payload, draft->size);
    warm_up(ring, draft);

    shx_status status = shx_lock_enter(ring, deadline);
    if (status != SHX_OK) return status;
    status = append_locked(ring, draft, crc, position);
    shx_lock_leave(ring);
    if (status == SHX_OK) shx_wake_head(ring);
    return status;
}

/* Padding over [head, position), split where the ring wraps. */
static void place_padding(shx_ring *ring, uint64_t position) {
    shx_writer_line *writer = &ring->control->writer;
    uint64_t head = load(&writer->head);
    while (head < position) {
        uint64_t room = ring->capacity - (head & (ring->capacity - 1));
        uint64_t granules = position - head < room ? position - head : room;
        shx_write_padding(ring, head, granules);
        head += granules;
    }
    store(&writer->head, head);
}

shx_status shx_place(shx_ring *ring, const shx_draft *draft, uint64_t position) {
    shx_writer_line *writer = &ring->control->writer;
    uint64_t need = granules_of(draft->size);
    if (!valid_draft(ring, draft) || position + need > ring->gap_start || wrap_padding(ring, position, need))
        return SHX_INVALID;
    if (position + ring->capacity < ring->gap_start || position < SHX_FIRST_POSITION) return SHX_MISS;
    if (load(&writer->head) >= ring->base) store(&writer->head, position); /* the first of them */
    if (position < load(&writer->head)) return SHX_INVALID;
    place_padding(ring, position);
    store(&writer->reserved, ring->gap_start);
    write_record(ring, draft, shx_crc_bytes(SHX_CRC_START, draft->payload, draft->size), position);
    store(&writer->head, position + need);
    shx_link_record(ring, position);
    return SHX_OK;
}

void shx_place_end(shx_ring *ring) {
    shx_writer_line *writer = &ring->control->writer;
    if (load(&writer->head) < ring->base) place_padding(ring, ring->gap_start);
    store(&writer->reserved, ring->base);
    store(&writer->head, ring->base);
    store(&writer->last, ring->base);
}

void shx_set_drained(shx_ring *ring, uint64_t position) {
    if (!ring->writable || position <= load(&ring->control->drained)) return;
    /* Release: append_locked's acquire; what it permits to be overwritten has been read. */
    atomic_store_explicit(&ring->control->drained, position, RELEASE);
    shx_wake_drained(ring);
}

void shx_set_tail(shx_ring *ring, uint64_t position) {
    /* Relaxed: a reader that misses the new tail still reads a whole record, a moment longer. */
    if (ring->writable && position > load(&ring->control->tail)) store(&ring->control->tail, position);
}

shx_status shx_seal(shx_ring *ring, const struct timespec *deadline) {
    if (!ring->writable) return SHX_INVALID;
    shx_status status = shx_lock_enter(ring, deadline);
    if (status != SHX_OK) return status == SHX_SEALED_OFF ? SHX_OK : status;
    atomic_fetch_or_explicit(&ring->control->state, SHX_SEALED, RELAXED);
    shx_lock_leave(ring);
    shx_wake_head(ring); /* followers look for the next generation */
    return SHX_OK;
}

/* ---- reading: no lock, no stores ---- */

bool shx_live(const shx_ring *ring, uint64_t position) {
    uint64_t reserved = load(&ring->control->writer.reserved);
    uint64_t span = ring->capacity;
    if (position < ring->base) {
        if (position >= ring->gap_start) return false;
        span += ring->base - ring->gap_start;
    }
    return position < reserved && reserved - position <= span && position >= load(&ring->control->tail);
}

static inline bool sane_size(const shx_ring *ring, uint64_t position, uint64_t granules) {
    /* Records do not cross the end of the ring, so the copy below stays inside the map. */
    return granules <= ring->capacity - (position & (ring->capacity - 1));
}

/* The header at a slot whose stamp names `position`; false if its size cannot be. */
static inline bool parse(const shx_ring *ring, const shx_record *record, uint64_t position, uint64_t stamp, shx_view *view) {
    uint64_t size_crc = load(&record->size_crc);
    view->position = position;
    view->time_ns = load(&record->time_ns);
    view->size = (uint32_t)size_crc;
    view->crc = (uint32_t)(size_crc >> 32);
    view->kind = stamp >> SHX_POSITION_BITS & 0x7f;
    view->annotated = stamp >> 63;
    view->granules = view->kind == SHX_PADDING ? (uint64_t)view->size + 1 : granules_of(view->size);
    if (view->kind == SHX_PADDING) view->size = 0;
    return view->kind && view->size <= SHX_MAX_PAYLOAD && sane_size(ring, position, view->granules);
}

shx_status shx_look(const shx_ring *ring, uint64_t position, shx_view *view) {
    if (position < SHX_FIRST_POSITION || !shx_live(ring, position)) return SHX_MISS;
    /* Acquire: pairs with publish. A record whose writer died before the commit must not be seen for a moment. */
    if (position >= atomic_load_explicit(&ring->control->writer.head, ACQUIRE)) return SHX_MISS;
    const shx_record *record = shx_slot(ring, position);
    /* Acquire: pairs with the release of the stamp in write_record. */
    uint64_t stamp = atomic_load_explicit(&record->stamp, ACQUIRE);
    if ((stamp & SHX_POSITION_MASK) != position) return SHX_MISS;
    if (parse(ring, record, position, stamp, view)) return SHX_OK;
    /* Acquire fence: as in shx_copy; what did not make sense may be a newer record's. */
    atomic_thread_fence(ACQUIRE);
    return shx_live(ring, position) ? SHX_DAMAGED : SHX_MISS;
}

/* Copy the payload and say whether it fits the checksum. */
static inline bool copy_checked(const shx_ring *ring, const shx_view *view, void *payload) {
    const _Atomic uint64_t *words = (const _Atomic uint64_t *)(shx_slot(ring, view->position) + 1);
    unsigned char *out = payload;
    uint32_t crc = SHX_CRC_START;
    size_t left = view->size;
    for (; left >= sizeof(uint64_t); out += sizeof(uint64_t), left -= sizeof(uint64_t)) {
        uint64_t word = load(words++);
        crc = shx_crc_word(crc, word);
        memcpy(out, &word, sizeof word);
    }
    if (left) {
        uint64_t word = load(words);
        memcpy(out, &word, left);
        crc = shx_crc_bytes(crc, out, left);
    }
    uint64_t stamp = view->position | (uint64_t)view->kind << SHX_POSITION_BITS;
    uint32_t size = view->kind == SHX_PADDING ? (uint32_t)(view->granules - 1) : view->size;
    return seal_crc(crc, view->time_ns, size, stamp) == view->crc;
}

/* What a copy is worth, if its record was live all the time. */
static inline shx_status judge(const shx_ring *ring, const shx_view *view, bool whole) {
    if (whole) return SHX_OK;
    /* Acquire fence: pairs with the release fence of an erasure; zeroes from it show its checksum. */
    atomic_thread_fence(ACQUIRE);
    return is_erased(ring, view) ? SHX_ERASED : SHX_DAMAGED;
}

shx_status shx_copy(const shx_ring *ring, const shx_view *view, void *payload) {
    shx_status status = judge(ring, view, copy_checked(ring, view, payload));
    /* Acquire fence: pairs with the release fence in claim. If any word came from a newer record, the load of
     * `reserved` in shx_live sees that record's claim and the copy is thrown away. */
    atomic_thread_fence(ACQUIRE);
    if (!shx_live(ring, view->position)) return SHX_MISS;
    return status;
}

shx_status shx_fetch(const shx_ring *ring, uint64_t position, shx_view *view, void *payload, uint32_t room) {
    const shx_record *record = shx_slot(ring, position);
    /* Header and payload are neighbours, both likely far from any cache: ask for the second before waiting for the
     * first. */
    __builtin_prefetch(record + 1);
    /* Acquire, and first: as in shx_look. Were it loaded after the copy, a record whose writer died before the commit
     * could be copied, then become padding, and `head` would pass it. */
    if (position >= atomic_load_explicit(&ring->control->writer.head, ACQUIRE)) return SHX_MISS;
    /* Acquire: as in shx_look. */
    uint64_t stamp = atomic_load_explicit(&record->stamp, ACQUIRE);
    if ((stamp & SHX_POSITION_MASK) != position || !parse(ring, record, position, stamp, view)) return SHX_MISS;
    if (view->size > room) return SHX_TOO_LARGE;
    shx_status status = judge(ring, view, copy_checked(ring, view, payload));
    /* Acquire fence: as in shx_copy. Nothing above needed the record to be live: a slot is always inside the map. */
    atomic_thread_fence(ACQUIRE);
    if (!shx_live(ring, position)) return SHX_MISS;
    return status;
}

uint64_t shx_last_end(const shx_ring *ring, void *scratch) {
    uint64_t end = 0;
    uint64_t bytes_left = 8 * ring->capacity * SHX_GRANULE; /* as in shx_resync */
    for (uint64_t slot = 0; bytes_left && slot < ring->capacity; slot++) {
        const shx_record *record = &ring->records[slot];
        uint64_t stamp = atomic_load_explicit(&record->stamp, ACQUIRE);
        uint64_t position = stamp & SHX_POSITION_MASK;
        shx_view view;
        if (position < SHX_FIRST_POSITION || (position & (ring->capacity - 1)) != slot || position < end) continue;
        if (position >= ring->gap_start && position < ring->base) continue;
        if (!parse(ring, record, position, stamp, &view)) continue;
        if (is_erased(ring, &view) || copy_checked(ring, &view, scratch)) end = position + view.granules;
        else bytes_left -= view.size < bytes_left ? view.size : bytes_left;
    }
    return end;
}

uint64_t shx_after(const shx_ring *ring, uint64_t position) {
    return position >= ring->gap_start && position < ring->base ? ring->base : position;
}

uint64_t shx_resync(const shx_ring *ring, uint64_t position, void *scratch) {
    uint64_t head = atomic_load_explicit(&ring->control->writer.head, ACQUIRE);
    /* Damage must not make this endless: no more granules than the ring holds, on both sides of the gap, and no more
     * bytes copied than reading all of it some times over. */
    uint64_t bytes_left = 8 * ring->capacity * SHX_GRANULE;
    for (uint64_t tries = 2 * ring->capacity; tries && bytes_left && position < head; tries--) {
        shx_view view;
        if (shx_look(ring, position, &view) == SHX_OK) {
            shx_status status = shx_copy(ring, &view, scratch);
            if (status == SHX_OK || status == SHX_ERASED) return position;
            bytes_left -= view.size < bytes_left ? view.size : bytes_left;
        }
        position = shx_after(ring, position + 1);
    }
    return head;
}
