// Tokenizers from a tokenizer.json, as Python's `tokenizers` reads it: byte-level BPE (Llama 3, Qwen, SmolLM, GPT-2, the zoo's) and BERT's.

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

  decode(ids) {
    this.names ??= new Map([...this.vocab, ...this.special].map(([piece, id]) => [id, piece]));
    this.bytes ??= new Map([...this.letters].map(([byte, letter]) => [letter, byte]));
    const utf8 = new TextEncoder(), special = new Set(this.special.values());
    const bytes = ids.flatMap((id) => special.has(id) ? [...utf8.encode(this.names.get(id))] : [...this.names.get(id)].map((letter) => this.bytes.get(letter)));
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }
}

const CHINESE = /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const MARK = /[\p{P}$+<=>^`|~]/u;

export class WordPiece {
  constructor(json) {
    const { normalizer: how, pre_tokenizer: pre, model } = json;
    if (model.type !== 'WordPiece' || how?.type !== 'BertNormalizer' || pre?.type !== 'BertPreTokenizer' || model.continuing_subword_prefix !== '##') {
      throw new Error('tokenizer.json: of encoders this page reads BERT\'s WordPiece only');
    }
    this.vocab = new Map(Object.entries(model.vocab));
    this.unknown = this.vocab.get(model.unk_token);
    this.longest = model.max_input_chars_per_word;
    this.how = how;
    [this.first, this.last] = ['[CLS]', '[SEP]'].map((token) => this.vocab.get(token));
  }

  // Chunks of so many tokens at most, special ones included, that together are the whole text.
  chunks(text, most) {
    const ids = this.split(this.normalize(text)).flatMap((word) => this.pieces(word)), found = [];
    for (let at = 0; at < ids.length || !found.length; at += most - 2) found.push([this.first, ...ids.slice(at, at + most - 2), this.last]);
    return found;
  }

  normalize(text) {
    const { clean_text: clean, handle_chinese_chars: chinese, lowercase, strip_accents: strip } = this.how;
    let found = clean ? text.replace(/[\t\n\r]/g, ' ').replace(/[\0\ufffd\p{Cc}\p{Cf}\p{Co}\p{Cn}]/gu, '').replace(/\s/gu, ' ') : text;
    if (chinese) found = found.replace(CHINESE, ' $& ');
    if (strip ?? lowercase) found = found.normalize('NFD').replace(/\p{Mn}/gu, '');
    return lowercase ? found.toLowerCase() : found;
  }

  split(text) {
    return text.split(/\s+/u).flatMap((word) => word.split(new RegExp(`(${MARK.source})`, 'u'))).filter(Boolean);
  }

  pieces(word) {
    const letters = [...word], found = [];
    if (letters.length > this.longest) return [this.unknown];
    for (let at = 0; at < letters.length;) {
      let end = letters.length, id;
      for (; end > at; end--) {
        id = this.vocab.get((at ? '##' : '') + letters.slice(at, end).join(''));
        if (id !== undefined) break;
      }
      if (end === at) return [this.unknown];
      found.push(id);
      at = end;
    }
    return found;
  }
}
