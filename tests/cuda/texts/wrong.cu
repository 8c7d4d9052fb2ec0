// Kernels with the mistakes that the emulator is there to find.  x and y hold n entries.

extern "C" __global__ void writes_beyond(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = x[i < n ? i : 0];
}

extern "C" __global__ void reads_beyond(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] + x[i + 1] * 0.f;
}

// A neighbour's entry, before it is certain to be there.
extern "C" __global__ void races(const float* x, float* y, int n) {
  __shared__ float part[64];
  const int i = threadIdx.x;
  part[i] = x[i];
  y[i] = part[(i + 1) % n];
}

// The tile is overwritten while a slow warp may still read it: in step, the warps hide that.
extern "C" __global__ void overwrites_early(const float* x, float* y, int n) {
  __shared__ float tile[64];
  const int i = threadIdx.x;
  float sum = 0.f;
  for (int round = 0; round < 3; round++) {
    tile[i] = x[i] * (round + 1);
    __syncthreads();
    sum += tile[(i + 32) % n];
    __syncwarp();
  }
  y[i] = sum;
}

// The order of additions is that in which the threads come.
extern "C" __global__ void adds_in_any_order(const float* x, float* y, int n) {
  const int i = threadIdx.x;
  if (i == 0) y[0] = 0.f;
  __syncthreads();
  if (i < n) atomicAdd(y, x[i]);
}

extern "C" __global__ void waits_for_some(const float* x, float* y, int n) {
  if (threadIdx.x % 2) __syncthreads();
  else __syncwarp();
}

extern "C" __global__ void reads_what_nobody_wrote(const float* x, float* y, int n) {
  __shared__ float part[64];
  const int i = threadIdx.x;
  if (i < n / 2) part[i] = x[i];
  __syncthreads();
  y[i] = part[i];
}

extern "C" __global__ void loads_misaligned(const float* x, float* y, int n) {
  if (threadIdx.x == 0) *reinterpret_cast<float4*>(y) = *reinterpret_cast<const float4*>(x + 1);
}

extern "C" __global__ void leaves_its_array(const float* x, float* y, int n) {
  __shared__ float part[64];
  part[threadIdx.x + 1] = x[threadIdx.x];
  y[threadIdx.x] = 0.f;
}

extern "C" __global__ void shuffles_with_the_gone(const float* x, float* y, int n) {
  if (threadIdx.x >= 16) return;
  y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 16);
}
