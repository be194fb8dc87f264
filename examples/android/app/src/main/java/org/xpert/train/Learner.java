// Compiled and run on a desktop JVM in tests; never compiled against the Android SDK.
package org.xpert.train;

import java.nio.file.Path;
import java.util.List;

/** What the loop moves on. */
public interface Learner extends AutoCloseable {
    /** One optimizer step; the loss before it. If that loss is not finite, nothing is changed. */
    float learn(List<Rows.Batch> parts, double rate) throws Exception;

    /** The loss; nothing is learnt. */
    float loss(List<Rows.Batch> parts) throws Exception;

    /** Writes parameters and the optimizer's state. */
    void save(Path file) throws Exception;

    @Override
    void close();
}
