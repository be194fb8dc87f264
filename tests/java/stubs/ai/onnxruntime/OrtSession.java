// The signatures of onnxruntime-training-android 1.19.2 that the example uses, written down by hand: nothing in them runs.
package ai.onnxruntime;

public class OrtSession {
    public static class Result implements AutoCloseable {
        public OnnxValue get(int index) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void close() {}
    }
}
