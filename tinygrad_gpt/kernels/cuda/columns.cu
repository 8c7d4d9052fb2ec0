// Sums of columns, always in the same order, in two launches of one kernel: the first sums each block's rows, the
// second sums those sums.
//
// Blocks of 32 x TALL threads.  A block takes 32 columns and rows_per_block rows, each thread every TALL-th of them in
// one column; its sums are row blockIdx.y of `sums`.  The input of the second launch is these sums, one block of rows.
//
// Defines.  T; TALL, at most 32.
#include "common.cuh"

extern "C" __global__ void column_sums(const T* x, float* sums, size_t rows, int columns, size_t rows_per_block) {
  __shared__ float part[TALL][WARP];
  const int column = blockIdx.x * WARP + threadIdx.x;
  const size_t first = blockIdx.y * rows_per_block;
  const size_t last = first + rows_per_block < rows ? first + rows_per_block : rows;
  float sum = 0.0f;
  if (column < columns)
    for (size_t row = first + threadIdx.y; row < last; row += TALL) sum += as_float(x[row * columns + column]);
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || column >= columns) return;
  for (int i = 1; i < TALL; i++) sum += part[i][threadIdx.x];
  sums[size_t(blockIdx.y) * columns + column] = sum;
}
