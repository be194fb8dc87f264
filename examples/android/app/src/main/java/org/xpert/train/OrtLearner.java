// Compiled against stubs of ai.onnxruntime in tests; never compiled against the real AAR, never run on a phone.
package org.xpert.train;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.OrtTrainingSession;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The learner of ONNX Runtime's on-device training. */
public final class OrtLearner implements Learner {
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final OrtTrainingSession session;

    /** {@code state}: the artifacts' own checkpoint, or one that {@link #save} wrote. */
    public OrtLearner(Artifacts artifacts, Path state) throws OrtException {
        session = environment.createTrainingSession(
                state.toString(),
                artifacts.path("training_model.onnx"),
                artifacts.path("eval_model.onnx"),
                artifacts.path("optimizer_model.onnx"));
    }

    @Override
    public float learn(List<Rows.Batch> parts, double rate) throws OrtException {
        session.lazyResetGrad();
        float loss = 0;
        for (Rows.Batch part : parts) loss += run(part, true);
        if (Float.isNaN(loss) || Float.isInfinite(loss)) return loss;
        session.setLearningRate((float) rate);
        session.optimizerStep();
        return loss;
    }

    @Override
    public float loss(List<Rows.Batch> parts) throws OrtException {
        float loss = 0;
        for (Rows.Batch part : parts) loss += run(part, false);
        return loss;
    }

    @Override
    public void save(Path file) throws OrtException {
        session.saveCheckpoint(file, true);
    }

    @Override
    public void close() {
        session.close();
    }

    private float run(Rows.Batch batch, boolean training) throws OrtException {
        Set<String> names = training ? session.getTrainInputNames() : session.getEvalInputNames();
        Map<String, OnnxTensor> feeds = new LinkedHashMap<>(); // the runtime takes them in this order, whatever their names
        try {
            for (String name : names) feeds.put(name, tensor(name, batch));
            try (OrtSession.Result result = training ? session.trainStep(feeds) : session.evalStep(feeds)) {
                return (Float) result.get(0).getValue();
            }
        } finally {
            for (OnnxTensor tensor : feeds.values()) tensor.close();
        }
    }

    private OnnxTensor tensor(String name, Rows.Batch batch) throws OrtException {
        switch (name) {
            case "input_ids":
                return OnnxTensor.createTensor(environment, LongBuffer.wrap(batch.ids), batch.shape);
            case "attention_mask":
                return OnnxTensor.createTensor(environment, LongBuffer.wrap(batch.mask), batch.shape);
            case "labels":
                return OnnxTensor.createTensor(environment, LongBuffer.wrap(batch.labels), batch.shape);
            case "tokens":
                return OnnxTensor.createTensor(environment, FloatBuffer.wrap(new float[] {batch.tokens}), new long[0]);
            default:
                throw new IllegalArgumentException("training_model.onnx: unknown input " + name + ": export it again");
        }
    }
}
