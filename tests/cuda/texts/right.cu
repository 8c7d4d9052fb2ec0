// Kernels that a GPU would run well.
#include <cuda_bf16.h>
#include "twice.cuh"

// y = by * x, each block's part reversed through shared memory.
extern "C" __global__ void __launch_bounds__(1024)
reversed(const float* __restrict__ x, float* y, /* what to multiply by */ float by, size_t n) {
  __shared__ float part[1024];
  const size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  part[threadIdx.x] = i < n ? x[i] : 0.f;
  __syncthreads();
  if (i < n) y[i] = by * part[blockDim.x - 1 - threadIdx.x];
}

// y = 2 x + SHIFT, stored as T.
extern "C" __global__ void stored(const float* x, T* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = as_stored<T>(twice(x[i]) + SHIFT);
}

// One of every type of argument, written back as bytes one after another.
extern "C" __global__ void types(unsigned char* y, float f, double d, int i, unsigned u, long long l,
                                 unsigned long long v, size_t s, bool b, const float* nothing) {
  if (threadIdx.x || blockIdx.x) return;
  size_t at = 0;
  auto put = [&](const void* p, size_t bytes) { memcpy(y + at, p, bytes); at += bytes; };
  put(&f, 4); put(&d, 8); put(&i, 4); put(&u, 4); put(&l, 8); put(&v, 8); put(&s, 8); put(&b, 1);
  y[at] = nothing == nullptr;
}

// y[block] = the sum of x over the block's warp sums: shuffles, a vote, and both kinds of barrier.
extern "C" __global__ void block_sums(const float* x, float* y, int* positive, int n) {
  __shared__ float sums[32];
  const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31;
  float v = i < n ? x[i] : 0.f;
  for (int step = 16; step > 0; step >>= 1) v += __shfl_xor_sync(0xffffffffu, v, step);
  if (lane == 0) sums[threadIdx.x >> 5] = v;
  __syncthreads();
  const int count = __syncthreads_count(i < n && x[i] > 0.f);
  if (threadIdx.x == 0) {
    float total = 0.f;
    for (int w = 0; w < blockDim.x / 32; w++) total += sums[w];
    y[blockIdx.x] = total;
    positive[blockIdx.x] = count;
  }
}

extern "C" __global__ void nothing() {}
