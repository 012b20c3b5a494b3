/* A ref: "ctx_" and 16 Crockford base32 characters, most significant first: 24-bit store id, 56-bit position. */
#include <string.h>

#include "glue.h"

static const char ALPHABET[] = "0123456789abcdefghjkmnpqrstvwxyz";

#define BAD 0x80u

/* One canonical spelling: capitals and the look-alikes i, l, o, u are refused, so equal refs are equal strings. */
static unsigned char DIGIT[256];

void ref_prepare(void) {
    memset(DIGIT, BAD, sizeof DIGIT);
    for (unsigned i = 0; i < 32; i++) DIGIT[(unsigned char)ALPHABET[i]] = (unsigned char)i;
}

/* `count` characters, most significant first. */
static inline void put_digits(uint64_t bits, char *out, int count) {
#pragma GCC unroll 12
    for (int i = count - 1; i >= 0; i--, bits >>= 5) out[i] = ALPHABET[bits & 31];
}

static inline bool take_digits(const unsigned char *text, uint64_t *bits, int count) {
    uint64_t value = 0;
    unsigned bad = 0;
#pragma GCC unroll 12
    for (int i = 0; i < count; i++) {
        unsigned digit = DIGIT[text[i]];
        bad |= digit;
        value = value << 5 | digit;
    }
    *bits = value;
    return !(bad & BAD);
}

/* "ctx_" and four characters say the store's first 20 bits: the same in all refs of a store. Twelve more say its last
 * four bits and the position. */
void ref_prefix(uint32_t store_id, char *out) {
    memcpy(out, "ctx_", 4);
    put_digits(store_id >> 4, out + 4, 4);
}

static void put_position(uint32_t store_id, uint64_t position, char *out) {
    put_digits((uint64_t)(store_id & 15) << 56 | position, out, 12);
}

PyObject *ref_new(uint32_t store_id, uint64_t position) {
    PyObject *ref = PyUnicode_New(REF_LENGTH, 127);
    if (!ref) return NULL;
    char *text = (char *)PyUnicode_1BYTE_DATA(ref);
    ref_prefix(store_id, text);
    put_position(store_id, position, text + REF_PREFIX);
    return ref;
}

static const unsigned char *ref_text(PyObject *ref) {
    if (!PyUnicode_Check(ref) || !PyUnicode_IS_COMPACT_ASCII(ref) || PyUnicode_GET_LENGTH(ref) != REF_LENGTH)
        return NULL;
    return PyUnicode_1BYTE_DATA(ref);
}

bool ref_of_store(PyObject *ref, const char *prefix, uint32_t store_id, uint64_t *position) {
    const unsigned char *text = ref_text(ref);
    uint64_t bits;
    if (!text || memcmp(text, prefix, REF_PREFIX) != 0 || !take_digits(text + REF_PREFIX, &bits, 12)) return false;
    *position = bits & SHX_POSITION_MASK;
    return bits >> SHX_POSITION_BITS == (store_id & 15);
}

bool ref_parse(PyObject *ref, uint32_t *store_id, uint64_t *position) {
    const unsigned char *text = ref_text(ref);
    uint64_t high, low;
    if (!text || memcmp(text, "ctx_", 4) != 0) return false;
    if (!take_digits(text + 4, &high, 4) || !take_digits(text + REF_PREFIX, &low, 12)) return false;
    *store_id = (uint32_t)(high << 4 | low >> SHX_POSITION_BITS);
    *position = low & SHX_POSITION_MASK;
    return true;
}
