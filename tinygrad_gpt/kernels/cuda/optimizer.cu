// AdamW in one launch over all parameters, the gradients' norm in two.  The arithmetic is that of kernels/cpu/adamw.py.
//
// Each parameter has its own memory: `arrays` has the addresses of p, dp, m and v of each (4 per row), `chunks` for
// each block the number of its parameter, and where in it the block's entries begin and end.  Only parameters with a
// gradient are in them.
//
// The device itself decides whether to update: `outcome` is the factor of the gradients, or negative if nothing may be
// updated, because the norm or the loss is not finite.
#include "block.cuh"

struct Chunk {
  long long parameter, start, stop;
};
__device__ __forceinline__ Chunk chunk_of(const long long* chunks) {
  const long long* row = chunks + 3 * size_t(blockIdx.x);
  return {row[0], row[1], row[2]};
}
__device__ __forceinline__ float* address(const unsigned long long* arrays, long long parameter, int which) {
  return reinterpret_cast<float*>(arrays[4 * parameter + which]);
}

// sums (gridDim.x): of the squares of each chunk's gradient, in double: squares of 1e30 do not overflow there.
extern "C" __global__ void squares_of_chunks(const unsigned long long* arrays, const long long* chunks, double* sums) {
  __shared__ double room[WARP];
  const Chunk chunk = chunk_of(chunks);
  const float* dp = address(arrays, chunk.parameter, 1);
  double sum = 0.0;
  long long i = chunk.start + 4 * threadIdx.x;
  if (aligned(dp)) {  // chunks start at multiples of four
    for (; i + 4 <= chunk.stop; i += 4 * blockDim.x) {
      const Four<float> g = load_four(dp + i);
#pragma unroll
      for (int k = 0; k < 4; k++) sum += double(g.at[k]) * g.at[k];
    }
    for (; i < chunk.stop; i++) sum += double(dp[i]) * dp[i];  // the last thread's last few
  } else {
    for (i = chunk.start + threadIdx.x; i < chunk.stop; i += blockDim.x) sum += double(dp[i]) * dp[i];
  }
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// norm () of all gradients; the outcome (); and the step counts of the parameters in `updated`, one more if there is an
// update.  One block.  loss may be null.
extern "C" __global__ void norm_and_outcome(const double* sums, int n_chunks, const float* loss, double max_norm,
                                            double* norm, double* outcome, long long* steps, const long long* updated,
                                            int n_updated) {
  __shared__ double room[WARP];
  double sum = 0.0;
  for (int i = threadIdx.x; i < n_chunks; i += blockDim.x) sum += sums[i];
  const double whole = sqrt(block_sum(sum, room));
  const bool sound = finite(whole) && (loss == nullptr || finite(*loss));
  if (threadIdx.x == 0) {
    *norm = whole;
    *outcome = !sound ? -1.0 : whole > max_norm ? max_norm / whole : 1.0;
  }
  if (sound)
    for (int i = threadIdx.x; i < n_updated; i += blockDim.x) steps[updated[i]] += 1;
}

// The numbers of a step that are the same for all entries of a parameter.
struct Factors {
  float beta1, first, beta2, second, eps, size, shrink;
};
__device__ __forceinline__ void update(float& p, float dp, float& m, float& v, const Factors& f) {
  const float s = dp * f.second;  // squared afterwards: dp squared may overflow
  m = m * f.beta1 + dp * f.first;
  v = v * f.beta2 + s * s;
  const float typical = sqrtf(v) + f.eps;
  p = p * f.shrink - m / (typical == 0.0f ? 1.0f : typical) * f.size;
}

extern "C" __global__ void adamw(const unsigned long long* arrays, const long long* chunks, const long long* steps,
                                 const long long* updated, const bool* decays, const double* outcome, double lr,
                                 double beta1, double beta2, double eps, double weight_decay) {
  __shared__ Factors shared;
  const double scale = *outcome;
  if (scale < 0.0) return;  // every block
  const Chunk chunk = chunk_of(chunks);
  if (threadIdx.x == 0) {
    const double t = double(steps[updated[chunk.parameter]]);
    const double correction = sqrt(1.0 - pow(beta2, t)), decay = decays[chunk.parameter] ? weight_decay : 0.0;
    shared = {float(beta1),          float((1.0 - beta1) * scale), float(beta2), float(scale * sqrt(1.0 - beta2)),
              float(eps * correction), float(lr * correction / (1.0 - pow(beta1, t))), float(1.0 - lr * decay)};
  }
  __syncthreads();
  const Factors f = shared;
  float* p = address(arrays, chunk.parameter, 0);
  const float* dp = address(arrays, chunk.parameter, 1);
  float* m = address(arrays, chunk.parameter, 2);
  float* v = address(arrays, chunk.parameter, 3);
  long long i = chunk.start + 4 * threadIdx.x;
  if (aligned(p) && aligned(dp) && aligned(m) && aligned(v)) {
    for (; i + 4 <= chunk.stop; i += 4 * blockDim.x) {
      Four<float> ps = load_four(p + i), ms = load_four(m + i), vs = load_four(v + i);
      const Four<float> gs = load_four(dp + i);
#pragma unroll
      for (int k = 0; k < 4; k++) update(ps.at[k], gs.at[k], ms.at[k], vs.at[k], f);
      store_four(p + i, ps);
      store_four(m + i, ms);
      store_four(v + i, vs);
    }
    for (; i < chunk.stop; i++) update(p[i], dp[i], m[i], v[i], f);  // the last thread's last few
  } else {
    for (i = chunk.start + threadIdx.x; i < chunk.stop; i += blockDim.x) update(p[i], dp[i], m[i], v[i], f);
  }
}
