// Sums over a block of whole warps.
#pragma once
#include "common.cuh"

// Every thread gets the sum of all threads' x.  `room` is a shared array of WARP entries, free again when the next
// barrier has been passed.
template <typename Value>
__device__ __forceinline__ Value block_sum(Value x, Value* room) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  x = warp_sum(x);
  if (lane == 0) room[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? room[lane] : Value(0));
}
