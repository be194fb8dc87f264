// Trains in a worker of its own: the page stays responsive. Nothing leaves the browser: it only reads the artifacts.

import * as ort from './node_modules/onnxruntime-web/dist/ort.training.wasm.min.mjs';
import { Tokenizer } from './tokens.js';

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL('./node_modules/onnxruntime-web/dist/', import.meta.url).href;

const bytes = async (url) => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}; export with xpert export --self-contained`);
  return new Uint8Array(await answer.arrayBuffer());
};

function rowsOf(examples, header, tokenizer) {
  const { frame, end_id: end } = header.tokenizer;
  return examples.map(({ prompt, response }) => {
    const message = frame && prompt ? `${frame.before}${frame.strip ? prompt.trim() : prompt}${frame.after}` : prompt ?? '';
    const asked = message ? tokenizer.encode(message) : [];
    const ids = [...asked, ...tokenizer.encode(response), ...(end === null ? [] : [end])].slice(0, header.max_length);
    return { ids, skip: asked.length };
  }).filter(({ ids, skip }) => ids.length > Math.max(skip, 1));
}

function feedsOf(rows, header, names) {
  const width = Math.max(...rows.map(({ ids }) => ids.length)), shape = [rows.length, width], size = rows.length * width;
  const ids = new BigInt64Array(size).fill(BigInt(header.tokenizer.pad_id));
  const mask = new BigInt64Array(size), labels = new BigInt64Array(size).fill(-100n);
  let tokens = 0;
  rows.forEach((row, r) => row.ids.forEach((id, t) => {
    ids[r * width + t] = BigInt(id);
    mask[r * width + t] = 1n;
    if (t >= row.skip) labels[r * width + t] = BigInt(id);
    if (t >= Math.max(row.skip, 1)) tokens += 1;
  }));
  const given = {
    input_ids: new ort.Tensor('int64', ids, shape),
    attention_mask: new ort.Tensor('int64', mask, shape),
    labels: new ort.Tensor('int64', labels, shape),
    tokens: new ort.Tensor('float32', Float32Array.of(tokens), []),
  };
  return Object.fromEntries(names.map((name) => [name, given[name]])); // the runtime goes by position
}

const KINDS = { constant: 0, cosine: 1, linear: 2 };

// onnxruntime-web has no call for the learning rate: the schedule is a part of the optimizer's graph, and its five numbers are written there.
function withSchedule(graph, header, { rate, warmup, steps, schedule }, first) {
  const place = header.optimizer.schedule_at;
  if (place === undefined) throw new Error('the artifacts have no schedule: export them again with this version of xpert');
  const view = new DataView(graph.buffer, graph.byteOffset, graph.byteLength);
  [rate, warmup, steps, KINDS[schedule], first].forEach((value, i) => view.setFloat32(place + 4 * i, value, true));
  return graph;
}

const row = (parameters) => Float32Array.from(parameters.data ?? parameters).buffer;

// `kept` is what the page has of an earlier session: {adapter, digest, step, run, done}; a run that was cut off goes on in its schedule.
self.onmessage = async ({ data: { artifacts, examples, run: asked, batch, every, kept } }) => {
  try {
    const header = await (await fetch(`${artifacts}/xpert.json`)).json();
    const tokenizer = new Tokenizer(await (await fetch(`${artifacts}/tokenizer.json`)).json());
    const rows = rowsOf(examples, header, tokenizer);
    if (!rows.length) throw new Error('no example with a response that fits');
    const [checkpointState, trainModel, evalModel, optimizerModel] = await Promise.all(
      ['checkpoint', 'training_model.onnx', 'eval_model.onnx', 'optimizer_model.onnx'].map((f) => bytes(`${artifacts}/${f}`)));
    const mine = kept?.digest === header.digest ? kept : null; // an adapter of other artifacts has no place here
    const goesOn = mine && mine.done < mine.run.steps, run = goesOn ? mine.run : asked, first = goesOn ? mine.done : 0;
    const session = await ort.TrainingSession.create(
      { checkpointState, trainModel, evalModel, optimizerModel: withSchedule(optimizerModel, header, run, first) },
      { executionProviders: ['wasm'] });
    if (mine) await session.loadParametersBuffer(new Uint8Array(mine.adapter), true);
    const before = (mine?.step ?? 0) - first;
    for (let done = first; done < run.steps; done++) {
      const from = (before + done) * batch;
      const chosen = Array.from({ length: Math.min(batch, rows.length) }, (_, k) => rows[(from + k) % rows.length]);
      const out = await session.runTrainStep(feedsOf(chosen, header, session.trainingInputNames));
      const loss = Object.values(out)[0].data[0];
      if (!Number.isFinite(loss)) throw new Error(`the loss of step ${done + 1} is not finite: what was kept before stays`);
      await session.runOptimizerStep();
      await session.lazyResetGrad();
      self.postMessage({ kind: 'step', step: done + 1, of: run.steps, loss });
      const last = done + 1 === run.steps;
      if (!last && (done + 1) % every) continue;
      const adapter = row(await session.getContiguousParameters(true));
      self.postMessage({ kind: 'keep', last, kept: { adapter, digest: header.digest, step: before + done + 1, run, done: done + 1 } });
    }
    self.postMessage({ kind: 'done', first, step: before + run.steps, rows: rows.map(({ ids }) => ids) });
  } catch (error) {
    self.postMessage({ kind: 'error', text: String(error?.message ?? error) });
  }
};
