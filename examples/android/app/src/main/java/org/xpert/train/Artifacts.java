// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A folder that `xpert export` wrote, in the phone's own storage: graphs are opened by path, never out of the app's assets. */
public final class Artifacts {
    public final Path folder;
    public final Tokenizer tokenizer;
    public final String digest;
    public final int maxLength;
    public final int padId;
    public final int endId;
    private final Map<String, Object> frame;

    public Artifacts(Path folder) throws IOException {
        this.folder = folder;
        Path header = folder.resolve("xpert.json");
        if (!Files.isRegularFile(header)) throw new IllegalArgumentException(folder + ": expected what `xpert export` wrote");
        Map<String, Object> said =
                Json.object(Json.parse(new String(Files.readAllBytes(header), StandardCharsets.UTF_8)), "xpert.json");
        Object version = said.get("format_version");
        if (!"training".equals(said.get("kind")) || !Double.valueOf(1).equals(version)) {
            throw new IllegalArgumentException(header + ": expected training artifacts of format version 1: export them again");
        }
        Map<String, Object> text = Json.object(said.get("tokenizer"), "tokenizer");
        frame = text.get("frame") == null ? null : Json.object(text.get("frame"), "frame");
        padId = ((Double) text.get("pad_id")).intValue();
        endId = text.get("end_id") == null ? -1 : ((Double) text.get("end_id")).intValue();
        maxLength = ((Double) said.get("max_length")).intValue();
        digest = (String) said.get("digest");
        tokenizer = new Tokenizer(folder.resolve("tokenizer.json"));
    }

    public String path(String name) {
        return folder.resolve(name).toString();
    }

    /** A prompt as the model reads it: in its chat template, if it has one. */
    public List<Integer> prompt(String prompt) {
        if (frame == null) return tokenizer.encode(prompt, true);
        String text = Boolean.TRUE.equals(frame.get("strip")) ? prompt.replaceAll("^[\\t-\\r\\x1c-\\x1f\\x85\\p{Z}]+|[\\t-\\r\\x1c-\\x1f\\x85\\p{Z}]+$", "") : prompt;
        return tokenizer.encode(frame.get("before") + text + frame.get("after"), false);
    }
}
