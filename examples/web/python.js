// What Python's `random` and `re` give, where the choice depends on it.

// The order of `random.Random(seed).sample(range(n), n)`: Mersenne Twister, seeded with one whole number.
export function shuffled(n, seed) {
  const next = twister(seed), pool = Array.from({ length: n }, (_, i) => i), found = [];
  for (let left = n; left > 0; left--) {
    const bits = 32 - Math.clz32(left);
    let j;
    do j = next() >>> (32 - bits); while (j >= left);
    found.push(pool[j]);
    pool[j] = pool[left - 1];
  }
  return found;
}

function twister(seed) {
  const N = 624, state = new Uint32Array(N), key = [];
  for (let rest = BigInt(seed); rest > 0n || !key.length; rest >>= 32n) key.push(Number(rest & 0xffffffffn));
  state[0] = 19650218;
  for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  const mixed = (i, factor) => state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), factor);
  const wrap = (i) => { if (i < N) return i; state[0] = state[N - 1]; return 1; };
  let i = 1, j = 0;
  for (let k = Math.max(N, key.length); k; k--) { state[i] = mixed(i, 1664525) + key[j] + j; i = wrap(i + 1); j = (j + 1) % key.length; }
  for (let k = N - 1; k; k--) { state[i] = mixed(i, 1566083941) - i; i = wrap(i + 1); }
  state[0] = 0x80000000;
  let at = N;
  return () => {
    if (at === N) {
      for (let k = 0; k < N; k++) {
        const y = (state[k] & 0x80000000) | (state[(k + 1) % N] & 0x7fffffff);
        state[k] = state[(k + 397) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++];
    y ^= y >>> 11; y ^= (y << 7) & 0x9d2c5680; y ^= (y << 15) & 0xefc60000; y ^= y >>> 18;
    return y >>> 0;
  };
}

// The quantities that a program reads off a text, as `xpert.measured` has them.
const CJK = '\\u3040-\\u30ff\\u3400-\\u9fff', LETTER = `(?![${CJK}])[\\p{L}\\p{N}]`;
const WORD = new RegExp(`[${CJK}]|(?:${LETTER})+(?:['’-][\\p{L}\\p{N}]+)*`, 'gu');
const END = /[.!?…]+(?=[\s"'”’)\]*_]|$)|[。！？]+|\n+/gu;
const LIST = /^\s*(?:[-*•–+]|\p{Nd}{1,3}[.)]|\([a-z\p{Nd}]\)|[a-zA-Z][.)])\s+\S/u;
const LINES = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/u;
const DIGIT = /[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]/u;

function sentences(text) {
  const found = [];
  let start = 0;
  for (const end of [...text.matchAll(END), null]) {
    const body = text.slice(start, end ? end.index : text.length);
    if (body.match(WORD)) found.push(end?.[0].match(/[!?！？]/u)?.[0] ?? '.');
    start = end ? end.index + end[0].length : text.length;
  }
  return found;
}

function quantities(text) {
  const words = text.match(WORD) ?? [], marks = sentences(text), lines = text.split(LINES).filter((line) => line.trim());
  const share = (list, holds, most) => list.filter(holds).length / Math.max(most ?? list.length, 1);
  const letters = words.reduce((sum, word) => sum + [...word].length, 0);
  return {
    'longer': Math.log1p(words.length),
    'longer sentences': Math.log1p(words.length / Math.max(marks.length, 1)),
    'longer words': Math.log1p(letters / Math.max(words.length, 1)),
    'more lists': share(lines, (line) => LIST.test(line)),
    'more digits': share(words, (word) => DIGIT.test(word)),
    'more exclamations': share(marks, (mark) => '!！'.includes(mark)),
    'more questions': share(marks, (mark) => '?？'.includes(mark)),
  };
}

// How the other text of a pair differs from the base's in the quantities that are named.
export function measured({ base, other }, names) {
  const [from, to] = [quantities(base), quantities(other)];
  return names.map((name) => {
    if (!(name in to)) throw new Error(`the catalog measures ${name}, which this page does not know`);
    const by = to[name] - from[name];
    return name.startsWith('longer') ? Math.max(-3, Math.min(3, by)) : by;
  });
}
