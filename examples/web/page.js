// The page: starts the workers, shows choice, progress and loss, keeps texts, choice and adapter in IndexedDB so that a reload goes on from them.
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

const FIELDS = ['data', 'bases', 'kinds', 'licences', 'min_mb', 'max_mb'];
const keepForm = () => stored('readwrite', (store) => store.put(Object.fromEntries(FIELDS.map((name) => [name, $(name).value])), 'form'));

// A line of the user's: a text without a prompt, or a record as `xpert select` reads it; null if it is none.
function exampleOf(line) {
  if (!line.startsWith('{')) return { response: line };
  try {
    const { prompt, response, text } = JSON.parse(line), found = response ?? text;
    return typeof found === 'string' && found.trim() ? { prompt: response === undefined ? undefined : prompt, response: found } : null;
  } catch { return null; }
}

// The user's texts; null, and told in the element `where`, if a line is none.
function examples(where) {
  const lines = $('data').value.split('\n').map((line) => line.trim()).filter(Boolean), found = lines.map(exampleOf), wrong = found.indexOf(null);
  if (wrong < 0 && found.length) return found;
  $(where).textContent = found.length ? `Text ${wrong + 1}: expected plain words, {"prompt": "...", "response": "..."} or {"text": "..."}` : 'Expected a line a text.';
  return null;
}

// What a model must be to be chosen, as the fields say; null: anything.
function constraints() {
  const list = (name) => { const found = $(name).value.split(',').map((one) => one.trim()).filter(Boolean); return found.length ? found : null; };
  const bytes = (name) => ($(name).value === '' ? null : Math.round($(name).valueAsNumber * 1e6));
  return { bases: list('bases'), kinds: list('kinds'), licences: list('licences'), min_bytes: bytes('min_mb'), max_bytes: bytes('max_mb') };
}

const told = (words, n) => words.slice(0, n).map(([word, value]) => `${word} ${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`).join(', ');

function show({ best, matched, excluded, ranking, words, own = [] }) {
  const sure = matched ? 'it matches these texts' : 'it is the nearest, but none matches these texts';
  $('chosen').replaceChildren(Object.assign(document.createElement('b'), { textContent: best }), `: ${sure}.${excluded ? ` Left out by your conditions: ${excluded}.` : ''}`);
  $('words').textContent = told(words, 5);
  $('own').textContent = `Your texts: ${told(own, 5)}`;
  $('ranking').replaceChildren(...[{ name: 'model', distance: 'distance' }, ...ranking.slice(0, 5)].map(({ name, distance }, i) => {
    const line = document.createElement('tr'), cell = (textContent) => Object.assign(document.createElement(i ? 'td' : 'th'), { textContent });
    line.append(cell(name), cell(i ? distance.toFixed(3) : distance));
    return line;
  }));
  window.selected = { best, matched, excluded, ranking, words, own };
}

window.selected = null;
$('file').onchange = async () => { if ($('file').files[0]) $('data').value = await $('file').files[0].text(); };
$('choose').onclick = async () => {
  const given = examples('chosen');
  if (!given) return;
  await keepForm();
  $('choose').disabled = true;
  $('chosen').textContent = 'Loading catalog and summarizer.';
  const worker = new Worker('choose.js', { type: 'module' });
  worker.onmessage = async ({ data }) => {
    if (data.kind === 'step') { $('chosen').textContent = `Reading text ${data.step} of ${data.of}.`; return; }
    worker.terminate();
    $('choose').disabled = false;
    if (data.kind === 'error') { $('chosen').textContent = data.text; window.selected = { error: data.text }; return; }
    await stored('readwrite', (store) => store.put(data.selection, 'selection'));
    show(data.selection);
  };
  const url = (name) => new URL(name, location.href).href;
  worker.postMessage({ catalog: url('catalog'), summarizer: url('summarizer'), examples: given, constraints: constraints() });
};

const wanted = () => ({
  rate: Number($('rate').value), schedule: $('schedule').value, warmup: Number($('warmup').value), steps: Number($('steps').value),
});

// What training begins from: the artifacts of the model that was chosen, where they are served, else `artifacts`.
async function startOf(selection) {
  const own = selection && new URL(`starts/${encodeURIComponent(selection.best)}`, location.href).href;
  return own && (await fetch(`${own}/xpert.json`)).ok ? own : new URL('artifacts', location.href).href;
}

window.trained = null;
$('forget').onclick = async () => { await stored('readwrite', (store) => store.clear()); location.reload(); };
$('train').onclick = async () => {
  const given = examples('told');
  if (!given) return;
  await keepForm();
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
  const kept = await stored('readonly', (store) => store.get('adapter'));
  worker.postMessage({ artifacts: await startOf(await stored('readonly', (store) => store.get('selection'))), examples: given, run: wanted(), batch: 2, every: 5, kept });
};

const form = await stored('readonly', (store) => store.get('form'));
for (const [name, value] of Object.entries(form ?? {})) $(name).value = value;
const kept = await stored('readonly', (store) => store.get('adapter'));
if (kept) {
  offer(kept);
  const next = kept.done < kept.run.steps ? `Its run of ${kept.run.steps} was cut off after ${kept.done} and goes on` : 'A further run begins with it';
  $('told').textContent = `Kept: an adapter of ${kept.step} steps. ${next}.`;
}
const selection = await stored('readonly', (store) => store.get('selection'));
if (selection) show(selection);
