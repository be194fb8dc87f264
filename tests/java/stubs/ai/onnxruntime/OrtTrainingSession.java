// The signatures of onnxruntime-training-android 1.19.2 that the example uses, written down by hand: nothing in them runs.
package ai.onnxruntime;

import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

public final class OrtTrainingSession implements AutoCloseable {
    public Set<String> getTrainInputNames() {
        throw new UnsupportedOperationException();
    }

    public Set<String> getEvalInputNames() {
        throw new UnsupportedOperationException();
    }

    public OrtSession.Result trainStep(Map<String, ? extends OnnxTensorLike> inputs) throws OrtException {
        throw new UnsupportedOperationException();
    }

    public OrtSession.Result evalStep(Map<String, ? extends OnnxTensorLike> inputs) throws OrtException {
        throw new UnsupportedOperationException();
    }

    public void optimizerStep() throws OrtException {
        throw new UnsupportedOperationException();
    }

    public void lazyResetGrad() throws OrtException {
        throw new UnsupportedOperationException();
    }

    public void setLearningRate(float learningRate) throws OrtException {
        throw new UnsupportedOperationException();
    }

    public void saveCheckpoint(Path outputPath, boolean saveOptimizer) throws OrtException {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
