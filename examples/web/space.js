// The explainable space: coordinates, distances, words. What `xpert.basis`, `xpert.space`, `xpert.telling` and `xpert.matching` do, in float64.

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const mean = (rows) => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
const DEPENDENT = 1e-6, NOTHING = 1e-12;

export class Basis {
  constructor({ axes, vectors, rule }) {
    Object.assign(this, { axes, vectors, rule });
    this.gram = vectors.map((v) => vectors.map((w) => dot(v, w)));
    this.inverse = rule === 'projection' ? null : pseudoInverse(this.gram);
  }

  // Coordinates of an embedding: least squares, the solution of least norm where axes depend on each other.
  project(embedding) {
    const inner = this.vectors.map((v) => dot(v, embedding));
    return this.inverse ? this.inverse.map((row) => dot(row, inner)) : inner.map((x, i) => x / (this.gram[i][i] || 1));
  }

  // The embedding that coordinates stand for.
  place(z) {
    return this.vectors[0].map((_, d) => z.reduce((sum, x, k) => sum + x * this.vectors[k][d], 0));
  }

  // The axes' places in the order in which people read them: words, measured, unnamed (`SubvectorBasis.order`).
  order(z, said) {
    const lengths = this.gram.map((row, i) => Math.sqrt(row[i])), kinds = ['word', 'measured', 'unnamed'];
    const inner = this.rule === 'projection' ? z.map((x, i) => x * this.gram[i][i]) : this.gram.map((row) => dot(row, z));
    const words = this.axes.flatMap(({ kind }, i) => (kind === 'word' ? [i] : []));
    const size = z.map((x, i) => Math.abs(x) * lengths[i]);
    nonNegative(words.map((i) => words.map((j) => this.gram[i][j])), words.map((i) => inner[i]))
      .forEach((w, k) => { size[words[k]] = w * lengths[words[k]]; });
    const place = new Map(words.filter((i) => z[i] > 0).map((i) => [this.axes[i].word, i]));
    const there = [...new Set(said)].flatMap((word) => (place.has(word) ? [place.get(word)] : []));
    const rank = (i) => { const at = there.indexOf(i); return at < 0 ? 2 : at < 3 ? 0 : 1; };
    const key = (i) => [kinds.indexOf(this.axes[i].kind), rank(i), there.includes(i) ? -z[i] : 0, -size[i], -inner[i] / (lengths[i] || 1), i];
    return z.map((_, i) => i).sort((a, b) => {
      const [one, other] = [key(a), key(b)], at = one.findIndex((x, i) => x !== other[i]);
      return at < 0 ? 0 : one[at] - other[at];
    });
  }

  // [word, value] of every axis; a text that is clearly longer or shorter is told so by an adjective (`xpert.telling.told`).
  words(z, said) {
    const order = this.order(z, said), names = this.axes.map(({ word }) => word), values = [...z];
    const length = this.axes.findIndex(({ word, kind }) => kind === 'measured' && word === 'longer');
    const pole = z[length] < 0 ? 'brief' : 'lengthy';
    if (length >= 0 && Math.abs(z[length]) >= Math.log(1.25) && !names.includes(pole)) {
      [names[length], values[length]] = [pole, Math.abs(z[length])];
      order.splice(order.indexOf(length), 1);
      const first = order.slice(0, 3).filter((i) => this.axes[i].kind === 'word');
      const isSaid = first.some((i) => z[i] > 0 && SAYS[pole].includes(names[i]));
      order.splice(Math.min(first.length, isSaid ? 3 : 2), 0, length);
    }
    return order.map((i) => [names[i], values[i]]);
  }
}

const SAYS = {
  lengthy: 'informative detailed thorough comprehensive elaborate extensive exhaustive expansive lengthy long wordy verbose long-winded explanatory descriptive complete in-depth'.split(' '),
  brief: 'concise brief terse short succinct compact pithy condensed laconic telegraphic compressed minimal abridged curt summarized'.split(' '),
};

// The nearest model by directions of those that may be chosen, their distances, and whether the user counts as matching it (`xpert.Selector`, unpaired).
export function select(catalog, rows, may) {
  const { basis, coordinates, models, header } = catalog, z = basis.project(mean(rows)), unit = (p) => {
    const length = norm(p);
    return length > NOTHING ? p.map((x) => x / length) : p.map(() => 0);
  };
  const mine = unit(basis.place(z));
  const ranking = models.map(({ name }, i) => ({ name, row: i, distance: norm(unit(basis.place(coordinates[i])).map((x, d) => x - mine[d])) }))
    .filter(({ row }) => may[row]);
  ranking.sort((a, b) => a.distance - b.distance || a.row - b.row);
  const best = ranking[0], threshold = limit(header, best.name, rows.map((row) => basis.place(basis.project(row))));
  return {
    best: best.name,
    matched: best.distance <= threshold,
    threshold,
    ranking: ranking.map(({ name, distance }) => ({ name, distance })),
    excluded: models.length - ranking.length,
    words: basis.words(coordinates[best.row], models[best.row].candidates ?? []),
    own: basis.words(z, []),
    coordinates: z,
  };
}

function limit(header, best, places) {
  const least = header.match_limits?.['all:unpaired'], model = header.fits[best].reliability?.all;
  if (least === undefined || model === undefined || places.length < 2) return header.match_thresholds['direction:all'];
  const middle = mean(places), square = dot(middle, middle);
  const scatter = places.reduce((sum, p) => sum + p.reduce((s, x, d) => s + (x - middle[d]) ** 2, 0), 0);
  const own = square > 0 ? Math.min(1, Math.max(0.1, 1 - scatter / (places.length * (places.length - 1)) / square)) : 1;
  return Math.sqrt(Math.max(2 - 2 * least * Math.sqrt(own * model), 0));
}

// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by Jacobi's rotations.
function eigen(matrix) {
  const n = matrix.length, a = matrix.map((row) => [...row]), v = a.map((_, i) => a.map((_, j) => Number(i === j)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0, all = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) { all += a[i][j] ** 2; if (i !== j) off += a[i][j] ** 2; }
    if (off <= 1e-30 * all) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
      if (a[p][q] === 0) continue;
      const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1)), c = 1 / Math.sqrt(t * t + 1), s = t * c;
      for (let k = 0; k < n; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
      for (let k = 0; k < n; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
      for (let k = 0; k < n; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
    }
  }
  return { values: a.map((row, i) => row[i]), vectors: v };
}

function pseudoInverse(gram) {
  const { values, vectors } = eigen(gram), least = DEPENDENT ** 2 * Math.max(...values);
  const kept = values.flatMap((value, k) => (value > least ? [k] : []));
  return gram.map((_, i) => gram.map((_, j) => kept.reduce((sum, k) => sum + vectors[i][k] * vectors[j][k] / values[k], 0)));
}

// The weights w >= 0 with the least || e - sum_i w_i v_i ||, from inner products alone (Lawson and Hanson 1974).
function nonNegative(gram, inner) {
  const n = inner.length, lengths = gram.map((row, i) => Math.sqrt(row[i]) || 1);
  const g = gram.map((row, i) => row.map((x, j) => x / lengths[i] / lengths[j])), c = inner.map((x, i) => x / lengths[i]);
  const w = new Array(n).fill(0), active = new Set(), least = 1e-10 * Math.max(...c.map(Math.abs), NOTHING);
  for (let round = 0; round < 3 * n; round++) {
    const slope = c.map((x, i) => x - dot(g[i], w));
    let best = -1;
    for (let i = 0; i < n; i++) if (!active.has(i) && slope[i] > least && (best < 0 || slope[i] > slope[best])) best = i;
    if (best < 0) break;
    active.add(best);
    for (;;) {
      const list = [...active], inverse = pseudoInverse(list.map((i) => list.map((j) => g[i][j])));
      const s = inverse.map((row) => dot(row, list.map((i) => c[i]))), low = list.filter((_, k) => s[k] <= 0);
      if (!low.length) { w.fill(0); list.forEach((i, k) => { w[i] = s[k]; }); break; }
      const alpha = Math.min(...list.map((i, k) => (s[k] <= 0 ? w[i] / (w[i] - s[k]) : Infinity)));
      list.forEach((i, k) => { w[i] += alpha * (s[k] - w[i]); });
      list.forEach((i) => { if (w[i] <= NOTHING) { w[i] = 0; active.delete(i); } });
    }
  }
  return w.map((x, i) => x / lengths[i]);
}
