// What the float32 and the bfloat16 kernels of causal attention share: which keys a query sees, which weights are
// dropped, and the first kernel of backward.
//
// A tile is TILE queries times TILE keys of one head.  DROP says where the dropout mask comes from:
//     0  there is none
//     1  it is the array `mask` (B, H, T, T)
//     2  it is drawn here, tile by tile, with the bits of rng.Dropout: entry (h, query, key) of row b is entry
//        (h T + query) T + key of that row's stream, and 16 entries come from one block of Philox
#pragma once
#include "common.cuh"
#include "philox.cuh"

#define BLOCKS (TILE / 16 + 1)  // of Philox, that the TILE keys of one query may touch

// The dropout of one head of one batch row.
struct Dropout {
  const float* mask;  // (T, T), for DROP 1
  unsigned long long seed, step, row, site, first;  // for DROP 2; `first` is the entry of query 0 and key 0
  unsigned kept;
  float scale;
};

__device__ __forceinline__ Dropout dropout_of_head(const float* mask, unsigned long long seed, unsigned long long step,
                                                   unsigned long long first_row, unsigned long long site, unsigned kept,
                                                   float scale, int b, int h, int H, int T) {
  const size_t area = size_t(T) * T;
  return {DROP == 1 ? mask + (size_t(b) * H + h) * area : nullptr, seed, step, first_row + b, site, h * area,
          kept, scale};
}

// Draw the bits for a tile: for each query those of the Philox blocks from the one with its first key on.
__device__ __forceinline__ void draw_tile(unsigned short (*bits)[BLOCKS], const Dropout& drop, int first_query,
                                          int first_key, int T) {
  for (int i = threadIdx.x; i < TILE * BLOCKS; i += blockDim.x) {
    const int query = i / BLOCKS, n = i % BLOCKS;
    const unsigned long long entry = drop.first + size_t(first_query + query) * T + first_key;
    bits[query][n] = kept_of_16(drop.seed, drop.step, drop.row, drop.site, entry / 16 + n, drop.kept);
  }
}

// The mask's entry for the query-th query and key-th key of a tile: 0 or the scale.  Beyond the T tokens, 0.
__device__ __forceinline__ float keep_of(const unsigned short (*bits)[BLOCKS], const Dropout& drop, int first_query,
                                         int first_key, int query, int key, int T) {
  if (DROP == 0) return 1.0f;
  if (first_query + query >= T || first_key + key >= T) return 0.0f;
  const size_t entry = size_t(first_query + query) * T + first_key;
  if (DROP == 1) return drop.mask[entry + key];
  const int place = int((drop.first + entry) % 16) + key;
  return bits[query][place / 16] >> place % 16 & 1 ? drop.scale : 0.0f;
}

// True if a query sees a key.  Queries beyond the T tokens see nothing.
__device__ __forceinline__ bool sees(int query, int key, int T) { return key <= query && query < T; }

// delta = rowsum(dO * O), one warp for each row b, t, h of y and dy, which are STORAGE.
extern "C" __global__ void attention_rowsums(const STORAGE* __restrict__ y, const STORAGE* __restrict__ dy,
                                             float* __restrict__ delta, int B, int T, int H) {
  const size_t row = blockIdx.x * size_t(blockDim.x / WARP) + threadIdx.x / WARP;
  if (row >= size_t(B) * T * H) return;
  float sum = 0.0f;
  for (size_t i = row * D + threadIdx.x % WARP; i < (row + 1) * D; i += WARP)
    sum = fmaf(as_float(y[i]), as_float(dy[i]), sum);
  sum = warp_sum(sum);
  const size_t b = row / H / T, t = row / H % T, h = row % H;
  if (threadIdx.x % WARP == 0) delta[(b * H + h) * T + t] = sum;
}
