// Walking along one row, shared among `lanes` threads of which this one is `lane`: four entries at a time where the
// row allows it.  `fours` is the number of these groups of four, from fours_in.
#pragma once
#include "common.cuh"

// How many groups of four of a row of n entries can be loaded at once, if rows are `apart` entries apart.
template <typename Value>
__device__ __forceinline__ int fours_in(const Value* rows, size_t apart, int n) {
  return aligned(rows) && apart % 4 == 0 ? n / 4 : 0;
}

// each(i, x_i) for this thread's entries.
template <typename Value, typename Each>
__device__ __forceinline__ void over_row(const Value* row, int n, int fours, int lane, int lanes, Each each) {
  for (int i = lane; i < fours; i += lanes) {
    const Four<Value> x = load_four(row + 4 * size_t(i));
#pragma unroll
    for (int k = 0; k < 4; k++) each(4 * i + k, as_float(x.at[k]));
  }
  for (int i = 4 * fours + lane; i < n; i += lanes) each(i, as_float(row[i]));
}

// out_i = f(i, x_i) for this thread's entries; out may be the row itself.
template <typename In, typename Out, typename Function>
__device__ __forceinline__ void map_row(const In* row, Out* out, int n, int fours, int lane, int lanes, Function f) {
  for (int i = lane; i < fours; i += lanes) {
    const Four<In> x = load_four(row + 4 * size_t(i));
    Four<Out> four;
#pragma unroll
    for (int k = 0; k < 4; k++) store(&four.at[k], f(4 * i + k, as_float(x.at[k])));
    store_four(out + 4 * size_t(i), four);
  }
  for (int i = 4 * fours + lane; i < n; i += lanes) store(out + i, f(i, as_float(row[i])));
}
