// What kernels share: storage types, groups of four, sums and maxima over a warp.
//
// Arithmetic is float throughout; float or __nv_bfloat16 is how numbers are stored.  The storage type of a kernel is
// the macro T, so templates here call theirs Value.
#pragma once
#include <cuda_bf16.h>

#define NEG_INF __int_as_float(0xff800000)  // NVRTC does not define INFINITY
#define NOT_A_NUMBER __int_as_float(0x7fffffff)
#define WARP 32
#define ALL_LANES 0xffffffffu

__device__ __forceinline__ float as_float(float x) { return x; }
__device__ __forceinline__ float as_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void store(float* place, float x) { *place = x; }
__device__ __forceinline__ void store(__nv_bfloat16* place, float x) { *place = __float2bfloat16(x); }

// Whether a number is neither infinite nor nan.
template <typename Value>
__device__ __forceinline__ bool finite(Value x) {
  return x - x == Value(0);
}

// Four entries loaded or stored at once: 16 bytes of float.  Only at addresses that are a multiple of that.
template <typename Value>
struct alignas(4 * sizeof(Value)) Four {
  Value at[4];
};
template <typename Value>
__device__ __forceinline__ bool aligned(const Value* x) {
  return size_t(x) % sizeof(Four<Value>) == 0;
}
template <typename Value>
__device__ __forceinline__ Four<Value> load_four(const Value* x) {
  return *reinterpret_cast<const Four<Value>*>(x);
}
template <typename Value>
__device__ __forceinline__ void store_four(Value* place, const Four<Value>& x) {
  *reinterpret_cast<Four<Value>*>(place) = x;
}

// Every lane gets the result, in the same order of additions whatever the lane.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int step = WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
  return x;
}
__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int step = WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int step = WARP / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
  return x;
}

// out_i = f(i, x_i) for the four entries of this thread, in a grid that has a thread for every four of n.
template <typename In, typename Out, typename Function>
__device__ __forceinline__ void map_four(const In* x, Out* out, size_t n, Function f) {
  const size_t first = 4 * (size_t(blockIdx.x) * blockDim.x + threadIdx.x);
  if (first + 4 <= n && aligned(x) && aligned(out)) {
    const Four<In> in = load_four(x + first);
    Four<Out> four;
#pragma unroll
    for (int k = 0; k < 4; k++) store(&four.at[k], f(first + k, as_float(in.at[k])));
    store_four(out + first, four);
  } else {
    for (size_t i = first; i < n && i < first + 4; i++) store(out + i, f(i, as_float(x[i])));
  }
}

// The same of two arrays: out_i = f(a_i, b_i).
template <typename InA, typename InB, typename Out, typename Function>
__device__ __forceinline__ void map_four(const InA* a, const InB* b, Out* out, size_t n, Function f) {
  const size_t first = 4 * (size_t(blockIdx.x) * blockDim.x + threadIdx.x);
  if (first + 4 <= n && aligned(a) && aligned(b) && aligned(out)) {
    const Four<InA> in_a = load_four(a + first);
    const Four<InB> in_b = load_four(b + first);
    Four<Out> four;
#pragma unroll
    for (int k = 0; k < 4; k++) store(&four.at[k], f(as_float(in_a.at[k]), as_float(in_b.at[k])));
    store_four(out + first, four);
  } else {
    for (size_t i = first; i < n && i < first + 4; i++) store(out + i, f(as_float(a[i]), as_float(b[i])));
  }
}
