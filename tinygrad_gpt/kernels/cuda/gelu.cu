// GELU in the tanh form: y = x (1 + t)/2 with t = tanh(C (x + A x^3)), and its gradient.  The derivation is in
// ops/gelu.py, whose constants C and A are given as defines.
//
// A thread takes four entries.  t is not stored; backward computes it again.
#include "common.cuh"

extern "C" __global__ void gelu_forward(const T* x, T* y, size_t n) {
  map_four(x, y, n, [](size_t, float v) {
    const float t = tanhf(C * (v + A * v * v * v));
    return 0.5f * v * (1.0f + t);
  });
}

extern "C" __global__ void gelu_backward(const T* x, const T* dy, T* dx, size_t n) {
  map_four(x, dy, dx, n, [](float v, float dyi) {
    const float t = tanhf(C * (v + A * v * v * v));
    const float dudx = C * (1.0f + 3.0f * A * v * v);
    return 0.5f * dyi * (1.0f + t + (1.0f - t * t) * dudx * v);  // 1 - t^2 first: dudx * v can overflow
  });
}
