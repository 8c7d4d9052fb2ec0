// Causal attention of bfloat16 arrays on tensor cores, forward and backward: the four kernels of attention.cu, whose
// header explains them, with the same arguments.  Products take bfloat16 and add up in float32; scores,
// weights, lse and delta are float32, and weights are rounded once, as a factor of the next product.
//
// Layout.  qkv, dqkv (B, T, 3C), y, dy (B, T, C) of bfloat16; lse, delta (B, H, T) of float32.  Grid (ceil(T / TILE),
// H, B).  A block of TILE / 16 warps owns TILE rows, each warp 16 of them; mma.cuh says which lane holds what.  Here
// too all kernels do the same two things with the owned tile and a visited one:
//
//   products       own (TILE x D) times other transposed: a warp gets its 16 rows of TILE scores
//   add_weighted   weights (TILE x TILE) times other: a warp gets its 16 rows of D; the weights stay in their registers
//
// Defines.  D, the head size: 16, 32, ... 128.  TILE 64, or 32 for D above 64, so that four tiles fit into 48 KB.
// DROP.  STORAGE __nv_bfloat16.
// Assumes that arrays start at a multiple of 16 bytes; then rows do too, because D is a multiple of 16.
#include "attention.cuh"
#include "mma.cuh"

#define LD (D + 8)  // from row to row in shared memory: eight neighbouring rows of 16 bytes meet all 32 banks
#define THREADS (2 * TILE)
#define SCORES (TILE / 8)  // parts of 8 columns that a row of scores has
#define PARTS (D / 8)      // and a row of D

// TILE rows of x from `first` on; zero where there is no row.
__device__ __forceinline__ void load_tile(bf16* tile, const bf16* x, size_t pitch, int first, int T) {
  for (int i = threadIdx.x; i < TILE * D / 8; i += THREADS) {
    const int row = i / (D / 8), column = i % (D / 8) * 8;
    uint4 eight = make_uint4(0, 0, 0, 0);
    if (first + row < T) eight = *reinterpret_cast<const uint4*>(x + size_t(first + row) * pitch + column);
    *reinterpret_cast<uint4*>(tile + row * LD + column) = eight;
  }
}

// The warp's 16 rows of a tile as first factors.
__device__ __forceinline__ void load_own(unsigned (&own)[D / 16][4], const bf16* tile) {
#pragma unroll
  for (int n = 0; n < D / 16; n++) load_a(own[n], tile + threadIdx.x / WARP * 16 * LD + n * 16, LD);
}

// out = the warp's 16 rows, given n-th 16 columns by n-th 16 columns, times other transposed.
template <typename Own>
__device__ __forceinline__ void products(float (&out)[SCORES][4], Own own, const bf16* other) {
#pragma unroll
  for (int j = 0; j < SCORES; j++)
    for (int r = 0; r < 4; r++) out[j][r] = 0.0f;
#pragma unroll
  for (int n = 0; n < D / 16; n++) {
    unsigned a[4];
    own(a, n);
#pragma unroll
    for (int j = 0; j < SCORES; j += 2) {
      unsigned left[2], right[2];
      load_b_transposed(left, right, other + j * 8 * LD + n * 16, LD);
      mma(out[j], a, left);
      mma(out[j + 1], a, right);
    }
  }
}

// sum += the warp's 16 rows of weights times other.
__device__ __forceinline__ void add_weighted(float (&sum)[PARTS][4], const float (&weights)[SCORES][4],
                                             const bf16* other) {
#pragma unroll
  for (int n = 0; n < TILE / 16; n++) {
    unsigned a[4];
    as_a(a, weights[2 * n], weights[2 * n + 1]);
#pragma unroll
    for (int p = 0; p < PARTS; p += 2) {
      unsigned left[2], right[2];
      load_b(left, right, other + n * 16 * LD + p * 8, LD);
      mma(sum[p], a, left);
      mma(sum[p + 1], a, right);
    }
  }
}

// The warp's 16 rows, times a factor for each half of them, to x.
__device__ __forceinline__ void store_rows(bf16* x, size_t pitch, int first, int T, const float (&sum)[PARTS][4],
                                           float upper, float lower) {
  const int lane = threadIdx.x % WARP, row = first + threadIdx.x / WARP * 16 + lane / 4, column = lane % 4 * 2;
#pragma unroll
  for (int p = 0; p < PARTS; p++) {
    bf16* place = x + size_t(row) * pitch + p * 8 + column;
    if (row < T) *reinterpret_cast<unsigned*>(place) = two_of(sum[p][0] * upper, sum[p][1] * upper);
    if (row + 8 < T) *reinterpret_cast<unsigned*>(place + 8 * pitch) = two_of(sum[p][2] * lower, sum[p][3] * lower);
  }
}

// Of the 4 lanes that hold a row.
__device__ __forceinline__ float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
  return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}
__device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(ALL_LANES, x, 1);
  return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
attention_forward(const __nv_bfloat16* __restrict__ qkv, __nv_bfloat16* __restrict__ y, float* __restrict__ lse,
                  int T, int H, float scale, const float* __restrict__ mask, unsigned long long seed,
                  unsigned long long step, unsigned long long first_row, unsigned long long site, unsigned kept,
                  float keep_scale) {
  __shared__ __align__(16) bf16 K[TILE * LD], V[TILE * LD];
  __shared__ unsigned short bits[TILE][BLOCKS];
  const int first = (gridDim.x - 1 - blockIdx.x) * TILE, h = blockIdx.y, b = blockIdx.z;  // longest rows first
  const int row = threadIdx.x / WARP * 16 + threadIdx.x % WARP / 4, c = threadIdx.x % 4 * 2;
  const size_t C = size_t(H) * D;
  const bf16* q = qkv + size_t(b) * T * 3 * C + h * D;
  const Dropout drop = dropout_of_head(mask, seed, step, first_row, site, kept, keep_scale, b, h, H, T);

  unsigned Q[D / 16][4];
  load_tile(K, q, 3 * C, first, T);  // on the way to registers
  __syncthreads();
  load_own(Q, K);
  float sum[PARTS][4] = {}, total[2] = {}, top[2] = {NEG_INF, NEG_INF};
  for (int key = 0; key <= first; key += TILE) {
    __syncthreads();  // all have read the tiles before they are replaced
    load_tile(K, q + C, 3 * C, key, T);
    load_tile(V, q + 2 * C, 3 * C, key, T);
    if (DROP == 2) draw_tile(bits, drop, first, key, T);
    __syncthreads();
    float w[SCORES][4];
    products(w, [&](unsigned (&a)[4], int n) { for (int r = 0; r < 4; r++) a[r] = Q[n][r]; }, K);
    float high[2] = {top[0], top[1]};
#pragma unroll
    for (int j = 0; j < SCORES; j++)
      for (int r = 0; r < 4; r++) {
        const bool seen = key + j * 8 + c + r % 2 <= first + row + r / 2 * 8;  // all queries see key 0
        w[j][r] = seen ? w[j][r] * scale : NEG_INF;
        high[r / 2] = fmaxf(high[r / 2], w[j][r]);
      }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      high[i] = row_max(high[i]);
      const float shrink = __expf(top[i] - high[i]);
      top[i] = high[i];
      total[i] *= shrink;
      for (int p = 0; p < PARTS; p++) sum[p][2 * i] *= shrink, sum[p][2 * i + 1] *= shrink;
    }
#pragma unroll
    for (int j = 0; j < SCORES; j++)
      for (int r = 0; r < 4; r++) {
        w[j][r] = __expf(w[j][r] - top[r / 2]);
        total[r / 2] += w[j][r];
        w[j][r] *= keep_of(bits, drop, first, key, row + r / 2 * 8, j * 8 + c + r % 2, T);
      }
    add_weighted(sum, w, V);
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    total[i] = row_sum(total[i]);
    const int query = first + row + 8 * i;
    if (c == 0 && query < T) lse[(size_t(b) * H + h) * T + query] = top[i] + logf(total[i]);
  }
  store_rows(y + size_t(b) * T * C + h * D, C, first, T, sum, 1.0f / total[0], 1.0f / total[1]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_backward_kv(const __nv_bfloat16* __restrict__ qkv, const __nv_bfloat16* __restrict__ dy,
                      const float* __restrict__ lse, const float* __restrict__ delta, __nv_bfloat16* __restrict__ dqkv,
                      int T, int H, float scale, const float* __restrict__ mask, unsigned long long seed,
                      unsigned long long step, unsigned long long first_row, unsigned long long site, unsigned kept,
                      float keep_scale) {
  __shared__ __align__(16) bf16 K[TILE * LD], V[TILE * LD], Q[TILE * LD], dO[TILE * LD];
  __shared__ float lse_of[TILE], delta_of[TILE];
  __shared__ unsigned short bits[TILE][BLOCKS];
  const int first = blockIdx.x * TILE, h = blockIdx.y, b = blockIdx.z;
  const int warp_row = threadIdx.x / WARP * 16, row = warp_row + threadIdx.x % WARP / 4, c = threadIdx.x % 4 * 2;
  const size_t C = size_t(H) * D, head = (size_t(b) * H + h) * T;
  const bf16* q = qkv + size_t(b) * T * 3 * C + h * D;
  bf16* dq = dqkv + size_t(b) * T * 3 * C + h * D;
  const Dropout drop = dropout_of_head(mask, seed, step, first_row, site, kept, keep_scale, b, h, H, T);

  float dK[PARTS][4] = {}, dV[PARTS][4] = {};
  load_tile(K, q + C, 3 * C, first, T);
  load_tile(V, q + 2 * C, 3 * C, first, T);
  for (int query = first; query < T; query += TILE) {
    __syncthreads();  // all have read the tiles before they are replaced
    load_tile(Q, q, 3 * C, query, T);
    load_tile(dO, dy + size_t(b) * T * C + h * D, C, query, T);
    for (int i = threadIdx.x; i < TILE; i += THREADS) {
      lse_of[i] = query + i < T ? lse[head + query + i] : 0.0f;
      delta_of[i] = query + i < T ? delta[head + query + i] : 0.0f;
    }
    if (DROP == 2) draw_tile(bits, drop, query, first, T);
    __syncthreads();
    float w[SCORES][4], dw[SCORES][4];  // rows are keys, columns queries
    products(w, [&](unsigned (&a)[4], int n) { load_a(a, K + warp_row * LD + n * 16, LD); }, Q);
    products(dw, [&](unsigned (&a)[4], int n) { load_a(a, V + warp_row * LD + n * 16, LD); }, dO);
#pragma unroll
    for (int j = 0; j < SCORES; j++)
      for (int r = 0; r < 4; r++) {
        const int k = row + r / 2 * 8, s = j * 8 + c + r % 2;
        const float keeps = keep_of(bits, drop, query, first, s, k, T);
        const float p = sees(query + s, first + k, T) ? __expf(w[j][r] * scale - lse_of[s]) : 0.0f;
        w[j][r] = p * keeps;
        dw[j][r] = p * (dw[j][r] * keeps - delta_of[s]);
      }
    add_weighted(dV, w, dO);
    add_weighted(dK, dw, Q);
  }
  store_rows(dq + C, 3 * C, first, T, dK, scale, scale);
  store_rows(dq + 2 * C, 3 * C, first, T, dV, 1.0f, 1.0f);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
attention_backward_q(const __nv_bfloat16* __restrict__ qkv, const __nv_bfloat16* __restrict__ dy,
                     const float* __restrict__ lse, const float* __restrict__ delta, __nv_bfloat16* __restrict__ dqkv,
                     int T, int H, float scale, const float* __restrict__ mask, unsigned long long seed,
                     unsigned long long step, unsigned long long first_row, unsigned long long site, unsigned kept,
                     float keep_scale) {
  __shared__ __align__(16) bf16 Q[TILE * LD], dO[TILE * LD], K[TILE * LD], V[TILE * LD];
  __shared__ unsigned short bits[TILE][BLOCKS];
  const int first = (gridDim.x - 1 - blockIdx.x) * TILE, h = blockIdx.y, b = blockIdx.z;  // longest rows first
  const int warp_row = threadIdx.x / WARP * 16, row = warp_row + threadIdx.x % WARP / 4, c = threadIdx.x % 4 * 2;
  const size_t C = size_t(H) * D, head = (size_t(b) * H + h) * T;
  const bf16* q = qkv + size_t(b) * T * 3 * C + h * D;
  const Dropout drop = dropout_of_head(mask, seed, step, first_row, site, kept, keep_scale, b, h, H, T);

  float dQ[PARTS][4] = {}, lse_of[2], delta_of[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int query = min(first + row + 8 * i, T - 1);
    lse_of[i] = lse[head + query];
    delta_of[i] = delta[head + query];
  }
  load_tile(Q, q, 3 * C, first, T);
  load_tile(dO, dy + size_t(b) * T * C + h * D, C, first, T);
  for (int key = 0; key <= first; key += TILE) {
    __syncthreads();  // all have read the tiles before they are replaced
    load_tile(K, q + C, 3 * C, key, T);
    load_tile(V, q + 2 * C, 3 * C, key, T);
    if (DROP == 2) draw_tile(bits, drop, first, key, T);
    __syncthreads();
    float w[SCORES][4], dw[SCORES][4];
    products(w, [&](unsigned (&a)[4], int n) { load_a(a, Q + warp_row * LD + n * 16, LD); }, K);
    products(dw, [&](unsigned (&a)[4], int n) { load_a(a, dO + warp_row * LD + n * 16, LD); }, V);
#pragma unroll
    for (int j = 0; j < SCORES; j++)
      for (int r = 0; r < 4; r++) {
        const int s = row + r / 2 * 8, k = j * 8 + c + r % 2;
        const float keeps = keep_of(bits, drop, first, key, s, k, T);
        const float p = sees(first + s, key + k, T) ? __expf(w[j][r] * scale - lse_of[r / 2]) : 0.0f;
        dw[j][r] = p * (dw[j][r] * keeps - delta_of[r / 2]);
      }
    add_weighted(dQ, dw, K);
  }
  store_rows(dqkv + size_t(b) * T * 3 * C + h * D, 3 * C, first, T, dQ, scale, scale);
}
