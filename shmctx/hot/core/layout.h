/* The segment's format: what lies where in shared memory, and who may write it when.
 *
 *   page 0      segment header    written once, before the segment has a name; checked by every attach
 *   page 1      control           the writer's line (lock, reserved, head, last), the drain's line, futex words
 *   pages 2..   participants      one slot per process: who is attached, and its counters; never needed for correctness
 *   ...         unique index      bucket -> newest record with a key of its own (an alias, a session id)
 *   ...         group index       bucket -> newest record of a correlation, agent, session or parent
 *   ...         ring              records, contiguous, in 64-byte granules
 *
 * Everything one writer changes together lies in one cache line; what different processes write lies in different
 * ones. Every word that changes after creation is an _Atomic, so no access is a data race in the C11 model.
 *
 * A position counts granules since the store began. It only grows and is never reused: a ref is a position, and the
 * stamp in front of a record repeats it, so an address proves itself.
 *
 * The gap. A segment made after a reboot starts at `base`, beyond every position its lost predecessor can have handed
 * out, while the records read back from the database keep their old positions, which end at `gap_start`. Nothing lies
 * between the two. `base - gap_start` is a multiple of the capacity, so a position's place in the ring stays
 * `position & (capacity - 1)` on both sides.
 */
#ifndef SHX_LAYOUT_H
#define SHX_LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHX_LAYOUT_VERSION 2u
#define SHX_MAGIC "SHMCTX\r\n"
#define SHX_PAGE 4096u
#define SHX_GRANULE 64u
#define SHX_WORDS 8u /* 64-bit words in a granule */
#define SHX_LINKS 5u
#define SHX_PARTICIPANTS 256u
#define SHX_POSITION_BITS 56u
#define SHX_POSITION_MASK ((UINT64_C(1) << SHX_POSITION_BITS) - 1)
#define SHX_FIRST_POSITION UINT64_C(1) /* 0 means "none" in an index bucket */
#define SHX_MIN_CAPACITY UINT64_C(64)  /* granules */
#define SHX_MAX_CAPACITY (UINT64_C(1) << 31) /* granules, 128 GiB: a link's distance is 32 bits */
#define SHX_MAX_PAYLOAD (UINT32_C(16) << 20) /* bytes */

/* The kind of a record: bits 56..62 of its stamp. 0 is never used, so zeroed memory is no record. */
enum shx_kind {
    SHX_PADDING = 1,    /* space given up: the end of the ring before a wrap, or what a dead writer left behind */
    SHX_CONTEXT = 2,    /* the metadata of one event */
    SHX_SESSION = 3,    /* the data of one session, referred to by its contexts */
    SHX_ANNOTATION = 4, /* what became known later about a context */
    SHX_PAYLOAD = 5,    /* a large field of event data, stored once for all events that hold it */
    SHX_MARK = 6,       /* what is to be done with a context: pin it, forget it */
    SHX_LAST_KIND = 15
};

/* Bit 63 of the stamp, the only bit of a committed record that ever changes: an annotation names this record. */
#define SHX_ANNOTATED (UINT64_C(1) << 63)

/* A record's links, by what they index. Only `alias` lives in the unique table. */
enum shx_link {
    SHX_ALIAS = 0, /* in an annotation: not a key but the distance back to the record it annotates */
    SHX_CORRELATION = 1,
    SHX_AGENT = 2,
    SHX_SESSION_ID = 3,
    SHX_PARENT = 4
};

/* One granule. `link[i]` holds the key's 32-bit hash tag (low half) and the distance in granules back to the previous
 * record in the tag's bucket (high half; 0 ends the chain). The tag alone names the bucket, so a walker that comes to a
 * record from a bucket finds the link to follow by recomputing it. The CRC-32C covers the stamp without
 * SHX_ANNOTATED, the time, the size and the payload; links are hints that are verified by whoever follows them. */
typedef struct {
    _Atomic uint64_t stamp;    /* position | kind << 56 | annotated << 63; stored last (release): the record exists */
    _Atomic uint64_t time_ns;  /* CLOCK_REALTIME of the event; data, never used for order */
    _Atomic uint64_t size_crc; /* payload bytes (low half), CRC-32C (high half) */
    _Atomic uint64_t link[SHX_LINKS];
} shx_record;

/* Page 0. Plain fields: nothing here changes once the segment has its name. */
typedef struct {
    char magic[8];
    uint32_t layout_version;
    uint32_t abi; /* CRC-32C over sizes and offsets that another build, libc or machine would have otherwise */
    uint64_t segment_size;
    uint64_t capacity; /* granules, a power of two */
    uint64_t buckets;  /* in each index table, a power of two */
    uint64_t gap_start;
    uint64_t base;
    uint64_t generation; /* random; another segment of the same name has another one */
    uint64_t created_ns;
    uint64_t pid_namespace_device; /* of /proc/self/ns/pid: a robust mutex does not exclude across PID namespaces */
    uint64_t pid_namespace_inode;
    uint32_t store_id; /* 24 bits */
    uint32_t uid;
    char boot_id[40];
    char name[256];
    char database[2048]; /* absolute path, so that an agent that only knows the name finds the cold side */
    uint32_t crc;        /* CRC-32C of all the above */
} shx_header;

/* The append lock and what its holder changes. 64 bytes on x86-64: one line moves between producers. glibc keeps
 * pointers of the owner inside the mutex, so this page is the one that a reader must not be able to write. */
typedef struct {
    _Alignas(64) pthread_mutex_t mutex;
    _Atomic uint64_t reserved; /* end of the space claimed; a record older than reserved - capacity may be gone */
    _Atomic uint64_t head;     /* end of the committed records; THE commit of an append */
    _Atomic uint64_t last;     /* where the newest append began: what a repair must link again */
} shx_writer_line;

typedef struct {
    shx_writer_line writer;
    _Alignas(128) _Atomic uint64_t drained; /* everything before it is durably in the database; written by the leader */
    _Atomic uint64_t tail;                  /* everything before it has aged out; written by the leader */
    _Atomic uint64_t epoch;                 /* the leader's fencing number, a copy for people */
    _Atomic uint64_t leader_start;          /* with leader_pid: which process, even if the pid is reused */
    _Atomic uint64_t last_drain_ns;
    _Atomic uint32_t leader_pid;
    _Atomic uint32_t state; /* SHX_POISONED | SHX_SEALED */
    /* Futex words and hints. A hint is set by who is about to sleep and cleared by who wakes: a dead sleeper costs
     * one needless wake-up, never a lost one. */
    _Alignas(128) _Atomic uint32_t head_waiters;
    _Atomic uint32_t drained_waiters;
    _Atomic uint32_t urgent; /* counts requests to drain now; the leader sleeps on it between batches */
    _Alignas(128) _Atomic uint64_t repairs;
    _Atomic uint64_t failovers;
    _Atomic uint64_t retired[16]; /* counters of slots that were reused */
    _Atomic uint64_t note[32];    /* the drain's last error, UTF-8, for people */
} shx_control;

#define SHX_POISONED 1u /* a repair found the segment beyond repair: every append answers SHX_CORRUPT */
#define SHX_SEALED 2u   /* this generation takes no more appends; attach the name again */

/* Per-process counters, each written by one process only; summed by `stats`. */
enum shx_counter {
    SHX_PUTS,
    SHX_PUT_BYTES,
    SHX_HOT_HITS,
    SHX_COLD_HITS,
    SHX_MISSES,
    SHX_TORN,
    SHX_SPACE_WAITS,
    SHX_LOCK_WAITS,
    SHX_COUNTERS
};

typedef struct {
    _Alignas(128) _Atomic uint32_t pid; /* claimed by compare-and-set from 0 or from a dead process's pid */
    _Atomic uint32_t role;
    _Atomic uint64_t start; /* the process's start time in clock ticks since boot (/proc/PID/stat field 22) */
    _Atomic uint64_t last_seen_ns;
    _Atomic uint64_t counter[SHX_COUNTERS];
} shx_participant;

_Static_assert(sizeof(shx_record) == SHX_GRANULE, "a record header is one granule");
_Static_assert(sizeof(shx_header) <= SHX_PAGE, "the header is one page");
_Static_assert(sizeof(shx_control) <= SHX_PAGE, "the control block is one page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "atomics shared by processes are lock-free");

#define SHX_CONTROL_OFFSET SHX_PAGE
#define SHX_PARTICIPANTS_OFFSET (2 * SHX_PAGE)
#define SHX_UNIQUE_OFFSET (SHX_PARTICIPANTS_OFFSET + SHX_PARTICIPANTS * sizeof(shx_participant))

/* Half as many buckets as granules: about one per record, and a smaller share of memory than the records' headers. */
static inline uint64_t shx_buckets(uint64_t capacity) { return capacity / 2; }

static inline uint64_t shx_ring_offset(uint64_t capacity) {
    uint64_t end = SHX_UNIQUE_OFFSET + 2 * shx_buckets(capacity) * sizeof(uint64_t);
    return (end + SHX_PAGE - 1) & ~(uint64_t)(SHX_PAGE - 1);
}

static inline uint64_t shx_segment_size(uint64_t capacity) {
    return shx_ring_offset(capacity) + capacity * SHX_GRANULE;
}

#endif
