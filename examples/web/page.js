// The page: starts the worker, shows progress and loss, keeps the adapter in IndexedDB so that a reload goes on from it.
// Adam's moments cannot be read out of onnxruntime-web: after a reload the adapter is as it was, and the moments begin anew.

const $ = (id) => document.getElementById(id);
const open = () => new Promise((resolve, reject) => {
  const asked = indexedDB.open('xpert', 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore('kept');
  asked.onsuccess = () => resolve(asked.result);
  asked.onerror = () => reject(asked.error);
});
const stored = async (mode, act) => {
  const store = (await open()).transaction('kept', mode).objectStore('kept');
  return new Promise((resolve, reject) => {
    const asked = act(store);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
};

function offer(kept) {
  $('save').href = URL.createObjectURL(new Blob([kept.adapter]));
  $('save').hidden = false;
}

const wanted = () => ({
  rate: Number($('rate').value), schedule: $('schedule').value, warmup: Number($('warmup').value), steps: Number($('steps').value),
});

window.trained = null;
$('forget').onclick = async () => { await stored('readwrite', (store) => store.delete('adapter')); location.reload(); };
$('train').onclick = async () => {
  $('train').disabled = true;
  const losses = [], worker = new Worker('worker.js', { type: 'module' });
  let keeping = Promise.resolve(), newest = null;
  worker.onmessage = async ({ data }) => {
    if (data.kind === 'step') {
      losses.push(data.loss);
      [$('bar').value, $('bar').max] = [data.step, data.of];
      $('told').textContent = `Step ${data.step} of ${data.of}: loss ${data.loss.toFixed(3)}`;
      return;
    }
    if (data.kind === 'keep') {
      newest = data.kept;
      keeping = stored('readwrite', (store) => store.put(data.kept, 'adapter'));
      return;
    }
    worker.terminate();
    await keeping;
    $('train').disabled = false;
    if (data.kind === 'error') { $('told').textContent = data.text; window.trained = { error: data.text }; return; }
    offer(newest);
    const { first, step, rows } = data;
    window.trained = { losses, first, step, rows, adapter: Array.from(new Float32Array(newest.adapter)) };
  };
  const examples = $('data').value.split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line));
  const kept = await stored('readonly', (store) => store.get('adapter'));
  const artifacts = new URL('artifacts', location.href).href;
  worker.postMessage({ artifacts, examples, run: wanted(), batch: 2, every: 5, kept });
};

const kept = await stored('readonly', (store) => store.get('adapter'));
if (kept) {
  offer(kept);
  const next = kept.done < kept.run.steps ? `Its run of ${kept.run.steps} was cut off after ${kept.done} and goes on` : 'A further run begins with it';
  $('told').textContent = `Kept: an adapter of ${kept.step} steps. ${next}.`;
}
