"""The paper's models and data by name, pools trained on them, and what that costs."""
