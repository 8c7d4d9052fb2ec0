// The bias of a linear layer, written into every row before the product is added to it.
//
// A block takes up to 4 blockDim.x columns of one row, each thread four of them.
#include "common.cuh"

extern "C" __global__ void fill_rows(const float* row, T* out, int columns) {
  const int first = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
  T* here = out + size_t(blockIdx.x) * columns;
  if (first + 4 <= columns && columns % 4 == 0 && aligned(row) && aligned(out)) {
    const Four<float> in = load_four(row + first);
    Four<T> four;
#pragma unroll
    for (int k = 0; k < 4; k++) store(&four.at[k], in.at[k]);
    store_four(here + first, four);
  } else {
    for (int i = first; i < columns && i < first + 4; i++) store(here + i, row[i]);
  }
}
