/* Making a segment, and refusing to misread one. */
#include <string.h>

#include "crc32c.h"
#include "lock.h"

#if defined(__GLIBC__)
#define LIBC_KIND 1u
#else
#define LIBC_KIND 2u
#endif

uint32_t shx_abi(void) {
    const uint64_t facts[] = {
        LIBC_KIND,
        __BYTE_ORDER__,
        sizeof(void *),
        sizeof(long),
        sizeof(pthread_mutex_t),
        SHX_GRANULE,
        SHX_PAGE,
        SHX_LINKS,
        SHX_PARTICIPANTS,
        sizeof(shx_header),
        sizeof(shx_control),
        sizeof(shx_participant),
        offsetof(shx_control, drained),
        offsetof(shx_control, head_waiters),
        offsetof(shx_writer_line, reserved),
    };
    return shx_crc_bytes(SHX_CRC_START, facts, sizeof facts);
}

uint32_t shx_header_crc(const shx_header *header) {
    return shx_crc_bytes(SHX_CRC_START, header, offsetof(shx_header, crc));
}

static bool sane_geometry(const shx_header *header, uint64_t file_size) {
    uint64_t capacity = header->capacity;
    if (capacity < SHX_MIN_CAPACITY || capacity > SHX_MAX_CAPACITY || (capacity & (capacity - 1))) return false;
    if (header->segment_size != shx_segment_size(capacity) || file_size != header->segment_size) return false;
    if (header->buckets != shx_buckets(capacity) || header->store_id >> 24) return false;
    if (header->gap_start < SHX_FIRST_POSITION || header->gap_start > header->base) return false;
    if (header->base > SHX_POSITION_MASK || ((header->base - header->gap_start) & (capacity - 1))) return false;
    return memchr(header->name, 0, sizeof header->name) && memchr(header->database, 0, sizeof header->database) &&
           memchr(header->boot_id, 0, sizeof header->boot_id);
}

shx_header_fault shx_check_header(const shx_header *header, uint64_t file_size) {
    if (file_size < SHX_PAGE || memcmp(header->magic, SHX_MAGIC, sizeof header->magic) != 0) return SHX_NOT_A_SEGMENT;
    if (header->layout_version != SHX_LAYOUT_VERSION) return SHX_OTHER_LAYOUT;
    if (header->abi != shx_abi()) return SHX_OTHER_ABI;
    if (header->crc != shx_header_crc(header)) return SHX_BAD_CHECKSUM;
    return sane_geometry(header, file_size) ? SHX_HEADER_OK : SHX_BAD_GEOMETRY;
}

int shx_format(void *map, shx_header *header) {
    memcpy(header->magic, SHX_MAGIC, sizeof header->magic);
    header->layout_version = SHX_LAYOUT_VERSION;
    header->abi = shx_abi();
    header->segment_size = shx_segment_size(header->capacity);
    header->buckets = shx_buckets(header->capacity);
    header->crc = shx_header_crc(header);

    shx_control *control = (shx_control *)((char *)map + SHX_CONTROL_OFFSET);
    int error = shx_lock_init(control);
    if (error) return error;
    atomic_init(&control->writer.reserved, header->base);
    atomic_init(&control->writer.head, header->base);
    atomic_init(&control->writer.last, header->base);
    atomic_init(&control->drained, header->base);
    atomic_init(&control->tail, SHX_FIRST_POSITION);
    memcpy(map, header, sizeof *header);
    return 0;
}

void shx_open(shx_ring *ring, void *map, const shx_header *header, bool writable) {
    char *base = map;
    memset(ring, 0, sizeof *ring);
    ring->control = (shx_control *)(base + SHX_CONTROL_OFFSET);
    ring->participants = (shx_participant *)(base + SHX_PARTICIPANTS_OFFSET);
    ring->unique = (_Atomic uint64_t *)(base + SHX_UNIQUE_OFFSET);
    ring->group = ring->unique + shx_buckets(header->capacity);
    ring->records = (shx_record *)(base + shx_ring_offset(header->capacity));
    ring->capacity = header->capacity;
    ring->bucket_mask = shx_buckets(header->capacity) - 1;
    ring->gap_start = header->gap_start;
    ring->base = header->base;
    ring->store_id = header->store_id;
    ring->writable = writable;
    ring->counters = ring->private_counters;
}
