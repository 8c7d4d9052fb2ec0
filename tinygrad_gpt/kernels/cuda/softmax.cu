// Softmax and its logarithm along rows, and their gradients.  The derivations are in ops/softmax.py.
//
// A block of whole warps takes a row of n entries; rows lie one after another.
#include "powers.cuh"

extern "C" __global__ void softmax_forward(const T* x, T* p, int n) {
  const size_t start = size_t(blockIdx.x) * n;
  const int fours = aligned(p) ? fours_in(x, n, n) : 0;
  const Powers powers = powers_of_row(x + start, n, fours);
  map_row(x + start, p + start, n, fours, threadIdx.x, blockDim.x,
          [&](int, float v) { return expf(v - powers.top) / powers.total; });
}

extern "C" __global__ void softmax_backward(const T* p, const T* dp, T* dx, int n) {
  __shared__ float room[WARP];
  const size_t start = size_t(blockIdx.x) * n;
  const int fours = aligned(dx) ? fours_in(p, n, n) : 0;
  const T* above = dp + start;
  float along = 0.0f;
  over_row(p + start, n, fours, threadIdx.x, blockDim.x, [&](int i, float v) { along += as_float(above[i]) * v; });
  along = block_sum(along, room);
  map_row(p + start, dx + start, n, fours, threadIdx.x, blockDim.x,
          [&](int i, float v) { return v * (as_float(above[i]) - along); });
}

extern "C" __global__ void log_softmax_forward(const T* x, T* logp, int n) {
  const size_t start = size_t(blockIdx.x) * n;
  const int fours = aligned(logp) ? fours_in(x, n, n) : 0;
  const Powers powers = powers_of_row(x + start, n, fours);
  const float log_total = logf(powers.total);
  map_row(x + start, logp + start, n, fours, threadIdx.x, blockDim.x,
          [&](int, float v) { return v - powers.top - log_total; });
}

extern "C" __global__ void log_softmax_backward(const T* logp, const T* dlogp, T* dx, int n) {
  __shared__ float room[WARP];
  const size_t start = size_t(blockIdx.x) * n;
  const int fours = aligned(dx) ? fours_in(logp, n, n) : 0;
  const T* above = dlogp + start;
  float total = 0.0f;
  over_row(logp + start, n, fours, threadIdx.x, blockDim.x, [&](int i, float) { total += as_float(above[i]); });
  total = block_sum(total, room);
  map_row(logp + start, dx + start, n, fours, threadIdx.x, blockDim.x,
          [&](int i, float v) { return as_float(above[i]) - expf(v) * total; });
}
