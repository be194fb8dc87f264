// Never compiled against the real Android SDK, never run on a phone.
package org.xpert.app;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.PowerManager;
import java.util.function.Consumer;
import org.xpert.train.TrainingLoop;

/** Makes the training rest while the battery is low (and not charging), or the phone is hot. */
final class PhoneGuard implements TrainingLoop.Guard {
    private static final long LOOK_AGAIN_MS = 15_000;

    private final Context context;
    private final int minPercent;
    private final double maxCelsius;
    private final Consumer<String> resting;

    PhoneGuard(Context context, int minPercent, double maxCelsius, Consumer<String> resting) {
        this.context = context;
        this.minPercent = minPercent;
        this.maxCelsius = maxCelsius;
        this.resting = resting;
    }

    @Override
    public void waitUntilFine() throws InterruptedException {
        String reason = reason();
        while (reason != null) {
            resting.accept(reason);
            Thread.sleep(LOOK_AGAIN_MS);
            reason = reason();
        }
    }

    /** Why to rest; null: nothing speaks against going on. */
    private String reason() {
        PowerManager power = context.getSystemService(PowerManager.class);
        if (power.getCurrentThermalStatus() >= PowerManager.THERMAL_STATUS_SEVERE) return "the phone is hot";
        Intent battery = context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        if (battery == null) return null;
        double celsius = battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, 0) / 10.0;
        if (celsius > maxCelsius) return "the battery is at " + celsius + " °C";
        int level = battery.getIntExtra(BatteryManager.EXTRA_LEVEL, 100);
        int percent = 100 * level / Math.max(1, battery.getIntExtra(BatteryManager.EXTRA_SCALE, 100));
        boolean charging = battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0;
        return percent < minPercent && !charging ? "the battery is at " + percent + "%" : null;
    }
}
