// Chooses in a worker of its own: catalog + exported summarizer + the user's texts -> the nearest model, as `xpert select` does.

import * as ort from './node_modules/onnxruntime-web/dist/ort.training.wasm.min.mjs';
import { allowed } from './constraints.js';
import { measured, shuffled } from './python.js';
import { Basis, select } from './space.js';
import { Tokenizer, WordPiece } from './tokens.js';

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL('./node_modules/onnxruntime-web/dist/', import.meta.url).href;

async function bytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

const text = (data) => new TextDecoder().decode(data);
const json = async (url) => JSON.parse(text(await bytes(url)));
const lines = (data) => text(data).split('\n').filter(Boolean).map((line) => JSON.parse(line));

// Each file is held against the size, and where the page is served safely against the SHA-256, that its folder names.
async function checked(folder, name, said) {
  const data = await bytes(`${folder}/${name}`);
  const digest = crypto.subtle && new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  const found = digest && Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (data.length !== said.bytes || (found && found !== said.sha256)) throw new Error(`${folder}/${name}: not what was written: fetch it again`);
  return data;
}

function tensors(data) {
  const end = 8 + Number(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true));
  const { __metadata__, ...said } = JSON.parse(text(data.subarray(8, end)));
  return Object.fromEntries(Object.entries(said).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
    if (dtype !== 'F32') throw new Error('a catalog of very many models: choose with xpert select');
    const flat = Array.from(new Float32Array(data.slice(end + from, end + to).buffer)), width = shape.at(-1);
    return [name, shape.length < 2 ? flat : Array.from({ length: shape[0] }, (_, i) => flat.slice(i * width, (i + 1) * width))];
  }));
}

async function open(folder) {
  const hashes = await json(`${folder}/hashes.json`), read = (name) => checked(folder, name, hashes[name]);
  const header = JSON.parse(text(await read('xpert.json')));
  const { vectors, null: nothing } = tensors(await read('basis.safetensors'));
  return {
    header, nothing,
    basis: new Basis({ axes: JSON.parse(text(await read('words.json'))), vectors, rule: header.coefficients }),
    coordinates: tensors(await read('coordinates.safetensors')).coordinates,
    models: lines(await read('models.jsonl')),
    answers: lines(await read('base_answers.jsonl')),
  };
}

// The i-th text beside the i-th stored answer of the base, in the catalog's seeded order.
function pairsOf(examples, { answers, header }) {
  const order = shuffled(answers.length, header.seed);
  return examples.map(({ response }, i) => ({ base: answers[order[i % order.length]].response, other: response, prompt: '' }));
}

async function summarizer(folder, header) {
  const said = await json(`${folder}/xpert.json`), target = (name) => name.slice(name.indexOf(':') + 1).replace(/^zoo:/, '');
  if (said.target !== target(header.summarizer) || said.width !== header.width) {
    throw new Error(`${folder} is ${said.target}, the catalog was made with ${header.summarizer}: export that one`);
  }
  const [model, data, tokenizer] = await Promise.all(
    ['model.onnx', 'weights.data', 'tokenizer.json'].map((name) => said.files[name] && checked(folder, name, said.files[name])));
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['wasm'], externalData: data ? [{ path: 'weights.data', data }] : [],
  });
  const run = async (ids) => {
    const shape = [1, ids.length], feeds = {
      input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    };
    const out = await session.run(feeds, [said.kind === 'encoder' ? 'embedding' : 'hidden']);
    return Array.from(Object.values(out)[0].data);
  };
  const rules = JSON.parse(text(tokenizer));
  if (said.kind === 'encoder') return encoder(new WordPiece(rules), said, run);
  const wording = header.wording ?? (said.files['xpert_instruction.json'] && await json(`${folder}/xpert_instruction.json`));
  if (!wording) throw new Error('the catalog does not say what its summarizer was asked: explain it again');
  return asked(new Tokenizer(rules), said, { answer_prefix: '', max_answer_tokens: 256, ...wording }, run);
}

// What tells two answers apart: the difference of whole texts' embeddings, each the mean of its chunks' unit vectors, weighted by tokens.
function encoder(tokenizer, { max_tokens: most }, run) {
  const known = new Map();
  const embed = async (words) => {
    if (known.has(words)) return known.get(words);
    const chunks = tokenizer.chunks(words, most), n = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    let found = null;
    for (const chunk of chunks) {
      const row = await run(chunk), length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0)) || 1;
      found = row.map((x, d) => (found?.[d] ?? 0) + x / length * chunk.length / n);
    }
    known.set(words, found);
    return found;
  };
  return async ({ base, other }) => {
    const [from, to] = [await embed(base), await embed(other)];
    return to.map((x, d) => x - from[d]);
  };
}

// ... or the last hidden state of a language model that is asked for a word.
function asked(tokenizer, { tokenizer: { frame }, positions }, wording, run) {
  const cut = (answer) => {
    const ids = tokenizer.encode(answer);
    return ids.length <= wording.max_answer_tokens ? answer : tokenizer.decode(ids.slice(0, wording.max_answer_tokens));
  };
  return async ({ base, other, prompt }) => {
    const given = { a: cut(base), b: cut(other), prompt };
    const question = wording.compare.replace(/\{\{|\}\}|\{(\w+)\}/g, (whole, name) => (name ? given[name] : whole[0]));
    const shown = frame ? `${frame.before}${frame.strip ? question.trim() : question}${frame.after}` : question;
    const ids = tokenizer.encode(shown + wording.answer_prefix);
    if (positions && ids.length + 12 > positions) throw new Error(`a text of ${ids.length} tokens is longer than the summarizer reads`);
    return run(ids);
  };
}

self.onmessage = async ({ data: { catalog: from, summarizer: by, examples, constraints } }) => {
  try {
    if (!examples.length) throw new Error('no text to choose by');
    const catalog = await open(from), { header, nothing } = catalog, pairs = pairsOf(examples, catalog);
    const may = allowed(catalog.models, constraints);
    const summarize = await summarizer(by, header), rows = [];
    for (const pair of pairs) {
      const hidden = await summarize(pair);
      if (!hidden.every(Number.isFinite)) throw new Error('the summarizer gave a number that is not finite');
      rows.push([...hidden.map((x, d) => x - nothing[d]), ...measured(pair, header.measured).map((x) => x * header.measured_scale)]);
      self.postMessage({ kind: 'step', step: rows.length, of: pairs.length });
    }
    self.postMessage({ kind: 'done', selection: select(catalog, rows, may) });
  } catch (error) {
    self.postMessage({ kind: 'error', text: String(error?.message ?? error) });
  }
};
