/* A ref: "ctx_" and 16 Crockford base32 characters, most significant first: 24-bit store id, 56-bit position. */
#include <string.h>

#include "glue.h"

static const char ALPHABET[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* One canonical spelling: capitals and the look-alikes i, l, o, u are refused, so equal refs are equal strings. */
static const signed char DIGIT[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['g'] = 17, ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23, ['q'] = 24,
    ['r'] = 25, ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
};

/* 80 bits as two halves of 40: eight characters each. */
static void put_half(uint64_t bits, char *out) {
    for (int i = 7; i >= 0; i--, bits >>= 5) out[i] = ALPHABET[bits & 31];
}

static bool take_half(const unsigned char *text, uint64_t *bits) {
    uint64_t value = 0;
    int bad = 0;
    for (int i = 0; i < 8; i++) {
        int digit = DIGIT[text[i]] - 1;
        bad |= digit;
        value = value << 5 | (uint64_t)(digit & 31);
    }
    *bits = value;
    return bad >= 0;
}

void ref_format(uint32_t store_id, uint64_t position, char *out) {
    memcpy(out, "ctx_", 4);
    put_half((uint64_t)store_id << 16 | position >> 40, out + 4);
    put_half(position & ((UINT64_C(1) << 40) - 1), out + 12);
}

PyObject *ref_new(uint32_t store_id, uint64_t position) {
    PyObject *ref = PyUnicode_New(REF_LENGTH, 127);
    if (ref) ref_format(store_id, position, (char *)PyUnicode_1BYTE_DATA(ref));
    return ref;
}

bool ref_parse(PyObject *ref, uint32_t *store_id, uint64_t *position) {
    if (!PyUnicode_Check(ref) || !PyUnicode_IS_COMPACT_ASCII(ref) || PyUnicode_GET_LENGTH(ref) != REF_LENGTH)
        return false;
    const unsigned char *text = PyUnicode_1BYTE_DATA(ref);
    uint64_t high, low;
    if (memcmp(text, "ctx_", 4) != 0 || !take_half(text + 4, &high) || !take_half(text + 12, &low)) return false;
    *store_id = (uint32_t)(high >> 16);
    *position = (high & 0xffff) << 40 | low;
    return true;
}
