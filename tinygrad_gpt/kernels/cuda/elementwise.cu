// Entry by entry: sums and products across storage types, and from one storage type to another.
//
// A thread takes four entries.
#include "common.cuh"

// y of TO, from x of FROM.
extern "C" __global__ void cast(const FROM* x, TO* y, size_t n) {
  map_four(x, y, n, [](size_t, float v) { return v; });
}

// y = a + b, stored as a: the residual stream stays float while what is added to it is FROM.
extern "C" __global__ void add(const TO* a, const FROM* b, TO* y, size_t n) {
  map_four(a, b, y, n, [](float u, float v) { return u + v; });
}

// y = x times one number over another, both on the device.
extern "C" __global__ void scale(const FROM* x, const float* above, const float* below, TO* y, size_t n) {
  const float factor = *above / *below;
  map_four(x, y, n, [factor](size_t, float v) { return v * factor; });
}

// y = x times a mask.
extern "C" __global__ void multiply(const TO* x, const FROM* mask, TO* y, size_t n) {
  map_four(x, mask, y, n, [](float v, float keep) { return v * keep; });
}
