#include "model.h"

#include <stdarg.h>

#define RELAXED memory_order_relaxed

static char verdict[512];

static const char *wrong(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict, sizeof verdict, format, arguments);
    va_end(arguments);
    return verdict;
}

#define TRY(call)                          \
    do {                                   \
        const char *problem_ = (call);     \
        if (problem_) return problem_;     \
    } while (0)

static uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, RELAXED); }

shx_status world_run(const world *w, shx_ring *ring, const entry *what, uint64_t *position) {
    static unsigned char payload[PAYLOAD_MAX];
    fill_payload(payload, what->size > PAYLOAD_MAX ? PAYLOAD_MAX : what->size, what->seed);
    shx_draft draft = {.payload = payload,
                       .time_ns = what->seed * 1000,
                       .target = what->target,
                       .size = what->size,
                       .kind = what->kind,
                       .links = what->links,
                       .self = what->self};
    memcpy(draft.tag, what->tag, sizeof draft.tag);
    shx_ring handle = *ring;
    handle.counters = handle.private_counters;
    handle.writable = !(w->read_only && what == &w->operation);
    return shx_append(&handle, &draft, w->deadline, position);
}

void world_append(world *w, entry what) {
    REQUIRE(w->count < MODEL_MAX);
    REQUIRE(world_run(w, &w->live.ring, &what, &what.position) == SHX_OK);
    w->known[w->count++] = what;
}

/* ---- what a reader sees ---- */

/* The records that must or may be in the ring: the known ones, then those in flight that were found. */
typedef struct {
    const entry *item[MODEL_MAX + IN_FLIGHT_MAX + 2];
    entry found[IN_FLIGHT_MAX + 2];
    unsigned count, known, flying;
} population;

static shx_status fetch(shx_ring *ring, uint64_t position, shx_view *view, unsigned char *payload) {
    shx_status status = shx_look(ring, position, view);
    return status == SHX_OK ? shx_copy(ring, view, payload) : status;
}

static bool is_entry(const entry *what, const shx_view *view, const unsigned char *payload) {
    return view->kind == what->kind && view->size == what->size && view->time_ns == what->seed * 1000 &&
           payload_is(payload, view->size, what->seed);
}

/* Its bytes have not been claimed for a newer record: the rule of design and layout, not the core's own code. */
static bool unclaimed(const shx_ring *ring, uint64_t position) {
    uint64_t gap = position < ring->base ? ring->base - ring->gap_start : 0;
    return position + gap + ring->capacity >= load(&ring->control->writer.reserved);
}

/* Every known record is whole or, once the drain has it, gone; the database must never miss one. */
static const char *check_known(shx_ring *ring, const population *all, uint64_t drained) {
    static unsigned char payload[PAYLOAD_MAX];
    for (unsigned i = 0; i < all->known; i++) {
        const entry *what = all->item[i];
        shx_view view;
        shx_status status = fetch(ring, what->position, &view, payload);
        bool must = what->position >= drained || unclaimed(ring, what->position);
        if (status == SHX_MISS && !must) continue;
        if (status != SHX_OK) return wrong("known record %lu: status %d", what->position, status);
        if (!is_entry(what, &view, payload)) return wrong("known record %lu: other bytes", what->position);
    }
    return NULL;
}

static const char *admit(population *all, const entry *flying, unsigned count, const shx_view *view,
                         const unsigned char *payload) {
    for (unsigned i = 0; i < count; i++) {
        if (!is_entry(&flying[i], view, payload)) continue;
        for (unsigned j = 0; j < all->flying; j++)
            if (all->found[j].seed == flying[i].seed) return wrong("record in flight twice: %lu", view->position);
        entry *found = &all->found[all->flying++];
        *found = flying[i];
        found->position = view->position;
        all->item[all->count++] = found;
        return NULL;
    }
    return wrong("a record nobody wrote at %lu, kind %u", view->position, view->kind);
}

/* From the oldest live record to `head` without a hole: exactly the known records, padding, and some in flight. */
static const char *scan(shx_ring *ring, population *all, const entry *flying, unsigned count) {
    static unsigned char payload[PAYLOAD_MAX];
    uint64_t head = load(&ring->control->writer.head);
    unsigned next = 0;
    while (next < all->known && !unclaimed(ring, all->item[next]->position)) next++;
    uint64_t at = next < all->known ? all->item[next]->position : load(&ring->control->drained);
    while (at < head) {
        shx_view view;
        shx_status status = fetch(ring, at, &view, payload);
        if (status != SHX_OK) return wrong("scan stops at %lu of %lu: status %d", at, head, status);
        if (next < all->known && view.position == all->item[next]->position) {
            next++;
        } else if (view.kind != SHX_PADDING) {
            if (next < all->known) return wrong("scan: %lu between known records", at);
            TRY(admit(all, flying, count, &view, payload));
        }
        at = shx_after(ring, at + view.granules);
    }
    if (at != head) return wrong("scan ends at %lu, not at head %lu", at, head);
    if (next != all->known) return wrong("scan missed known record %lu", all->item[next]->position);
    return NULL;
}

static uint32_t tag_of(const entry *what, unsigned link) {
    return what->self >> link & 1 ? shx_tag_position(link, what->position) : what->tag[link];
}

static bool has_tag(const entry *what, bool unique, uint32_t tag) {
    for (unsigned i = unique ? SHX_ALIAS : SHX_CORRELATION; i <= (unique ? SHX_ALIAS : SHX_PARENT); i++)
        if (what->links >> i & 1 && tag_of(what, i) == tag) return true;
    return false;
}

/* One key of one record: the walk comes past it once, and past nothing that has not this key. */
static const char *check_key(shx_ring *ring, const population *all, const entry *what, unsigned link, bool must) {
    uint32_t tag = tag_of(what, link);
    unsigned hits = 0;
    uint64_t at;
    shx_walk walk;
    for (shx_walk_start(ring, &walk, link == SHX_ALIAS, tag); shx_walk_next(ring, &walk, &at) == SHX_OK;) {
        const entry *met = NULL;
        for (unsigned i = 0; i < all->count; i++)
            if (all->item[i]->position == at) met = all->item[i];
        if (!met) return wrong("the walk for link %u of %lu meets %lu, which is no record", link, what->position, at);
        if (!has_tag(met, walk.unique, tag)) return wrong("the walk meets %lu, which lacks the key", at);
        hits += at == what->position;
    }
    if (hits > 1 || (must && !hits)) return wrong("record %lu: met %u times by link %u", what->position, hits, link);
    return NULL;
}

static const char *check_chains(shx_ring *ring, const population *all, bool repaired) {
    for (unsigned i = 0; i < all->count; i++) {
        const entry *what = all->item[i];
        if (!shx_live(ring, what->position)) continue;
        for (unsigned link = what->kind == SHX_ANNOTATION; link < SHX_LINKS; link++)
            if (what->links >> link & 1)
                TRY(check_key(ring, all, what, link, repaired || i < all->known));
    }
    return NULL;
}

/* A record is marked if and only if a committed annotation names it. */
static const char *check_marks(shx_ring *ring, const population *all, bool repaired) {
    for (unsigned i = 0; i < all->count; i++) {
        shx_view view;
        if (shx_look(ring, all->item[i]->position, &view) != SHX_OK) continue;
        bool may = false, must = false;
        for (unsigned j = 0; j < all->count; j++) {
            if (all->item[j]->target != all->item[i]->position) continue;
            may = true;
            must |= repaired || j < all->known;
        }
        if (view.annotated ? !may : must)
            return wrong("record %lu: annotated is %d", view.position, view.annotated);
    }
    return NULL;
}

static void populate(population *all, const entry *known, unsigned count) {
    memset(all, 0, sizeof *all);
    for (unsigned i = 0; i < count; i++) all->item[all->count++] = &known[i];
    all->known = count;
}

static const char *check_readable(const world *w, shx_ring *ring, population *all, const entry *flying, unsigned count,
                                  bool repaired) {
    shx_control *control = ring->control;
    uint64_t reserved = load(&control->writer.reserved), head = load(&control->writer.head);
    uint64_t drained = load(&control->drained);
    if (head > reserved || (repaired && head != reserved)) return wrong("head %lu, reserved %lu", head, reserved);
    if (reserved > drained + ring->capacity) return wrong("claimed %lu, drained only %lu", reserved, drained);
    shx_view view;
    if (shx_look(ring, head, &view) != SHX_MISS) return wrong("a record without its commit can be seen at %lu", head);
    populate(all, w->known, w->count);
    TRY(check_known(ring, all, drained));
    TRY(scan(ring, all, flying, count));
    TRY(check_chains(ring, all, repaired));
    return check_marks(ring, all, repaired);
}

/* ---- what the survivors do ---- */

/* Repairing what a repair left changes nothing. Works on a copy: the repair of the survivor comes later. */
static const char *check_idempotence(const world *w, shx_ring *ring) {
    static segment copy[2];
    for (unsigned i = 0; i < 2; i++) segment_like(&copy[i], &w->live);
    const char *source = (const char *)ring->control - SHX_CONTROL_OFFSET;
    memcpy(copy[0].map, source, copy[0].size);
    if (shx_repair(&copy[0].ring) != SHX_OK) return wrong("the repair gives up");
    memcpy(copy[1].map, copy[0].map, copy[0].size);
    if (shx_repair(&copy[1].ring) != SHX_OK) return wrong("the second repair gives up");
    return memcmp(copy[0].map, copy[1].map, copy[0].size) ? wrong("the second repair changes something") : NULL;
}

static entry following(const world *w, unsigned number) {
    entry next = w->operation; /* the same keys: its chains go through the record in flight */
    next.seed = 900 + number;
    next.size = 40 + 60 * number;
    next.kind = SHX_CONTEXT;
    next.target = 0;
    next.links = 0x1f;
    for (unsigned i = 0; i < SHX_LINKS; i++)
        if (!next.tag[i]) next.tag[i] = 7 + i;
    return next;
}

/* The next append succeeds at once, the one after it too, and what is in the ring is what was, and these. */
static const char *check_survivors(const world *w, shx_ring *ring, population *before) {
    static population after;
    static entry flying[2 * IN_FLIGHT_MAX];
    bool died = (uint32_t)ring->control->writer.mutex.__data.__lock & 0x40000000u;
    uint64_t repairs = load(&ring->control->repairs);
    for (unsigned i = 0; i < before->flying; i++) flying[i] = before->found[i];
    for (unsigned i = 0; i < 2; i++) {
        entry *next = &flying[before->flying + i];
        *next = following(w, i);
        if (w->tight) shx_set_drained(ring, load(&ring->control->writer.head));
        shx_status status = world_run(w, ring, next, &next->position);
        if (status != SHX_OK) return wrong("the survivor's append %u: status %d", i, status);
        if (load(&ring->control->repairs) - repairs != died) return wrong("the repair was not counted");
        TRY(check_readable(w, ring, &after, flying, before->flying + i + 1, true));
        if (after.flying != before->flying + i + 1) return wrong("%u records became %u", before->flying + i + 1, after.flying);
        for (unsigned j = 0; j < after.flying; j++)
            if (after.found[j].position != flying[j].position) return wrong("a record moved to %lu", after.found[j].position);
    }
    return NULL;
}

static const char *check_refused(const world *w, shx_ring *ring) {
    uint64_t position;
    entry next = following(w, 0);
    for (int i = 0; i < 2; i++) {
        shx_status status = world_run(w, ring, &next, &position);
        if (status != w->expect) return wrong("the survivor's append: status %d, not %d", status, w->expect);
    }
    return NULL;
}

const char *judge(const world *w, shx_ring *ring, const entry *in_flight, unsigned flying, unsigned returned) {
    static population before;
    if (w->spoilt) return check_refused(w, ring);
    TRY(check_readable(w, ring, &before, in_flight, flying, false));
    for (unsigned i = 0; i < returned; i++) {
        bool found = false;
        for (unsigned j = 0; j < before.flying; j++) found |= before.found[j].seed == in_flight[i].seed;
        if (!found) return wrong("append %u returned, its record is not there", i);
    }
    TRY(check_idempotence(w, ring));
    if (w->sealed) return check_refused(w, ring);
    return check_survivors(w, ring, &before);
}
