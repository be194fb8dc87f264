// A byte-level BPE tokenizer (Llama 3, Qwen, SmolLM, GPT-2 and the zoo's) from its tokenizer.json, as Python's `tokenizers` reads it.

const USUAL = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

function byteLetters() {
  const plain = [];
  for (const [first, last] of [[33, 126], [161, 172], [174, 255]]) for (let b = first; b <= last; b++) plain.push(b);
  const letters = new Map(plain.map((b) => [b, String.fromCodePoint(b)]));
  for (let b = 0, n = 0; b < 256; b++) if (!letters.has(b)) letters.set(b, String.fromCodePoint(256 + n++));
  return letters;
}

export class Tokenizer {
  constructor(json) {
    const pre = json.pre_tokenizer;
    if (json.model.type !== 'BPE' || pre?.type !== 'ByteLevel' || pre.add_prefix_space || json.normalizer) {
      throw new Error('tokenizer.json: this page reads byte-level BPE without a normalizer only');
    }
    this.vocab = new Map(Object.entries(json.model.vocab));
    this.ranks = new Map(json.model.merges.map((pair, rank) => [Array.isArray(pair) ? pair.join(' ') : pair, rank]));
    this.special = new Map(json.added_tokens.map((token) => [token.content, token.id]));
    this.letters = byteLetters();
    const escaped = [...this.special.keys()].map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    this.splitter = escaped.length ? new RegExp(`(${escaped.join('|')})`, 'u') : null;
  }

  encode(text) {
    const parts = this.splitter ? text.split(this.splitter) : [text];
    return parts.flatMap((part) => this.special.has(part) ? [this.special.get(part)] : this.words(part));
  }

  words(text) {
    return (text.match(USUAL) ?? []).flatMap((word) => {
      let pieces = [...new TextEncoder().encode(word)].map((b) => this.letters.get(b));
      for (;;) {
        let best = Infinity, place = -1;
        for (let i = 0; i + 1 < pieces.length; i++) {
          const rank = this.ranks.get(`${pieces[i]} ${pieces[i + 1]}`);
          if (rank !== undefined && rank < best) [best, place] = [rank, i];
        }
        if (place < 0) break;
        pieces.splice(place, 2, pieces[place] + pieces[place + 1]);
      }
      return pieces.map((piece) => this.vocab.get(piece));
    });
  }
}
