// A dropout mask as an array, for ops that cannot draw it on the fly: 0 or `scale`, by the bits of rng.py's
// Dropout.mask.
//
// A thread takes the 16 entries of one Philox block: block `blockIdx.x * blockDim.x + threadIdx.x` of row blockIdx.y;
// rows are counted by axis 0.  T is float or double.
#include "philox.cuh"

extern "C" __global__ void draw_mask(T* mask, size_t rows, size_t per_row, unsigned long long seed,
                                     unsigned long long step, unsigned long long first_row, unsigned long long site,
                                     unsigned kept, double scale) {
  const size_t block = size_t(blockIdx.x) * blockDim.x + threadIdx.x, stop = 16 * block + 16;
  if (16 * block >= per_row) return;
  for (size_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const unsigned bits = kept_of_16(seed, step, first_row + row, site, block, kept);
    for (size_t i = 16 * block; i < stop && i < per_row; i++)
      mask[row * per_row + i] = bits >> i % 16 & 1 ? T(scale) : T(0);
  }
}
