// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Personal examples as token rows: JSON Lines of {"prompt", "response"} or {"text"}, as xpert.trainers.data reads them. */
public final class Rows {
    public static final long IGNORE = -100;

    /** One example: its tokens, and how many leading ones carry no loss. */
    public static final class Row {
        public final int[] ids;
        public final int skip;

        Row(List<Integer> ids, int skip) {
            this.ids = ids.stream().mapToInt(Integer::intValue).toArray();
            this.skip = skip;
        }

        /** Tokens that carry a loss: a row's first one is never predicted. */
        public int labels() {
            return ids.length - Math.max(skip, 1);
        }
    }

    /** Rows padded on the right, flat. */
    public static final class Batch {
        public final long[] ids;
        public final long[] mask;
        public final long[] labels;
        public final long[] shape;
        /** Tokens of the whole step that carry a loss: the batch's loss is divided by them. */
        public final int tokens;

        Batch(List<Row> rows, int pad, int tokens) {
            int width = rows.stream().mapToInt(row -> row.ids.length).max().orElse(0);
            shape = new long[] {rows.size(), width};
            ids = new long[rows.size() * width];
            mask = new long[ids.length];
            labels = new long[ids.length];
            Arrays.fill(ids, pad);
            Arrays.fill(labels, IGNORE);
            for (int r = 0; r < rows.size(); r++) {
                Row row = rows.get(r);
                for (int t = 0; t < row.ids.length; t++) {
                    ids[r * width + t] = row.ids[t];
                    mask[r * width + t] = 1;
                    if (t >= row.skip) labels[r * width + t] = row.ids[t];
                }
            }
            this.tokens = tokens;
        }
    }

    public final List<Row> training = new ArrayList<>();
    public final List<Row> validation = new ArrayList<>();
    public int cut;

    /** Reads, tokenizes and splits the data, which stays in this process. */
    public static Rows read(Config config, Artifacts artifacts) throws IOException {
        Rows rows = new Rows();
        List<Row> all = new ArrayList<>();
        int longest = Math.min(config.maxLength, artifacts.maxLength);
        int number = 0;
        for (String line : Files.readAllLines(config.data, StandardCharsets.UTF_8)) {
            number++;
            if (!line.trim().isEmpty()) all.add(rows.row(line, config.data + ", line " + number, artifacts, longest));
        }
        if (all.isEmpty()) throw new IllegalArgumentException(config.data + ": expected at least one example, it is empty");
        Set<Integer> held = new HashSet<>();
        if (config.evalFraction > 0 && all.size() > 1) {
            int n = Math.min(Math.max(1, (int) Math.rint(config.evalFraction * all.size())), all.size() - 1);
            int[] order = Order.permutation(all.size(), config.seed);
            for (int i = 0; i < n; i++) held.add(order[i]);
        }
        for (int i = 0; i < all.size(); i++) (held.contains(i) ? rows.validation : rows.training).add(all.get(i));
        return rows;
    }

    /** Parts of a step, each of at most so many rows. */
    public static List<Batch> parts(List<Row> rows, int size, int pad) {
        int tokens = rows.stream().mapToInt(Row::labels).sum();
        List<Batch> found = new ArrayList<>();
        for (int i = 0; i < rows.size(); i += size) {
            found.add(new Batch(rows.subList(i, Math.min(i + size, rows.size())), pad, tokens));
        }
        return found;
    }

    private Row row(String line, String where, Artifacts artifacts, int longest) {
        Map<String, Object> said;
        try {
            said = Json.object(Json.parse(line), where);
        } catch (IllegalArgumentException error) {
            throw new IllegalArgumentException(where + ": " + error.getMessage());
        }
        Object prompt = said.get("prompt");
        Object response = said.containsKey("response") ? said.get("response") : said.get("text");
        if (!(response instanceof String) || ((String) response).isEmpty()) {
            throw new IllegalArgumentException(where + ": expected \"response\" or \"text\" with some text");
        }
        boolean asked = prompt instanceof String && !((String) prompt).isEmpty();
        List<Integer> ids = new ArrayList<>();
        if (asked) ids.addAll(artifacts.prompt((String) prompt));
        int skip = ids.size();
        if (skip >= longest) {
            throw new IllegalArgumentException(where + ": its prompt has " + skip + " tokens, the longest row is " + longest);
        }
        ids.addAll(artifacts.tokenizer.encode((String) response, !asked));
        if (artifacts.endId >= 0) ids.add(artifacts.endId);
        if (ids.size() > longest) cut++;
        ids = ids.subList(0, Math.min(ids.size(), longest));
        if (ids.size() < 2) throw new IllegalArgumentException(where + ": one token is not enough to learn from");
        return new Row(ids, skip);
    }
}
