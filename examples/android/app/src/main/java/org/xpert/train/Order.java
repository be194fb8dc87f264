// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

/** The order of the examples: the same as in Python for the same seed (xpert.trainers.order), which is that of torch.randperm. */
public final class Order {
    private Order() {}

    /** The numbers below n in a seeded order. */
    public static int[] permutation(int n, long seed) {
        int[] order = new int[n];
        for (int i = 0; i < n; i++) order[i] = i;
        Twister twister = new Twister(seed & 0xFFFFFFFFL);
        for (int place = 0; place + 1 < n; place++) {
            int other = place + (int) (twister.next() % (n - place));
            int held = order[place];
            order[place] = order[other];
            order[other] = held;
        }
        return order;
    }

    /** The examples of a step: epochs, each in an order of its own, follow one another without a gap. */
    public static int[] batch(int n, int batchSize, long seed, int step) {
        int size = Math.min(batchSize, n);
        int[] chosen = new int[size];
        long first = (long) step * size;
        int[] order = null;
        long epoch = -1;
        for (int i = 0; i < size; i++) {
            if ((first + i) / n != epoch) {
                epoch = (first + i) / n;
                order = permutation(n, seed * 1_000_003L + epoch);
            }
            chosen[i] = order[(int) ((first + i) % n)];
        }
        return chosen;
    }

    /** MT19937 of Matsumoto and Nishimura. */
    private static final class Twister {
        private final long[] state = new long[624];
        private int at = 624;

        Twister(long seed) {
            state[0] = seed;
            for (int i = 1; i < 624; i++) {
                state[i] = (1812433253L * (state[i - 1] ^ (state[i - 1] >>> 30)) + i) & 0xFFFFFFFFL;
            }
        }

        long next() {
            if (at == 624) {
                for (int i = 0; i < 624; i++) {
                    long y = (state[i] & 0x80000000L) | (state[(i + 1) % 624] & 0x7FFFFFFFL);
                    state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ ((y & 1) == 0 ? 0 : 0x9908B0DFL);
                }
                at = 0;
            }
            long y = state[at++];
            y ^= y >>> 11;
            y ^= (y << 7) & 0x9D2C5680L;
            y ^= (y << 15) & 0xEFC60000L;
            return (y ^ (y >>> 18)) & 0xFFFFFFFFL;
        }
    }
}
