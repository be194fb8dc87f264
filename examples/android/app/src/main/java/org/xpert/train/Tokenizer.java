// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Byte-level BPE from a tokenizer.json: what GPT-2, Llama 3, Qwen and SmolLM have. Another kind is refused, never guessed at.
 */
public final class Tokenizer {
    private static final String GPT2 =
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

    private final Map<String, Integer> vocabulary = new HashMap<>();
    private final Map<String, Integer> ranks = new HashMap<>();
    private final Map<String, Integer> added = new HashMap<>();
    private final List<Pattern> splits = new ArrayList<>();
    private final List<Integer> before = new ArrayList<>();
    private final List<Integer> after = new ArrayList<>();
    private final char[] letters = letters();
    private final Pattern addedPattern;
    private final boolean ignoreMerges;
    private boolean nfc;
    private boolean prefixSpace;

    public Tokenizer(Path file) throws IOException {
        this(Json.object(Json.parse(new String(Files.readAllBytes(file), StandardCharsets.UTF_8)), "tokenizer.json"));
    }

    private Tokenizer(Map<String, Object> said) {
        Map<String, Object> model = Json.object(said.get("model"), "model");
        if (!"BPE".equals(model.get("type"))) throw unknown("model", model.get("type"));
        Json.object(model.get("vocab"), "vocab").forEach((token, id) -> vocabulary.put(token, number(id)));
        int rank = 0;
        for (Object one : (List<?>) model.get("merges")) {
            String pair = one instanceof String ? (String) one : ((List<?>) one).get(0) + " " + ((List<?>) one).get(1);
            ranks.put(pair, rank++);
        }
        ignoreMerges = Boolean.TRUE.equals(model.get("ignore_merges"));
        List<String> quoted = new ArrayList<>();
        for (Object one : said.get("added_tokens") == null ? List.of() : (List<?>) said.get("added_tokens")) {
            Map<String, Object> token = Json.object(one, "added_tokens");
            for (String option : new String[] {"lstrip", "rstrip", "single_word"}) {
                if (Boolean.TRUE.equals(token.get(option))) throw unknown("added token with", option);
            }
            added.put((String) token.get("content"), number(token.get("id")));
            quoted.add((String) token.get("content"));
        }
        quoted.sort((a, b) -> b.length() - a.length());
        quoted.replaceAll(Pattern::quote);
        addedPattern = quoted.isEmpty() ? null : Pattern.compile(String.join("|", quoted));
        normalizer(said.get("normalizer"));
        splitter(said.get("pre_tokenizer"));
        processor(said.get("post_processor"));
    }

    /** Token ids of a text; {@code special}: with what the tokenizer puts around a text. */
    public List<Integer> encode(String text, boolean special) {
        List<Integer> ids = new ArrayList<>(special ? before : List.<Integer>of());
        int from = 0;
        if (addedPattern != null) {
            Matcher found = addedPattern.matcher(text);
            while (found.find()) {
                plain(text.substring(from, found.start()), ids);
                ids.add(added.get(found.group()));
                from = found.end();
            }
        }
        plain(text.substring(from), ids);
        if (special) ids.addAll(after);
        return ids;
    }

    private void plain(String text, List<Integer> ids) {
        if (text.isEmpty()) return;
        String whole = nfc ? Normalizer.normalize(text, Normalizer.Form.NFC) : text;
        if (prefixSpace && !whole.startsWith(" ")) whole = " " + whole;
        List<String> parts = List.of(whole);
        for (Pattern split : splits) {
            List<String> finer = new ArrayList<>();
            for (String part : parts) cut(part, split, finer);
            parts = finer;
        }
        for (String part : parts) pairs(part, ids);
    }

    /** What matches is a part, and so is what lies between two matches. */
    private static void cut(String text, Pattern split, List<String> out) {
        Matcher found = split.matcher(text);
        int from = 0;
        while (found.find()) {
            if (found.start() > from) out.add(text.substring(from, found.start()));
            if (found.end() > found.start()) out.add(found.group());
            from = found.end();
        }
        if (from < text.length()) out.add(text.substring(from));
    }

    /** Merge the pair of lowest rank until none is left. */
    private void pairs(String part, List<Integer> ids) {
        StringBuilder spelt = new StringBuilder();
        for (byte b : part.getBytes(StandardCharsets.UTF_8)) spelt.append(letters[b & 255]);
        Integer whole = ignoreMerges ? vocabulary.get(spelt.toString()) : null;
        if (whole != null) {
            ids.add(whole);
            return;
        }
        List<String> tokens = new ArrayList<>(Arrays.asList(spelt.toString().split("")));
        while (tokens.size() > 1) {
            int best = -1;
            int lowest = Integer.MAX_VALUE;
            for (int i = 0; i + 1 < tokens.size(); i++) {
                int rank = ranks.getOrDefault(tokens.get(i) + " " + tokens.get(i + 1), Integer.MAX_VALUE);
                if (rank < lowest) {
                    lowest = rank;
                    best = i;
                }
            }
            if (best < 0) break;
            tokens.set(best, tokens.get(best) + tokens.remove(best + 1));
        }
        for (String token : tokens) {
            Integer id = vocabulary.get(token);
            if (id == null) throw new IllegalArgumentException("tokenizer.json: no token for a byte: not byte-level");
            ids.add(id);
        }
    }

    private void normalizer(Object said) {
        if (said == null) return;
        Object type = Json.object(said, "normalizer").get("type");
        if (!"NFC".equals(type)) throw unknown("normalizer", type);
        nfc = true;
    }

    private void splitter(Object said) {
        Map<String, Object> one = Json.object(said, "pre_tokenizer");
        if ("Sequence".equals(one.get("type"))) {
            ((List<?>) one.get("pretokenizers")).forEach(this::splitter);
        } else if ("ByteLevel".equals(one.get("type"))) {
            prefixSpace |= Boolean.TRUE.equals(one.get("add_prefix_space"));
            if (!Boolean.FALSE.equals(one.get("use_regex"))) splits.add(pattern(GPT2));
        } else if ("Split".equals(one.get("type")) && "Isolated".equals(one.get("behavior"))) {
            Map<String, Object> how = Json.object(one.get("pattern"), "pattern");
            if (how.get("Regex") == null) throw unknown("split", how);
            splits.add(pattern((String) how.get("Regex")));
        } else if ("Digits".equals(one.get("type"))) {
            splits.add(pattern(Boolean.TRUE.equals(one.get("individual_digits")) ? "\\p{N}" : "\\p{N}+"));
        } else {
            throw unknown("pre_tokenizer", one.get("type"));
        }
    }

    /** The regex with white space spelt out: the libraries of the desktop, the phone and the tokenizer each mean another \\s. */
    private static Pattern pattern(String regex) {
        String white = "\\t-\\r\\u0085\\p{Z}";
        StringBuilder out = new StringBuilder();
        boolean inClass = false;
        for (int i = 0; i < regex.length(); i++) {
            char c = regex.charAt(i);
            if (c == '\\' && i + 1 < regex.length()) {
                char next = regex.charAt(++i);
                if (next == 's') out.append(inClass ? white : "[" + white + "]");
                else if (next == 'S' && !inClass) out.append("[^").append(white).append("]");
                else if (next == 'S') throw unknown("split", regex);
                else out.append(c).append(next);
                continue;
            }
            if (c == '[') inClass = true;
            if (c == ']') inClass = false;
            out.append(c);
        }
        return Pattern.compile(out.toString());
    }

    private void processor(Object said) {
        if (said == null) return;
        Map<String, Object> one = Json.object(said, "post_processor");
        if ("Sequence".equals(one.get("type"))) {
            ((List<?>) one.get("processors")).forEach(this::processor);
        } else if ("TemplateProcessing".equals(one.get("type"))) {
            List<Integer> side = before;
            Map<String, Object> known = Json.object(one.get("special_tokens"), "special_tokens");
            for (Object piece : (List<?>) one.get("single")) {
                Object special = Json.object(piece, "single").get("SpecialToken");
                if (special == null) {
                    side = after;
                } else {
                    Object token = known.get(Json.object(special, "SpecialToken").get("id"));
                    for (Object id : (List<?>) Json.object(token, "special_tokens").get("ids")) side.add(number(id));
                }
            }
        } else if (!"ByteLevel".equals(one.get("type"))) {
            throw unknown("post_processor", one.get("type"));
        }
    }

    /** How byte-level tokenizers write bytes: printable ones as they are, the others as letters from 256 on. */
    private static char[] letters() {
        char[] found = new char[256];
        int next = 256;
        for (int b = 0; b < 256; b++) {
            boolean printable = (b > 32 && b < 127) || (b > 160 && b != 173);
            found[b] = (char) (printable ? b : next++);
        }
        return found;
    }

    private static int number(Object value) {
        return ((Double) value).intValue();
    }

    private static IllegalArgumentException unknown(String what, Object type) {
        return new IllegalArgumentException(
                "tokenizer.json: " + what + " " + type + " is not known here: only byte-level BPE is; train on another device");
    }
}
