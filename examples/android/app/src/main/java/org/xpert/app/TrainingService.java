// Never compiled against the real Android SDK, never run on a phone.
package org.xpert.app;

import android.app.Notification;
import android.app.NotificationChannel;
import android.app.NotificationManager;
import android.app.PendingIntent;
import android.app.Service;
import android.content.Intent;
import android.content.pm.ServiceInfo;
import android.os.Build;
import android.os.IBinder;
import android.os.PowerManager;
import android.util.Log;
import java.io.File;
import java.util.Locale;
import org.xpert.train.Artifacts;
import org.xpert.train.Config;
import org.xpert.train.OrtLearner;
import org.xpert.train.TrainingLoop;

/**
 * Trains in the background. Started by an Intent with the action org.xpert.app.TRAIN and the extra "config", the name of a
 * configuration file in the app's own folder; org.xpert.app.STOP ends it with a checkpoint. Started again it goes on from there.
 */
public final class TrainingService extends Service {
    static final String TRAIN = "org.xpert.app.TRAIN";
    static final String STOP = "org.xpert.app.STOP";
    static final String CONFIG = "config";
    private static final String TAG = "xpert";
    private static final String CHANNEL = "training";
    private static final int ID = 1;
    private static final long LONGEST_MS = 6L * 60 * 60 * 1000;

    private Thread worker;
    private PowerManager.WakeLock awake;

    @Override
    public int onStartCommand(Intent intent, int flags, int startId) {
        show("Training begins", 0, 0);
        if (intent != null && STOP.equals(intent.getAction())) {
            if (worker == null) stopSelf();
            else worker.interrupt();
            return START_NOT_STICKY;
        }
        if (worker == null) {
            String name = intent == null ? null : intent.getStringExtra(CONFIG);
            worker = new Thread(() -> train(name == null ? "config.json" : name), "training");
            worker.start();
        }
        return START_REDELIVER_INTENT; // killed for memory, it comes back with its Intent and goes on from the checkpoint
    }

    private void train(String name) {
        awake = getSystemService(PowerManager.class).newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "xpert:training");
        awake.acquire(LONGEST_MS);
        String end;
        try {
            Config config = Config.read(new File(getExternalFilesDir(null), new File(name).getName()).toPath());
            PhoneGuard guard = new PhoneGuard(
                    this, config.minBatteryPercent, config.maxBatteryCelsius, why -> show("Resting: " + why, 0, 0));
            TrainingLoop loop = new TrainingLoop(config, new Artifacts(config.artifacts), guard, this::told);
            end = "Done: " + loop.run(OrtLearner::new);
        } catch (InterruptedException stopped) {
            end = "Stopped; started again it goes on from its checkpoint";
        } catch (Exception error) {
            Log.e(TAG, "training failed", error);
            end = "Failed: " + error.getMessage();
        }
        Log.i(TAG, end);
        if (awake.isHeld()) awake.release();
        stopForeground(STOP_FOREGROUND_DETACH);
        getSystemService(NotificationManager.class).notify(ID, notification(end, 0, 0, false));
        stopSelf();
    }

    private void told(int step, int maxSteps, float loss, double secondsLeft) {
        String text = String.format(
                Locale.ROOT, "step %d of %d, loss %.3f, %.0f min left", step, maxSteps, loss, secondsLeft / 60);
        Log.i(TAG, text);
        getSystemService(NotificationManager.class).notify(ID, notification(text, step, maxSteps, true));
    }

    private void show(String text, int step, int maxSteps) {
        Notification notification = notification(text, step, maxSteps, true);
        if (Build.VERSION.SDK_INT >= 34) startForeground(ID, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_SPECIAL_USE);
        else startForeground(ID, notification);
    }

    private Notification notification(String text, int step, int maxSteps, boolean ongoing) {
        NotificationChannel channel = new NotificationChannel(CHANNEL, "Training", NotificationManager.IMPORTANCE_LOW);
        getSystemService(NotificationManager.class).createNotificationChannel(channel);
        Notification.Builder builder = new Notification.Builder(this, CHANNEL)
                .setSmallIcon(android.R.drawable.stat_notify_sync)
                .setContentTitle(getString(R.string.app_name))
                .setContentText(text)
                .setOnlyAlertOnce(true)
                .setOngoing(ongoing);
        if (maxSteps > 0) builder.setProgress(maxSteps, step, false);
        if (ongoing) {
            Intent stop = new Intent(this, TrainingService.class).setAction(STOP);
            PendingIntent pending = PendingIntent.getService(this, 0, stop, PendingIntent.FLAG_IMMUTABLE);
            builder.addAction(new Notification.Action.Builder(null, "Stop", pending).build());
        }
        return builder.build();
    }

    @Override
    public void onDestroy() {
        if (worker != null) worker.interrupt();
        super.onDestroy();
    }

    @Override
    public IBinder onBind(Intent intent) {
        return null;
    }
}
