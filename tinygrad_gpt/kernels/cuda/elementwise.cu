// Entry by entry: sums and products of arrays with two storage types, and casts from one to the other.
//
// A thread takes four entries.
//
// Defines.  A_TYPE, how a and y are stored; B_TYPE, how b is.
#include "common.cuh"

// y = b, stored as A_TYPE.
extern "C" __global__ void cast(const B_TYPE* b, A_TYPE* y, size_t n) {
  map_four(b, y, n, [](size_t, float v) { return v; });
}

// y = a + b: the residual stream is float, the array that is added to it may be bfloat16.
extern "C" __global__ void add(const A_TYPE* a, const B_TYPE* b, A_TYPE* y, size_t n) {
  map_four(a, b, y, n, [](float u, float v) { return u + v; });
}

// y = a times one number divided by another, both on the device.
extern "C" __global__ void scale(const A_TYPE* a, const float* above, const float* below, A_TYPE* y, size_t n) {
  const float factor = *above / *below;
  map_four(a, y, n, [factor](size_t, float v) { return v * factor; });
}

// y = a b.
extern "C" __global__ void multiply(const A_TYPE* a, const B_TYPE* b, A_TYPE* y, size_t n) {
  map_four(a, b, y, n, [](float u, float v) { return u * v; });
}
