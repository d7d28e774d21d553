"""Show which part of a clip a decision depends on (Grad-CAM)."""
