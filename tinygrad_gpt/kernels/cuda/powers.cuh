// What softmax and cross-entropy need of a row: its maximum, and its powers of e summed.
#pragma once
#include "block.cuh"
#include "rows.cuh"

// The maximum of a row and the sum of e^(x - maximum), in one pass of a block over it; every thread gets both.
struct Powers {
  float top, total;
};
template <typename Value>
__device__ __forceinline__ Powers powers_of_row(const Value* row, int n, int fours) {
  __shared__ float tops[WARP], totals[WARP];
  float top = NEG_INF, total = 0.0f;
  over_row(row, n, fours, threadIdx.x, blockDim.x, [&](int, float x) {
    if (x > top) {  // what was summed so far was relative to a lower maximum
      total = total * expf(top - x) + 1.0f;
      top = x;
    } else if (x != NEG_INF) {
      total += expf(x - top);  // a nan makes the total nan
    }
  });
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  const float of_warp = warp_max(top);
  if (lane == 0) tops[warp] = of_warp;
  __syncthreads();
  const float highest = warp_max(lane < warps ? tops[lane] : NEG_INF);
  return {highest, block_sum(total * expf(top - highest), totals)};  // top may be -inf; all -inf gives nan
}
