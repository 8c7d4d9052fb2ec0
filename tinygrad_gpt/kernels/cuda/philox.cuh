// Philox4x64-10, a generator without other state than a counter: four random words of 64 bits from a key and a counter.
//
// The bits are those of tinygrad_gpt/rng.py, which says what key and counter mean: key (seed, purpose), counter (block,
// row, step, site).  NumPy adds one to the counter before it computes a block, so block n here is its counter n + 1.
//
// Source.  Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 and table 2.
#pragma once

#define PURPOSE_DROPOUT 3ull  // rng.Purpose.DROPOUT

struct PhiloxBlock {
  unsigned long long word[4];
};

__device__ __forceinline__ PhiloxBlock philox4x64(unsigned long long key0, unsigned long long key1,
                                                  unsigned long long c0, unsigned long long c1,
                                                  unsigned long long c2, unsigned long long c3) {
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const unsigned long long high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0), low0 = 0xD2E7470EE14C6C93ull * c0;
    const unsigned long long high1 = __umul64hi(0xCA5A826395121157ull, c2), low1 = 0xCA5A826395121157ull * c2;
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
  return {{c0, c1, c2, c3}};
}

// Which of the entries 16 block ... 16 block + 15 of a row's dropout mask are kept: bit i for entry 16 block + i.
// An entry is kept if its 16 bits of the stream, the lowest of a word first, are below `kept`.
__device__ __forceinline__ unsigned kept_of_16(unsigned long long seed, unsigned long long step, unsigned long long row,
                                               unsigned long long site, unsigned long long block, unsigned kept) {
  const PhiloxBlock random = philox4x64(seed, PURPOSE_DROPOUT, block + 1, row, step, site);
  unsigned bits = 0;
#pragma unroll
  for (int i = 0; i < 16; i++) {
    const unsigned draw = unsigned(random.word[i / 4] >> (16 * (i % 4))) & 0xffffu;
    bits |= unsigned(draw < kept) << i;
  }
  return bits;
}
