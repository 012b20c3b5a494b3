/* What append, read, scan, find and place promise, one check per promise. `records [NAME]` runs one of them. */
#include "units.h"

static void what_is_appended_is_read_back(void) {
    segment s;
    segment_make(&s, 4096, 1, 1);
    for (uint32_t size = 0; size < 700; size++) {
        uint64_t expected = head_of(&s), position = put(&s, size, size);
        REQUIRE(position == expected && reads(&s, position, size, size));
        shx_set_drained(&s.ring, head_of(&s));
    }
    segment_free(&s);
}

static void records_stay_whole_at_the_end_of_the_ring(void) {
    segment s;
    uint64_t random = 1, at[3] = {0}, seed[3] = {0};
    uint32_t size[3] = {0};
    segment_make(&s, 64, 1, 1);
    for (unsigned n = 0; n < 5000; n++) {
        shx_set_drained(&s.ring, head_of(&s));
        seed[n % 3] = n;
        size[n % 3] = (uint32_t)(random_next(&random) % 900);
        at[n % 3] = put(&s, n, size[n % 3]);
        REQUIRE((at[n % 3] & 63) + 1 + (size[n % 3] + 63) / 64 <= 64);
        for (unsigned i = 0; i < 3; i++)
            REQUIRE(!at[i] || reads(&s, at[i], seed[i], size[i]));
    }
    segment_free(&s);
}

static void a_scan_meets_every_record_once(void) {
    segment s;
    static uint64_t placed[1000];
    unsigned count = 0, met = 0;
    segment_make(&s, 1024, 1, 1);
    for (unsigned n = 0; n < 300; n++) {
        if (n == 150) shx_set_drained(&s.ring, head_of(&s));
        placed[count++] = put(&s, n, n % 260);
    }
    shx_view view;
    for (uint64_t at = atomic_load(&s.ring.control->drained); at < head_of(&s); at += view.granules) {
        REQUIRE(shx_look(&s.ring, at, &view) == SHX_OK && shx_copy(&s.ring, &view, copied) == SHX_OK);
        if (view.kind != SHX_PADDING) REQUIRE(at == placed[150 + met++]);
    }
    REQUIRE(met == 150);
    segment_free(&s);
}

static void a_full_ring_refuses_and_keeps_what_is_not_drained(void) {
    segment s;
    uint64_t position, first = 0;
    segment_make(&s, 64, 1, 1);
    for (unsigned n = 0; n < 33; n++) { /* 31 of two granules, two of one */
        uint64_t at = put(&s, n, n < 31 ? 64 : 0);
        if (!n) first = at;
    }
    shx_draft draft = draft_of(99, 0);
    uint64_t head = head_of(&s);
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_FULL && head_of(&s) == head);
    REQUIRE(reads(&s, first, 0, 64));
    shx_set_drained(&s.ring, first + 2);
    shx_set_drained(&s.ring, first); /* only grows */
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_OK && reads(&s, position, 99, 0));
    REQUIRE(!reads(&s, first, 0, 64) && reads(&s, first + 2, 1, 64));
    segment_free(&s);
}

static void what_cannot_fit_or_is_no_record_is_refused(void) {
    segment s;
    uint64_t position;
    segment_make(&s, 64, 1, 1);
    shx_draft draft = draft_of(1, 15 * 64);
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_OK);
    draft.size++;
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_TOO_LARGE);
    draft.size = SHX_MAX_PAYLOAD + 1;
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_TOO_LARGE);
    for (unsigned kind = 0; kind < 256; kind++) {
        shx_set_drained(&s.ring, head_of(&s));
        draft = draft_of(kind, 1);
        draft.kind = (uint8_t)kind;
        shx_status status = shx_append(&s.ring, &draft, NULL, &position);
        REQUIRE(status == (kind >= 2 && kind <= SHX_LAST_KIND ? SHX_OK : SHX_INVALID));
    }
    segment_free(&s);
}

static void what_is_not_there_is_a_miss(void) {
    segment s;
    shx_view view;
    segment_make(&s, 64, 1, 1);
    REQUIRE(shx_look(&s.ring, 1, &view) == SHX_MISS);
    uint64_t position = put(&s, 3, 300);
    const uint64_t nowhere[] = {0, position + 1, position + 5, head_of(&s), head_of(&s) + 64, position + 64,
                                SHX_POSITION_MASK, UINT64_MAX, UINT64_C(1) << 63 | position};
    for (unsigned i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        REQUIRE(shx_look(&s.ring, nowhere[i], &view) == SHX_MISS &&
                shx_fetch(&s.ring, nowhere[i], &view, copied, 9) == SHX_MISS);
    REQUIRE(reads(&s, position, 3, 300));
    shx_set_tail(&s.ring, position + 1);
    REQUIRE(shx_look(&s.ring, position, &view) == SHX_MISS);
    shx_set_tail(&s.ring, 1); /* only grows */
    REQUIRE(shx_look(&s.ring, position, &view) == SHX_MISS);
    segment_free(&s);
}

static void damage_is_noticed_and_passed_over(void) {
    segment s;
    shx_view view;
    segment_make(&s, 64, 1, 1);
    uint64_t first = put(&s, 1, 100), second = put(&s, 2, 100), third = put(&s, 3, 100);
    _Atomic uint64_t *word = (_Atomic uint64_t *)(shx_slot(&s.ring, second) + 1);
    atomic_store(word, atomic_load(word) ^ 1);
    REQUIRE(shx_look(&s.ring, second, &view) == SHX_OK && shx_copy(&s.ring, &view, copied) == SHX_DAMAGED);
    REQUIRE(shx_fetch(&s.ring, second, &view, copied, 100) == SHX_DAMAGED);
    atomic_store(&shx_slot(&s.ring, second)->size_crc, 65 * 64);
    REQUIRE(shx_look(&s.ring, second, &view) == SHX_DAMAGED);
    REQUIRE(shx_resync(&s.ring, first, copied) == first && shx_resync(&s.ring, first + 1, copied) == third);
    REQUIRE(shx_resync(&s.ring, second, copied) == third && shx_resync(&s.ring, third + 1, copied) == head_of(&s));
    REQUIRE(reads(&s, first, 1, 100) && reads(&s, third, 3, 100));
    segment_free(&s);
}

static void what_is_erased_is_a_miss_and_its_space_is_passed_over(void) {
    segment s;
    shx_view view;
    segment_make(&s, 64, 1, 1);
    const uint32_t sizes[] = {0, 1, 8, 63, 64, 300};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        shx_set_drained(&s.ring, head_of(&s));
        uint64_t before = put(&s, 1, 20), position = put(&s, 2, sizes[i]), after = put(&s, 3, 20);
        for (unsigned time = 0; time < 2; time++) { /* again changes nothing */
            REQUIRE(shx_erase(&s.ring, position, NULL) == SHX_OK);
            REQUIRE(shx_look(&s.ring, position, &view) == SHX_OK && view.granules == after - position);
            REQUIRE(shx_copy(&s.ring, &view, copied) == SHX_ERASED);
            REQUIRE(shx_fetch(&s.ring, position, &view, copied, 300) == SHX_ERASED);
        }
        for (uint64_t word = 0; word < (after - position - 1) * SHX_WORDS; word++)
            REQUIRE(!atomic_load((_Atomic uint64_t *)(shx_slot(&s.ring, position) + 1) + word));
        REQUIRE(reads(&s, before, 1, 20) && reads(&s, after, 3, 20));
        REQUIRE(shx_resync(&s.ring, position, copied) == position && shx_last_end(&s.ring, copied) == head_of(&s));
    }
    uint64_t newest = head_of(&s);
    put(&s, 4, 100);
    REQUIRE(shx_erase(&s.ring, newest, NULL) == SHX_OK && shx_last_end(&s.ring, copied) == head_of(&s));
    REQUIRE(shx_erase(&s.ring, newest + 1, NULL) == SHX_MISS && shx_erase(&s.ring, head_of(&s), NULL) == SHX_MISS);
    segment_free(&s);
}

static void erasing_spares_what_it_cannot_tell(void) {
    segment s;
    shx_view view;
    segment_make(&s, 64, 1, 1);
    uint64_t first = put(&s, 1, 100), second = put(&s, 2, 100);
    _Atomic uint64_t *size_crc = &shx_slot(&s.ring, first)->size_crc;
    uint64_t was = atomic_load(size_crc);
    atomic_store(size_crc, was + 128); /* damaged: its size reaches into the second */
    REQUIRE(shx_erase(&s.ring, first, NULL) == SHX_DAMAGED && reads(&s, second, 2, 100));
    atomic_store(size_crc, was);
    REQUIRE(reads(&s, first, 1, 100));
    segment_attach(&s, false);
    REQUIRE(shx_erase(&s.ring, first, NULL) == SHX_INVALID && reads(&s, first, 1, 100));
    segment_attach(&s, true);
    REQUIRE(shx_seal(&s.ring, NULL) == SHX_OK && shx_erase(&s.ring, first, NULL) == SHX_OK);
    REQUIRE(shx_look(&s.ring, first, &view) == SHX_OK && shx_copy(&s.ring, &view, copied) == SHX_ERASED);
    atomic_fetch_or(&s.ring.control->state, SHX_POISONED);
    REQUIRE(shx_erase(&s.ring, second, NULL) == SHX_OK && !reads(&s, second, 2, 100));
    REQUIRE(shx_lock_holder(&s.ring) == 0);
    segment_free(&s);
}

static void the_newest_record_is_found_without_the_control_words(void) {
    segment s;
    segment_make(&s, 64, 1, 1);
    REQUIRE(shx_last_end(&s.ring, copied) == 0);
    for (unsigned n = 0; n < 100; n++) {
        shx_set_drained(&s.ring, head_of(&s));
        put(&s, n, n * 7 % 400);
        REQUIRE(shx_last_end(&s.ring, copied) == head_of(&s));
    }
    uint64_t end = head_of(&s), last = put(&s, 100, 10);
    shx_control control;
    memcpy(&control, s.ring.control, sizeof control);
    memset((void *)s.ring.control, 0xa5, sizeof control);
    REQUIRE(shx_last_end(&s.ring, copied) == last + 2);
    atomic_store(&shx_slot(&s.ring, last)->time_ns, 1); /* damaged: the one before it is the newest whole one */
    REQUIRE(shx_last_end(&s.ring, copied) == end);
    segment_free(&s);
}

static void a_sealed_or_poisoned_segment_takes_no_appends(void) {
    segment s;
    uint64_t position, other;
    segment_make(&s, 64, 1, 1);
    position = put(&s, 3, 30);
    shx_draft draft = draft_of(4, 4);
    segment_attach(&s, false);
    REQUIRE(shx_seal(&s.ring, NULL) == SHX_INVALID && shx_append(&s.ring, &draft, NULL, &other) == SHX_INVALID);
    segment_attach(&s, true);
    REQUIRE(shx_seal(&s.ring, NULL) == SHX_OK && shx_seal(&s.ring, NULL) == SHX_OK);
    REQUIRE(shx_append(&s.ring, &draft, NULL, &other) == SHX_SEALED_OFF);
    REQUIRE(reads(&s, position, 3, 30) && shx_lock_holder(&s.ring) == 0);
    atomic_fetch_or(&s.ring.control->state, SHX_POISONED);
    REQUIRE(shx_append(&s.ring, &draft, NULL, &other) == SHX_CORRUPT && shx_seal(&s.ring, NULL) == SHX_CORRUPT);
    REQUIRE(reads(&s, position, 3, 30));
    segment_free(&s);
}

static void contradicting_control_words_poison(void) {
    for (int which = 0; which < 3; which++) {
        segment s;
        uint64_t position;
        segment_make(&s, 64, 1, 1);
        put(&s, 3, 30);
        shx_draft draft = draft_of(4, 4);
        shx_control *control = s.ring.control;
        if (which == 0) atomic_store(&control->drained, head_of(&s) + 1);
        if (which == 1) atomic_store(&control->writer.reserved, head_of(&s) + 1);
        if (which == 2) atomic_store(&control->writer.head, 70), atomic_store(&control->writer.reserved, 70);
        REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_CORRUPT);
        REQUIRE(atomic_load(&control->state) == SHX_POISONED && shx_lock_holder(&s.ring) == 0);
        segment_free(&s);
    }
}

/* ---- keys, annotations, rehydration ---- */

static unsigned walk(segment *s, bool unique, uint32_t tag, uint64_t *found) {
    shx_walk w;
    unsigned count = 0;
    for (shx_walk_start(&s->ring, &w, unique, tag); shx_walk_next(&s->ring, &w, &found[count]) == SHX_OK; count++)
        REQUIRE(count < 60 && (!count || found[count] < found[count - 1]));
    return count;
}

static void walks_find_each_record_by_each_key_newest_first(void) {
    segment s;
    uint64_t at[10], found[64];
    segment_make(&s, 64, 1, 1);
    const uint32_t shared = shx_tag(SHX_CORRELATION, "conversation", 12);
    REQUIRE(shared && shared != shx_tag(SHX_AGENT, "conversation", 12) && shared == shx_tag(SHX_CORRELATION, "conversation", 12));
    for (uint64_t n = 0; n < 10; n++) {
        shx_draft draft = draft_of(n, 20);
        draft.links = 1u << SHX_ALIAS | 1u << SHX_CORRELATION | 1u << SHX_PARENT;
        draft.self = 1u << SHX_PARENT;
        draft.tag[SHX_ALIAS] = shx_tag(SHX_ALIAS, &n, sizeof n);
        draft.tag[SHX_CORRELATION] = n % 2 ? shared : shared + 32; /* the same bucket, another key */
        REQUIRE(shx_append(&s.ring, &draft, NULL, &at[n]) == SHX_OK);
    }
    REQUIRE(walk(&s, false, shared, found) == 5 && found[0] == at[9] && found[4] == at[1]);
    REQUIRE(walk(&s, false, shared + 32, found) == 5 && found[0] == at[8]);
    REQUIRE(walk(&s, false, shared + 64, found) == 0);
    for (uint64_t n = 0; n < 10; n++) {
        REQUIRE(walk(&s, true, shx_tag(SHX_ALIAS, &n, sizeof n), found) == 1 && found[0] == at[n]);
        REQUIRE(walk(&s, false, shx_tag_position(SHX_PARENT, at[n]), found) == 1 && found[0] == at[n]);
    }
    shx_set_tail(&s.ring, at[4]);
    REQUIRE(walk(&s, false, shared, found) == 3);
    segment_free(&s);
}

static void what_hangs_on_an_erased_record_is_still_found(void) {
    segment s;
    uint64_t at[3], found[64];
    segment_make(&s, 64, 1, 1);
    for (uint64_t n = 0; n < 3; n++) {
        shx_draft draft = draft_of(n, 20);
        draft.links = 1u << SHX_AGENT;
        draft.tag[SHX_AGENT] = 77;
        REQUIRE(shx_append(&s.ring, &draft, NULL, &at[n]) == SHX_OK);
    }
    REQUIRE(shx_erase(&s.ring, at[1], NULL) == SHX_OK);
    REQUIRE(walk(&s, false, 77, found) == 3 && found[2] == at[0]);
    segment_free(&s);
}

static void an_annotation_marks_its_target_and_nothing_else_changes(void) {
    segment s;
    shx_view view;
    uint64_t position, target;
    segment_make(&s, 64, 1, 1);
    target = put(&s, 7, 77);
    uint64_t other = put(&s, 8, 88);
    shx_draft draft = draft_of(9, 9);
    draft.kind = SHX_ANNOTATION;
    draft.target = target;
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_OK);
    REQUIRE(shx_look(&s.ring, target, &view) == SHX_OK && view.annotated && reads(&s, target, 7, 77));
    REQUIRE(shx_look(&s.ring, other, &view) == SHX_OK && !view.annotated);
    uint64_t link = atomic_load(&shx_slot(&s.ring, position)->link[SHX_ALIAS]);
    REQUIRE((uint32_t)link == 0 && position - (link >> 32) == target);
    draft.target = position + 1000; /* nothing is there */
    REQUIRE(shx_append(&s.ring, &draft, NULL, &position) == SHX_OK);
    segment_free(&s);
}

static shx_status place(segment *s, uint64_t position, uint64_t seed, uint32_t size) {
    shx_draft draft = draft_of(seed, size);
    draft.links = 1u << SHX_AGENT;
    draft.tag[SHX_AGENT] = 77;
    return shx_place(&s->ring, &draft, position);
}

static void records_are_placed_again_at_their_old_positions(void) {
    segment s;
    uint64_t found[64];
    const uint64_t gap = 1000, base = 1000 + 3 * 64;
    segment_make(&s, 64, gap, base);
    REQUIRE(place(&s, gap - 65, 1, 10) == SHX_MISS && place(&s, gap - 1, 1, 10) == SHX_INVALID);
    REQUIRE(place(&s, 959, 1, 100) == SHX_INVALID); /* 959 & 63 == 63: it would cross the end of the ring */
    REQUIRE(place(&s, 940, 1, 100) == SHX_OK && place(&s, 943, 2, 0) == SHX_OK && place(&s, 980, 3, 300) == SHX_OK);
    REQUIRE(place(&s, 982, 4, 0) == SHX_INVALID && place(&s, 950, 4, 0) == SHX_INVALID);
    shx_place_end(&s.ring);
    REQUIRE(reads(&s, 940, 1, 100) && reads(&s, 943, 2, 0) && reads(&s, 980, 3, 300));
    uint64_t position = put(&s, 5, 50);
    REQUIRE(position == base && shx_after(&s.ring, gap) == base && shx_after(&s.ring, gap - 1) == gap - 1);
    REQUIRE(!shx_live(&s.ring, gap) && !shx_live(&s.ring, base - 1));
    shx_view view;
    unsigned records = 0;
    for (uint64_t at = 940; at < head_of(&s); at = shx_after(&s.ring, at + view.granules)) {
        REQUIRE(shx_look(&s.ring, at, &view) == SHX_OK && shx_copy(&s.ring, &view, copied) == SHX_OK);
        records += view.kind != SHX_PADDING;
    }
    REQUIRE(records == 4 && walk(&s, false, 77, found) == 3 && found[0] == 980 && found[2] == 940);
    for (unsigned n = 0; n < 40; n++) {
        shx_set_drained(&s.ring, head_of(&s));
        position = put(&s, n, 64);
    }
    REQUIRE(!shx_live(&s.ring, 940) && !shx_live(&s.ring, 980) && walk(&s, false, 77, found) == 0);
    segment_free(&s);
}

static void an_empty_rehydration_leaves_an_empty_ring(void) {
    segment s;
    segment_make(&s, 64, 1000, 1064);
    shx_place_end(&s.ring);
    REQUIRE(put(&s, 1, 1) == 1064 && reads(&s, 1064, 1, 1) && !shx_live(&s.ring, 990 - 64));
    segment_free(&s);
}

static const unit units[] = {
    UNIT(what_is_appended_is_read_back),
    UNIT(records_stay_whole_at_the_end_of_the_ring),
    UNIT(a_scan_meets_every_record_once),
    UNIT(a_full_ring_refuses_and_keeps_what_is_not_drained),
    UNIT(what_cannot_fit_or_is_no_record_is_refused),
    UNIT(what_is_not_there_is_a_miss),
    UNIT(damage_is_noticed_and_passed_over),
    UNIT(what_is_erased_is_a_miss_and_its_space_is_passed_over),
    UNIT(what_hangs_on_an_erased_record_is_still_found),
    UNIT(erasing_spares_what_it_cannot_tell),
    UNIT(the_newest_record_is_found_without_the_control_words),
    UNIT(a_sealed_or_poisoned_segment_takes_no_appends),
    UNIT(contradicting_control_words_poison),
    UNIT(walks_find_each_record_by_each_key_newest_first),
    UNIT(an_annotation_marks_its_target_and_nothing_else_changes),
    UNIT(records_are_placed_again_at_their_old_positions),
    UNIT(an_empty_rehydration_leaves_an_empty_ring),
};

int main(int count, char **words) { return run_units(units, sizeof units / sizeof *units, count, words); }
