/* Readers that are overtaken: at each instruction of a read, the segment becomes another one. */
#ifndef SHX_TEST_READER_H
#define SHX_TEST_READER_H

#include "episode.h"

/* A child reads, in each of the ways the core has: the record that the traced append overwrites, the one it writes, and
 * a chain of both. It is stopped at every `stride`-th instruction, where the segment turns
 *   - from what it was before the append into what it is at some moment of it,
 *   - from such a moment into what it is after the append,
 *   - from such a moment, the writer being dead, into what a survivor's append leaves.
 * Then the child goes on, and must return the right bytes or a miss: never damage, never a record that was not
 * committed. `e` has been traced. Every `state_stride`-th moment is taken, and those around a commit or a claim.
 * Returns the number of reads. */
unsigned reader_overtake(const episode *e, unsigned stride, unsigned state_stride);

#endif
