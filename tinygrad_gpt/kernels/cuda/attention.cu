// Causal attention in float32, forward and backward, without storing the (T, T) weights.  The mathematics is that of
// ops/attention.py; the order of the work is that of flash attention (Dao et al. 2022, arXiv:2205.14135; Dao 2023,
// arXiv:2307.08691).
//
//   attention_forward     y = A V, one tile of keys after another: a row's weights are e^(S - top), top being the
//                         highest score so far, and the sums so far are scaled down when a higher score comes.  Saves
//                         lse = log sum e^S, one number per row
//   attention_rowsums     delta = rowsum(dO * O), T numbers per head (in attention.cuh)
//   attention_backward_kv dK, dV: a block owns TILE keys and visits the queries that see them
//   attention_backward_q  dQ: a block owns TILE queries and visits the keys that they see
//
// Backward computes P = e^(S - lse) again, twice.  Once would be enough if the blocks added up dQ with atomics, in an
// order that changes from run to run; with two passes every sum has one order, and the same bits each time.
//
// Layout.  qkv and dqkv (B, T, 3C) packed as in ops/attention.py, y and dy (B, T, C), lse and delta (B, H, T).
// Grid (ceil(T / TILE), H, B).  A block of 4 TILE threads owns TILE rows of D numbers; threads 16 r ... 16 r + 15 own
// rows 4 r ... 4 r + 3.  All four kernels do the same two things with the owned tile and a visited one:
//
//   products       own (TILE x D) times other transposed: a thread gets its 4 rows, columns c, c + 16, ...
//   add_weighted   weights (TILE x TILE) times other: a thread gets its 4 rows, columns c, c + 16, ... of D
//
// Weights go from one to the other through shared memory, but never leave the 16 threads that own their rows.
//
// Defines.  D, the head size, from 1 to 128.  TILE 32, or 16 for D above 64, so that four tiles fit into 48 KB.  DROP.
// STORAGE float.
// Assumes that T is below 2^31; arrays may have any alignment.
#include "attention.cuh"

#define WIDTH ((D + 15) / 16 * 16)  // of a row in shared memory: zero beyond D
#define LD (WIDTH + 4)              // from row to row: 16-byte loads of eight neighbouring rows meet all 32 banks
#define LDW (TILE + 4)
#define THREADS (4 * TILE)
#define ROWS 4               // of a thread
#define COLUMNS (TILE / 16)  // of scores, of a thread
#define PARTS (WIDTH / 16)   // of a row of D, of a thread

// TILE rows of x from `first` on; zero where there is no row or column.
__device__ __forceinline__ void load_tile(float* tile, const float* x, size_t pitch, int first, int T) {
  for (int i = threadIdx.x; i < TILE * WIDTH; i += THREADS) {
    const int row = i / WIDTH, column = i % WIDTH;
    const bool real = first + row < T && column < D;
    tile[row * LD + column] = real ? x[size_t(first + row) * pitch + column] : 0.0f;
  }
}

// out[i][j] = the thread's i-th row of own times row c + 16 j of other.
__device__ __forceinline__ void products(float (&out)[ROWS][COLUMNS], const float* own, const float* other) {
  const float* mine = own + threadIdx.x / 16 * ROWS * LD;
  const float* theirs = other + threadIdx.x % 16 * LD;
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < COLUMNS; j++) out[i][j] = 0.0f;
#pragma unroll 2
  for (int d = 0; d < WIDTH; d += 4) {
    float4 a[ROWS], b[COLUMNS];
    for (int i = 0; i < ROWS; i++) a[i] = *reinterpret_cast<const float4*>(mine + i * LD + d);
    for (int j = 0; j < COLUMNS; j++) b[j] = *reinterpret_cast<const float4*>(theirs + 16 * j * LD + d);
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < COLUMNS; j++) {
        out[i][j] = fmaf(a[i].x, b[j].x, out[i][j]);
        out[i][j] = fmaf(a[i].y, b[j].y, out[i][j]);
        out[i][j] = fmaf(a[i].z, b[j].z, out[i][j]);
        out[i][j] = fmaf(a[i].w, b[j].w, out[i][j]);
      }
  }
}

// sum[i][p] += the weights of the thread's i-th row times column c + 16 p of other.
__device__ __forceinline__ void add_weighted(float (&sum)[ROWS][PARTS], float* exchange,
                                             const float (&weights)[ROWS][COLUMNS], const float* other) {
  float* mine = exchange + threadIdx.x / 16 * ROWS * LDW;
  const int c = threadIdx.x % 16;
  __syncwarp();  // the row's 16 threads have read what was here
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < COLUMNS; j++) mine[i * LDW + c + 16 * j] = weights[i][j];
  __syncwarp();
#pragma unroll 2
  for (int k = 0; k < TILE; k += 4) {
    float4 w[ROWS];
    for (int i = 0; i < ROWS; i++) w[i] = *reinterpret_cast<const float4*>(mine + i * LDW + k);
    for (int p = 0; p < PARTS; p++) {
      const float* x = other + k * LD + c + 16 * p;
      for (int i = 0; i < ROWS; i++) {
        sum[i][p] = fmaf(w[i].x, x[0], sum[i][p]);
        sum[i][p] = fmaf(w[i].y, x[LD], sum[i][p]);
        sum[i][p] = fmaf(w[i].z, x[2 * LD], sum[i][p]);
        sum[i][p] = fmaf(w[i].w, x[3 * LD], sum[i][p]);
      }
    }
  }
}

// The thread's part of its rows, times a factor for each, to x.
__device__ __forceinline__ void store_rows(float* x, size_t pitch, int first, int T, const float (&sum)[ROWS][PARTS],
                                           const float (&factor)[ROWS]) {
  for (int i = 0; i < ROWS; i++)
    for (int p = 0; p < PARTS; p++) {
      const int row = first + threadIdx.x / 16 * ROWS + i, column = threadIdx.x % 16 + 16 * p;
      if (row < T && column < D) x[size_t(row) * pitch + column] = sum[i][p] * factor[i];
    }
}

// Of the 16 threads that own a row.
__device__ __forceinline__ float row_max(float x) {
  for (int step = 8; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
  return x;
}
__device__ __forceinline__ float row_sum(float x) {
  for (int step = 8; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
  return x;
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
attention_forward(const float* __restrict__ qkv, float* __restrict__ y, float* __restrict__ lse, int T, int H,
                  float scale, const float* __restrict__ mask, unsigned long long seed, unsigned long long step,
                  unsigned long long first_row, unsigned long long site, unsigned kept, float keep_scale) {
  __shared__ __align__(16) float Q[TILE * LD], K[TILE * LD], V[TILE * LD], exchange[TILE * LDW];
  __shared__ unsigned short bits[TILE][BLOCKS];
  const int first = (gridDim.x - 1 - blockIdx.x) * TILE, h = blockIdx.y, b = blockIdx.z;  // longest rows first
  const int row = threadIdx.x / 16 * ROWS, c = threadIdx.x % 16;
  const size_t C = size_t(H) * D;
  const float* q = qkv + size_t(b) * T * 3 * C + h * D;
  const Dropout drop = dropout_of_head(mask, seed, step, first_row, site, kept, keep_scale, b, h, H, T);

  float sum[ROWS][PARTS] = {}, total[ROWS] = {}, top[ROWS], factor[ROWS];
  for (int i = 0; i < ROWS; i++) top[i] = NEG_INF;
  load_tile(Q, q, 3 * C, first, T);
  for (int key = 0; key <= first; key += TILE) {
    __syncthreads();  // all have read the tiles before they are replaced
    load_tile(K, q + C, 3 * C, key, T);
    load_tile(V, q + 2 * C, 3 * C, key, T);
    if (DROP == 2) draw_tile(bits, drop, first, key, T);
    __syncthreads();
    float w[ROWS][COLUMNS];
    products(w, Q, K);
    for (int i = 0; i < ROWS; i++) {
      float high = top[i];
      for (int j = 0; j < COLUMNS; j++) {
        w[i][j] = key + c + 16 * j <= first + row + i ? w[i][j] * scale : NEG_INF;  // all queries see key 0
        high = fmaxf(high, w[i][j]);
      }
      high = row_max(high);
      const float shrink = expf(top[i] - high);
      top[i] = high;
      total[i] *= shrink;
      for (int p = 0; p < PARTS; p++) sum[i][p] *= shrink;
      for (int j = 0; j < COLUMNS; j++) {
        w[i][j] = expf(w[i][j] - high);
        total[i] += w[i][j];
        w[i][j] *= keep_of(bits, drop, first, key, row + i, c + 16 * j, T);
      }
    }
    add_weighted(sum, exchange, w, V);
  }
  for (int i = 0; i < ROWS; i++) {
    total[i] = row_sum(total[i]);
    factor[i] = 1.0f / total[i];
    if (c == 0 && first + row + i < T) lse[(size_t(b) * H + h) * T + first + row + i] = top[i] + logf(total[i]);
  }
  store_rows(y + size_t(b) * T * C + h * D, C, first, T, sum, factor);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
attention_backward_kv(const float* __restrict__ qkv, const float* __restrict__ dy, const float* __restrict__ lse,
                      const float* __restrict__ delta, float* __restrict__ dqkv, int T, int H, float scale,
                      const float* __restrict__ mask, unsigned long long seed, unsigned long long step,
                      unsigned long long first_row, unsigned long long site, unsigned kept, float keep_scale) {
  __shared__ __align__(16) float K[TILE * LD], V[TILE * LD], Q[TILE * LD], dO[TILE * LD], exchange[TILE * LDW];
  __shared__ float lse_of[TILE], delta_of[TILE];
  __shared__ unsigned short bits[TILE][BLOCKS];
  const int first = blockIdx.x * TILE, h = blockIdx.y, b = blockIdx.z;
  const int row = threadIdx.x / 16 * ROWS, c = threadIdx.x % 16;
  const size_t C = size_t(H) * D, head = (size_t(b) * H + h) * T;
  const float* q = qkv + size_t(b) * T * 3 * C + h * D;
  float* dq = dqkv + size_t(b) * T * 3 * C + h * D;
  const Dropout drop = dropout_of_head(mask, seed, step, first_row, site, kept, keep_scale, b, h, H, T);

  float dK[ROWS][PARTS] = {}, dV[ROWS][PARTS] = {};
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
    float w[ROWS][COLUMNS], dw[ROWS][COLUMNS], dropped[ROWS][COLUMNS];  // rows are keys, columns queries
    products(w, K, Q);
    products(dw, V, dO);
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < COLUMNS; j++) {
        const int k = row + i, s = c + 16 * j;
        const float keeps = keep_of(bits, drop, query, first, s, k, T);
        const float p = sees(query + s, first + k, T) ? expf(w[i][j] * scale - lse_of[s]) : 0.0f;
        dropped[i][j] = p * keeps;
        dw[i][j] = p * (dw[i][j] * keeps - delta_of[s]);
      }
    add_weighted(dV, exchange, dropped, dO);
    add_weighted(dK, exchange, dw, Q);
  }
  const float by_scale[ROWS] = {scale, scale, scale, scale}, as_is[ROWS] = {1.0f, 1.0f, 1.0f, 1.0f};
  store_rows(dq + C, 3 * C, first, T, dK, by_scale);
  store_rows(dq + 2 * C, 3 * C, first, T, dV, as_is);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
attention_backward_q(const float* __restrict__ qkv, const float* __restrict__ dy, const float* __restrict__ lse,
                     const float* __restrict__ delta, float* __restrict__ dqkv, int T, int H, float scale,
                     const float* __restrict__ mask, unsigned long long seed, unsigned long long step,
                     unsigned long long first_row, unsigned long long site, unsigned kept, float keep_scale) {
  __shared__ __align__(16) float Q[TILE * LD], dO[TILE * LD], K[TILE * LD], V[TILE * LD], exchange[TILE * LDW];
  __shared__ unsigned short bits[TILE][BLOCKS];
  const int first = (gridDim.x - 1 - blockIdx.x) * TILE, h = blockIdx.y, b = blockIdx.z;  // longest rows first
  const int row = threadIdx.x / 16 * ROWS, c = threadIdx.x % 16;
  const size_t C = size_t(H) * D, head = (size_t(b) * H + h) * T;
  const float* q = qkv + size_t(b) * T * 3 * C + h * D;
  const Dropout drop = dropout_of_head(mask, seed, step, first_row, site, kept, keep_scale, b, h, H, T);

  float dQ[ROWS][PARTS] = {}, lse_of[ROWS], delta_of[ROWS];
  for (int i = 0; i < ROWS; i++) {
    const int query = min(first + row + i, T - 1);
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
    float w[ROWS][COLUMNS], dw[ROWS][COLUMNS];
    products(w, Q, K);
    products(dw, dO, V);
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < COLUMNS; j++) {
        const int s = row + i, k = c + 16 * j;
        const float keeps = keep_of(bits, drop, first, key, s, k, T);
        const float p = sees(first + s, key + k, T) ? expf(w[i][j] * scale - lse_of[i]) : 0.0f;
        dw[i][j] = p * (dw[i][j] * keeps - delta_of[i]);
      }
    add_weighted(dQ, exchange, dw, K);
  }
  const float by_scale[ROWS] = {scale, scale, scale, scale};
  store_rows(dqkv + size_t(b) * T * 3 * C + h * D, 3 * C, first, T, dQ, by_scale);
}
