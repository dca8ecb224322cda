/* Random words and singular values, one thread each: one source for every compiler.
 *
 * CuPy compiles it for the GPU at hand; the tests compile it with the C compiler, where a loop stands for the grid,
 * and with NVRTC for GPUs that are not there. All are told not to contract a * b + c (--fmad=false,
 * -ffp-contract=off): additions, products and quotients are then the same bits everywhere.
 * REAL is double, or float with SINGLE.
 */
#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void
#define INLINE static __device__ __forceinline__
#define THREAD ((long long)blockIdx.x * blockDim.x + threadIdx.x)
#define HIGH_WORD(a, b) __umul64hi(a, b)
#else
#include <math.h>
long long current_thread; /* set by whoever runs the grid */
#define KERNEL void
#define INLINE static inline
#define THREAD current_thread
#define HIGH_WORD(a, b) ((unsigned long long)(((unsigned __int128)(a) * (b)) >> 64))
#endif

#ifdef SINGLE
typedef float REAL;
typedef unsigned int BITS;
#else
typedef double REAL;
typedef unsigned long long BITS;
#endif
typedef unsigned long long WORD;

/* Philox4x64-10 (Salmon, Moraes, Dror, Shaw, SC 2011): words 4 i ... 4 i + 3 of numpy.random.Philox(key=key) for
 * i = first + thread. NumPy adds 1 to its counter before it draws. */
KERNEL philox_words(WORD *words, long long count, WORD first, WORD key0, WORD key1)
{
    long long thread = THREAD, place = 4 * thread;
    WORD x[4], high0, high2;
    int round, j;
    if (place >= count)
        return;
    x[0] = first + (WORD)thread + 1;
    x[1] = x[2] = x[3] = 0;
    for (round = 0; round < 10; round++) {
        high0 = HIGH_WORD(0xD2E7470EE14C6C93ULL, x[0]);
        high2 = HIGH_WORD(0xCA5A826395121157ULL, x[2]);
        x[2] *= 0xCA5A826395121157ULL;
        x[0] *= 0xD2E7470EE14C6C93ULL;
        {
            WORD low0 = x[0], low2 = x[2];
            x[0] = high2 ^ x[1] ^ key0;
            x[1] = low2;
            x[2] = high0 ^ x[3] ^ key1;
            x[3] = low0;
        }
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    for (j = 0; j < 4 && place + j < count; j++)
        words[place + j] = x[j];
}

/* How many squared singular values of a bidiagonal lie below x, from the squares q of its diagonal and e of what is
 * above: signs of the stationary qd transform (LAPACK's dlaneg; R. Marques, E. Riedy, C. Voemel, SIAM J. Sci.
 * Comput. 28, 2006), whose errors are those of a few ulps in q and e. */
INLINE long long count_below(const REAL *q, const REAL *e, long long size, REAL x)
{
    long long j, count = 0;
    REAL t = -x;
    for (j = 0; j < size - 1; j++) {
        REAL d = q[j] + t, ratio = t / d;
        count += d < 0;
        if (ratio != ratio) /* both infinite, or both zero */
            ratio = 1;
        t = e[j] > 0 ? ratio * e[j] - x : -x;
    }
    return count + (q[size - 1] + t < 0);
}

/* Squared singular values, ascending, of `batch` bidiagonals: bisection not of the number but of its bit pattern, which
 * for positive numbers is in the same order, so that 62 counts (30 in single precision) give every digit of a value of
 * any size. With q and e below 1 they are below 4. Threads of one matrix read the same places at the same time. */
KERNEL bidiagonal_squares(REAL *squares, const REAL *q, const REAL *e, long long batch, long long size)
{
    union {
        REAL number;
        BITS bits;
    } low, high, middle;
    long long thread = THREAD, matrix = thread / size, wanted = thread % size;
    if (matrix >= batch)
        return;
    low.bits = 0;
    high.number = 4;
    while (high.bits - low.bits > 1) {
        middle.bits = low.bits + (high.bits - low.bits) / 2;
        if (count_below(q + matrix * size, e + matrix * size, size, middle.number) > wanted)
            high.bits = middle.bits;
        else
            low.bits = middle.bits;
    }
    squares[thread] = low.number;
}

/* The rotation that takes (f, g) to (length, 0), of numbers of any size. */
INLINE void rotation(REAL f, REAL g, REAL *cosine, REAL *sine)
{
    REAL size = f < 0 ? -f : f, other = g < 0 ? -g : g, length;
    if (other > size)
        size = other;
    *cosine = 1;
    *sine = 0;
    if (other == 0)
        return;
    f /= size;
    g /= size;
    length = sqrt(f * f + g * g);
    *cosine = f / length;
    *sine = g / length;
}

INLINE void rotate(REAL *x, REAL *y, REAL cosine, REAL sine)
{
    REAL turned = cosine * *x + sine * *y;
    *y = cosine * *y - sine * *x;
    *x = turned;
}

#define ENTRY(row, column) (band + ((row) * width + (column) - (row) + 1) * batch + matrix)

/* One step of every sweep in flight, of every matrix of a stack, that narrows upper bands from `reach` diagonals
 * above the main one to one fewer (H. Schwarz, Numer. Math. 12, 1968; as LAPACK's dgbbrd does). Sweep i annihilates
 * entry (i, i + reach) from the right, which leaves one below the diagonal; that goes from the left, which leaves
 * one beyond the band, `reach` columns further; and so on to the end. Sweeps start three steps after one another:
 * then no two of them touch the same entry in one launch, and none touches what an earlier one has yet to change.
 * Bands are stored by rows, `width` entries from the one below the diagonal on, each entry of all matrices together,
 * zeros where the last rows have no columns. */
KERNEL narrow_bands(REAL *band, long long batch, long long width, long long reach, long long step,
                    long long first, long long sweeps)
{
    long long thread = THREAD, matrix = thread % batch, sweep = first + thread / batch, column, top, i;
    REAL cosine, sine;
    if (thread >= batch * sweeps)
        return;
    column = sweep + (step - 3 * sweep + 1) * reach;
    top = column - reach - (step > 3 * sweep);
    rotation(*ENTRY(top, column - 1), *ENTRY(top, column), &cosine, &sine);
    for (i = top; i <= column; i++)
        rotate(ENTRY(i, column - 1), ENTRY(i, column), cosine, sine);
    *ENTRY(top, column) = 0;
    rotation(*ENTRY(column - 1, column - 1), *ENTRY(column, column - 1), &cosine, &sine);
    for (i = column - 1; i <= column + reach; i++)
        rotate(ENTRY(column - 1, i), ENTRY(column, i), cosine, sine);
    *ENTRY(column, column - 1) = 0;
}
