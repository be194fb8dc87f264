// The signatures of onnxruntime-training-android 1.19.2 that the example uses, written down by hand: nothing in them runs.
package ai.onnxruntime;

public final class OrtEnvironment {
    public static synchronized OrtEnvironment getEnvironment() {
        return new OrtEnvironment();
    }

    public OrtTrainingSession createTrainingSession(
            String checkpointPath, String trainPath, String evalPath, String optimizerPath) throws OrtException {
        throw new UnsupportedOperationException();
    }
}
