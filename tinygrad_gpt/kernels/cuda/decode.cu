// Attention of new tokens to all tokens before them, with the key-value cache: one launch per transformer block and
// step, because in a step with one token per row launches take the time, not arithmetic.
//
//   attend    Token t of row b is at position first + t.  Its key and value are written into the cache; its query takes
//             the mean of the values at positions 0 ... first + t, weighted by e^(q . k scale).  Earlier tokens are
//             read from the cache, new ones from qkv, so no block waits for another one's key.
//   append    Only writes into the cache, for rows without earlier tokens: there attention.cu computes the attention.
//
// Layout.  qkv (B, T, 3C) and y (B, T, C), stored as STORAGE; keys and values (B, H, L, D) of float; spans (2, B): the
// number of earlier tokens in each row, and of new ones.  The rest of a row is padding: y is 0 there.
// Grid (T, H, B), a block of WARPS warps for one query of one head.  Warp w takes the keys 4 w ... 4 w + 3 of every
// 4 WARPS, its lanes share the D numbers of a row, and it has its own mean; at the end the means are combined.
//
// Defines.  D, the head size, up to 256: for more, a lane has too few registers for its part of a row.  STORAGE.
// WARPS, 8.
#include "common.cuh"

#define KEYS 4                         // that a warp reads together: loads under way at once
#define PART ((D + WARP - 1) / WARP)   // numbers of a row that a lane has

__device__ __forceinline__ float fresh(const STORAGE* row, int d) { return d < D ? as_float(row[d]) : 0.0f; }

// Write the key and the value of this block's token into the cache.
__device__ __forceinline__ void keep_token(const STORAGE* k, const STORAGE* v, float* key, float* value) {
  for (int d = threadIdx.x; d < D; d += WARP * WARPS) {
    key[d] = as_float(k[d]);
    value[d] = as_float(v[d]);
  }
}

extern "C" __global__ void append(const STORAGE* __restrict__ qkv, float* __restrict__ keys,
                                    float* __restrict__ values, const long long* __restrict__ spans, int H, int L) {
  const int t = blockIdx.x, h = blockIdx.y, b = blockIdx.z, T = gridDim.x, B = gridDim.z;
  if (t >= spans[B + b]) return;
  const size_t C = size_t(H) * D, place = ((size_t(b) * H + h) * L + spans[b] + t) * D;
  const STORAGE* q = qkv + (size_t(b) * T + t) * 3 * C + h * D;
  keep_token(q + C, q + 2 * C, keys + place, values + place);
}

extern "C" __global__ void __launch_bounds__(WARP * WARPS, 4)
attend(const STORAGE* __restrict__ qkv, float* keys, float* values, const long long* __restrict__ spans,
       STORAGE* __restrict__ y, int H, int L, float scale) {
  __shared__ float tops[WARPS], totals[WARPS], sums[WARPS][D];
  const int t = blockIdx.x, h = blockIdx.y, b = blockIdx.z, T = gridDim.x, B = gridDim.z;
  const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
  const int first = int(spans[b]), count = int(spans[B + b]), last = first + t;
  const size_t C = size_t(H) * D, pitch = 3 * C;
  const STORAGE* q = qkv + size_t(b) * T * pitch + h * D;  // of the row's token 0; its key and value are C and 2 C on
  float* key = keys + (size_t(b) * H + h) * L * D;
  float* value = values + (size_t(b) * H + h) * L * D;
  STORAGE* out = y + (size_t(b) * T + t) * C + h * D;
  if (t >= count) {
    for (int d = threadIdx.x; d < D; d += WARP * WARPS) store(out + d, 0.0f);
    return;
  }
  keep_token(q + t * pitch + C, q + t * pitch + 2 * C, key + size_t(last) * D, value + size_t(last) * D);

  float mine[PART], sum[PART] = {}, top = NEG_INF, total = 0.0f;
  for (int i = 0; i < PART; i++) mine[i] = fresh(q + t * pitch, lane + WARP * i);
  // entry d of the key, or of the value, at a position: from the cache for an earlier token, from qkv for a new one
  auto entry = [&](const float* seen, const STORAGE* made, int place, int d) {
    if (place > last || d >= D) return 0.0f;
    return place < first ? seen[size_t(place) * D + d] : as_float(made[(place - first) * pitch + d]);
  };
  for (int start = warp * KEYS; start <= last; start += WARPS * KEYS) {
    float score[KEYS], high = top;
#pragma unroll
    for (int n = 0; n < KEYS; n++) {
      float product = 0.0f;
      for (int i = 0; i < PART; i++) product = fmaf(mine[i], entry(key, q + C, start + n, lane + WARP * i), product);
      product = warp_sum(product);
      score[n] = start + n <= last ? product * scale : NEG_INF;
      high = fmaxf(high, score[n]);
    }
    const float shrink = expf(top - high);
    top = high;
    total *= shrink;
    for (int i = 0; i < PART; i++) sum[i] *= shrink;
#pragma unroll
    for (int n = 0; n < KEYS; n++) {
      const float weight = expf(score[n] - top);
      total += weight;
      for (int i = 0; i < PART; i++)
        sum[i] = fmaf(weight, entry(value, q + 2 * C, start + n, lane + WARP * i), sum[i]);
    }
  }
  if (lane == 0) tops[warp] = top, totals[warp] = total;
  for (int i = 0; i < PART; i++)
    if (lane + WARP * i < D) sums[warp][lane + WARP * i] = sum[i];
  __syncthreads();

  float highest = NEG_INF, all = 0.0f;
  for (int w = 0; w < WARPS; w++) highest = fmaxf(highest, tops[w]);
  for (int w = 0; w < WARPS; w++) all += totals[w] * expf(tops[w] - highest);  // a warp without keys adds 0
  for (int d = threadIdx.x; d < D; d += WARP * WARPS) {
    float mean = 0.0f;
    for (int w = 0; w < WARPS; w++) mean += sums[w][d] * expf(tops[w] - highest);
    store(out + d, mean / all);
  }
}
