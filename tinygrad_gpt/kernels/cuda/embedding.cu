// Rows of a table, and their gradient: the sum of each id's rows of dy, in the order of the ids.  No atomics.
//
// The gradient needs the ids sorted.  N ids are sorted by counting for each how many come before it: N^2 comparisons,
// but in shared memory, and in one launch, for which the host does not wait.
//
// Defines.  TILE, the ids that are compared at a time, and the threads in a block of sort_ids.
#include "common.cuh"

// y (N, C) = table[ids], a block per row.  Ids count from the end if negative; outside the table a row is nan.
extern "C" __global__ void gather_rows(const float* table, const long long* ids, float* y, long long V, int C) {
  const long long id = ids[blockIdx.x] < 0 ? ids[blockIdx.x] + V : ids[blockIdx.x];
  const bool there = 0 <= id && id < V;
  const float* row = table + (there ? id : 0) * size_t(C);
  float* out = y + blockIdx.x * size_t(C);
  const bool together = C % 4 == 0 && aligned(table) && aligned(y);
  const int fours = there && together ? C / 4 : 0;
  for (int i = threadIdx.x; i < fours; i += blockDim.x) store_four(out + 4 * i, load_four(row + 4 * i));
  for (int i = 4 * fours + threadIdx.x; i < C; i += blockDim.x) out[i] = there ? row[i] : NOT_A_NUMBER;
}

// order (N) and sorted (N): where each id goes if ids are sorted stably, and the ids there.  A thread per id.
extern "C" __global__ void sort_ids(const long long* ids, long long* order, long long* sorted, long long V, int N) {
  __shared__ long long tile[TILE];
  const int mine = blockIdx.x * TILE + threadIdx.x;
  long long id = mine < N ? ids[mine] : 0;
  if (id < 0) id += V;
  int place = 0;
  for (int first = 0; first < N; first += TILE) {
    const int other = first + threadIdx.x;
    long long theirs = other < N ? ids[other] : 0;
    tile[threadIdx.x] = theirs < 0 ? theirs + V : theirs;
    __syncthreads();
    const int count = N - first < TILE ? N - first : TILE;
    for (int i = 0; i < count; i++) place += tile[i] < id || (tile[i] == id && first + i < mine);
    __syncthreads();
  }
  if (mine < N) {
    order[place] = mine;
    sorted[place] = id;
  }
}

// dtable (V, C), initially zero: for each run of equal ids the sum of its rows of dy.  A block per sorted id; only the
// first of a run works.  blockIdx.y counts pieces of blockDim.x columns.
extern "C" __global__ void sum_runs(const float* dy, const long long* order, const long long* sorted, float* dtable,
                                    long long V, int C, int N) {
  const int start = blockIdx.x, column = blockIdx.y * blockDim.x + threadIdx.x;
  const long long id = sorted[start];
  if ((start > 0 && sorted[start - 1] == id) || id < 0 || id >= V || column >= C) return;
  float sum = 0.0f;
#pragma unroll 4
  for (int i = start; i < N && sorted[i] == id; i++) sum += dy[order[i] * size_t(C) + column];
  dtable[id * size_t(C) + column] = sum;
}
