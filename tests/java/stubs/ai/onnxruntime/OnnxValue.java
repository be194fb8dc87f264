// The signatures of onnxruntime-training-android 1.19.2 that the example uses, written down by hand: nothing in them runs.
package ai.onnxruntime;

public interface OnnxValue extends AutoCloseable {
    Object getValue() throws OrtException;

    void close();
}
