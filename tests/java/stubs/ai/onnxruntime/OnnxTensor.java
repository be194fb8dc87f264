// The signatures of onnxruntime-training-android 1.19.2 that the example uses, written down by hand: nothing in them runs.
package ai.onnxruntime;

import java.nio.FloatBuffer;
import java.nio.LongBuffer;

public class OnnxTensor extends OnnxTensorLike {
    public static OnnxTensor createTensor(OrtEnvironment env, LongBuffer data, long[] shape) throws OrtException {
        throw new UnsupportedOperationException();
    }

    public static OnnxTensor createTensor(OrtEnvironment env, FloatBuffer data, long[] shape) throws OrtException {
        throw new UnsupportedOperationException();
    }

    @Override
    public Object getValue() throws OrtException {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
