// Runs the example's pure Java for tests/flow/test_android.py.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.xpert.train.Artifacts;
import org.xpert.train.Config;
import org.xpert.train.Json;
import org.xpert.train.Learner;
import org.xpert.train.Order;
import org.xpert.train.Rows;
import org.xpert.train.Tokenizer;
import org.xpert.train.TrainingLoop;

public final class Check {
    public static void main(String[] args) throws Exception {
        Object said;
        if (args[0].equals("tokens")) said = tokens(Paths.get(args[1]), Paths.get(args[2]));
        else if (args[0].equals("order")) said = order();
        else if (args[0].equals("rates")) said = rates(new Config(text(args[1])));
        else if (args[0].equals("batches")) said = batches(Config.read(Paths.get(args[1])));
        else said = train(Config.read(Paths.get(args[1])), Integer.parseInt(args[2]), args[3]);
        System.out.write(Json.write(said).getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }

    private static Object tokens(Path tokenizer, Path texts) throws Exception {
        Tokenizer one = new Tokenizer(tokenizer);
        List<Object> found = new ArrayList<>();
        for (Object line : (List<?>) Json.parse(text(texts.toString()))) {
            found.add(one.encode((String) line, false));
            found.add(one.encode((String) line, true));
        }
        return found;
    }

    private static Object order() {
        List<Object> found = new ArrayList<>();
        for (int step = 0; step < 12; step++) found.add(list(Order.batch(10, 4, 7, step)));
        found.add(list(Order.permutation(1000, 3_000_009L)));
        return found;
    }

    private static Object rates(Config config) {
        List<Object> found = new ArrayList<>();
        for (int step = 0; step < config.maxSteps; step++) found.add(config.rate(step));
        return found;
    }

    private static Object batches(Config config) throws Exception {
        Artifacts artifacts = new Artifacts(config.artifacts);
        Rows rows = Rows.read(config, artifacts);
        List<Object> found = new ArrayList<>();
        for (Rows.Batch part : Rows.parts(rows.training, 1000, artifacts.padId)) {
            found.add(Map.of("ids", list(part.ids), "mask", list(part.mask), "labels", list(part.labels)));
        }
        return Map.of("training", found, "held", rows.validation.size(), "cut", rows.cut);
    }

    /** Trains with a learner that only remembers what it was given, and is interrupted at a step. */
    private static Object train(Config config, int interruptAt, String how) throws Exception {
        List<Object> log = new ArrayList<>();
        TrainingLoop.Maker maker = (artifacts, state) -> new Fake(state, how, log);
        int[] calls = {0};
        TrainingLoop loop = new TrainingLoop(config, new Artifacts(config.artifacts), () -> {
            if (calls[0]++ == interruptAt) throw new InterruptedException();
        }, (step, max, loss, left) -> {});
        String end;
        try {
            end = loop.run(maker).toString();
        } catch (InterruptedException | ArithmeticException error) {
            end = error.getClass().getSimpleName() + ": " + error.getMessage();
        }
        return Map.of("end", end, "log", log);
    }

    private static final class Fake implements Learner {
        private final String how;
        private final List<Object> log;
        private double value;

        Fake(Path state, String how, List<Object> log) throws Exception {
            this.how = how;
            this.log = log;
            value = Double.parseDouble(text(state.toString()).trim());
        }

        @Override
        public float learn(List<Rows.Batch> parts, double rate) {
            long sum = 0;
            for (Rows.Batch part : parts) for (long id : part.ids) sum += id;
            if (how.equals("nan") && value > 2) return Float.NaN;
            value += 1;
            log.add(sum);
            return (float) (10 / value);
        }

        @Override
        public float loss(List<Rows.Batch> parts) {
            return (float) (10 / Math.max(1, value));
        }

        @Override
        public void save(Path file) throws Exception {
            Files.write(file, String.valueOf(value).getBytes(StandardCharsets.UTF_8));
        }

        @Override
        public void close() {}
    }

    private static String text(String file) throws Exception {
        return new String(Files.readAllBytes(Paths.get(file)), StandardCharsets.UTF_8);
    }

    private static List<Object> list(int[] values) {
        List<Object> found = new ArrayList<>();
        for (int value : values) found.add(value);
        return found;
    }

    private static List<Object> list(long[] values) {
        List<Object> found = new ArrayList<>();
        for (long value : values) found.add(value);
        return found;
    }
}
