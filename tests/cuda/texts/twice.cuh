__device__ inline float twice(float x) { return 2.f * x; }
template <class S> __device__ S as_stored(float x);
template <> __device__ inline float as_stored<float>(float x) { return x; }
template <> __device__ inline __nv_bfloat16 as_stored<__nv_bfloat16>(float x) { return __float2bfloat16(x); }
