// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.LinkedHashMap;
import java.util.Map;

/** The configuration file that an Intent names. Unknown keys are an error. */
public final class Config {
    public final Path artifacts;
    public final Path data;
    public final Path out;
    public final int maxSteps;
    public final int batchSize;
    public final int microBatch;
    public final int maxLength;
    public final int evalEvery;
    public final int checkpointEvery;
    public final int warmup;
    public final long seed;
    public final double learningRate;
    public final double evalFraction;
    public final double targetLoss;
    public final String schedule;
    public final int minBatteryPercent;
    public final double maxBatteryCelsius;
    public final String text;

    public static Config read(Path file) throws IOException {
        return new Config(new String(Files.readAllBytes(file), StandardCharsets.UTF_8));
    }

    public Config(String text) {
        this.text = text;
        Map<String, Object> said = new LinkedHashMap<>(Json.object(Json.parse(text), "configuration"));
        artifacts = path(said, "artifacts");
        data = path(said, "data");
        out = path(said, "out");
        maxSteps = whole(said, "max_steps", 200, 1);
        batchSize = whole(said, "batch_size", 8, 1);
        microBatch = whole(said, "micro_batch", Math.min(batchSize, 2), 1);
        maxLength = whole(said, "max_length", Integer.MAX_VALUE, 2);
        evalEvery = whole(said, "eval_every", Math.max(1, maxSteps / 20), 1);
        checkpointEvery = whole(said, "checkpoint_every", 20, 1);
        warmup = whole(said, "warmup", 0, 0);
        seed = whole(said, "seed", 0, 0);
        learningRate = real(said, "learning_rate", 2e-4);
        evalFraction = real(said, "eval_fraction", 0.1);
        targetLoss = real(said, "target_loss", Double.NEGATIVE_INFINITY);
        minBatteryPercent = whole(said, "min_battery_percent", 30, 0);
        maxBatteryCelsius = real(said, "max_battery_celsius", 42);
        Object how = said.remove("schedule");
        schedule = how == null ? "constant" : (String) how;
        if (!schedule.matches("constant|cosine|linear")) throw wrong("schedule", "constant, cosine or linear", schedule);
        if (evalFraction < 0 || evalFraction >= 1) throw wrong("eval_fraction", "at least 0 and below 1", evalFraction);
        if (!(learningRate > 0)) throw wrong("learning_rate", "a number above 0", learningRate);
        if (!said.isEmpty()) throw wrong(said.keySet().iterator().next(), "no such key", "it");
    }

    /** The learning rate of a 0-based step, as xpert.trainers.settings.learning_rate has it. */
    public double rate(int step) {
        if (step < warmup) return learningRate * (step + 1) / warmup;
        if (schedule.equals("constant")) return learningRate;
        double done = (double) (step - warmup) / Math.max(1, maxSteps - warmup);
        return learningRate * (schedule.equals("linear") ? 1 - done : 0.5 * (1 + Math.cos(Math.PI * done)));
    }

    private static Path path(Map<String, Object> said, String key) {
        Object value = said.remove(key);
        if (!(value instanceof String)) throw wrong(key, "a path", value);
        return Paths.get((String) value);
    }

    private static int whole(Map<String, Object> said, String key, int usual, int least) {
        double value = real(said, key, usual);
        if (value != Math.rint(value) || value < least) throw wrong(key, "a whole number of at least " + least, value);
        return (int) value;
    }

    private static double real(Map<String, Object> said, String key, double usual) {
        Object value = said.remove(key);
        if (value != null && !(value instanceof Double)) throw wrong(key, "a number", value);
        return value == null ? usual : (Double) value;
    }

    private static IllegalArgumentException wrong(String key, String expected, Object got) {
        return new IllegalArgumentException("configuration: " + key + ": expected " + expected + ", got " + got);
    }
}
