"""Own actions on frozen networks: what they see in a clip is computed once, and only a last layer is learned."""
