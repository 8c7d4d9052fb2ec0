// CUDA kernel text on a CPU: include this, then the text, and call emu::launch.
//
// Every CUDA thread is a fiber; blocks run one after another; a barrier is a switch to the next fiber.  A kernel is
// right only if it gives the same bits under every schedule:
//
//     0  threads and blocks in order      2  in order, each warp running on until it meets a barrier of the block
//     1  both reversed                    3  the same, reversed         4, 5, ...  shuffled (odd: warps run on)
//
// Under 0 and 1 the warps keep in step, so a tile that is overwritten too early looks right; 2 and 3 find it.
// Shared memory holds NaN when a block begins.
//
// Not seen: memory ordering, launch limits, speed, fast-math rounding.
#pragma once
#define CUDA_ON_CPU 1
#include <algorithm>
#include <cassert>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <link.h>
#include <memory>
#include <numeric>
#include <random>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// One block runs at a time, so one copy is enough.  A thread's own, because then all of it lies in one piece of memory
// that can be found, and filled with NaN before each block.
#define __shared__ static thread_local

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

namespace emu {
enum State { RUNS, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
  ucontext_t context;
  jmp_buf here;
  std::unique_ptr<char[]> stack;
  bool started;
  State state;
  dim3 thread;
};
constexpr size_t STACK = 1 << 16;
static std::vector<Fiber> fibers;
static std::vector<int> order, warps;  // in which the threads and the warps of a block take their turns
static ucontext_t outside;
static jmp_buf scheduler;
static std::function<void()> body;
static int current, threads, schedule = 0;
static unsigned char slot[1024][16];   // what each lane offers to a shuffle
static int votes[1024];
static char failure[256];

inline void fail(const char* what) {
  if (!failure[0])
    snprintf(failure, sizeof failure, "%s; block (%u, %u, %u), thread (%u, %u, %u)", what, blockIdx.x, blockIdx.y,
             blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}
static thread_local char in_shared_memory;
static int fill_shared(dl_phdr_info* library, size_t, void*) {
  for (int i = 0; i < library->dlpi_phnum; i++) {
    char* start = static_cast<char*>(library->dlpi_tls_data);
    size_t bytes = library->dlpi_phdr[i].p_memsz;
    if (library->dlpi_phdr[i].p_type != PT_TLS || !start) continue;
    if (&in_shared_memory < start || &in_shared_memory >= start + bytes) continue;
    memset(start, 0xff, bytes);
    return 1;
  }
  return 0;
}
inline void leave() { _longjmp(scheduler, 1); }
inline void wait(State where) {
  fibers[current].state = where;
  if (!_setjmp(fibers[current].here)) leave();
}
static void entry() {
  body();
  fibers[current].state = DONE;
  leave();
}
static void resume(int i) {
  current = i;
  threadIdx = fibers[i].thread;
  if (_setjmp(scheduler)) return;
  if (fibers[i].started) _longjmp(fibers[i].here, 1);
  fibers[i].started = true;
  swapcontext(&outside, &fibers[i].context);
}
static bool release(int first, int last, State where) {  // true if every live thread of the range waits there
  bool any = false;
  for (int i = first; i < last; i++) {
    if (fibers[i].state == where) any = true;
    else if (fibers[i].state != DONE) return false;
  }
  if (any)
    for (int i = first; i < last; i++)
      if (fibers[i].state == where) fibers[i].state = RUNS;
  return any;
}
static bool run(int first, int last) {  // each runnable thread of the range goes on to its next barrier
  bool moved = false;
  for (int i : order)
    if (i >= first && i < last && fibers[i].state == RUNS) {
      resume(i);
      moved = true;
    }
  return moved;
}
static void run_block() {
  bool eager = schedule > 3 ? schedule & 1 : schedule & 2;
  for (;;) {
    bool moved = eager ? false : run(0, threads);
    for (int w : warps) {
      int first = w * 32, last = std::min(threads, first + 32);
      if (eager) do moved |= run(first, last); while (release(first, last, AT_WARP));
      else moved |= release(first, last, AT_WARP);
    }
    moved |= release(0, threads, AT_BLOCK);
    if (std::all_of(fibers.begin(), fibers.begin() + threads, [](const Fiber& f) { return f.state == DONE; })) return;
    if (!moved) return fail("deadlock: not all threads came to the same barrier");
    if (failure[0]) return;
  }
}
static void prepare(int i) {
  Fiber& f = fibers[i];
  if (!f.stack) f.stack.reset(new char[STACK]);
  f.state = RUNS;
  f.started = false;
  f.thread = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y));
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.get();
  f.context.uc_stack.ss_size = STACK;
  f.context.uc_link = nullptr;
  makecontext(&f.context, entry, 0);
}
// Runs a kernel; what went wrong, or null.
inline const char* launch(dim3 grid, dim3 block, std::function<void()> kernel) {
  body = kernel;
  gridDim = grid;
  blockDim = block;
  failure[0] = 0;
  threads = block.x * block.y * block.z;
  if (threads > 1024) fail("more than 1024 threads in a block");
  if ((int)fibers.size() < threads) fibers.resize(threads);
  order.resize(threads);
  warps.resize((threads + 31) / 32);
  bool reversed = schedule == 1 || schedule == 3;
  for (std::vector<int>* list : {&order, &warps}) {
    std::iota(list->begin(), list->end(), 0);
    if (reversed) std::reverse(list->begin(), list->end());
    if (schedule > 3) std::shuffle(list->begin(), list->end(), std::mt19937(schedule));
  }
  long blocks = (long)grid.x * grid.y * grid.z;
  for (long n = 0; n < blocks && !failure[0]; n++) {
    long b = reversed ? blocks - 1 - n : n;
    blockIdx = dim3(b % grid.x, b / grid.x % grid.y, b / ((long)grid.x * grid.y));
    if (!dl_iterate_phdr(fill_shared, nullptr)) fail("shared memory was not found");
    for (int i = 0; i < threads; i++) prepare(i);
    run_block();
  }
  return failure[0] ? failure : nullptr;
}
// Calls a kernel with arguments as CUDA takes them: one pointer to each value.
template <class... P, size_t... I>
void apply(void (*kernel)(P...), void** args, std::index_sequence<I...>) {
  kernel(*reinterpret_cast<std::remove_reference_t<P>*>(args[I])...);
}
template <class... P>
const char* call(void (*kernel)(P...), const unsigned* grid, const unsigned* block, void** args) {
  return launch(dim3(grid[0], grid[1], grid[2]), dim3(block[0], block[1], block[2]), [=] { apply(kernel, args, std::index_sequence_for<P...>()); });
}
template <class T> T from_lane(T value, int source) {
  static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
  int me = current, other = (me & ~31) + (source & 31);
  memcpy(slot[me], &value, sizeof(T));
  wait(AT_WARP);
  if (other >= threads || fibers[other].state == DONE) fail("a shuffle read from a lane that has returned");
  T got;
  memcpy(&got, slot[other], sizeof(T));
  wait(AT_WARP);  // nobody overwrites its slot before all have read
  return got;
}
inline int vote(State where, bool yes) {  // how many of the warp or block say yes
  votes[current] = yes;
  wait(where);
  int first = where == AT_WARP ? current & ~31 : 0, last = where == AT_WARP ? std::min(threads, first + 32) : threads;
  int count = 0;
  for (int i = first; i < last; i++) count += fibers[i].state != DONE && votes[i];
  wait(where);
  return count;
}
}  // namespace emu

// What g++ calls for a misaligned access and for an index outside of an array of fixed size (-fsanitize).
struct SourcePlace { const char* file; unsigned line, column; };
inline void report(const char* what, const void* place) {
  const SourcePlace* at = static_cast<const SourcePlace*>(place);
  char text[200];
  snprintf(text, sizeof text, "%s at %s:%u", what, at->file, at->line);
  emu::fail(text);
  emu::fibers[emu::current].state = emu::DONE;  // it must not go on: the access itself would end the process
  emu::leave();
}
extern "C" void __ubsan_handle_type_mismatch_v1(void* place, void*) { report("misaligned access", place); }
extern "C" void __ubsan_handle_out_of_bounds(void* place, void*) { report("index out of bounds", place); }

inline void __syncthreads() { emu::wait(emu::AT_BLOCK); }
inline int __syncthreads_or(int p) { return emu::vote(emu::AT_BLOCK, p) > 0; }
inline int __syncthreads_count(int p) { return emu::vote(emu::AT_BLOCK, p); }
inline void __syncwarp(unsigned = ~0u) { emu::wait(emu::AT_WARP); }
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T> T __shfl_sync(unsigned, T v, int lane) { return emu::from_lane(v, lane); }
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return emu::from_lane(v, (emu::current & 31) ^ mask); }
template <class T> T __shfl_down_sync(unsigned, T v, int by) {
  int me = emu::current & 31;
  return emu::from_lane(v, me + by > 31 ? me : me + by);
}
template <class T> T __shfl_up_sync(unsigned, T v, int by) {
  int me = emu::current & 31;
  return emu::from_lane(v, me < by ? me : me - by);
}
inline int __any_sync(unsigned, int p) { return emu::vote(emu::AT_WARP, p) > 0; }
inline int __all_sync(unsigned, int p) { return emu::vote(emu::AT_WARP, !p) == 0; }

template <class T> T emu_atomic_add(T* p, T v) { T old = *p; *p += v; return old; }
inline float atomicAdd(float* p, float v) { return emu_atomic_add(p, v); }
inline double atomicAdd(double* p, double v) { return emu_atomic_add(p, v); }
inline int atomicAdd(int* p, int v) { return emu_atomic_add(p, v); }
inline unsigned atomicAdd(unsigned* p, unsigned v) { return emu_atomic_add(p, v); }
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) { return emu_atomic_add(p, v); }
template <class T> T atomicMax(T* p, T v) { T old = *p; *p = std::max(old, v); return old; }
template <class T> T atomicMin(T* p, T v) { T old = *p; *p = std::min(old, v); return old; }
template <class T> T atomicOr(T* p, T v) { T old = *p; *p = old | v; return old; }
template <class T> T atomicExch(T* p, T v) { T old = *p; *p = v; return old; }
template <class T> T atomicCAS(T* p, T was, T v) { T old = *p; if (old == was) *p = v; return old; }

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }
template <class T> void __stcs(T* p, T v) { *p = v; }
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline double rsqrt(double x) { return 1. / sqrt(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __int_as_float(int bits) { float f; memcpy(&f, &bits, 4); return f; }
inline float __uint_as_float(unsigned bits) { float f; memcpy(&f, &bits, 4); return f; }
inline int __float_as_int(float f) { int bits; memcpy(&bits, &f, 4); return bits; }
inline unsigned __float_as_uint(float f) { unsigned bits; memcpy(&bits, &f, 4); return bits; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned __int128)a * b >> 64;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
inline size_t min(size_t a, size_t b) { return a < b ? a : b; }
inline size_t max(size_t a, size_t b) { return a > b ? a : b; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) ulonglong2 { unsigned long long x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }

struct __nv_bfloat16 { uint16_t bits; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
inline float __bfloat162float(__nv_bfloat16 b) { return __uint_as_float((unsigned)b.bits << 16); }
inline __nv_bfloat16 __float2bfloat16(float f) {  // to the nearest, of two equally near the even one
  unsigned bits = __float_as_uint(f);
  if (f != f) return {0x7fff};
  return {(uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return __float2bfloat16(f); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__float2bfloat16(x), __float2bfloat16(y)}; }
inline __nv_bfloat162 __float22bfloat162_rn(float2 f) { return __floats2bfloat162_rn(f.x, f.y); }
inline float2 __bfloat1622float2(__nv_bfloat162 b) { return {__bfloat162float(b.x), __bfloat162float(b.y)}; }
inline float __low2float(__nv_bfloat162 b) { return __bfloat162float(b.x); }
inline float __high2float(__nv_bfloat162 b) { return __bfloat162float(b.y); }
inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 b) { return b.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(uint16_t bits) { return {bits}; }
