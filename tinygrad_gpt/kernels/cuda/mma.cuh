// One product on tensor cores, and how a warp holds its operands and its result.
//
//     d (16 x 8, float32)  +=  a (16 x 16, bfloat16) times b (16 x 8, bfloat16)
//
// Lane 4 g + t of the warp holds, two neighbours of bfloat16 in one register:
//     a[0 ... 3]  rows g, g + 8, g, g + 8;  columns 2t, 2t + 1, and eight more in a[2], a[3]
//     b[0 ... 1]  column g;  rows 2t, 2t + 1, and eight more in b[1]
//     d[0 ... 3]  rows g, g, g + 8, g + 8;  columns 2t, 2t + 1, 2t, 2t + 1
// Two d side by side, 16 x 16, have the layout of an a, so weights go from registers directly into the next product.
//
// Factors come from shared memory, four 8 x 8 matrices at a time, as each lane needs them; lane i names the place of
// row i % 8 of matrix i / 8, eight entries at a multiple of 16 bytes.  Register n of a lane gets of matrix n: row g,
// columns 2t and 2t + 1, or, transposed, column g, rows 2t and 2t + 1.
//
// On the CPU (CUDA_ON_CPU) the two instructions are plain C++, so that kernels built on them can be tested without a
// GPU.
//
// Source.  NVIDIA, "PTX ISA", sections on mma.m16n8k16 and ldmatrix.
#pragma once
#include "common.cuh"

typedef __nv_bfloat16 bf16;

#ifdef CUDA_ON_CPU
inline void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  static unsigned all_a[1024][4], all_b[1024][2];
  const int me = emu::current, warp = me & ~31, g = (me & 31) / 4, t = me & 3;
  memcpy(all_a[me], a, sizeof a);
  memcpy(all_b[me], b, sizeof b);
  emu::wait(emu::AT_WARP);
  auto half = [](unsigned two, int odd) { return __uint_as_float(odd ? two & 0xffff0000u : two << 16); };
  for (int r = 0; r < 4; r++) {
    const int row = g + r / 2 * 8, column = 2 * t + r % 2;
    for (int k = 0; k < 16; k++) {
      const unsigned two_of_a = all_a[warp + row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
      const unsigned two_of_b = all_b[warp + column * 4 + k % 8 / 2][k / 8];
      d[r] += half(two_of_a, k % 2) * half(two_of_b, k % 2);
    }
  }
  emu::wait(emu::AT_WARP);  // nobody overwrites its registers before all have read
}

template <bool transposed>
inline void load_matrices(unsigned (&out)[4], const bf16* row) {
  static const bf16* rows[1024];
  const int me = emu::current, g = (me & 31) / 4, t = me & 3;
  if (size_t(row) % 16) emu::fail("a row of a matrix that does not start at a multiple of 16 bytes");
  rows[me] = row;
  emu::wait(emu::AT_WARP);
  for (int n = 0; n < 4; n++) {
    const bf16* const* matrix = rows + (me & ~31) + 8 * n;
    const bf16 low = transposed ? matrix[2 * t][g] : matrix[g][2 * t];
    const bf16 high = transposed ? matrix[2 * t + 1][g] : matrix[g][2 * t + 1];
    out[n] = low.bits | unsigned(high.bits) << 16;
  }
  emu::wait(emu::AT_WARP);
}
#else
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <bool transposed>
__device__ __forceinline__ void load_matrices(unsigned (&out)[4], const bf16* row) {
  const unsigned place = unsigned(__cvta_generic_to_shared(row));
  if (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(place)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(place)
                 : "memory");
}
#endif

// x (16 rows, ld apart, of 16 entries) as the first factor.
__device__ __forceinline__ void load_a(unsigned (&a)[4], const bf16* x, int ld) {
  const int lane = threadIdx.x % WARP;
  load_matrices<false>(a, x + lane % 16 * ld + lane / 16 * 8);
}

// x (16 rows of 16 entries) transposed as two second factors: column n of them together is row n of x.
__device__ __forceinline__ void load_b_transposed(unsigned (&left)[2], unsigned (&right)[2], const bf16* x, int ld) {
  const int lane = threadIdx.x % WARP;
  unsigned four[4];
  load_matrices<false>(four, x + (lane / 16 * 8 + lane % 8) * ld + lane / 8 % 2 * 8);
  left[0] = four[0], left[1] = four[1], right[0] = four[2], right[1] = four[3];
}

// x (16 rows of 16 entries) as two second factors, its left and its right half.
__device__ __forceinline__ void load_b(unsigned (&left)[2], unsigned (&right)[2], const bf16* x, int ld) {
  const int lane = threadIdx.x % WARP;
  unsigned four[4];
  load_matrices<true>(four, x + lane % 16 * ld + lane / 16 * 8);
  left[0] = four[0], left[1] = four[1], right[0] = four[2], right[1] = four[3];
}

// Two numbers, rounded, in one register: the first in its lower half.
__device__ __forceinline__ unsigned two_of(float low, float high) {
  const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
  unsigned bits;
  memcpy(&bits, &two, sizeof bits);
  return bits;
}

// Two results side by side, rounded, as a first factor.
__device__ __forceinline__ void as_a(unsigned (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = two_of(left[0], left[1]), a[1] = two_of(left[2], left[3]);
  a[2] = two_of(right[0], right[1]), a[3] = two_of(right[2], right[3]);
}
