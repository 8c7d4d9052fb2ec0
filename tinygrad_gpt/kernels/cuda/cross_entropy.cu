// Cross-entropy of rows of logits against one target each, in nats.  The derivation is in ops/cross_entropy.py.
//
// A block of whole warps takes a row of n logits; rows are `apart` entries apart.  Rows whose target is `ignored` (if
// `ignores`) do not count and may have any entries: they are not read.  A target outside 0 ... n - 1 makes its loss
// nan, so that nothing outside the row is read.
#include "powers.cuh"

// A row's target: whether the row counts, and the target's logit.
struct Target {
  bool counts;
  float logit;
};
__device__ __forceinline__ Target target_of(const T* row, long long target, int n, bool ignores, long long ignored) {
  const bool counts = !(ignores && target == ignored);
  return {counts, counts && 0 <= target && target < n ? as_float(row[target]) : NOT_A_NUMBER};
}

// nll (rows), and what backward needs: each row's maximum and the logarithm of its sum of powers.
extern "C" __global__ void cross_entropy_forward(const T* logits, const long long* targets, float* nll, float* tops,
                                                 float* log_totals, int n, size_t apart, bool ignores,
                                                 long long ignored) {
  const T* row = logits + blockIdx.x * apart;
  const Target target = target_of(row, targets[blockIdx.x], n, ignores, ignored);
  if (!target.counts) {  // the whole block
    if (threadIdx.x == 0) nll[blockIdx.x] = tops[blockIdx.x] = log_totals[blockIdx.x] = 0.0f;
    return;
  }
  const Powers powers = powers_of_row(row, n, fours_in(logits, apart, n));
  if (threadIdx.x > 0) return;
  tops[blockIdx.x] = powers.top;
  log_totals[blockIdx.x] = logf(powers.total);
  nll[blockIdx.x] = logf(powers.total) - (target.logit - powers.top);
}

// dlogits = (softmax - one-hot) dloss / divisor, and 0 in rows that do not count; nan if none does and the divisor is 0.
extern "C" __global__ void cross_entropy_backward(const T* logits, const long long* targets, const float* tops,
                                                  const float* log_totals, const float* dloss, const float* divisor,
                                                  T* dlogits, int n, bool ignores, long long ignored) {
  const size_t start = size_t(blockIdx.x) * n;
  const long long target = targets[blockIdx.x];
  const float top = tops[blockIdx.x], log_total = log_totals[blockIdx.x], share = *dloss / *divisor;
  const bool counts = !(ignores && target == ignored);
  const int fours = aligned(dlogits) ? fours_in(logits, n, n) : 0;
  map_row(logits + start, dlogits + start, n, fours, threadIdx.x, blockDim.x, [&](int i, float x) {
    return (counts ? expf(x - top - log_total) - (i == target ? 1.0f : 0.0f) : 0.0f) * share;
  });
}

// nll (rows), and softmax - one-hot in place of the logits.  A thread overwrites only its own entries, or after the
// first barrier, when all others have been read.
extern "C" __global__ void cross_entropy_in_place(T* logits, const long long* targets, float* nll, int n, size_t apart,
                                                  bool ignores, long long ignored) {
  T* row = logits + blockIdx.x * apart;
  const long long y = targets[blockIdx.x];
  const Target target = target_of(row, y, n, ignores, ignored);
  const int fours = fours_in(logits, apart, n);
  if (!target.counts) {  // the whole block
    if (threadIdx.x == 0) nll[blockIdx.x] = 0.0f;
    map_row(row, row, n, fours, threadIdx.x, blockDim.x, [](int, float) { return 0.0f; });
    return;
  }
  const Powers powers = powers_of_row(row, n, fours);
  if (threadIdx.x == 0) nll[blockIdx.x] = logf(powers.total) - (target.logit - powers.top);
  map_row(row, row, n, fours, threadIdx.x, blockDim.x, [&](int i, float x) {
    return expf(x - powers.top) / powers.total - (i == y ? 1.0f : 0.0f);
  });
}

// loss = sum of nll / divisor, where the divisor is the number of rows that count (mean), or 1.  One block; summed in
// double, each thread every blockDim.x-th row.
extern "C" __global__ void loss_of_rows(const float* nll, const long long* targets, float* loss, float* divisor,
                                        size_t rows, bool mean, bool ignores, long long ignored) {
  __shared__ double sums[WARP], counts[WARP];
  double sum = 0.0, count = 0.0;
  for (size_t i = threadIdx.x; i < rows; i += blockDim.x) {
    sum += nll[i];
    count += !(ignores && targets[i] == ignored);
  }
  sum = block_sum(sum, sums);
  count = mean ? block_sum(count, counts) : 1.0;
  if (threadIdx.x > 0) return;
  *loss = float(sum / count);
  *divisor = float(count);
}
