// Layer norm: y = (x - mean) rstd gain + bias, row by row, and its gradients.  The derivation is in ops/layer_norm.py.
//
// A warp takes a row, so its sums are shuffles.  Forward: blocks of any number of warps, one row each.  Backward: each
// warp visits rows that are a grid of warps apart, and sums their gradients of gain and bias in shared memory, each
// lane in its own columns; a block writes one partial sum.  columns.cu adds up the partial sums.
//
// x, its gradient, gain, bias and the statistics are float; y and dy are T.
//
// Defines.  T; SUMS, floats in a block's shared memory in backward, which needs 2 C warps of them.
#include "rows.cuh"

extern "C" __global__ void layer_norm_forward(const float* x, const float* gain, const float* bias, T* y, float* mean,
                                              float* rstd, size_t rows, int C, float eps) {
  const int lane = threadIdx.x % WARP;
  const size_t row = size_t(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP;
  if (row >= rows) return;  // a whole warp
  const float* in = x + row * C;
  T* out = y + row * C;
  const int fours = aligned(y) ? fours_in(x, C, C) : 0;

  float sum = 0.0f, squares = 0.0f;
  over_row(in, C, fours, lane, WARP, [&](int, float v) { sum += v; });
  const float mu = warp_sum(sum) / C;
  over_row(in, C, fours, lane, WARP, [&](int, float v) { squares += (v - mu) * (v - mu); });
  const float r = 1.0f / sqrtf(warp_sum(squares) / C + eps);
  if (lane == 0) {
    mean[row] = mu;
    rstd[row] = r;
  }
  map_row(in, out, C, fours, lane, WARP, [&](int i, float v) { return (v - mu) * r * gain[i] + bias[i]; });
}

// partial_gain and partial_bias are (gridDim.x, C).
extern "C" __global__ void layer_norm_backward(const float* x, const float* mean, const float* rstd, const float* gain,
                                               const T* dy, float* dx, float* partial_gain, float* partial_bias,
                                               size_t rows, int C) {
  __shared__ float sums[SUMS];  // for each warp C of the gain, then C of the bias
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  float* dgain = sums + 2 * C * warp;
  float* dbias = dgain + C;
  for (int i = lane; i < C; i += WARP) dgain[i] = dbias[i] = 0.0f;

  for (size_t row = size_t(blockIdx.x) * warps + warp; row < rows; row += size_t(gridDim.x) * warps) {
    const float* in = x + row * C;
    const T* above = dy + row * C;
    const float mu = mean[row], r = rstd[row];
    float sum = 0.0f, along = 0.0f;  // of dxhat, and of dxhat xhat
    for (int i = lane; i < C; i += WARP) {
      const float dxhat = as_float(above[i]) * gain[i];
      sum += dxhat;
      along += dxhat * ((in[i] - mu) * r);
    }
    sum = warp_sum(sum) / C;
    along = warp_sum(along) / C;
    for (int i = lane; i < C; i += WARP) {
      const float slope = as_float(above[i]), xhat = (in[i] - mu) * r;
      dx[row * C + i] = r * (slope * gain[i] - sum - xhat * along);
      dgain[i] += slope * xhat;
      dbias[i] += slope;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < C; i += blockDim.x) {
    float of_gain = 0.0f, of_bias = 0.0f;
    for (int w = 0; w < warps; w++) {
      of_gain += sums[2 * C * w + i];
      of_bias += sums[2 * C * w + C + i];
    }
    partial_gain[size_t(blockIdx.x) * C + i] = of_gain;
    partial_bias[size_t(blockIdx.x) * C + i] = of_bias;
  }
}
