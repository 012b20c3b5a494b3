/* CRC-32C (Castagnoli) by the processor's own instruction, over 64-bit words. */
#ifndef SHX_CRC32C_H
#define SHX_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__SSE4_2__)
#include <nmmintrin.h>
static inline uint32_t shx_crc_word(uint32_t crc, uint64_t word) { return (uint32_t)_mm_crc32_u64(crc, word); }
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
static inline uint32_t shx_crc_word(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }
#else
#error "shmctx needs the CRC-32C instruction: build with -msse4.2 (x86-64) or -march=armv8-a+crc (arm64)"
#endif

#define SHX_CRC_START 0xffffffffu

/* The last, partial word counts as padded with zeroes; callers mix the length in themselves. */
static inline uint32_t shx_crc_bytes(uint32_t crc, const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t word;
    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        crc = shx_crc_word(crc, word);
    }
    if (size) {
        word = 0;
        memcpy(&word, bytes, size);
        crc = shx_crc_word(crc, word);
    }
    return crc;
}

#endif
