"""What tests share: real counterparts (broker, cameras, daemon), builders, and one way to wait."""
