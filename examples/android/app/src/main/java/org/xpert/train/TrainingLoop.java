// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Trains until a stop rule holds; pauses while the phone is low or hot; goes on from its checkpoint after a kill. */
public final class TrainingLoop {
    /** Makes the learner of a state on the disk. */
    public interface Maker {
        Learner make(Artifacts artifacts, Path state) throws Exception;
    }

    /** Blocks while the phone should rest. */
    public interface Guard {
        void waitUntilFine() throws InterruptedException;
    }

    /** Is told after each step. */
    public interface Listener {
        void told(int step, int maxSteps, float loss, double secondsLeft);
    }

    private final Config config;
    private final Artifacts artifacts;
    private final Rows rows;
    private final Guard guard;
    private final Listener listener;
    private final List<Object> losses = new ArrayList<>();
    private final List<Object> evaluations = new ArrayList<>();
    private int step;
    private double secondsBefore;
    private long begun;

    public TrainingLoop(Config config, Artifacts artifacts, Guard guard, Listener listener) throws IOException {
        this.config = config;
        this.artifacts = artifacts;
        this.rows = Rows.read(config, artifacts);
        this.guard = guard;
        this.listener = listener;
    }

    /** Runs to the end, or until the thread is interrupted: then a checkpoint is left, and the same call goes on from it. */
    public Path run(Maker maker) throws Exception {
        Files.createDirectories(config.out);
        Path checkpoint = config.out.resolve("checkpoint");
        recover(checkpoint);
        boolean resumed = readProgress(checkpoint);
        Path state = resumed ? checkpoint.resolve("state") : artifacts.folder.resolve("checkpoint");
        begun = System.nanoTime();
        int first = step;
        String stopped = "max_steps";
        try (Learner learner = maker.make(artifacts, state)) {
            if (step == 0 && evaluate(learner)) stopped = "target_loss";
            while (step < config.maxSteps && stopped.equals("max_steps")) {
                try {
                    guard.waitUntilFine();
                    if (Thread.interrupted()) throw new InterruptedException();
                } catch (InterruptedException end) {
                    save(learner, checkpoint);
                    throw end;
                }
                float loss = learner.learn(batch(), config.rate(step));
                if (Float.isNaN(loss) || Float.isInfinite(loss)) {
                    save(learner, checkpoint);
                    throw new ArithmeticException("training loss at step " + (step + 1) + " is not finite: lower learning_rate;"
                            + " the state before that step is in " + checkpoint);
                }
                step++;
                losses.add(List.of((double) step, (double) loss));
                listener.told(step, config.maxSteps, loss, seconds() / (step - first) * (config.maxSteps - step));
                if ((step % config.evalEvery == 0 || step == config.maxSteps) && evaluate(learner)) stopped = "target_loss";
                if (step % config.checkpointEvery == 0) save(learner, checkpoint);
            }
            save(learner, checkpoint);
        }
        return writeResult(stopped);
    }

    private List<Rows.Batch> batch() {
        List<Rows.Row> chosen = new ArrayList<>();
        for (int i : Order.batch(rows.training.size(), config.batchSize, config.seed, step)) chosen.add(rows.training.get(i));
        return Rows.parts(chosen, config.microBatch, artifacts.padId);
    }

    private boolean evaluate(Learner learner) throws Exception {
        if (rows.validation.isEmpty()) return false;
        float loss = learner.loss(Rows.parts(rows.validation, config.microBatch, artifacts.padId));
        evaluations.add(List.of((double) step, (double) loss));
        return loss <= config.targetLoss;
    }

    private double seconds() {
        return (System.nanoTime() - begun) / 1e9;
    }

    /** Written beside the one before, which goes only when the new one is whole. */
    private void save(Learner learner, Path checkpoint) throws Exception {
        Path fresh = config.out.resolve("checkpoint.new");
        delete(fresh);
        Files.createDirectories(fresh);
        learner.save(fresh.resolve("state"));
        Files.write(fresh.resolve("progress.json"), Json.write(progress()).getBytes(StandardCharsets.UTF_8));
        Path old = config.out.resolve("checkpoint.old");
        delete(old);
        if (Files.exists(checkpoint)) Files.move(checkpoint, old, StandardCopyOption.ATOMIC_MOVE);
        Files.move(fresh, checkpoint, StandardCopyOption.ATOMIC_MOVE);
        delete(old);
    }

    /** After a kill between the two moves the old checkpoint takes its place again. */
    private void recover(Path checkpoint) throws IOException {
        Path old = config.out.resolve("checkpoint.old");
        if (!Files.exists(checkpoint) && Files.exists(old)) Files.move(old, checkpoint, StandardCopyOption.ATOMIC_MOVE);
    }

    private Map<String, Object> progress() {
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("digest", artifacts.digest);
        said.put("configuration", config.text);
        said.put("examples", (double) (rows.training.size() + rows.validation.size()));
        said.put("step", (double) step);
        said.put("seconds", secondsBefore + seconds());
        said.put("losses", losses);
        said.put("eval_losses", evaluations);
        return said;
    }

    private boolean readProgress(Path checkpoint) throws IOException {
        Path file = checkpoint.resolve("progress.json");
        if (!Files.isRegularFile(file)) return false;
        Map<String, Object> said =
                Json.object(Json.parse(new String(Files.readAllBytes(file), StandardCharsets.UTF_8)), file.toString());
        Object examples = (double) (rows.training.size() + rows.validation.size());
        if (!artifacts.digest.equals(said.get("digest")) || !config.text.equals(said.get("configuration"))
                || !examples.equals(said.get("examples"))) {
            throw new IllegalArgumentException(checkpoint + ": of another run (artifacts, data or configuration): delete it");
        }
        step = ((Double) said.get("step")).intValue();
        secondsBefore = (Double) said.get("seconds");
        losses.addAll((List<?>) said.get("losses"));
        evaluations.addAll((List<?>) said.get("eval_losses"));
        return true;
    }

    private Path writeResult(String stopped) throws IOException {
        Map<String, Object> said = progress();
        said.remove("configuration");
        said.put("stopped_by", stopped);
        said.put("cut_examples", (double) rows.cut);
        said.put("state", "checkpoint/state");
        Path fresh = config.out.resolve("result.json.new");
        Files.write(fresh, Json.write(said).getBytes(StandardCharsets.UTF_8));
        return Files.move(fresh, config.out.resolve("result.json"), StandardCopyOption.ATOMIC_MOVE);
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) return;
        List<Path> inside = new ArrayList<>();
        try (Stream<Path> walk = Files.walk(folder)) {
            walk.forEach(inside::add);
        }
        for (int i = inside.size() - 1; i >= 0; i--) Files.delete(inside.get(i));
    }
}
