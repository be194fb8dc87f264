"""Who fine-tunes the start model on personal data: one trainer a file, behind `xpert.DeviceTrainer`."""
