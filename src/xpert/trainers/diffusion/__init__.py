"""Fine-tuning text-to-image pipelines of diffusers: settings, pictures, objective, conditioning, loading, learning, output."""
