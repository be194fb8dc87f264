// Never compiled against the real Android SDK, never run on a phone.
package org.xpert.app;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.os.Build;
import android.os.Bundle;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.TextView;

/** Two buttons, for who has no adb at hand: begin (or go on), and stop. */
public final class MainActivity extends Activity {
    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        if (Build.VERSION.SDK_INT >= 33) requestPermissions(new String[] {Manifest.permission.POST_NOTIFICATIONS}, 0);
        LinearLayout column = new LinearLayout(this);
        column.setOrientation(LinearLayout.VERTICAL);
        TextView where = new TextView(this);
        where.setText("Configuration, artifacts and data are looked for in " + getExternalFilesDir(null));
        column.addView(where);
        column.addView(button("Train with config.json", TrainingService.TRAIN));
        column.addView(button("Stop", TrainingService.STOP));
        setContentView(column);
    }

    private Button button(String text, String action) {
        Button button = new Button(this);
        button.setText(text);
        button.setOnClickListener(view -> startForegroundService(
                new Intent(this, TrainingService.class).setAction(action).putExtra(TrainingService.CONFIG, "config.json")));
        return button;
    }
}
