// Dropout: entries times 0 or 1/(1 - rate), by a mask that is drawn here.  The bits are those of rng.py's Dropout.mask.
//
// A thread takes the 16 entries of one Philox block: block `blockIdx.x * blockDim.x + threadIdx.x` of row blockIdx.y;
// rows are counted by axis 0.
#include "common.cuh"
#include "philox.cuh"

// This thread's part of a row: its entries and which of them are kept.
struct Part {
  size_t start;
  int entries;
  unsigned kept;
};
__device__ __forceinline__ Part part_of_row(size_t row, size_t per_row, unsigned long long seed,
                                            unsigned long long step, unsigned long long first_row,
                                            unsigned long long site, unsigned kept) {
  const size_t block = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (16 * block >= per_row) return {0, 0, 0};
  const size_t left = per_row - 16 * block;
  return {row * per_row + 16 * block, left < 16 ? int(left) : 16,
          kept_of_16(seed, step, first_row + row, site, block, kept)};
}

// y = x times the mask, which is not stored.
extern "C" __global__ void drop(const T* x, T* y, size_t rows, size_t per_row, unsigned long long seed,
                                unsigned long long step, unsigned long long first_row, unsigned long long site,
                                unsigned kept, float scale) {
  const bool together = per_row % 16 == 0 && aligned(x) && aligned(y);
  for (size_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const Part part = part_of_row(row, per_row, seed, step, first_row, site, kept);
    if (together) {
      for (int i = 0; i < part.entries; i += 4) {
        Four<T> four = load_four(x + part.start + i);
#pragma unroll
        for (int k = 0; k < 4; k++)
          store(&four.at[k], as_float(four.at[k]) * (part.kept >> (i + k) & 1 ? scale : 0.0f));
        store_four(y + part.start + i, four);
      }
    } else {
      for (int i = 0; i < part.entries; i++)
        store(y + part.start + i, as_float(x[part.start + i]) * (part.kept >> i & 1 ? scale : 0.0f));
    }
  }
}
